"""Holds files of this folder against the models of those who will read them. Called by deploy/check."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def fail(problems):
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


def ecs():
    """RegisterTaskDefinition's own parameters, and the values of its enumerations, which botocore leaves to ECS."""
    import botocore.session
    from botocore.validate import ParamValidator

    service = botocore.session.get_session().get_service_model("ecs")
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    task = json.loads((HERE / "ecs-task-definition.json").read_text())
    report = ParamValidator().validate(task, shape)
    problems = [report.generate_report()] if report.has_errors() else []
    problems += foreign_values(shape, task, "task definition")
    # What ECS itself refuses.
    names = [container["name"] for container in task["containerDefinitions"]]
    for container in task["containerDefinitions"]:
        for needed in container.get("dependsOn", []):
            wanted = needed["containerName"]
            other = next((c for c in task["containerDefinitions"] if c["name"] == wanted), None)
            if other is None:
                problems.append(f"{container['name']} depends on {wanted}, which is none of {names}")
            elif needed["condition"] == "HEALTHY" and "healthCheck" not in other:
                problems.append(f"{wanted} has no health check to wait for")
    fail(problems)


def foreign_values(shape, value, place):
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, member in value.items():
            if name in shape.members:
                yield from foreign_values(shape.members[name], member, f"{place}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for member in value:
            yield from foreign_values(shape.member, member, place)
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{place}: {value} is none of {', '.join(shape.enum)}"


def pods():
    """What the Pod Security Standard "restricted" asks of each container and volume."""
    import yaml

    problems = []
    for document in yaml.safe_load_all((HERE / "kubernetes.yaml").read_text()):
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]["spec"]
        common = pod.get("securityContext", {})
        for container in pod.get("initContainers", []) + pod["containers"]:
            own = container.get("securityContext", {})
            both = {**common, **own}
            wanted = {
                "runAsNonRoot": both.get("runAsNonRoot") is True,
                "runAsUser": both.get("runAsUser") != 0,
                "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
                "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
                "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            }
            problems += [f"{container['name']}: {name} is not restricted" for name, good in wanted.items() if not good]
        volumes = {next(iter(volume.keys() - {"name"})) for volume in pod.get("volumes", [])}
        problems += [f"volume type {kind} is not restricted" for kind in volumes - {"secret", "configMap", "emptyDir"}]
    fail(problems)


def queries():
    """The dashboard's queries as recording rules on stdout, for promtool to parse."""
    dashboard = json.loads((HERE / "grafana-dashboard.json").read_text())
    rules = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m")
            rules.append({"record": f"panel_{panel['id']}_{target['refId']}", "expr": expression})
    print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}, indent=2))


if __name__ == "__main__":
    {"ecs": ecs, "pods": pods, "queries": queries}[sys.argv[1]]()
