"""The bill of materials of a program, as CycloneDX 1.5: the crates that it contains, and who needs whom."""

import datetime
import functools
import json
import tomllib
import uuid

from licences import expression
from project import ROOT, commit_time, crates, manifest, version


@functools.cache
def checksums():
    """SHA-256 of each crate's package, by name and version, from Cargo.lock."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    return {(each["name"], each["version"]): each.get("checksum") for each in locked}


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    described = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["description"]:
        described["description"] = " ".join(package["description"].split())
    checksum = checksums().get((package["name"], package["version"]))
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if expression(package):
        described["licenses"] = [{"expression": expression(package)}]
    if package["repository"]:
        described["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return described


def document(target_name, program_hash):
    """`program_hash` is the SHA-256 of the program that this is about."""
    found = crates(target_name)
    root = next(package for package in found.packages.values() if package["name"] == manifest()["name"])
    program = {**component(root), "type": "application"}
    program["hashes"] = [{"alg": "SHA-256", "content": program_hash}]
    program["properties"] = [{"name": "countersign:target", "value": target_name}]
    made = datetime.datetime.fromtimestamp(commit_time(), datetime.timezone.utc)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same for the same program, so that two runs agree.
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"{reference(root)}#{target_name}#{program_hash}").urn,
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "dist/package", "version": version()}]},
            "component": program,
        },
        "components": [component(package) for package in found.packages.values() if package is not root],
        "dependencies": [
            {
                "ref": reference(found.packages[id]),
                "dependsOn": sorted(reference(found.packages[needed]) for needed in needs),
            }
            for id, needs in found.dependencies.items()
        ],
    }
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"
