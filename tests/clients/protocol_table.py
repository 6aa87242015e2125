"""Prints src/endpoint/protocol_table.rs: the signing names of services by the protocol that their SDKs speak.

`src/endpoint/make-table` runs it. A signing name whose services speak both JSON and Query counts as JSON: the request
tells which of the two its client speaks.
"""

from collections import defaultdict

import botocore
from botocore.loaders import Loader

HEAD = """\
//! Signing names by protocol, made by `src/endpoint/make-table` from the service models of botocore {version}.
//! Change the script and run it again, not this file.
"""
TABLES = {
    "JSON": "Services that answer in JSON, and those that speak CBOR only.",
    "QUERY": "Services of AWS Query.",
    "EC2_QUERY": "Services of the Query of EC2.",
    "REST_XML": "Services that answer in XML.",
}
# `rest-xml` is also that of S3, whose errors have a form of their own.
OTHERS = {"s3", "execute-api"}


def protocols():
    """The protocols of all services with a signing name, by signing name."""
    data, found = Loader(), defaultdict(set)
    for service in data.list_available_services("service-2"):
        metadata = data.load_service_model(service, "service-2")["metadata"]
        name = metadata.get("signingName", metadata["endpointPrefix"])
        found[name].update(metadata.get("protocols") or [metadata["protocol"]])
    return {name: some for name, some in found.items() if name not in OTHERS}


def table_of(some):
    for protocol, table in (("query", "QUERY"), ("ec2", "EC2_QUERY"), ("rest-xml", "REST_XML")):
        if some == {protocol}:
            return table
    if "ec2" in some or "rest-xml" in some:
        raise ValueError(f"no table for {sorted(some)}")
    return "JSON"


def main():
    tables = defaultdict(list)
    for name, some in sorted(protocols().items()):
        tables[table_of(some)].append(name)
    out = [HEAD.format(version=botocore.__version__)]
    for table, text in TABLES.items():
        rows = "".join(f'    "{name}",\n' for name in sorted(tables[table]))
        out.append(f"/// {text}\npub(super) const {table}: &[&str] = &[\n{rows}];\n")
    print("\n".join(out))


if __name__ == "__main__":
    main()
