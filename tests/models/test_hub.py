"""Repositories by name, against a little hub on this machine: download, cache, offline, revisions, tokens, refusals."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from huggingface_hub import constants

import fef
from fef.models.hub import is_repository

DATA = Path(__file__).parents[1] / "golden" / "data"
COMMITS = {"main": "a" * 40, "old": "b" * 40}
CHECKPOINT = DATA / "llada" / "checkpoint"
SHARDED = DATA / "llada" / "checkpoint-sharded"


class Hub(BaseHTTPRequestHandler):
    """`org/open` and `org/gated`, with the weights in shards; `main` and the revision `old` hold the same files."""

    def files(self) -> dict[str, bytes]:
        small = {path.name: path for path in CHECKPOINT.iterdir() if path.suffix == ".json"}
        paths = small | {path.name: path for path in SHARDED.iterdir()}
        return {name: path.read_bytes() for name, path in paths.items()} | {"pytorch_model.bin": b"pickle"}

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        parts = urlsplit(self.path).path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name, rest = "/".join(parts[2:4] if api else parts[:2]), parts[4:] if api else parts[2:]
        if name == "org/gated" and self.headers.get("Authorization") != "Bearer hf_right":
            return self.refuse(403, "GatedRepo")
        if name not in ("org/open", "org/gated"):
            return self.refuse(404, "RepoNotFound")
        commit = COMMITS.get(rest[1], rest[1])
        if commit not in COMMITS.values():
            return self.refuse(404, "RevisionNotFound")
        if rest[0] == "revision":
            return self.reply(json.dumps({"id": name, "sha": commit, "siblings": []}).encode(), commit)
        if rest[0] == "tree":
            listed = [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in self.files().items()
            ]
            return self.reply(json.dumps(listed).encode(), commit)
        return self.reply(self.files()[rest[2]], commit)

    do_HEAD = do_GET

    def reply(self, content: bytes, commit: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, status: int, reason: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", reason)
        self.send_header("X-Error-Message", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reach(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


def reach(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def load(name: str, **options: Any) -> fef.Model:
    return fef.load(name, device="cpu", dtype=torch.float32, **options)


def test_a_repository_loads_like_its_directory_and_then_offline(hub, monkeypatch):
    model, local = load("org/open"), load(str(CHECKPOINT))
    assert model.name == "org/open"
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.network.state_dict().values(), local.network.state_dict().values(), strict=True)
    )
    assert not any("pytorch_model.bin" in path for path in hub.asked)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    load("org/open")
    assert hub.asked == []


def test_revisions(hub):
    load("org/open", revision="old")
    assert any(f"/resolve/{COMMITS['old']}/" in path for path in hub.asked)
    with pytest.raises(fef.CheckpointError, match=r"org/open has no revision 'new'.*branch, a tag or a commit"):
        load("org/open", revision="new")


@pytest.mark.usefixtures("hub")
def test_gated_repositories():
    for token in (None, "hf_wrong"):
        with pytest.raises(fef.CheckpointError, match=r"org/gated is gated.*hf auth login.*token="):
            load("org/gated", token=token)
    load("org/gated", token="hf_right")


@pytest.mark.usefixtures("hub")
def test_no_such_repository():
    with pytest.raises(fef.CheckpointError, match=r"no directory 'org/none' here, and no repository"):
        load("org/none")


@pytest.mark.usefixtures("hub")
def test_no_network(monkeypatch):
    reach(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(fef.CheckpointError, match=r"cannot be reached\. To work offline.*hf download org/open"):
        load("org/open")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(fef.CheckpointError, match=r"To work offline"):
        load("org/open")


def test_an_unknown_architecture_is_refused_before_its_weights_are_downloaded(hub, monkeypatch):
    files = Hub.files
    monkeypatch.setattr(
        Hub, "files", lambda self: files(self) | {"config.json": b'{"architectures": ["LlamaForCausalLM"]}'}
    )
    with pytest.raises(fef.CheckpointError, match="is a causal model"):
        load("org/open")
    assert not any(".safetensors" in path for path in hub.asked if "index" not in path)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("GSAI-ML/LLaDA-8B-Instruct", True),
        ("demo", False),
        ("./org/open", False),
        ("/org/open", False),
        ("a/b/c", False),
        ("../open", False),
        ("~/open", False),
    ],
)
def test_what_looks_like_a_repository(name, is_one):
    assert is_repository(name) == is_one


def test_a_directory_goes_before_a_repository(hub, tmp_path):
    (tmp_path / "org" / "open").mkdir(parents=True)
    with pytest.raises(fef.CheckpointError, match=r"has no config\.json"):
        load("org/open")
    assert hub.asked == []
