"""Every host name that botocore's endpoint rules give, and the signing name and region that go with it."""

import itertools
import re
from typing import NamedTuple

from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

ACCOUNT = "123456789012"
# Example values of parameters that a region does not decide.
EXAMPLES = {
    "AccountId": (ACCOUNT,),
    "AccountIdEndpointMode": ("preferred",),
    "EndpointId": ("abc123.456def",),
    "KvsARN": (f"arn:{{partition}}:cloudfront::{ACCOUNT}:key-value-store/id",),
    "OutpostId": ("op-01ac5d28a6a232904",),
    "AccessPointName": (
        "point",
        f"arn:{{partition}}:s3-outposts:{{region}}:{ACCOUNT}:outpost:op-01ac5d28a6a232904:accesspoint:point",
        "point--use1-az4--xa-s3",
    ),
    "StreamARN": (f"arn:{{partition}}:kinesis:{{region}}:{ACCOUNT}:stream/name",),
    "StreamArn": (f"arn:{{partition}}:dynamodb:{{region}}:{ACCOUNT}:table/name/stream/2026-01-01T00:00:00.000",),
    "ResourceARN": (f"arn:{{partition}}:kinesis:{{region}}:{ACCOUNT}:stream/name",),
    "ResourceArn": (f"arn:{{partition}}:dynamodb:{{region}}:{ACCOUNT}:table/name",),
    "EventBusArn": (f"arn:{{partition}}:events:{{region}}:{ACCOUNT}:event-bus/name",),
    "StreamId": ("abcdefgh1234",),
    "SpaceId": ("abc123",),
}
BUCKETS = (
    "bucket",
    "dotted.bucket",
    "bucket--use1-az4--x-s3",
    "bucket--abcd-ab1--xa-s3",
    f"arn:{{partition}}:s3:{{region}}:{ACCOUNT}:accesspoint:point",
    f"arn:{{partition}}:s3::{ACCOUNT}:accesspoint:point.mrap",
    f"arn:{{partition}}:s3-outposts:{{region}}:{ACCOUNT}:outpost:op-01ac5d28a6a232904:accesspoint:point",
    f"arn:{{partition}}:s3-object-lambda:{{region}}:{ACCOUNT}:accesspoint:point",
)
OUTPOST_BUCKET = f"arn:{{partition}}:s3-outposts:{{region}}:{ACCOUNT}:outpost:op-01ac5d28a6a232904:bucket:name"


class Host(NamedTuple):
    """A host and a scope for it. A host that accepts SigV4 and SigV4A is there twice."""

    partition: str
    host: str
    name: str
    region: str  # for SigV4A, a set of regions
    service: str
    is_sigv4a: bool = False


def partitions(data):
    """The partitions with the regions of each, in the order of the file."""
    for partition in data.load_data("partitions")["partitions"]:
        yield partition, list(partition["regions"])


def choices(ruleset):
    """The values to try of each parameter besides region, FIPS and dual stack."""
    compared = {}
    for name, values in constants(ruleset["rules"]):
        compared.setdefault(name, set()).update(values)
    for name, parameter in ruleset["parameters"].items():
        if name in ("Region", "UseFIPS", "UseDualStack", "Endpoint"):
            continue
        if parameter["type"].lower() == "boolean":
            yield name, (None, True)
        elif parameter["type"] == "stringArray":
            continue
        else:
            yield name, (None, *EXAMPLES.get(name, ()), *sorted(compared.get(name, ())))


def constants(rules):
    """Each parameter that a rule compares with a text, and the text."""
    for rule in rules:
        for condition in rule.get("conditions", ()):
            yield from compared_in(condition)
        yield from constants(rule.get("rules", ()))


def compared_in(condition):
    arguments = condition.get("argv", ())
    references = [a["ref"] for a in arguments if isinstance(a, dict) and "ref" in a]
    texts = [a for a in arguments if isinstance(a, str)]
    if condition.get("fn") == "stringEquals" and references and texts:
        yield references[0], texts
    for argument in arguments:
        if isinstance(argument, dict) and "fn" in argument:
            yield from compared_in(argument)


def parameter_sets(service, ruleset):
    """What the service's operations may give to the rules besides region, FIPS and dual stack."""
    if service == "s3":
        booleans = ({}, {"UseGlobalEndpoint": True}, {"ForcePathStyle": True}, {"Accelerate": True},
                    {"UseObjectLambdaEndpoint": True}, {"UseS3ExpressControlEndpoint": True},
                    {"DisableS3ExpressSessionAuth": True}, {"UseArnRegion": True})
        for flags in booleans:
            for bucket in (None, *BUCKETS):
                yield {**flags, **({"Bucket": bucket} if bucket else {})}
        return
    if service == "s3control":
        for flags in ({}, {"RequiresAccountId": True}, {"UseS3ExpressControlEndpoint": True}, {"UseArnRegion": True}):
            for more in ({}, {"Bucket": "bucket"}, {"Bucket": OUTPOST_BUCKET}, {"OutpostId": EXAMPLES["OutpostId"][0]},
                         {"Bucket": "bucket--use1-az4--x-s3"},
                         *({"AccessPointName": name} for name in EXAMPLES["AccessPointName"])):
                yield {**flags, **more, "AccountId": ACCOUNT}
        return
    named = list(choices(ruleset))
    for values in itertools.product(*(values for _, values in named)):
        yield {name: value for (name, _), value in zip(named, values) if value is not None}


def prefixes(model):
    """The prefixes that operations put before the host, with an example for each label."""
    found = {""}
    for operation in model["operations"].values():
        prefix = operation.get("endpoint", {}).get("hostPrefix", "")
        found.add(re.sub(r"\{(\w+)\}", lambda label: ACCOUNT if "ccount" in label[1] else "example", prefix))
    return sorted(found)


def hosts():
    """Every host that the rules of any service give for any region, with what signs for it."""
    data = Loader()
    partition_data = data.load_data("partitions")
    seen = set()
    for service in data.list_available_services("endpoint-rule-set-1"):
        ruleset = data.load_service_model(service, "endpoint-rule-set-1")
        model = data.load_service_model(service, "service-2")
        provider = EndpointProvider(ruleset, partition_data)
        sets = list(parameter_sets(service, ruleset))
        before = prefixes(model)
        default = model["metadata"].get("signingName", model["metadata"]["endpointPrefix"])
        for partition, regions in partitions(data):
            for region in regions:
                for flags in flag_sets(ruleset):
                    for parameters in sets:
                        filled = fill({**parameters, **flags}, partition["id"], region)
                        try:
                            endpoint = provider.resolve_endpoint(Region=region, **filled)
                        except (BotoCoreError, KeyError, AttributeError, TypeError, ValueError):
                            continue
                        for host in described(endpoint, partition, region, default, before, service):
                            if host not in seen:
                                seen.add(host)
                                yield host


def flag_sets(ruleset):
    names = [name for name in ("UseFIPS", "UseDualStack") if name in ruleset["parameters"]]
    for values in itertools.product((False, True), repeat=len(names)):
        yield dict(zip(names, values))


def fill(parameters, partition, region):
    return {
        name: value.replace("{partition}", partition).replace("{region}", region) if isinstance(value, str) else value
        for name, value in parameters.items()
    }


def described(endpoint, partition, region, default, before, service):
    name = re.sub(r"^https?://([^/:]+).*$", r"\1", endpoint.url)
    schemes = endpoint.properties.get("authSchemes", [{"name": "sigv4"}])
    asymmetric = next((s for s in schemes if s["name"] == "sigv4a"), None)
    scheme = next((s for s in schemes if s["name"].startswith("sigv4") and s is not asymmetric), None)
    for prefix in before:
        host = (prefix + name).lower()
        if asymmetric:
            regions = ",".join(asymmetric["signingRegionSet"])
            yield Host(partition["id"], host, asymmetric.get("signingName", default), regions, service, True)
        if scheme:
            signed_region = scheme.get("signingRegion")
            if signed_region is None:
                signed_region = partition["outputs"]["implicitGlobalRegion"] if region.endswith("-global") else region
            yield Host(partition["id"], host, scheme.get("signingName", default), signed_region, service)
