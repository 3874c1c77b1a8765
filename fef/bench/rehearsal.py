"""The whole way of a fine-tune, on a checkpoint of random weights in the released layout that it writes itself: loaded in
shards, trained with low-rank factors and the packed objective, saved, resumed, and decoded by the engine with its adapter.

    python -m fef.bench.rehearsal --shape 8b --gpus 2 --out rehearsal
    python -m fef.bench.rehearsal --shape tiny --gpus 1 --out rehearsal --device cpu

Every part is a process of its own, started as a user starts it; each prints one JSON line with its seconds and the most host
memory that one of its processes held. --gpus: how many processes train; a checkpoint that is in --out already stays.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from fef.bench.engine.shapes import shape_config
from fef.bench.released_layout import write_released_layout
from fef.errors import FefError, OptionError
from fef.measure.environment import GIB, device_peak, host_peak
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch
from fef.models.config import TransformerConfig
from fef.models.device import default_device

__all__ = ["SIZES", "Sizes", "decode", "main", "rehearse"]

PROMPTS = ["abc", "Say it again.", "12 + 30", "x"]
RANK = 16
PROMPT = 64  # tokens at most
CHECKPOINT, CHATS = "checkpoint", "chats.jsonl"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Of a rehearsal, in tokens. new_tokens: that the engine decodes. disk: bytes of a checkpoint with some room."""

    config: TransformerConfig
    canvas: int
    row: int
    batch: int
    new_tokens: int
    disk: int


SIZES = {
    "8b": Sizes(shape_config("8b"), canvas=512, row=4096, batch=8192, new_tokens=64, disk=20 * 10**9),
    "1b": Sizes(shape_config("1b"), canvas=512, row=4096, batch=8192, new_tokens=64, disk=4 * 10**9),
    "tiny": Sizes(
        replace(shape_config("tiny"), vocab_size=1024), canvas=24, row=256, batch=512, new_tokens=8, disk=10**6
    ),
}


def rehearse(shape: str, gpus: int, out: Path, device: str, steps: int, resumed_on: int) -> list[Facts]:
    """All parts, one after another; what each said. Raises OptionError where the disk has no room, FefError where a part
    fails."""
    sizes = SIZES[shape]
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if not (out / CHECKPOINT).is_dir() and free < sizes.disk:
        raise OptionError(
            f"A checkpoint of the shape {shape} needs {sizes.disk / 1e9:.0f} GB, and {out} has {free / 1e9:.0f} GB free; "
            "give --out another disk."
        )
    write_chats(out / CHATS, sizes)
    tuned = out / f"tuned-on-{gpus}"
    shutil.rmtree(tuned, ignore_errors=True)
    own = [sys.executable, "-m", "fef.bench.rehearsal", "--shape", shape, "--out", str(out), "--device", device]
    parts: list[tuple[str, list[str]]] = []
    if not (out / CHECKPOINT).is_dir():
        parts.append(("write", [*own, "--part", "write"]))
    parts.append((f"train on {gpus}", training(sizes, gpus, out, tuned, device, steps // 2)))
    parts.append((f"resume on {resumed_on}", training(sizes, resumed_on, out, tuned, device, steps)))
    parts.append(("decode", [*own, "--part", "decode", "--adapter", str(tuned)]))
    said = []
    for name, command in parts:
        facts = {"part": name} | carried_out(name, command)
        if "losses" in facts:
            facts |= log_facts(tuned)
        told(**facts)
        said.append(facts)
    return said


def training(sizes: Sizes, gpus: int, out: Path, tuned: Path, device: str, steps: int) -> list[str]:
    """The command of a user."""
    start = [sys.executable]
    if gpus > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    options: dict[str, Any] = {
        "init": out / CHECKPOINT,
        "data": out / CHATS,
        "out": tuned,
        "device": device,
        "lora": RANK,
        "steps": steps,
        "warmup": 2,
        "log-every": 1,
        "canvas-length": sizes.canvas,
        "max-prompt": PROMPT,
        "batch-tokens": sizes.batch,
        "row-tokens": sizes.row,
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [*start, "-m", "fef", "train", *given, "--packed", "--recompute", "--json"]


def carried_out(name: str, command: Sequence[str]) -> Facts:
    """What a command said last, its seconds, and the most memory that it or a process it started held, GiB."""
    watch = Stopwatch()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        words = running.stdout.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise FefError(f"The part {name!r} ended with exit code {running.returncode}; what it said stands above.")
    said: Facts = json.loads(words.strip().splitlines()[-1])
    return said | {"seconds": watch.seconds, "host_gib": usage.ru_maxrss * 1024 / GIB}


def log_facts(tuned: Path) -> Facts:
    """Of the loss log: all losses, and the median rates."""
    rows = [json.loads(line) for line in (tuned / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    facts: Facts = {"losses": [row["loss"] for row in rows]}
    for name in ("tokens_per_second", "utilization", "gpu_gib"):
        found = [row[name] for row in rows if name in row]
        if found:
            facts[name] = max(found) if name == "gpu_gib" else median(found)
    return facts


def write_chats(path: Path, sizes: Sizes) -> None:
    """Prompts and answers that fill a half of the canvas to all of it; a letter is a token."""
    rows = []
    for i in range(128):
        size = sizes.canvas // 2 + i * (sizes.canvas // 2 - 4) // 128
        answer = (chr(97 + i % 26) + chr(97 + i // 26) + " ") * size
        rows.append(json.dumps({"prompt": f"say {i}", "response": answer[:size].rstrip()}))
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def write(sizes: Sizes, out: Path, device: str) -> Facts:
    size = write_released_layout(out / CHECKPOINT, replace(sizes.config, packed=False), torch.device(device))
    return {"gigabytes": size / 1e9, "files": sorted(path.name for path in (out / CHECKPOINT).iterdir())}


def decode(sizes: Sizes, out: Path, device: str, adapter: Path) -> Facts:
    """The engine's answers with the adapter, and whether the loop's text of the first is the same."""
    import fef

    model = fef.load(out / CHECKPOINT, device=device, adapter=adapter)
    watch = Stopwatch()
    engine = model.engine(max_batch=len(PROMPTS), max_length=256, windows=(8,))
    asked: Facts = {"max_new_tokens": sizes.new_tokens, "temperature": 1.0}
    answers = [job.result() for job in [engine.submit(p, seed=i, **asked) for i, p in enumerate(PROMPTS)]]
    ready = watch.seconds
    alone = model.generate(PROMPTS[0], seed=0, **asked)
    return {
        "packed": model.network.config.packed,
        "tokens": sum(answer.stats["committed"] for answer in answers),
        "rounds": sum(answer.stats["rounds"] for answer in answers),
        "law": answers[0].certificate.kind,
        "same_text_in_the_loop": alone.text == answers[0].text,
        "engine_seconds": ready,
        "gpu_gib": device_peak(torch.device(device)),
        "own_host_gib": host_peak(),
    }


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    out: Path = option(help="a directory for everything that is written")
    shape: str = option("8b", choices=sorted(SIZES))
    gpus: int = option(1, "processes that train, each with a GPU")
    resumed_on: int = option(0, "processes of the second half; 0: as many")
    steps: int = option(20, "of training, in two halves")
    device: str = default_device()
    part: str | None = option(None, argparse.SUPPRESS, choices=["write", "decode"])
    adapter: Path | None = option(None, argparse.SUPPRESS)


@program(Options, __doc__)
def main(given: Options) -> None:
    sizes, watch = SIZES[given.shape], Stopwatch()
    if given.part == "write":
        told(**write(sizes, given.out, given.device))
    elif given.part == "decode" and given.adapter is not None:
        told(**decode(sizes, given.out, given.device, given.adapter))
    else:
        rehearse(given.shape, given.gpus, given.out, given.device, given.steps, given.resumed_on or given.gpus)
        told(part="all", seconds=watch.seconds)


if __name__ == "__main__":
    main()
