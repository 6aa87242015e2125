"""Prints src/endpoint/table.rs: the rules that give the signing name and region for an AWS host name.

`src/endpoint/make-table` runs it. It reduces the hosts of `aws_hosts` to patterns the way `src/endpoint/host.rs`
reduces the host that it looks up: without FIPS and dual-stack labels, with `{region}` for the region, `{zone}` for
an availability zone, and `*` for the labels that name an account or a resource.
"""

import re
import sys
from collections import defaultdict

import botocore
from botocore.loaders import Loader

import aws_hosts

ALL_REGIONS = [region for _, regions in aws_hosts.partitions(Loader()) for region in regions]
REGIONS = {region for region in ALL_REGIONS if not region.endswith("-global")}
GLOBAL_REGIONS = set(ALL_REGIONS) - REGIONS
PARTITIONS = Loader().load_data("partitions")["partitions"]
SUFFIXES = {partition["outputs"][kind] for partition in PARTITIONS for kind in ("dnsSuffix", "dualStackDnsSuffix")}
SUFFIXES |= {suffix.replace("api.", "on.", 1) for suffix in SUFFIXES if suffix.startswith("api.")}
# The labels of the examples in `aws_hosts`, which stand for an account, a resource or an id.
EXAMPLE = re.compile(r"123456789012|^(example|bucket|dotted|point|mrap|op|abc123|456def|abcdefgh1234|id)($|-)|--xa?-s3$")

HEAD = """\
//! Rules for AWS host names, made by `src/endpoint/make-table` from the endpoint rules of botocore {version}.
//! Change the script and run it again, not this file.
//!
//! A pattern has neither FIPS nor dual-stack labels. `{{region}}` and `{{zone}}` stand for a label of that kind, and `*` for
//! one or more labels that name an account or a resource.
"""


def pattern(labels):
    kept = [re.sub(r"^fips-|-fips$", "", label) for label in labels if label != "fips"]
    kept = ["{region}" if label in REGIONS else label for label in kept]
    kept = [re.sub(r"^s3express-(?!control$).*", "s3express-{zone}", label) for label in kept]
    kept = [label for n, label in enumerate(kept) if (label, kept[n + 1:n + 2]) != ("dualstack", ["{region}"])]
    named = max((n for n, label in enumerate(kept) if EXAMPLE.search(label)), default=-1)
    return ".".join((["*"] if named >= 0 else []) + kept[named + 1:])


def rules():
    """The scopes of each pattern and suffix by partition, and the patterns of hosts that accept SigV4A only."""
    scopes, asymmetric = defaultdict(lambda: defaultdict(set)), set()
    for host in aws_hosts.hosts():
        labels = host.host.split(".")
        if GLOBAL_REGIONS.intersection(labels):
            continue
        suffix = max((suffix for suffix in SUFFIXES if host.host.endswith("." + suffix)), key=len, default="")
        before = pattern(labels[: len(labels) - len(suffix.split("."))] if suffix else labels)
        if host.name:
            named = next((label for label in labels if label in REGIONS), None)
            scopes[before, suffix][host.partition].add((host.name, host.region, named))
        else:
            asymmetric.add(before)
    return scopes, asymmetric


def region_of(scopes):
    """`{region}` if the name tells the region, the region if it is the same for all, else None."""
    if all(region == named for _, region, named in scopes):
        return "{region}"
    regions = {region for _, region, _ in scopes}
    return regions.pop() if len(regions) == 1 else None


def split(scopes):
    """The signing names of patterns that hold for every suffix, and the scopes of those that need one."""
    regional, whole = defaultdict(set), {}
    for (before, suffix), by_partition in scopes.items():
        # GovCloud shares its suffixes with `aws`, and a few names of global services.
        first = by_partition.get("aws") or next(iter(by_partition.values()))
        everywhere = set().union(*by_partition.values())
        region = region_of(everywhere) or region_of(first)
        names = {name for name, _, _ in first}
        if region == "{region}" and suffix:
            regional[before] |= names
        elif region and len(names) == 1:
            whole[before + ("." + suffix if suffix else "")] = (*names, region)
    return regional, whole


def one_name(name, names):
    # Version 2 of Amazon Location shares its hosts with version 1; `signing_name_at` tells them apart by the path.
    if "geo" in names:
        return "geo"
    if len(names) == 1:
        return next(iter(names))
    print(f"{name}: several signing names, {', '.join(sorted(names))}: left out", file=sys.stderr)
    return None


def main():
    scopes, asymmetric = rules()
    regional, fixed = split(scopes)
    regional = {key: one_name(key, names) for key, names in regional.items()}
    out = [HEAD.format(version=botocore.__version__)]
    out.append("/// Names before the suffix of the partition: pattern and signing name. The region is the one in the name.\n"
               "pub(super) const REGIONAL: &[(&str, &str)] = &[")
    out += [f'    ("{key}", "{name}"),' for key, name in sorted(regional.items()) if name]
    out.append("];\n")
    out.append("/// Whole names that a partition has once: pattern, signing name and the region to sign for.\n"
               "pub(super) const WHOLE: &[(&str, &str, &str)] = &[")
    out += [f'    ("{key}", "{name}", "{region}"),' for key, (name, region) in sorted(fixed.items())]
    out.append("];\n")
    out.append("/// Names before the suffix of hosts that accept signatures for a set of regions only, SigV4A.\n"
               "pub(super) const SIGV4A_ONLY: &[&str] = &[")
    out += [f'    "{key}",' for key in sorted(asymmetric)]
    out.append("];")
    print("\n".join(out))


if __name__ == "__main__":
    main()
