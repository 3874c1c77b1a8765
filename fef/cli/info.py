"""`fef info`: what a checkpoint is, told from its small files and the headers of its shards; no weight is read."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fef.cli.options import MODEL_HELP, JsonOption, WeightsOption
from fef.cli.output import Bar, print_json, print_table

if TYPE_CHECKING:
    from fef.models.checkpoint import Description
    from fef.models.transformer import Transformer

__all__ = ["EXAMPLE", "info"]

EXAMPLE = "Example: [bold]fef info demo --json[/bold]"
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
LOG = "losses.jsonl"


def info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "demo",
    weights: WeightsOption = None,
    json: JsonOption = False,
) -> None:
    """Describe a model: size, memory, attention, vocabulary, and the laws it can be sampled from."""
    with Bar(f"Reading {Path(model).name}"):
        from fef.models.hub import SHIPPED, locate
        from fef.models.sources import describe_source

        path = locate(model)
        facts = facts_of(model if model in SHIPPED else Path(model).name, path, describe_source(path), weights)
    if json:
        print_json(facts)
    else:
        print_table(facts_table(facts))


def facts_of(name: str, path: Path, described: Description, weights: str | None = None) -> dict[str, Any]:
    """Facts of a checkpoint as loaded with these `weights`; sizes in bytes.

    Raises CheckpointError for weights that are there but broken, OptionError for an unknown format.
    """

    from fef.models.quantize import quantize_
    from fef.models.sources import network_of, origin_of
    from fef.models.transformer import blank
    from fef.models.weights import PICKLED

    config = described.config
    if any(file.suffix in (".safetensors", *PICKLED) for file in path.iterdir()):
        network = network_of(path, described, "meta", weights=weights)  # every check of loading, none of its memory
    else:
        network = blank(config)
        if weights is not None:
            quantize_(network, weights)
    network.name = name
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "name": name,
        "family": described.family.name,
        "layers": config.layers,
        "dim": config.dim,
        "heads": config.heads,
        "kv_heads": config.kv_head_count,
        "experts": None if config.mixture is None else config.mixture.experts,
        "parameters": parameters,
        "bytes_on_disk": sum(f.stat().st_size for f in path.iterdir() if f.is_file()),
        "bytes_in_memory": {dtype: memory_bytes(network, size) for dtype, size in DTYPE_BYTES.items()},
        "weight_format": network.weight_format,
        "attention": config.attention,
        "block_length": config.block_length,
        "shift": config.shift,
        "packed": config.packed,
        "block_cache": config.attention == "block-causal",
        "max_length": config.max_length,
        "vocabulary": config.vocab_size,
        "text_tokens": None if described.tokenizer is None else described.tokenizer.vocab_size,
        "special_ids": {"mask": config.mask_id, "end": config.eos_id, "answer": config.answer_id},
        "stop_ids": list(config.stop_ids),
        "laws": laws(network),
        "made_from": origin_of(path, described),
        "last_losses": last_losses(path / LOG),
    }


def memory_bytes(network: Transformer, dtype_bytes: int) -> int:
    """Of the weights in a dtype of so many bytes; quantized matrices take a byte a weight and a float32 scale a row."""
    from fef.models.quantize import QuantizedLinear

    quantized = [module for module in network.modules() if isinstance(module, QuantizedLinear)]
    numbers = sum(module.weight.numel() for module in quantized)
    others = sum(p.numel() for p in network.parameters()) - numbers
    return others * dtype_bytes + numbers + sum(4 * module.scale.numel() for module in quantized)


def laws(network: Transformer) -> list[dict[str, str]]:
    """The chain laws that this network can be sampled from, each with the fastest method for it."""
    from fef.api import certify

    kinds = ["rows", "packed"] if network.config.packed else ["rows"]
    return [{"verify": kind, "law": certify(network, method="fef", verify=kind, temperature=1.0).law} for kind in kinds]


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
    experts = f", {facts['experts']} experts" if facts["experts"] else ""
    heads = f"{facts['heads']} heads" + (f" on {facts['kv_heads']}" if facts["kv_heads"] != facts["heads"] else "")
    rows = {
        "model": facts["name"],
        "family": f"{facts['family']}, {facts['layers']} layers x {facts['dim']}, {heads}{experts}",
        "parameters": f"{facts['parameters']:,}",
        "on disk": mebibytes(facts["bytes_on_disk"]),
        "in memory": memory,
        "weights": weight_words(facts["weight_format"]),
        "attention": attention_words(facts),
        "capabilities": capability_words(facts),
        "max length": f"{facts['max_length']:,} tokens, prompt and answer together",
        "vocabulary": f"{facts['vocabulary']:,} ids, {text_words(facts['text_tokens'])}",
        "special ids": ", ".join(
            f"{name} {value}" for name, value in facts["special_ids"].items() if value is not None
        ),
        "laws": "\n".join(f"verify={law['verify']}: {law['law']}" for law in facts["laws"]),
        "made from": origin_words(facts["made_from"]),
        "last losses": loss_words(facts["last_losses"]),
    }
    if facts["stop_ids"]:
        rows["special ids"] += f", a text also ends at {', '.join(map(str, facts['stop_ids']))}"
    for name, value in rows.items():
        table.add_row(name, escape(str(value)))
    return table


def weight_words(weight_format: str | None) -> str:
    return "as stored" if weight_format is None else f"dense matrices in {weight_format}, one scale per output row"


def attention_words(facts: dict[str, Any]) -> str:
    blocks = f", blocks of {facts['block_length']}" if facts["block_length"] else ""
    shift = ", logits shifted by one" if facts["shift"] else ""
    return f"{facts['attention']}{blocks}{shift}"


def capability_words(facts: dict[str, Any]) -> str:
    words = {
        "verification in rows": True,
        "the packed attention pattern": facts["packed"],
        "an exact cache of finished blocks": facts["block_cache"],
    }
    return ", ".join(word for word, able in words.items() if able)


def text_words(text_tokens: int | None) -> str:
    return "no tokenizer" if text_tokens is None else f"{text_tokens:,} of them text"


def origin_words(origin: dict[str, Any] | None) -> str:
    if origin is None:
        return "trained from nothing, or not said"
    trained = f"low-rank factors of rank {origin['lora_rank']}" if origin.get("lora_rank") else "all weights"
    delta = f", a delta of rank {origin['delta_rank']}" if origin.get("delta_rank") else ""
    source, examples = Path(str(origin.get("source"))).name, origin.get("examples")
    return f"{source} (sha256 {str(origin.get('fingerprint'))[:12]}...), {trained} on {examples:,} examples{delta}"


def loss_words(row: dict[str, float] | None) -> str:
    return "no loss log" if row is None else ", ".join(f"{name} {value:g}" for name, value in row.items())


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
