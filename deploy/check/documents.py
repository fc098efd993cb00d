"""Checks the deployment's documents: that they have the shape that what reads them expects, that what they name exists, and
that dashboards and alerts ask for metrics and labels that the code has. `python3 -m doctest` checks the checks.

Use: documents.py ROOT EXPRESSIONS     (writes all expressions of the dashboards as a file of rules, for promtool)
"""

import json
import re
import sys
from pathlib import Path

import yaml

# Of node_exporter and of Prometheus itself.
OTHERS = re.compile(r"^(node_[a-z]\w*|process_\w+|up|ALERTS)$")
# What Prometheus, its configuration and node_exporter add.
OTHER_LABELS = {"instance", "job", "region", "le", "mode", "device"}
WORDS = {"and", "or", "unless", "by", "on", "without", "ignoring", "group_left", "group_right", "bool", "offset", "inf", "nan"}
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"

complaints = []


def complain(where, what):
    complaints.append(f"{where}: {what}")


def names(expression):
    """The metrics and the labels that an expression names.

    >>> names('sum by (le) (rate(a_total{b!="c d", e=~"$f"}[5m])) / on (g) clamp_min(h_count, 1e3) > 5')
    (['a_total', 'h_count'], ['b', 'e', 'g', 'le'])
    >>> names('max(up{job="x"}) == 0 and time() - i offset 5m')
    (['i', 'up'], ['job'])
    """
    labels = set()
    bare = re.sub(r'"[^"]*"', '""', expression)
    for braces in re.findall(r"\{([^}]*)\}", bare):
        labels.update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces))
    for inside in re.findall(GROUPING, bare):
        labels.update(re.findall(r"\w+", inside))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(GROUPING, "", bare)
    metrics = {word for word in re.findall(r"(?<![\w.$])[A-Za-z_:][\w:]*(?!\w*\s*\()", bare) if word not in WORDS}
    return sorted(metrics), sorted(labels)


def known_metrics(root):
    """Metrics with their labels, of all pages that list some."""
    known = {}
    for page in sorted((root / "docs").glob("metrics*.md")):
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) > 4 and cells[1].startswith("`mqtt_"):
                name, kind = cells[1].strip("`"), cells[2]
                for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
                    known[name + suffix] = set(re.findall(r"`(\w+)`", cells[3]))
    assert known, "docs/metrics.md lists no metrics"
    return known


def check_expression(where, expression, known):
    metrics, labels = names(expression)
    for metric in metrics:
        if metric not in known and not OTHERS.match(metric):
            complain(where, f"no page of docs/ has the metric {metric}: {expression}")
    allowed = OTHER_LABELS.union(*(known.get(metric, set()) for metric in metrics))
    for label in set(labels) - allowed:
        complain(where, f"no metric of this expression has the label {label}: {expression}")


def check_dashboards(root, known, out):
    """Each board has what Grafana needs, and each panel asks for something."""
    rules = []
    identities = set()
    for path in sorted((root / "deploy/grafana").glob("*.json")):
        board, where = json.loads(path.read_text()), path.relative_to(root)
        for key in ("uid", "title", "panels", "templating", "schemaVersion"):
            if key not in board:
                complain(where, f"has no {key}")
        if board["uid"] in identities:
            complain(where, f"another dashboard has the uid {board['uid']} too")
        identities.add(board["uid"])
        variables = {variable["name"] for variable in board["templating"]["list"]}
        expressions = [variable["definition"] for variable in board["templating"]["list"] if "definition" in variable]
        for query in expressions:
            selector = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            if selector:
                check_expression(where, f"sum by ({selector[2]}) ({selector[1]})", known)
            else:
                complain(where, f"is no label_values(…): {query}")
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        for panel in panels:
            spot = f"{where}: {panel['title']}"
            if not panel.get("targets"):
                complain(spot, "asks for nothing")
            for target in panel.get("targets", []):
                check_expression(spot, target["expr"], known)
                for used in re.findall(r"\$\{?(\w+)", target["expr"]):
                    if used not in variables and used != "__rate_interval":
                        complain(spot, f"there is no variable ${used}")
                plain = target["expr"].replace("$__rate_interval", "5m").replace("$", "")
                rules.append({"record": f"check:panel_{len(rules)}", "expr": plain})
        corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        if len(set(corners)) != len(corners) or any(p["gridPos"]["x"] + p["gridPos"]["w"] > 24 for p in panels):
            complain(where, "panels lie over each other")
    if not rules:
        complain("deploy/grafana", "has no dashboards")
    out.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}, width=10_000))


def headings(page):
    """The anchors of a page.

    >>> sorted(headings("# Run books\\n## Disk full!\\ntext\\n### a `b` c"))
    ['a-b-c', 'disk-full', 'run-books']
    """
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check_alerts(root, known):
    """Each alert has a severity, a summary, a section that says what to do, and a test."""
    where = "deploy/prometheus/alerts.yml"
    alerts = [rule for group in yaml.safe_load((root / where).read_text())["groups"] for rule in group["rules"]]
    tests = yaml.safe_load((root / "deploy/prometheus/alerts_test.yml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    for alert in alerts:
        name = alert["alert"]
        check_expression(f"{where}: {name}", alert["expr"], known)
        if alert.get("labels", {}).get("severity") not in ("critical", "warning"):
            complain(where, f"{name} has no severity")
        if not alert.get("annotations", {}).get("summary"):
            complain(where, f"{name} has no summary")
        page, _, anchor = alert.get("annotations", {}).get("runbook_url", "").partition("#")
        page = root / (page.lstrip("/") + ".md")
        if not page.is_file() or anchor not in headings(page.read_text()):
            complain(where, f"{name} leads to no section that says what to do")
        if name not in tested:
            complain(where, f"no test has {name} fire")


def check_compose(root):
    """Names that the composition uses are declared, and files that it mounts are there."""
    for path in sorted((root / "deploy/docker").glob("compose*.yaml")):
        compose, where = yaml.safe_load(path.read_text()), path.relative_to(root)
        services = compose["services"]
        for name, service in services.items():
            spot = f"{where}: {name}"
            if "image" not in service and "build" not in service:
                complain(spot, "has neither image nor build")
            if service.get("image", "").endswith(":latest") or ":" not in service.get("image", ":"):
                complain(spot, "its image has no version")
            for other in service.get("depends_on", []):
                if other not in services:
                    complain(spot, f"depends on {other}, which is not there")
            for network in service.get("networks", []):
                if network not in compose["networks"]:
                    complain(spot, f"the network {network} is not declared")
            for port in service.get("ports", []):
                if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+(/udp)?", port):
                    complain(spot, f"{port} can be reached from other machines")
            for volume in service.get("volumes", []):
                source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
                if source.startswith("."):
                    if not (path.parent / source).exists():
                        complain(spot, f"mounts {source}, which is not there")
                elif source not in compose["volumes"]:
                    complain(spot, f"the volume {source} is not declared")
        ports = [port.rsplit(":", 1)[0] for service in services.values() for port in service.get("ports", [])]
        if len(set(ports)) != len(ports):
            complain(where, "two services have one port")


def check_dockerfile(root):
    """The image that is shipped runs without root, and says whether it is well."""
    where = "deploy/docker/Dockerfile"
    last = (root / where).read_text().rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+)", last, re.MULTILINE)
    if not user or user[1] == "0":
        complain(where, "the image runs as root")
    for instruction in ("HEALTHCHECK", "ENTRYPOINT"):
        if not re.search(rf"^{instruction}\b", last, re.MULTILINE):
            complain(where, f"has no {instruction}")


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def check_pods(where, workload):
    """What every pod of ours keeps to."""
    template = workload["spec"]["template"]
    spec = template["spec"]
    selector = workload["spec"]["selector"]["matchLabels"].items()
    if not selector <= template["metadata"]["labels"].items():
        complain(where, "its selector does not select its pods")
    # Kubernetes would tell every container of every service by variables such as SLUICE_NODE_PORT, and to Sluice every
    # variable of this prefix is a key of its configuration.
    if spec.get("enableServiceLinks") is not False:
        complain(where, "enableServiceLinks must be false")
    if not spec.get("securityContext", {}).get("runAsNonRoot"):
        complain(where, "may run as root")
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    volumes.update(claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", []))
    for container in containers(spec):
        spot = f"{where}: {container['name']}"
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or not security.get("readOnlyRootFilesystem"):
            complain(spot, "its securityContext allows too much")
        if not container.get("resources", {}).get("requests"):
            complain(spot, "requests no resources")
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                complain(spot, f"mounts {mount['name']}, which is no volume")
    for container in spec["containers"]:
        ports = {port["name"] for port in container["ports"]}
        paths = {}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {}).get("httpGet")
            if not probe or probe["port"] not in ports:
                complain(f"{where}: {container['name']}", f"has no {kind}, or one of a port that is not there")
            else:
                paths[kind] = probe["path"]
        # A process that waits for others is well: killing it helps nobody.
        if paths.get("livenessProbe") != "/health" or paths.get("readinessProbe") != "/ready":
            complain(f"{where}: {container['name']}", "liveness is /health, readiness is /ready")


def check_kubernetes(root):
    """What the manifests name is there, and selects what it should."""
    folder = root / "deploy/k8s"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for file in kustomization["resources"]:
        if not (folder / file).is_file():
            complain("deploy/k8s/kustomization.yaml", f"{file} is not there")
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    for left in files - set(kustomization["resources"]) - {Path(f).name for f in generated_files(kustomization)}:
        complain("deploy/k8s/kustomization.yaml", f"does not name {left}")
    for file in generated_files(kustomization):
        if not (folder / file).is_file():
            complain("deploy/k8s/kustomization.yaml", f"{file} is not there")
    loaded = [(file, yaml.safe_load_all((folder / file).read_text())) for file in kustomization["resources"]]
    objects = [(f"deploy/k8s/{file}", thing) for file, things in loaded for thing in things]
    pods = []
    for where, thing in objects:
        for key in ("apiVersion", "kind", "metadata"):
            if key not in thing:
                complain(where, f"an object has no {key}")
        if thing["kind"] in ("StatefulSet", "Deployment"):
            check_pods(f"{where}: {thing['metadata']['name']}", thing)
            pods.append(thing["spec"]["template"])
    declared = {thing["metadata"]["name"] for _, thing in objects if thing["kind"] in ("ConfigMap", "Secret")}
    declared.update(generator["name"] for generator in kustomization.get("configMapGenerator", []))
    services = {thing["metadata"]["name"] for _, thing in objects if thing["kind"] == "Service"}
    for where, thing in objects:
        check_selection(f"{where}: {thing['metadata']['name']}", thing, pods)
        if thing["kind"] == "StatefulSet" and thing["spec"]["serviceName"] not in services:
            complain(where, "its service is not there")
        if thing["kind"] in ("StatefulSet", "Deployment"):
            check_sources(where, thing, declared)


def generated_files(kustomization):
    """Files that become config maps, named as KEY=FILE or FILE."""
    return [file.split("=")[-1] for generator in kustomization.get("configMapGenerator", []) for file in generator["files"]]


def check_sources(where, workload, declared):
    """Volumes from config maps that are there. Secrets are made by hand, and named in the README beside."""
    for volume in workload["spec"]["template"]["spec"].get("volumes", []):
        if "configMap" in volume and volume["configMap"]["name"] not in declared:
            complain(where, f"the config map {volume['configMap']['name']} is not there")


def check_selection(where, thing, pods):
    """Services and budgets select pods that exist, and services ports that these pods have."""
    if thing["kind"] == "Service":
        selector = thing["spec"]["selector"]
    elif thing["kind"] == "PodDisruptionBudget":
        selector = thing["spec"]["selector"]["matchLabels"]
    else:
        return
    chosen = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
    if not chosen:
        complain(where, "selects no pods")
    ports = {port["name"] for pod in chosen for container in pod["spec"]["containers"] for port in container["ports"]}
    for port in thing["spec"].get("ports", []):
        if port["targetPort"] not in ports:
            complain(where, f"no pod has the port {port['targetPort']}")


def main(root, expressions):
    known = known_metrics(root)
    for path in sorted((root / "deploy").rglob("*")):
        if path.suffix in (".yaml", ".yml") and "target" not in path.parts:
            list(yaml.safe_load_all(path.read_text()))
    check_dashboards(root, known, expressions)
    check_alerts(root, known)
    check_compose(root)
    check_dockerfile(root)
    check_kubernetes(root)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
