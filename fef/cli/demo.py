"""`fef demo`: three built-in problems, four decoders, one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from fef.cli.options import JsonOption, ModelOption, load_model
from fef.cli.output import Bar, print_json, print_table

if TYPE_CHECKING:
    from fef.generation import Model
    from fef.tasks import Problem
    from fef.text import Generation

__all__ = ["EXAMPLE", "demo"]

EXAMPLE = "Example: [bold]fef demo[/bold]"

DECODERS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("sequential", "sequential", {}),
    ("low-confidence, 1 token per step", "low-confidence", {}),
    ("low-confidence, 4 tokens per step", "low-confidence", {"tokens_per_step": 4}),
    ("fef", "fef", {}),
)


@dataclass(frozen=True)
class Outcome:
    """One problem answered by one decoder."""

    problem: Problem
    decoder: str
    out: Generation
    right: bool

    @property
    def tokens(self) -> int:
        return len(self.out.token_ids) + (self.out.finish_reason == "stop")

    @property
    def tokens_per_call(self) -> float:
        return self.tokens / max(1.0, self.out.stats["calls"])


def demo(model: ModelOption = "demo", json: JsonOption = False) -> None:
    """Answer three built-in problems offline with four decoders, and compare what they cost."""
    from fef.tasks import demo_problems

    problems = demo_problems()
    loaded = load_model(model)
    loaded.generate(problems[0].prompt, max_new_tokens=8)  # the first pass of a process is slow; keep it off the table
    with Bar("Decoding", len(problems) * len(DECODERS)) as bar:
        outcomes = [outcome for problem in problems for outcome in answer(loaded, problem, bar)]
    if json:
        print_json([as_dict(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.decoder == "fef":
            typer.echo(f"{outcome.problem.family}\n> {outcome.problem.prompt}\n{outcome.out.text}\n")
    print_table(outcomes_table(outcomes))
    certificate = outcomes[-1].out.certificate
    typer.echo(f"Law that fef sampled ({certificate.kind}): {certificate.law}")


def answer(model: Model, problem: Problem, bar: Bar) -> list[Outcome]:
    from fef.tasks import score

    outcomes = []
    for label, method, options in DECODERS:
        out = model.generate(problem.prompt, method=method, **options)
        outcomes.append(Outcome(problem, label, out, score(problem, out.text)))
        bar.advance(1)
    return outcomes


def as_dict(outcome: Outcome) -> dict[str, object]:
    return {
        "family": outcome.problem.family,
        "prompt": outcome.problem.prompt,
        "decoder": outcome.decoder,
        "text": outcome.out.text,
        "right": outcome.right,
        "calls": int(outcome.out.stats["calls"]),
        "tokens_per_call": outcome.tokens_per_call,
        "seconds": outcome.out.stats["seconds"],
        "certificate": outcome.out.certificate.to_dict(),
    }


def outcomes_table(outcomes: list[Outcome]) -> Table:
    table = Table(header_style="bold")
    for name in ("problem", "method", "answer"):
        table.add_column(name)
    for name in ("passes", "tokens per pass", "seconds"):
        table.add_column(name, justify="right")
    for number, outcome in enumerate(outcomes):
        if number and number % len(DECODERS) == 0:
            table.add_section()
        table.add_row(
            escape(outcome.problem.family),
            outcome.decoder,
            "right" if outcome.right else "wrong",
            str(int(outcome.out.stats["calls"])),
            f"{outcome.tokens_per_call:.2f}",
            f"{outcome.out.stats['seconds']:.2f}",
        )
    return table
