"""`fef generate`: answer one prompt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from fef.cli.options import (
    QUESTION,
    DeviceOption,
    DtypeOption,
    JsonOption,
    MethodOption,
    ModelOption,
    SetOption,
    StepsOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    VerifyOption,
    WeightsOption,
    WindowOption,
    check_decoding,
    load_model,
    method_options,
    read_prompt,
)
from fef.cli.output import Bar, print_json, stderr
from fef.errors import OptionError
from fef.files import check_writable, write_whole
from fef.readers import check_text

if TYPE_CHECKING:
    from fef.cli.watch import CanvasView
    from fef.decoding.session import Round
    from fef.generation import Model
    from fef.laws.row_costs import RowCosts
    from fef.text import Generation, Prompt

__all__ = ["EXAMPLE", "generate"]

CostsOption = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        help="Refuse drafts that make decoding slower, by the times of passes in this file; measured if there is none.",
    ),
]

EXAMPLE = (
    f'Example: [bold]fef generate "{QUESTION}" --watch[/bold]\n\n'
    "Example: [bold]cat question.txt | fef generate --temperature 0.7 --seed 3 --set accept=rejection --json[/bold]"
)


def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt; - or nothing reads standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the prompt from this UTF-8 file.")] = None,
    model: ModelOption = "demo",
    suffix: Annotated[str, typer.Option("--suffix", help="Text that follows the answer (infilling).")] = "",
    method: MethodOption = "fef",
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    top_k: TopKOption = 0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same text.")] = 0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    window: WindowOption = None,
    steps: StepsOption = None,
    verify: VerifyOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
    chat: Annotated[bool, typer.Option("--chat", help="Send the prompt through the model's chat template.")] = False,
    costs: CostsOption = None,
    force: Annotated[bool, typer.Option("--force", help="With --costs: decode also where it is slower.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the canvas as it fills (on a terminal).")] = False,
    json: JsonOption = False,
) -> None:
    """Answer a prompt, and say which law was sampled and what it cost."""
    text = read_prompt(prompt, file)
    check_text("suffix", suffix)
    options = method_options(set_, window, steps, verify)
    check_decoding(
        method,
        options,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        max_new_tokens=max_new_tokens,
    )
    if force and costs is None:
        raise OptionError("--force decodes against what --costs says; give both, or leave --force out.")
    if costs is not None and not costs.exists():
        check_writable(costs)
    loaded = load_model(model, device, dtype, weights)
    asked: Prompt = [{"role": "user", "content": text}] if chat else text
    view = canvas_view(loaded, asked, max_new_tokens, suffix)
    if costs is not None:
        loaded.costs = row_costs(costs, loaded, len(loaded.canvas(asked, max_new_tokens, suffix)[0]))
    with display(view, watch) as show:
        out = loaded.generate(
            asked,
            method=method,
            max_new_tokens=max_new_tokens,
            suffix=suffix,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            on_round=show,
            force=force,
            **options,
        )
    if json:
        print_json(as_dict(out) | {"method": method, "options": options, "seed": seed})
    else:
        typer.echo(out.text)
        typer.echo(f"{out.certificate.kind}: {out.certificate.law}", err=True)
        typer.echo(cost_line(out), err=True)
    if loaded.template is not None and not chat:
        typer.echo(f"{loaded.name} has a chat template, which this prompt did not have: --chat gives it one.", err=True)


def row_costs(file: Path, model: Model, length: int) -> RowCosts:
    """The table in `file`; if there is no such file, measured at `length` positions and written there."""
    from fef.models.row_costs import load_row_costs, measure_row_costs, row_costs_json

    if file.exists():
        return load_row_costs(file, model.network)
    with Bar("Measuring passes of several sequences"):
        found = measure_row_costs(model.network, length)
    write_whole(file, row_costs_json(found))
    table = ", ".join(f"{rows}: {ms:.1f} ms" for rows, ms in zip(found.rows, found.milliseconds, strict=True))
    typer.echo(f"Measured passes by number of sequences of {length} positions ({table}); wrote {file}.", err=True)
    return found


def canvas_view(model: Model, prompt: Prompt, max_new_tokens: int, suffix: str) -> CanvasView:
    from fef.cli.watch import CanvasView

    _, start, stop = model.canvas(prompt, max_new_tokens, suffix)
    return CanvasView(start=start, stop=stop, eos_id=model.network.config.eos_id, decode=model.tokenizer.decode)


class display(AbstractContextManager["Callable[[Round], None]"]):
    """Gives the observer of rounds: the live view if wanted and on a terminal, else a late progress bar."""

    def __init__(self, view: CanvasView, watch: bool) -> None:
        console = stderr()
        self.view = view
        self.live = Live(view.render(), console=console, auto_refresh=False) if watch and console.is_terminal else None
        self.bar = Bar("Decoding", len(view.kinds), console)

    def __enter__(self) -> Callable[[Round], None]:
        if self.live is not None:
            self.live.__enter__()
            return self.draw
        self.bar.__enter__()
        return self.count

    def draw(self, round_: Round) -> None:
        assert self.live is not None
        self.view.update(round_)
        self.live.update(self.view.render(), refresh=True)

    def count(self, round_: Round) -> None:
        self.view.update(round_)
        self.bar.update(self.view.filled, f"Decoding, pass {self.view.step + 1}")

    def __exit__(self, *exception: Any) -> None:
        (self.bar if self.live is None else self.live).__exit__(*exception)


def as_dict(out: Generation) -> dict[str, Any]:
    return {
        "text": out.text,
        "token_ids": out.token_ids,
        "logprobs": out.logprobs,
        "finish_reason": out.finish_reason,
        "stats": out.stats,
        "certificate": out.certificate.to_dict(),
    }


def cost_line(out: Generation) -> str:
    """Passes, tokens (the end token among them), tokens per pass, seconds."""
    calls, tokens = int(out.stats["calls"]), len(out.token_ids) + (out.finish_reason == "stop")
    return (
        f"{calls} passes, {tokens} tokens, {tokens / max(1, calls):.2f} tokens per pass, {out.stats['seconds']:.2f} s"
    )
