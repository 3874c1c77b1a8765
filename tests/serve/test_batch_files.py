"""Files of requests in OpenAI's batch format: answers of the server, in order, continued where they end, and sharded."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import QUESTION, Client

from fef.cli.batch import batch
from fef.errors import InputError
from fef.generation import Model
from fef.serve.app import ServeOptions
from fef.serve.batch import Part, answer_file, check_requests, merge_parts

OPTIONS = ServeOptions(max_queue=2**31)


def line(number: int, url: str = "/v1/completions", **body: Any) -> dict[str, Any]:
    body = {"prompt": f"Ann has {number} pens.", "max_tokens": 12, "seed": number, "temperature": 0.8} | body
    return {"custom_id": f"line {number}", "method": "POST", "url": url, "body": body}


LINES: list[Any] = [
    line(0),
    line(1, logprobs=2, n=2),
    line(2, "/v1/chat/completions", messages=[{"role": "user", "content": QUESTION}]),
    line(3, temperature=-1),
    line(4, "/v1/score", response="4"),
    "{no JSON",
    [1],
    {"custom_id": 5, "url": "/v1/completions", "body": {}},
    line(6, "/v1/embeddings"),
    line(7) | {"body": 5},
    line(8) | {"method": "GET"},
    line(9, stream=True),
    line(10, stop=["1"], max_tokens=30),
    line(11, model="another"),
]


def written(path: Path, lines: list[Any]) -> Path:
    raw = [each.encode() if isinstance(each, str) else json.dumps(each).encode() for each in lines]
    path.write_bytes(b"\n".join(raw) + b"\n\n\xff\n" if lines is LINES else b"\n".join(raw))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in path.read_text().splitlines()]


def plain(body: Any) -> Any:
    """Without what is new in every answer."""
    return {k: v for k, v in body.items() if k not in ("id", "created")} if isinstance(body, dict) else body


def answers_of(model: Model, part: Part) -> list[dict[str, Any]]:
    answer_file(model, model.engine(max_batch=4), part, OPTIONS)
    return read(part.path)


def test_answers_are_those_of_the_server_in_order(client: Client, model: Model, tmp_path: Path) -> None:
    part = Part(written(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl")
    found = answers_of(model, part)
    assert len(found) == len(LINES) + 1
    assert len({answer["id"] for answer in found}) == len(found)
    for asked, answer in zip(LINES, found, strict=False):
        assert set(answer) == {"id", "custom_id", "response", "error"}
        if answer["error"] is not None:
            assert answer["response"] is None and answer["error"]["message"]
            continue
        assert answer["custom_id"] == asked["custom_id"]
        reply = client.post(asked["url"], asked["body"])
        assert answer["response"]["status_code"] == reply.status
        own, theirs = plain(answer["response"]["body"]), plain(reply.body)
        if "choices" in own:
            assert [c.get("text", c.get("message")) for c in own["choices"]] == [
                c.get("text", c.get("message")) for c in theirs["choices"]
            ]
            assert own["usage"] == theirs["usage"]
        elif "error" in own:
            assert own == theirs
        else:
            assert own["logprob"] == pytest.approx(theirs["logprob"], abs=1e-4)
    wrong = [i for i, answer in enumerate(found) if answer["error"] is not None]
    assert wrong == [5, 6, 7, 8, 9, 10, 11, 14]
    assert [i for i, a in enumerate(found) if a["response"] and a["response"]["status_code"] != 200] == [3, 13]


@pytest.mark.parametrize("kept", [0, 1, 4, 6])
def test_what_ends_early_is_continued(model: Model, tmp_path: Path, kept: int) -> None:
    lines = [line(n) for n in range(6)]
    part = Part(written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl")
    whole = answers_of(model, part)
    raw = part.path.read_bytes().splitlines(keepends=True)
    broken = raw[kept][:20] if kept < 6 else b""
    part.path.write_bytes(b"".join(raw[:kept]) + broken)
    again = answers_of(model, part)
    assert [plain(a["response"]["body"])["choices"] for a in again] == [
        plain(a["response"]["body"])["choices"] for a in whole
    ]
    assert again[:kept] == whole[:kept], "what was there is left alone"


def test_answers_to_other_lines_are_not_continued(model: Model, tmp_path: Path) -> None:
    part = Part(written(tmp_path / "in.jsonl", [line(1), line(2)]), tmp_path / "out.jsonl")
    answers_of(model, part)
    before = part.path.read_bytes()
    for lines in ([line(2), line(1)], [line(1)]):
        written(part.requests, lines)
        with pytest.raises(InputError, match="another --output"):
            answers_of(model, part)
        assert part.path.read_bytes() == before


@pytest.mark.parametrize("mine", [b"notes of mine\n", b"notes without an end", b'{"custom_id": "1"}', b"\x00\xff\n"])
def test_a_file_of_something_else_is_not_written_over(tmp_path: Path, mine: bytes) -> None:
    part = Part(written(tmp_path / "in.jsonl", [line(1), line(2)]), tmp_path / "out.jsonl")
    part.path.write_bytes(mine)
    with pytest.raises(InputError, match="another --output"):
        part.continued()
    assert part.path.read_bytes() == mine


def test_two_requests_of_one_custom_id_and_files_of_none_are_refused(tmp_path: Path) -> None:
    nameless = {"custom_id": 5}  # answered as errors, each
    for lines, words in (
        ([line(1), line(2), line(1)], "Requests 1 and 3 of .* have the same custom_id 'line 1'"),
        (
            [nameless, "{no JSON", line(2), line(2, prompt="b")],
            "Requests 3 and 4 of .* have the same custom_id 'line 2'",
        ),
        ([], "holds no request; give one JSON object per line"),
        (["", "  "], "holds no request; give one JSON object per line"),
    ):
        requests = written(tmp_path / "in.jsonl", lines)
        with pytest.raises(InputError, match=words):
            batch(requests, tmp_path / "out.jsonl", model="no such model")
    assert not (tmp_path / "out.jsonl").exists()
    check_requests(Part(written(tmp_path / "in.jsonl", [nameless, nameless, line(1), line(2)]), tmp_path / "out.jsonl"))


def test_the_requests_are_not_written_over(tmp_path: Path) -> None:
    requests = written(tmp_path / "in.jsonl", [line(1)])
    before, link = requests.read_bytes(), tmp_path / "link.jsonl"
    link.symlink_to(requests)
    for answers in (requests, link, tmp_path / "." / "in.jsonl"):
        with pytest.raises(InputError, match="would be written over"):
            batch(requests, answers)
    assert requests.read_bytes() == before


def test_a_line_without_a_seed_has_that_of_its_number(model: Model, tmp_path: Path) -> None:
    lines = [line(n, seed=None, prompt=QUESTION, temperature=4.0) for n in range(3)]
    part = Part(written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl")
    found = answers_of(model, part)
    assert [answer["response"]["body"]["fef"]["seed"] for answer in found] == [0, 1, 2]
    texts = [answer["response"]["body"]["choices"][0]["text"] for answer in found]
    assert len(set(texts)) == 3


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(a["custom_id"], a["response"]["body"]["choices"][0]["text"]) for a in read(path)]


@pytest.mark.parametrize("world", [2, 3])
def test_parts_put_together_are_the_answers_of_one_process(model: Model, tmp_path: Path, world: int) -> None:
    requests = written(tmp_path / "in.jsonl", [line(n) for n in range(5)])
    answers_of(model, Part(requests, tmp_path / "alone.jsonl"))
    parts = [Part(requests, tmp_path / "out.jsonl", rank, world) for rank in range(world)]
    for part in parts:
        assert not part.complete
        answers_of(model, part)
        assert part.complete
    merge_parts(parts)
    assert pairs(tmp_path / "out.jsonl") == pairs(tmp_path / "alone.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.jsonl", "in.jsonl", "out.jsonl"]


@pytest.mark.slow
def test_processes_of_torchrun_share_the_lines(model: Model, tmp_path: Path) -> None:
    requests = written(tmp_path / "in.jsonl", [line(n) for n in range(5)])
    answers_of(model, Part(requests, tmp_path / "alone.jsonl"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out, started = tmp_path / "out.jsonl", []
    files = ["--input", str(requests), "--output", str(out), "--device", "cpu"]
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        environment = os.environ | place | {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen([sys.executable, "-m", "fef", "batch", *files], env=environment, stderr=subprocess.PIPE)
        )
    for process in started:
        _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words.decode()
    assert pairs(out) == pairs(tmp_path / "alone.jsonl")


def test_files_that_are_none_are_refused_in_a_sentence(tmp_path: Path) -> None:
    requests = written(tmp_path / "in.jsonl", [line(1)])
    for arguments in (
        (tmp_path / "missing", tmp_path / "out"),
        (requests, tmp_path / "no" / "out"),
        (requests, tmp_path),
    ):
        with pytest.raises(InputError, match="file"):
            batch(*arguments)
