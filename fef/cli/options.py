"""Options that several commands share, and the reading of prompts, devices and models."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.output import Bar
from fef.errors import InputError, OptionError, nearest_hint
from fef.readers import Value, check_text, decode_text, parse_options, read_file, whole_from

if TYPE_CHECKING:
    import torch

    from fef.generation import Model

__all__ = [
    "MODEL_HELP",
    "QUESTION",
    "DeviceOption",
    "DtypeOption",
    "JsonOption",
    "MethodOption",
    "ModelOption",
    "ProblemSeedOption",
    "SetOption",
    "StepsOption",
    "TasksOption",
    "TemperatureOption",
    "TopKOption",
    "TopPOption",
    "VerifyOption",
    "WeightsOption",
    "WindowOption",
    "check_decoding",
    "check_device",
    "dtype_of",
    "load_model",
    "method_options",
    "parse_families",
    "read_prompt",
    "typed_options",
]

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"
MODEL_HELP = "A model directory, a Hugging Face repository, or demo or smol: the checkpoints that come with fef."
DTYPES = ("float32", "bfloat16", "float16")

ModelOption = Annotated[str, typer.Option("--model", help=MODEL_HELP)]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or cuda:1; by default a GPU if there is one.")
]
DtypeOption = Annotated[
    str | None,
    typer.Option("--dtype", help="float32, bfloat16 or float16; by default float32 for fef's own, else bfloat16."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", help="int8 or fp8: round the dense matrices so when loading; by default as stored."),
]
MethodOption = Annotated[str, typer.Option("--method", help="How to decode; `fef methods` lists them.")]
TemperatureOption = Annotated[float, typer.Option("--temperature", help="0 takes the most probable token.")]
TasksOption = Annotated[str, typer.Option("--tasks", help="Families of problems, with commas between them.")]
ProblemSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Draws the problems and the tokens.")]
TopPOption = Annotated[float, typer.Option("--top-p", help="Keep the likeliest tokens up to this total probability.")]
TopKOption = Annotated[int, typer.Option("--top-k", help="Keep this many tokens; 0 keeps all.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of the method, such as accept=rejection. Repeatable."),
]
WindowOption = Annotated[int | None, typer.Option("--window", help="Drafts per round; as --set window=...")]
StepsOption = Annotated[int | None, typer.Option("--steps", help="Denoising steps; as --set steps=...")]
VerifyOption = Annotated[str | None, typer.Option("--verify", help="auto, rows or packed; as --set verify=...")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def method_options(
    pairs: list[str] | None, window: int | None = None, steps: int | None = None, verify: str | None = None
) -> dict[str, Value]:
    """Options of a method from `--set` and the direct flags. Raises OptionError for one that is given both ways."""
    options = parse_options(pairs or [])
    for name, value in (("window", window), ("steps", steps), ("verify", verify)):
        if value is not None and name in options:
            raise OptionError(f"--{name} and --set {name}=... are both given; give one.")
        if value is not None:
            options[name] = value
    return options


def check_decoding(
    method: str,
    options: Mapping[str, Any],
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    max_new_tokens: int = 1,
) -> None:
    """Raise OptionError, before a model is loaded, for what none can decode with."""
    with Bar("Loading"):
        from fef.decoders import read_given
        from fef.decoding.inputs import read_seed, read_settings
    read_given(method, options)
    read_settings(temperature, top_p, top_k)
    read_seed(seed)
    whole_from("max_new_tokens", max_new_tokens, 1)


def read_prompt(prompt: str | None, file: Path | None, what: str = "prompt") -> str:
    """The prompt from the command line, a file, or standard input ("-", or nothing given and a pipe).

    One newline at the end of a file or of standard input is not part of the prompt. Raises InputError, also where nothing
    else is in there, or OptionError.
    """
    if prompt is not None and file is not None:
        raise OptionError(f"Both a {what} and --file are given; give one.")
    if file is not None:
        return piped(read_file(file), str(file), what)
    if prompt is not None and prompt != "-":
        return check_text(what, prompt)
    if prompt is None and sys.stdin.isatty():
        raise OptionError(f'No {what} is given. Write fef generate "...", use --file, or pipe text in.')
    return piped(sys.stdin.buffer.read(), "standard input", what)


def piped(raw: bytes, source: str, what: str) -> str:
    text = decode_text(raw, source).removesuffix("\n").removesuffix("\r")
    if not text:
        raise InputError(f'There is no {what} in {source}. Put one there, or ask for the empty one: fef generate "".')
    return text


def load_model(
    name: str, device: str | None = None, dtype: str | None = None, weights: str | None = None, head: str = "auto"
) -> Model:
    """Load a model, with a spinner where that takes long. Raises CheckpointError or OptionError."""
    kind = dtype_of(dtype)
    with Bar(f"Loading {Path(name).name}"):
        from fef.generation import load

        return load(name, device=check_device(device), dtype=kind, weights=weights, head=head)


def dtype_of(name: str | None) -> torch.dtype | None:
    """The type of a name. Raises OptionError for an unknown one."""
    if name is None:
        return None
    if name not in DTYPES:
        raise OptionError(f"Unknown dtype {name!r}.{nearest_hint(name, DTYPES)}")
    import torch

    return getattr(torch, name)  # type: ignore[no-any-return]


def parse_families(text: str) -> list[str]:
    """Families of problems out of `"joint,python"`. Raises OptionError for an unknown one."""
    from fef.tasks import FAMILIES

    families = [name.strip() for name in text.split(",")]
    for name in families:
        if name not in FAMILIES:
            raise OptionError(f"Unknown family {name!r}.{nearest_hint(name, FAMILIES)}")
    return list(dict.fromkeys(families))


def check_device(name: str | None) -> str:
    """`name` itself, or the default where there is none. Raises OptionError for one that this machine cannot compute on."""
    from fef.models.device import default_device, usable_device  # loads torch

    if name is None:
        return default_device()
    usable_device(name, "Use --device cpu.")
    return name


def typed_options(context: typer.Context, names: Collection[str]) -> list[str]:
    """Those of these parameters that stand on the command line, as they are written there."""
    sources = {name: context.get_parameter_source(name) for name in context.params if name in names}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return [f"--{name.rstrip('_').replace('_', '-')}" for name in typed]
