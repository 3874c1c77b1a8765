"""What small programs that measure one thing share: options out of a dataclass, and errors as one sentence."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fef.errors import FefError

__all__ = ["option", "options_of", "program", "told", "typed"]

Options = TypeVar("Options")


def option(default: Any = MISSING, help: str | None = None, **more: Any) -> Any:
    """A field that is an option of a program. more: as `ArgumentParser.add_argument` takes it, for example choices."""
    return field(default=default, metadata={"help": help} | more)


def program(kind: type[Options], words: str | None) -> Callable[[Callable[[Options], int | None]], Callable[..., None]]:
    """Makes a function of such options a program, called with its command line or with the arguments given; it may return its
    exit code. words: what it does. An error that is meant for people ends it with one sentence and the exit code 2."""

    def of(work: Callable[[Options], int | None]) -> Callable[..., None]:
        def main(given: Sequence[str] | None = None) -> None:
            try:
                code = work(options_of(kind, words, given))
            except FefError as error:
                print(f"fef: error: {error}", file=sys.stderr)
                code = 2
            except OSError as error:
                if error.filename is None:
                    raise
                print(
                    f"fef: error: {error.filename}: {error.strerror}. Give another file or folder.",
                    file=sys.stderr,
                )
                code = 2
            except KeyboardInterrupt:
                print("fef: stopped.", file=sys.stderr)
                code = 130
            if code:
                raise SystemExit(code)

        return main

    return of


def options_of(kind: type[Options], words: str | None, given: Sequence[str] | None = None) -> Options:
    """A dataclass out of the command line: `canvas_length: int = 96` is --canvas-length, and of a sequence a word has all of
    it with commas, where `option` does not say how many words there are. words: what the program does."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    hints = get_type_hints(kind)
    for each in fields(kind):  # type: ignore[arg-type]
        parser.add_argument(f"--{each.name.replace('_', '-')}", **argument(each, hints[each.name]))
    return kind(**vars(parser.parse_args(given)))


def argument(each: Field[Any], hint: Any) -> dict[str, Any]:
    """How the parser takes it. None is no value of the command line, so of `int | None` only numbers are."""
    said: dict[str, Any] = {"required": True} if each.default is MISSING else {"default": each.default}
    (read,) = {*get_args(hint)} - {NoneType} if NoneType in get_args(hint) else {hint}
    if get_origin(read) is Sequence:
        [part] = get_args(read)
        if "nargs" in each.metadata:
            return {"type": part} | said | each.metadata

        def several(word: str) -> list[Any]:
            return [part(one) for one in word.split(",")]

        several.__name__ = f"list of {part.__name__}"  # as argparse calls it where a word is none
        return {"type": several} | said | each.metadata
    if read is bool:
        return {"action": argparse.BooleanOptionalAction} | said | each.metadata
    return {"type": read} | said | each.metadata


def typed(*program: str) -> str:
    """The command line, as it was typed: what stands behind `python`, a file or -m and a module, and the options."""
    return shlex.join(["python", *program, *sys.argv[1:]])


def told(**facts: Any) -> None:
    """One JSON line on standard output."""
    print(json.dumps(facts, default=str), flush=True)
