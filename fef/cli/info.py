"""`fef info`: what a model directory holds."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fef.cli.options import MODEL_HELP, JsonOption
from fef.cli.output import Bar, print_json, print_table

if TYPE_CHECKING:
    from fef.generation import Model

__all__ = ["EXAMPLE", "info"]

EXAMPLE = "Example: [bold]fef info demo --json[/bold]"
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
LOG = "losses.jsonl"


def info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "demo",
    json: JsonOption = False,
) -> None:
    """Describe a model: size, memory, attention, vocabulary, and the laws it can be sampled from."""
    with Bar(f"Reading {Path(model).name}"):
        from fef.generation import load
        from fef.models.checkpoint import demo_path

        loaded = load(model, device="meta")  # every check of loading, none of its memory
        path = demo_path() if model == "demo" else Path(model).expanduser()
        facts = describe(loaded, path)
    if json:
        print_json(facts)
    else:
        print_table(facts_table(facts))


def describe(model: Model, path: Path) -> dict[str, Any]:
    """Facts of a loaded model and its directory; sizes in bytes."""
    config = model.network.config
    parameters = sum(p.numel() for p in model.network.parameters())
    return {
        "name": model.name,
        "family": "fef transformer",
        "layers": config.layers,
        "dim": config.dim,
        "heads": config.heads,
        "parameters": parameters,
        "bytes_on_disk": sum(f.stat().st_size for f in path.iterdir() if f.is_file()),
        "bytes_in_memory": {dtype: parameters * size for dtype, size in DTYPE_BYTES.items()},
        "attention": config.attention,
        "packed": config.packed,
        "max_length": config.max_length,
        "vocabulary": config.vocab_size,
        "text_tokens": model.tokenizer.vocab_size,
        "special_ids": {"mask": config.mask_id, "end": config.eos_id, "answer": config.answer_id},
        "laws": laws(model),
        "last_losses": last_losses(path / LOG),
    }


def laws(model: Model) -> list[dict[str, str]]:
    """The chain laws that this network can be sampled from, each with the fastest method for it."""
    from fef.api import certify

    kinds = ["rows", "packed"] if model.network.config.packed else ["rows"]
    return [
        {"verify": kind, "law": certify(model.network, method="fef", verify=kind, temperature=1.0).law}
        for kind in kinds
    ]


def last_losses(path: Path) -> dict[str, float] | None:
    """The last whole row of a loss log, if there is one."""
    if not path.is_file():
        return None
    for line in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            row = json_module.loads(line)
        except ValueError:
            continue
        return row if isinstance(row, dict) else None
    return None


def facts_table(facts: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    memory = ", ".join(f"{mebibytes(size)} in {dtype}" for dtype, size in facts["bytes_in_memory"].items())
    rows = {
        "model": facts["name"],
        "family": f"{facts['family']}, {facts['layers']} layers x {facts['dim']}, {facts['heads']} heads",
        "parameters": f"{facts['parameters']:,}",
        "on disk": mebibytes(facts["bytes_on_disk"]),
        "in memory": memory,
        "attention": facts["attention"] + (", and the packed pattern" if facts["packed"] else ", not packed"),
        "max length": f"{facts['max_length']:,} tokens, prompt and answer together",
        "vocabulary": f"{facts['vocabulary']:,} ids, {facts['text_tokens']:,} of them text",
        "special ids": ", ".join(f"{name} {value}" for name, value in facts["special_ids"].items()),
        "laws": "\n".join(f"verify={law['verify']}: {law['law']}" for law in facts["laws"]),
        "last losses": loss_words(facts["last_losses"]),
    }
    for name, value in rows.items():
        table.add_row(name, escape(str(value)))
    return table


def loss_words(row: dict[str, float] | None) -> str:
    return "no loss log" if row is None else ", ".join(f"{name} {value:g}" for name, value in row.items())


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
