"""Public names say what they are, their shapes, units, errors and sources: a walk over all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import pytest
import site_pages
import torch

import fef

# Named in annotations of public calls, and described elsewhere: by their library, or as a type of Python's.
KNOWN = {
    "AbstractContextManager",
    "Any",
    "Callable",
    "Generator",
    "Iterator",
    "Literal",
    "Mapping",
    "None",
    "Path",
    "Self",
    "Sequence",
    "Tensor",
}
# What parts of the package ask of each other through public classes.
INSIDE = {"Asked", "ChatTemplate", "GrammarText", "Guarded", "Held", "PackedRounds", "Plan", "SessionRounds"}
SOURCE = r"arXiv|\b\d{4}\.\d{5}\b"
# What comes out of a paper.
PUBLISHED = ("decode", "information_profile", "Profile", "AbsorbingNoise", "UniformNoise")
REFUSES = r"\braise (?!AssertionError)\w*Error|\bcheck_\w+\(|\bwhole_from\("


@dataclass(frozen=True)
class Public:
    """A public name: of a class also what stands at its fields."""

    name: str
    value: Any
    text: str

    @property
    def call(self) -> inspect.Signature | None:
        return inspect.signature(self.value) if inspect.isfunction(self.value) else None


def walk(cls_or_call: Any, name: str) -> Iterator[Public]:
    """A public object, and the public methods and properties of a class, inherited ones too."""
    lines = site_pages.field_lines(cls_or_call) if inspect.isclass(cls_or_call) else ""
    yield Public(name, cls_or_call, f"{cls_or_call.__doc__ or ''}\n{lines}")
    if inspect.isclass(cls_or_call) and not issubclass(cls_or_call, Exception):
        for base in cls_or_call.__mro__:
            if base.__module__.startswith("fef"):
                for member, each in site_pages.members(base).items():
                    inner = each.__func__ if isinstance(each, classmethod | staticmethod) else each
                    yield Public(f"{name}.{member}", inner, inspect.getdoc(inner) or "")


ALL = [each for name in site_pages.public_names() for each in walk(site_pages.find(name), name)]
CALLS = [each for each in ALL if each.call is not None]


def lacks_text(each: Public) -> bool:
    return not inspect.getdoc(each.value) or (
        is_dataclass(each.value) and each.value.__doc__.startswith(f"{each.value.__name__}(")
    )


def lacks_shape(each: Public) -> bool:
    """Does it give or take a tensor whose shape it does not say?"""
    call = each.call
    said = re.search(r"\[[A-Z0-9.][^]]*\]|the shape of", each.text) or re.search(r"_[A-Z]+\b", str(call or ""))
    kinds = (
        [str(p.annotation) for p in call.parameters.values()] + [str(call.return_annotation)] if call else [each.text]
    )
    return any(re.search(r"(?<![\w\[, ]{2})\bTensor\b", without_callables(kind)) for kind in kinds) and not said


def without_callables(kind: str) -> str:
    return re.sub(r"Callable\[.*?\], ?\w+\]|Callable\[\.\.\., ?\w+\]", "", kind)


def lacks_unit(each: Public) -> bool:
    """Does it hold a log-probability or a time, and not say in what unit?"""
    names = [field.name for field in fields(each.value)] if is_dataclass(each.value) else []
    logs = any(re.fullmatch(r"logprobs?|log_mass", name) for name in names)
    times = any(re.fullmatch(r"began|ended|time|cost", name) for name in names)
    return (logs and "nats" not in each.text) or (times and not re.search("second|ms", each.text))


def lacks_errors(each: Public) -> bool:
    """Does it refuse something, or take it from a user at the front door, and not say what it raises?"""
    if each.call is None:
        return False
    front = each.name in fef.__all__ and bool(each.call.parameters)
    return (front or refuses(each.value)) and not re.search(r"\bRaises?\b", each.text)


def refuses(call: Any) -> bool:
    return re.search(REFUSES, inspect.getsource(call)) is not None


def lacks_source(each: Public) -> bool:
    return each.name in PUBLISHED and not re.search(SOURCE, each.text)


@pytest.mark.parametrize("lacks", [lacks_text, lacks_shape, lacks_unit, lacks_errors, lacks_source])
def test_no_public_name_lacks_it(lacks: Any) -> None:
    assert [each.name for each in ALL if lacks(each)] == []


def test_every_method_names_its_paper_or_is_a_plain_one() -> None:
    unnamed = [name for name, info in fef.methods().items() if not re.search(SOURCE, info.paper)]
    assert set(unnamed) <= {"sequential"}


def test_what_public_calls_give_back_is_public_too() -> None:
    """So that the walk above sees it."""
    public = {name.rpartition(".")[2] for name in site_pages.public_names()}
    given = {word for each in CALLS for word in re.findall(r"\b[A-Z]\w+", str(each.call.return_annotation))}  # type: ignore[union-attr]
    assert given <= public | KNOWN | INSIDE


# --- negative twins ---


def bad_call(ids_BL: torch.Tensor) -> torch.Tensor:
    if ids_BL.numel() == 0:
        raise fef.InputError("ids are empty.")
    return ids_BL


def bad_shape(ids: torch.Tensor) -> torch.Tensor:
    """The ids themselves."""
    return ids


@dataclass
class BadRecord:
    """A record of logprobs."""

    logprobs: list[float]


def test_what_is_lacking_is_seen() -> None:
    call, shape, record = (next(walk(value, "decode")) for value in (bad_call, bad_shape, BadRecord))
    assert lacks_text(call)
    assert not lacks_text(shape)
    assert not lacks_shape(call)
    assert lacks_shape(shape)
    assert lacks_errors(call)
    assert lacks_errors(shape)
    assert lacks_unit(record)
    assert lacks_source(shape)
