"""The program signs for the service and the regions that botocore signs for, at every host that botocore resolves."""

import collections
import json
import tempfile
import unittest

import aws_hosts
from program import run

# What a route signs for when its host says nothing.
UNKNOWN = ("unknown-service", "zz-central-9")
ROUTES_IN_A_FILE = 5000
HEAD = f"""
region = "{UNKNOWN[1]}"
service = "{UNKNOWN[0]}"
user-pool-id = "eu-west-1_AbCdEf123"
client-id = "client1"
identity-pool-id = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef"
"""
# botocore signs for one of several scopes at these hosts, and the host does not say for which.
AMBIGUOUS = ("codecatalyst", "importexport", "s3-accelerate")


def check(hosts, more):
    """What `countersign check` says of a file with a route for each host; `more` stands in each."""
    routes = (f'[[route]]\npath = "/{n}"\nupstream = "https://{host}"\n{more}\n' for n, host in enumerate(hosts))
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/countersign.toml", "w") as file:
            file.write(HEAD + "".join(routes))
        return run(["check", "--json"], {}, folder)


def scopes(hosts, more=""):
    """What the program signs for at each of `hosts`: a signing name, and a region or else a set of regions."""
    found = {}
    for start in range(0, len(hosts), ROUTES_IN_A_FILE):
        some = hosts[start:start + ROUTES_IN_A_FILE]
        result = check(some, more)
        if result.returncode:
            raise AssertionError(result.stderr)
        for route in json.loads(result.stdout)["routes"]:
            found[some[int(route["path"][1:])]] = (route["service"], route["region"] or f"set {route['region-set']}")
    return found


class AwsHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = collections.defaultdict(set)
        cls.partition = {}
        for host in aws_hosts.hosts():
            # `aws-global` is a parameter of the rules and no label of a host.
            if not any(label.startswith("aws-") and label.endswith("-global") for label in host.host.split(".")):
                region = f"set {host.region}" if host.is_sigv4a else host.region
                cls.expected[host.host].add((host.name, region))
                cls.partition.setdefault(host.host, host.partition)

    def test_no_host_is_signed_for_another_service_or_region(self):
        hosts = sorted(self.expected)
        counts = collections.defaultdict(collections.Counter)
        differences = []
        for host, scope in scopes(hosts).items():
            outcome = "right" if scope in self.expected[host] else "unknown" if scope == UNKNOWN else "wrong"
            counts[self.partition[host]][outcome] += 1
            if outcome == "wrong" or outcome == "unknown" and not any(name in host for name in AMBIGUOUS):
                differences.append(f"{host}: {outcome}, {scope} instead of {sorted(self.expected[host])}")
        for partition, outcomes in sorted(counts.items()):
            print(partition, *(f"{outcomes[outcome]} {outcome}" for outcome in ("right", "unknown", "wrong")))
        self.assertEqual(sum(counter.total() for counter in counts.values()), len(hosts))
        self.assertFalse(differences, "\n".join(["run src/endpoint/make-table:", *differences]))

    def test_hosts_that_accept_sigv4a_only_are_signed_so(self):
        hosts = {host: scopes for host, scopes in self.expected.items() if all(map(is_set, scopes))}
        self.assertTrue(hosts)
        found = scopes(sorted(hosts))
        print(f"{len(hosts)} hosts accept SigV4A only")
        self.assertEqual({host: {scope} for host, scope in found.items()}, hosts)

    def test_hosts_that_accept_both_have_the_signing_name_of_sigv4a_with_a_set(self):
        hosts = {host: set(filter(is_set, scopes)) for host, scopes in self.expected.items()}
        hosts = {host: sets for host, sets in hosts.items() if sets and sets != self.expected[host]}
        self.assertTrue(hosts)
        found = scopes(sorted(hosts), "region-set = '*'")
        print(f"{len(hosts)} hosts accept SigV4 and SigV4A")
        self.assertEqual({host: {scope} for host, scope in found.items()}, hosts)


def is_set(scope):
    return scope[1].startswith("set ")


if __name__ == "__main__":
    unittest.main()
