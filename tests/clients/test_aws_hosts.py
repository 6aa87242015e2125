"""The program signs for the service and region that botocore signs for, at every host that botocore resolves."""

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


def check(hosts):
    """What `countersign check` says of a file with a route for each host."""
    routes = (f'[[route]]\npath = "/{n}"\nupstream = "https://{host}"\n' for n, host in enumerate(hosts))
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/countersign.toml", "w") as file:
            file.write(HEAD + "".join(routes))
        return run(["check", "--json"], {}, folder)


def scopes(hosts):
    """The signing name and region that the program reads from each of `hosts`."""
    found = {}
    for start in range(0, len(hosts), ROUTES_IN_A_FILE):
        some = hosts[start:start + ROUTES_IN_A_FILE]
        result = check(some)
        if result.returncode:
            raise AssertionError(result.stderr)
        for route in json.loads(result.stdout)["routes"]:
            found[some[int(route["path"][1:])]] = (route["service"], route["region"])
    return found


class AwsHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = collections.defaultdict(set)
        cls.partition = {}
        for host in aws_hosts.hosts():
            # `aws-global` is a parameter of the rules and no label of a host.
            if not any(label.startswith("aws-") and label.endswith("-global") for label in host.host.split(".")):
                cls.expected[host.host].add((host.name, host.region))
                cls.partition.setdefault(host.host, host.partition)

    def test_no_host_is_signed_for_another_service_or_region(self):
        hosts = sorted(host for host, scopes in self.expected.items() if ("", "") not in scopes)
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

    def test_hosts_that_need_sigv4a_are_refused_by_name(self):
        hosts = sorted(host for host, scopes in self.expected.items() if scopes == {("", "")})
        self.assertTrue(hosts)
        result = check(hosts)
        self.assertEqual(result.returncode, 64, result.stderr)
        for host in hosts:
            self.assertIn(f"names {host}, which accepts SigV4A signatures only", result.stderr)


if __name__ == "__main__":
    unittest.main()
