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
    """The scopes of each host by pattern and suffix, and those of the patterns whose hosts accept SigV4A only."""
    scopes, asymmetric = defaultdict(lambda: defaultdict(list)), defaultdict(set)
    regions = defaultdict(set)
    for host in aws_hosts.hosts():
        labels = host.host.split(".")
        if GLOBAL_REGIONS.intersection(labels):
            continue
        suffix = max((suffix for suffix in SUFFIXES if host.host.endswith("." + suffix)), key=len, default="")
        before = pattern(labels[: len(labels) - len(suffix.split("."))] if suffix else labels)
        if host.is_sigv4a:
            asymmetric[before].add((host.name, host.region))
        else:
            regions[before, suffix, host.host, host.partition].add(host.region)
            named = next((label for label in labels if label in REGIONS), None)
            scopes[before, suffix][host.host] += [(host.name, host.region)] if host.region != named else [
                (host.name, "{region}"), (host.name, host.region)]
    for before, _ in scopes:
        asymmetric.pop(before, None)
    # A name that a partition signs for several regions does not tell which.
    for (before, suffix, host, _), several in regions.items():
        if len(several) > 1:
            scopes[before, suffix][host] = []
    return scopes, asymmetric


def one_scope(hosts):
    """The first scope that every host of a pattern has, else None.

    GovCloud and `aws` share a few names of global services, the versions of Amazon Location those of theirs: the name
    is signed for the first, and the path tells the second version of Amazon Location.
    """
    candidates = dict.fromkeys(scope for scopes in hosts.values() for scope in scopes)
    fitting = [scope for scope in candidates if all(scope in scopes for scopes in hosts.values())]
    return min(fitting, key=lambda scope: (scope[0] != "geo", scope[1] != "{region}"), default=None)


def split(scopes):
    """The signing names of patterns that hold for every suffix, and the scopes of those that need one."""
    regional, whole = defaultdict(set), {}
    for (before, suffix), hosts in scopes.items():
        scope = one_scope(hosts)
        if scope is None:
            print(f"{before}.{suffix}: no scope fits every host: left out", file=sys.stderr)
            regional[before].add(None)
        elif suffix and scope[1] == "{region}":
            regional[before].add(scope[0])
        else:
            whole[before + ("." + suffix if suffix else "")] = scope
    # What differs between suffixes is left out, and so unknown.
    return {before: names.pop() for before, names in regional.items() if len(names) == 1}, whole


def main():
    scopes, asymmetric = rules()
    regional, fixed = split(scopes)
    out = [HEAD.format(version=botocore.__version__)]
    out.append("/// Names before the suffix of the partition: pattern and signing name. The region is the one in the name.\n"
               "pub(super) const REGIONAL: &[(&str, &str)] = &[")
    out += [f'    ("{key}", "{name}"),' for key, name in sorted(regional.items()) if name]
    out.append("];\n")
    out.append("/// Whole names that a partition has once: pattern, signing name and the region to sign for.\n"
               "pub(super) const WHOLE: &[(&str, &str, &str)] = &[")
    out += [f'    ("{key}", "{name}", "{region}"),' for key, (name, region) in sorted(fixed.items())]
    out.append("];\n")
    out.append("/// Names before the suffix of hosts that accept SigV4A only: pattern, signing name and the regions to sign for.\n"
               "pub(super) const SIGV4A_ONLY: &[(&str, &str, &str)] = &[")
    # One scope for each pattern: the assignment fails where there are several.
    for key, [(name, region_set)] in sorted(asymmetric.items()):
        out.append(f'    ("{key}", "{name}", "{region_set}"),')
    out.append("];")
    print("\n".join(out))


if __name__ == "__main__":
    main()
