"""`fef verify`: measure what every certificate says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.options import JsonOption
from fef.cli.output import Bar, print_json, print_sheet
from fef.errors import OptionError

if TYPE_CHECKING:
    import torch

    from fef.measure.record import Key
    from fef.measure.table import Sheet
    from fef.verify.setting import Effort, Measured, Setting
    from fef.verify.suite import Verdict

__all__ = ["EXAMPLE", "verify"]

EXAMPLE = "Example: [bold]fef verify sequential fef[/bold]"

LEGEND = (
    "TV: total variation between the law measured and the one declared, 0 where they are equal; p: the p-value of a test "
    "on samples. Where no law is declared, the TV to the law that the method imitates, which has to be well above 0."
)


def verify(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Methods; all of them, if none is named.")
    ] = None,
    slow: Annotated[bool, typer.Option("--slow", help="More settings, samples and denoisers: many minutes.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Run decoders broken on purpose instead: each must be caught.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Verify this checkpoint's network, on short canvases of a few of its tokens."),
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="What the certificates of the engine say, on texts of its requests.")
    ] = False,
    device: Annotated[str, typer.Option(help="With --engine: where networks run, for example cuda.")] = "cpu",
    json: JsonOption = False,
) -> None:
    """Run the exactness suite: the law of every method, on tables, a tiny network and a Markov oracle.

    Laws are integrated over every random decision of the real loop, or tested on samples, against references by plain
    recursion. Exits with 1 if a certificate says what is not so, or could not be checked.
    """
    with Bar("Loading"):
        from fef.models.device import usable_device
        from fef.verify.checkpoint import CHECKPOINT_EFFORT
        from fef.verify.engine import ENGINE_EFFORT
        from fef.verify.setting import SLOW, Effort
    usual = CHECKPOINT_EFFORT if model else ENGINE_EFFORT if engine else Effort()
    effort = SLOW if slow else usual
    if self_test and engine:
        raise OptionError("--self-test breaks the loop on purpose; leave out --engine.")
    if self_test and methods:
        raise OptionError(f"--self-test runs decoders of its own; leave out {' '.join(methods)}.")
    if self_test and model:
        raise OptionError(f"--self-test breaks decoders of tables and tiny networks; leave out --model {model}.")
    if self_test:
        passed = run_self_test(effort, json)
    else:
        passed = run_suite(methods or [], slow, effort, json, usable_device(device) if engine else None, model)
    if not passed:
        raise typer.Exit(1)


def run_suite(
    methods: Sequence[str], slow: bool, effort: Effort, json: bool, engine: torch.device | None, model: str | None
) -> bool:
    """engine: the device of the engine that is verified; the loop is, if there is none. model: a checkpoint, else tables and
    tiny networks."""
    from fef.verify.checks import check
    from fef.verify.engine import engine_check, in_engine
    from fef.verify.suite import settings_of, verdict, verdicts

    chosen: Sequence[Setting] = settings_of(methods, slow=slow)
    if model is not None:
        chosen = settings_on(model, chosen)
    held, here = (check, chosen) if engine is None else (engine_check, [in_engine(s, str(engine)) for s in chosen])
    work: dict[Key, Callable[[], Verdict]] = {
        (setting.method, setting.words, str(number)): partial(verdict, setting, effort, held)
        for number, setting in enumerate(here, start=1)
    }
    with Bar("Verifying", len(work)) as bar:
        found = verdicts(work, bar)
    if json:
        print_json([v.to_dict() for v in found])
    else:
        print_sheet(verdicts_sheet(found))
        typer.echo(f"{sum(v.passed for v in found)} of {len(found)} settings hold.")
        for v in found:
            for m in v.failures:
                typer.echo(f"failed: {v.setting.method} ({v.setting.words}), {m.subject}: {figures(m)}")
    return all(v.passed for v in found)


def settings_on(model: str, settings: Sequence[Setting]) -> list[Setting]:
    """Those that a checkpoint can run; says which ones are left out."""
    from fef.cli.options import load_model
    from fef.models.transformer import Transformer
    from fef.verify.checkpoint import FewTokens, on_checkpoint

    network = load_model(model, "cpu").network
    if not isinstance(network, Transformer):
        raise OptionError(f"{model} is not a network of this package; its own conditionals cannot be listed here.")
    found = list(on_checkpoint(settings, FewTokens.of(network, model)))
    left_out = [one for one in found if isinstance(one, tuple)]
    for setting, why in left_out:
        typer.echo(f"left out: {setting.method} ({setting.words}): {why}", err=True)
    here = [one for one in found if not isinstance(one, tuple)]
    if not here:
        raise OptionError(f"{model} runs none of these settings. Name other methods, or none for all.")
    return here


def run_self_test(effort: Effort, json: bool) -> bool:
    from fef.measure.table import Sheet
    from fef.verify.suite import verdict, verdicts
    from fef.verify.twins import TWINS, caught

    with Bar("Verifying", len(TWINS)) as bar:
        found = verdicts({(fault,): partial(verdict, setting, effort) for fault, setting in TWINS.items()}, bar)
    named = list(zip(TWINS, found, strict=True))
    if json:
        print_json([{"fault": fault, "caught": caught(v), **v.to_dict()} for fault, v in named])
    else:
        lines = []
        for fault, v in named:
            seen = next((m for m in v.measured if not m.made), v.failures[0] if v.failures else v.law_measured)
            answer = "yes" if caught(v) else "MISSED" if v.made else "NOT MADE"
            lines.append([fault, v.kind or "unknown", f"{seen.subject}: {figures(seen)}", answer])
        print_sheet(Sheet(("fault", "called", "seen in", "caught"), lines, words=None, framed=False))
    return all(map(caught, found))


def verdicts_sheet(found: Sequence[Verdict]) -> Sheet:
    from fef.measure.table import Sheet

    lines = []
    for v in found:
        m = v.law_measured
        declared = v.law if v.kind in (None, "none") else f"{v.kind}: {v.law}"
        samples = "" if v.p_value is None or m.p_value is not None else f"; samples: p {v.p_value:.2g}"
        lines.append(
            [v.setting.method, v.setting.words, declared, figures(m) + samples, "holds" if v.passed else "FAILS"]
        )
    header = ("method", "setting", "declared law", "measured", "verdict")
    return Sheet(header, lines, caption=LEGEND, words=None, framed=False)


def distance(m: Measured) -> str:
    if m.distance is None:
        return m.note
    if m.interval is None:
        return f"{m.distance:.2g}"
    return f"{m.distance:.3f} ({m.interval[0]:.3f} to {m.interval[1]:.3f})"


def figures(m: Measured) -> str:
    parts = [distance(m) if m.distance is None else f"TV {distance(m)} by {m.how}"]
    parts += [f"p {m.p_value:.2g}"] if m.p_value is not None else []
    return ", ".join(parts)
