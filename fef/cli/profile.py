"""`fef profile`: measure the information profile of a model, which the method `schedule` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from fef.cli.options import MODEL_HELP, DeviceOption, JsonOption, load_model, parse_families
from fef.cli.output import Bar, print_json, print_table
from fef.errors import OptionError
from fef.files import check_writable, write_whole

if TYPE_CHECKING:
    from fef.laws.information import Profile
    from fef.text import Prompt

__all__ = ["EXAMPLE", "profile"]

EXAMPLE = (
    "Example: [bold]fef profile demo --n 24 --points 8 --out profile.json[/bold]\n\n"
    "Example: [bold]fef profile my-model --data pairs.jsonl --out my-model/profile.json[/bold]"
)
FAMILIES = "word-problems,python,joint"


def profile(
    out: Annotated[Path, typer.Option("--out", help="The file; profile.json in a model directory is found by itself.")],
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "demo",
    n: Annotated[int, typer.Option("--n", min=1, help="Texts per family; with --data, at most this many.")] = 200,
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", help=f"Families of problems, with commas between them; by default {FAMILIES}."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help='Instead: a JSONL file of {"prompt": ..., "response": ...}, for checkpoints with a chat template also of '
            '{"messages": ...}.',
        ),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Numbers of revealed tokens to measure at.")] = 16,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    drop_long: Annotated[
        bool, typer.Option("--drop-long", help="Leave out responses that are too long instead of refusing them.")
    ] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Texts per pass.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the problems and the orders.")] = 0,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how uncertain a model is of a token once k others, in a random order, are revealed.

    Each text takes a forward pass at each of the --points: the 600 texts of the defaults take demo about 4.5 minutes on 2 CPU
    cores, and --n 24 --points 8 a twentieth of that.
    """
    check_writable(out, data)
    refuse_both(tasks, data)
    loaded = load_model(model, device)
    pairs = texts(tasks, data, n, seed, loaded.template is not None)
    if drop_long:
        kept = [pair for pair in pairs if len(loaded.text_ids("response", pair[1])) <= max_new_tokens]
        typer.echo(f"{len(pairs) - len(kept)} of {len(pairs)} texts left out as too long.", err=True)
        pairs = kept
    with Bar(f"Measuring {loaded.name}", len(pairs)) as bar:
        found = loaded.profile(
            pairs,
            max_new_tokens=max_new_tokens,
            points=points,
            seed=seed,
            batch_size=batch_size,
            on_done=bar.advance,
        )
    from fef.models.profile import profile_json

    write_whole(out, profile_json(found) + "\n")
    steps = [k for k in (4, 8, 16, 32, 64, 128) if k < max_new_tokens]
    rows = [{"steps": k, **schedule_errors(found, k)} for k in steps]
    if json:
        print_json(
            {"out": str(out), "texts": found.texts, "nats": found.nats, "errors": found.errors, "schedules": rows}
        )
        return
    typer.echo(
        f"Wrote {out}: {found.nats[0]:.3f} nats per token with nothing revealed, {found.nats[-1]:.3f} with all others; "
        f"standard error at most {max(found.errors):.3f}; {found.texts} texts."
    )
    print_table(schedules_table(rows))


def refuse_both(tasks: str | None, data: Path | None) -> None:
    if data is not None and tasks is not None:
        raise OptionError("--tasks and --data are both given; give one.")
    parse_families(tasks or FAMILIES)


def texts(tasks: str | None, data: Path | None, n: int, seed: int, chat: bool) -> list[tuple[Prompt, str]]:
    """Prompts and responses; of a file for a checkpoint with a chat template, conversations and their answers.

    Of the built-in families those of the training split: what is measured shapes a decoder, so held-out problems must not.
    """
    with Bar("Drawing texts"):
        from fef.tasks import generate
        from fef.training.conversations import read_answers
        from fef.training.data import read_pairs

        if data is not None and chat:
            return [(answer.before, answer.response) for answer in read_answers(data)[:n]]
        if data is not None:
            return list(read_pairs(data)[:n])
        families = parse_families(tasks or FAMILIES)
        return [(p.prompt, p.response) for family in families for p in generate(family, n, seed)]


def schedule_errors(found: Profile, steps: int) -> dict[str, float]:
    """KL(joint || sampled law), nats per text, of the best schedule and of an even one of as many steps."""
    from fef.laws.information import optimal_counts, schedule_error

    length = len(found.nats)
    even = [length // steps + (step < length % steps) for step in range(steps)]
    best = optimal_counts(found.nats, length, steps)
    return {"best_nats": schedule_error(found.nats, best), "even_nats": schedule_error(found.nats, even)}


def schedules_table(rows: list[dict[str, float]]) -> Table:
    table = Table(title="KL(joint || sampled law) of a text, nats", header_style="bold")
    for name in ("steps", "best schedule", "even steps"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(f"{row['steps']}", f"{row['best_nats']:.2f}", f"{row['even_nats']:.2f}")
    return table
