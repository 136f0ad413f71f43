"""What starts the project elsewhere: image, compose file and manifests agree with one another, and type commands."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from biomedica_assets import cli
from biomedica_assets.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
MANIFESTS = {
    path.name: [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
}
OBJECTS = [document for documents in MANIFESTS.values() for document in documents]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IN_THE_IMAGE = {to: here for here, to in re.findall(r"^COPY (deploy/\S+) (\S+)$", DOCKERFILE, re.MULTILINE)}
RAYS = (pytest.mark.full, pytest.mark.filterwarnings("ignore"))
FROM_ELSEWHERE = {"pg_isready", "wget"}  # of Postgres' image, and of Debian's package in ours


def pods():
    """Every pod that the manifests describe."""
    for found in OBJECTS:
        spec = found.get("spec", {})
        if found["kind"] == "RayCluster":
            groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
            yield from ((f"ray {n}", group["template"]["spec"]) for n, group in enumerate(groups))
        elif "template" in spec:
            yield found["metadata"]["name"], spec["template"]["spec"]


PODS = dict(pods())
CONTAINERS = [(name, container) for name, pod in PODS.items() for container in pod["containers"]]


def typed():
    """Every command of both, with where it stands."""
    for name, service in SERVICES.items():
        if "command" in service:
            yield f"compose {name}", service["command"]
        if "test" in service.get("healthcheck", {}):
            yield f"compose {name}, health", service["healthcheck"]["test"][1:]
    for name, container in CONTAINERS:
        if "command" in container:
            yield f"kubernetes {name}", container["command"]
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            if "exec" in container.get(probe, {}):
                yield f"kubernetes {name}, {probe}", container[probe]["exec"]["command"]
    for line in re.findall(r"CMD (\[.*\])$", DOCKERFILE, re.MULTILINE):
        yield "Dockerfile", yaml.safe_load(line)


COMMANDS = [
    # Ray's program takes 2 seconds to load, and warns of itself.
    pytest.param(line, where, marks=RAYS if line.startswith("ray ") else (), id=f"{where}: {line[:40]}")
    for line, where in sorted({(shlex.join(words), where) for where, words in typed()})
]


def program(name):
    """The click program behind a name, None if it is no part of the image."""
    match name:
        case "dagster":
            from dagster._cli import create_dagster_cli

            return create_dagster_cli()
        case "dagster-daemon":
            from dagster._daemon.cli import create_dagster_daemon_cli

            return create_dagster_daemon_cli()
        case "dagster-webserver":
            from dagster_webserver.cli import dagster_webserver

            return dagster_webserver
        case "ray":
            if importlib.util.find_spec("ray") is None:
                pytest.skip("Ray is not installed (pip install 'biomedica-assets[ray]')")
            from ray.scripts.scripts import cli as ray

            return ray
        case _:
            return None


@pytest.mark.parametrize(("line", "where"), COMMANDS)
def test_every_command_is_understood(line, where):
    name, *words = shlex.split(line)
    words = [str(ROOT / IN_THE_IMAGE[word]) if word in IN_THE_IMAGE else word for word in words]
    if name == "biomedica":
        if words not in (["--help"],):
            assert callable(cli.parser().parse_args(words).run), where
        return
    command = program(name)
    assert command is not None or name in FROM_ELSEWHERE, where
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        name, command, words = command.resolve_command(context, words)
    if command is not None:
        command.make_context(name, [*words])


def test_a_command_that_nobody_knows_would_be_found():
    with pytest.raises(click.UsageError):
        test_every_command_is_understood("dagster code-server begin", "here")
    with pytest.raises(click.UsageError):
        test_every_command_is_understood("dagster-webserver --no-such-option", "here")
    with pytest.raises(AssertionError):
        test_every_command_is_understood("daggster code-server start", "here")


def option(words, name):
    """Value of an option, whichever way it is written."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    raise AssertionError(f"{words} has no {name}")


def environment(service):
    return SERVICES[service].get("environment", {})


def test_settings_are_settings():
    given = {name for service in SERVICES for name in environment(service)}
    given |= {name for found in OBJECTS if found["kind"] == "ConfigMap" for name in found["data"]}
    given |= {entry["name"] for _, container in CONTAINERS for entry in container.get("env", [])}
    given |= {*re.findall(rf"^ +({PREFIX}\w+)=", DOCKERFILE, re.MULTILINE)}
    ours = {name.removeprefix(PREFIX).lower() for name in given if name.startswith(PREFIX)}
    assert ours - {*Settings.model_fields} == set() and {"source", "postgres", "ray", "data_dir"} <= ours


def test_services_of_the_compose_file_find_one_another():
    here = environment("code")
    records, cluster = urlsplit(here["BIOMEDICA_POSTGRES"]), urlsplit(here["BIOMEDICA_RAY"])
    assert records.hostname in SERVICES and cluster.hostname in SERVICES
    given = environment(records.hostname)
    assert (records.username, records.path) == (given["POSTGRES_USER"], f"/{given['POSTGRES_DB']}")
    head = SERVICES[cluster.hostname]["command"]
    assert int(option(head, "--ray-client-server-port")) == cluster.port
    joined = option(SERVICES["ray-worker"]["command"], "--address")
    assert joined == f"{cluster.hostname}:{option(head, '--port')}"
    (graph,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert graph["grpc_server"]["host"] == "code"
    assert graph["grpc_server"]["port"] == int(option(SERVICES["code"]["command"], "--port"))
    page = option(SERVICES["webserver"]["command"], "--port")
    assert option(SERVICES["follower"]["command"], "--follow") == f"webserver:{page}"
    assert SERVICES["webserver"]["ports"] == [f"127.0.0.1:{page}:{page}"], "it has no login"
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["webserver"]
    for service in SERVICES.values():
        assert {*service.get("depends_on", {})} <= {*SERVICES}


def test_pods_find_one_another():
    services = {found["metadata"]["name"]: found["spec"] for found in OBJECTS if found["kind"] == "Service"}
    (values,) = (found["data"] for found in OBJECTS if found["kind"] == "ConfigMap")
    (ray,) = (found for found in OBJECTS if found["kind"] == "RayCluster")
    records, cluster = urlsplit(values["BIOMEDICA_POSTGRES"]), urlsplit(values["BIOMEDICA_RAY"])
    assert records.port == services[records.hostname]["ports"][0]["port"]
    assert cluster.hostname == f"{ray['metadata']['name']}-head-svc", "the name that KubeRay gives the head's service"
    (head,) = ray["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert cluster.port in [port["containerPort"] for port in head["ports"]]
    by_label = {pod["metadata"]["name"] for pod in OBJECTS if pod["kind"] in ("Deployment", "StatefulSet")}
    for name, service in services.items():
        assert service["selector"] == {"app": name} and name in by_label
    (graph,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert services[graph["grpc_server"]["host"]]["ports"][0]["port"] == graph["grpc_server"]["port"]
    commands = {name: container.get("command") for name, container in CONTAINERS}
    assert int(option(commands["code"], "--port")) == graph["grpc_server"]["port"]
    page = services["webserver"]["ports"][0]["port"]
    assert int(option(commands["webserver"], "--port")) == page
    assert option(commands["follower"], "--follow") == f"webserver:{page}"
    assert {found.get("spec", {}).get("type", "ClusterIP") for found in OBJECTS if found["kind"] == "Service"} == {
        "ClusterIP"
    }
    listed = MANIFESTS["kustomization.yaml"][0]["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(MANIFESTS)


def test_everybody_sees_the_data_directory_under_the_path_of_the_image():
    (path,) = re.findall(r"BIOMEDICA_DATA_DIR=(\S+)", DOCKERFILE)
    ours = [name for name, service in SERVICES.items() if "image" in service and service["image"].startswith("bio")]
    assert len(ours) == len(SERVICES) - 1
    assert all(SERVICES[name]["volumes"] == [f"data:{path}"] for name in ours)
    assert re.findall(r"DAGSTER_HOME=(\S+)", DOCKERFILE) == [f"{path}/{Settings().dagster_home.name}"]
    for name, container in CONTAINERS:
        if container["image"] == "biomedica-assets":
            assert {"name": "data", "mountPath": path} in container["volumeMounts"], name
            assert {"name": "data", "persistentVolumeClaim": {"claimName": "data"}} in PODS[name]["volumes"]
    (claim,) = (found for found in OBJECTS if found["kind"] == "PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "data" and claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_nothing_runs_as_root_or_may_become_it():
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0 and f"--uid {user}" in DOCKERFILE
    for name, container in CONTAINERS:
        about = PODS[name]["securityContext"]
        assert about["runAsNonRoot"] and about["runAsUser"] == (999 if name == "postgres" else int(user))
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["limits"]["memory"]
    for service in SERVICES.values():
        assert service["image"].startswith("postgres") or service["cap_drop"] == ["ALL"]


def test_the_image_is_made_of_what_is_here_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    versions = re.findall(r"^FROM python:([\d.]+)-\S+", DOCKERFILE, re.MULTILINE)
    assert len(versions) == 2 and len({*versions}) == 1 and versions[0] in SpecifierSet(project["requires-python"])
    extras = {*re.findall(r"--extra (\w+)", DOCKERFILE)}
    assert {"graph", "postgres", "ray"} <= extras <= {*project["optional-dependencies"]}
    installs = re.findall(r"pip install (.*?)(?:&&|$)", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    assert len(installs) == 3 and all("--constraint constraints.txt" in line for line in installs)
    assert MANIFESTS["ray.yaml"][0]["spec"]["rayVersion"] == pinned["ray"]
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    kept = [
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    assert sorted(copied) == sorted(kept) and all((ROOT / name).exists() for name in copied)
    assert project["readme"] in copied and {*project["license-files"]} <= {*copied}
