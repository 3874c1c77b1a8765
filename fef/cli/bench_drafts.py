"""`fef bench --drafts`: tokens per round of chains and trees of drafts, with and without a draft head, simulated."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.options import DeviceOption, DtypeOption, ModelOption, load_model
from fef.cli.output import Bar, check_writable, print_sheet, write_whole
from fef.errors import InputError, OptionError

if TYPE_CHECKING:
    from fef.measure.table import Sheet

__all__ = ["EXAMPLE", "bench_drafts"]

EXAMPLE = "Example: [bold]fef bench --drafts --model demo --data held-out.jsonl --trees 16,32[/bold]"


def bench_drafts(
    context: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="Held-out texts of the model, of `python -m fef.corpus.own`.")],
    model: ModelOption = "demo",
    head: Annotated[
        Path | None, typer.Option("--head", help="A draft head; by default the one beside the model.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write what was measured to this JSON file.")] = None,
    texts: Annotated[int | None, typer.Option("--texts", min=1, help="Of each temperature, at most.")] = None,
    chains: Annotated[str, typer.Option("--chains", help="Drafts of a chain.")] = "4,8",
    trees: Annotated[str, typer.Option("--trees", help="Nodes of a tree.")] = "16,32,64",
    slots: Annotated[int, typer.Option("--slots", help="Depths of a tree.")] = 8,
    frontier: Annotated[int, typer.Option("--frontier", help="States of a depth that a tree continues.")] = 16,
    branching: Annotated[int, typer.Option("--branching", help="Nodes that continue one state, at most.")] = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Tokens per round of chains and trees of drafts on a network's own texts, with the noise of the engine; untimed."""
    if out is not None:
        check_writable(out)
    with Bar("Loading"):
        from fef.bench.drafts import SIMULATED_KIND, Shapes, drafts_report
        from fef.measure.environment import environment
        from fef.measure.record import Record, record_json
        from fef.models.draft_head_file import load_draft_head
        from fef.training.own_text import read_own_texts
    shapes = Shapes(numbers("--chains", chains), numbers("--trees", trees), slots, frontier, branching)
    loaded = load_model(model, device, dtype, head="auto" if head is None else "none")
    network = loaded.network
    found = load_draft_head(head, network) if head is not None else network.extras.draft_head
    every = [text for text in read_own_texts(data, network.config) if len(text.response) > 1]
    if not every:
        raise InputError(f"{data} holds no text of two tokens or more; write some with `python -m fef.corpus.own`.")
    with Bar("Simulating rounds"):
        report = {"model": loaded.name} | drafts_report(network, found, every, shapes, loaded.special_ids(), texts)
    for sheet in sheets(report):
        print_sheet(sheet)
    if out is not None:
        command = shlex.join(["fef", *context.meta["fef.arguments"]])
        setup = {"environment": environment(str(network.device))}
        write_whole(out, record_json(Record(SIMULATED_KIND, command, setup, report, finished=True)))


def numbers(name: str, text: str) -> list[int]:
    """Raises OptionError for what is no list of whole numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"{name} got {text!r}; write whole numbers with commas, for example 4,8.") from None


def sheets(report: dict[str, Any]) -> list[Sheet]:
    """Tokens per round, and acceptance by depth."""
    from fef.measure.table import Sheet

    shapes = report["shapes"]
    columns = [f"chain {n}" for n in shapes["chains"]] + [f"tree {n}" for n in shapes["trees"]]
    rounds, depths = list[list[str]](), list[list[str]]()
    for heat, found in report["temperatures"].items():
        for name, one in found["drafters"].items():
            cells = [f"{x['tokens_per_round']:.2f}" for x in (*one["chains"].values(), *one["trees"].values())]
            rounds.append([heat, name, *cells])
            among = ", ".join(f"{few}: {100 * share:.1f} %" for few, share in found["covered"].items())
            depths.append([heat, name, " ".join(f"{x:.2f}" for x in one["by_depth"]), among])
    more = ("acceptance by depth", "true token among the first")
    return [
        Sheet(("T", "drafter", *columns), rounds, "Tokens per round", words=None),
        Sheet(("T", "drafter", *more), depths, words=None),
    ]
