"""`fef chat`: a conversation on the terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.options import (
    QUESTION,
    DeviceOption,
    DtypeOption,
    MethodOption,
    ModelOption,
    SetOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    WeightsOption,
    check_decoding,
    load_model,
    method_options,
)
from fef.cli.output import Bar, error_line
from fef.errors import InputError, OptionError
from fef.readers import check_text, decode_text

if TYPE_CHECKING:
    from fef.generation import Model
    from fef.text import Generation, Prompt

__all__ = ["EXAMPLE", "chat"]

EXAMPLE = (
    "Example: [bold]fef chat --model GSAI-ML/LLaDA-8B-Instruct --temperature 0.7[/bold]\n\n"
    f'Example: [bold]echo "{QUESTION}" | fef chat[/bold]'
)


def chat(
    model: ModelOption = "demo",
    system: Annotated[str | None, typer.Option("--system", help="What the model is told before the talk.")] = None,
    method: MethodOption = "fef",
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    top_k: TopKOption = 0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and words give the same answers.")] = 0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    set_: SetOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
) -> None:
    """Talk with a model, one line per turn; an empty line or Ctrl-D ends the talk.

    A checkpoint without a chat template, such as demo, gets each line as a prompt of its own.
    """
    options: dict[str, Any] = dict(method_options(set_))
    sampling: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    check_decoding(method, options, **sampling, seed=seed, max_new_tokens=max_new_tokens)
    if system is not None:
        check_text("system message", system)
    loaded = load_model(model, device, dtype, weights)
    from fef.api import certify

    if system is not None and loaded.template is None:
        raise OptionError(f"{loaded.name} has no chat template, so it takes no --system.")
    certify(loaded.network, method=method, **sampling, **options)
    loaded.canvas_behind([], max_new_tokens, "")
    if sys.stdin.isatty():
        typer.echo(greeting(loaded), err=True)
    messages = [] if system is None else [{"role": "system", "content": system}]
    while line := next_line():
        asked = [*messages, {"role": "user", "content": line}]
        settings = {**sampling, "seed": seed, **options}
        try:
            out = answer(loaded, line if loaded.template is None else asked, method, max_new_tokens, settings)
        except InputError as error:  # such as a talk that has grown too long; what was said before stays
            error_line(str(error))
            continue
        typer.echo(out.text)
        messages = [*asked, {"role": "assistant", "content": out.text}]


def greeting(model: Model) -> str:
    """What can be asked, and how to leave."""
    if model.name == "demo":
        what = (
            "demo answers the problems that it was trained on, and nothing else: word problems with numbers below 200, small "
            f"Python functions, digits and words in an order. Ask, for example: {QUESTION}"
        )
    elif model.template is None:
        what = f"{model.name} has no chat template: each line is a prompt of its own."
    else:
        what = f"You talk with {model.name}, which hears all that was said before."
    return f"{what}\nAn empty line or Ctrl-D ends the talk."


def next_line() -> str:
    """The next line of the user, empty at the end. A terminal has a prompt sign and line editing.

    Raises InputError for a line that is not UTF-8.
    """
    if not sys.stdin.isatty():
        return decode_text(sys.stdin.buffer.readline(), "A line of standard input").rstrip("\r\n")
    with suppress(ImportError):  # not everywhere; `input` finds it by itself
        import readline  # noqa: F401
    try:
        return check_text("line", input("> "))
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise InputError(f"The line is not UTF-8 (byte {error.start}). Set the terminal to UTF-8.") from error


def answer(model: Model, prompt: Prompt, method: str, max_new_tokens: int, settings: dict[str, Any]) -> Generation:
    with Bar("Answering"):
        return model.generate(prompt, method=method, max_new_tokens=max_new_tokens, **settings)
