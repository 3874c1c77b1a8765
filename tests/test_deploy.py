"""What stands in `deploy` and in the Dockerfile names what there is: options of the command, extras, labels, probes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from fef.cli.app import app

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
OPTIONS = {
    option
    for option in typer.main.get_command(app).commands["serve"].params
    for option in option.opts  # type: ignore[attr-defined]
}


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Any]:
    found = yaml.safe_load_all((ROOT / "deploy" / "k8s.yaml").read_text("utf-8"))
    return {(part["kind"], part["metadata"]["name"]): part for part in found}


def options_of(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def test_the_server_on_kubernetes_takes_its_options(parts: dict[tuple[str, str], Any]) -> None:
    pod = parts["Deployment", "fef"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    command, *words = container["args"]
    assert command == "serve"
    assert options_of(words) <= OPTIONS
    drain = int(words[words.index("--drain-seconds") + 1])
    assert drain < pod["spec"]["terminationGracePeriodSeconds"]
    port = int(words[words.index("--port") + 1])
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}


def test_the_router_finds_the_servers_by_their_label(parts: dict[tuple[str, str], Any]) -> None:
    server, router = parts["Deployment", "fef"], parts["Deployment", "fef-router"]
    labels = server["spec"]["template"]["metadata"]["labels"]
    assert server["spec"]["selector"]["matchLabels"] == labels
    [container] = router["spec"]["template"]["spec"]["containers"]
    [(name, value)] = labels.items()
    assert f"--selector={name}={value}" in container["args"]
    assert "--service-discovery-port=8000" in container["args"]
    service = parts["Service", "fef"]["spec"]["selector"]
    assert service == router["spec"]["template"]["metadata"]["labels"]
    account = router["spec"]["template"]["spec"]["serviceAccountName"]
    assert ("ServiceAccount", account) in parts
    assert parts["RoleBinding", "fef-router"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    assert parts["ScaledObject", "fef"]["spec"]["scaleTargetRef"] == {"name": "fef"}


def test_the_image_installs_an_extra_and_starts_a_command_that_there_are() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    [extra] = re.findall(r'pip install [^"\n]*"\.\[(\w+)\]"', text)
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for source in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
    [words] = [json.loads(words) for words in re.findall(r"^CMD (\[.+\])$", text, re.MULTILINE)]
    assert words[0] == "serve"
    assert options_of(words) <= OPTIONS
