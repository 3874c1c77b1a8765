"""The page about methods says something about every method and each of its options, and one command runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest

import fef

PAGE = (Path(__file__).parents[1] / "docs" / "methods.md").read_text("utf-8")
SECTIONS = {part.partition("`")[0]: part for part in PAGE.split("\n### `")[1:]}


def test_it_has_a_section_and_a_cell_for_each_method_and_no_other() -> None:
    assert SECTIONS.keys() == fef.methods().keys()
    table = next(part for part in PAGE.split("\n\n") if part.startswith("| method "))
    assert all(f"`{name}`" in table for name in fef.methods())


@pytest.mark.parametrize("method", fef.methods())
def test_a_section_names_every_option(method: str) -> None:
    words = SECTIONS[method]
    missing = [name for name in fef.methods()[method].options if f"`{name}`" not in words and f"`{name}=" not in words]
    assert not missing


def test_the_command_that_runs_them_all_leaves_none_out() -> None:
    script = (Path(__file__).parent / "every_method.sh").read_text("utf-8")
    jobs = script.partition("\nmethods=(")[2].partition(")\n")[0].split()
    assert sorted(jobs) == sorted(fef.methods())
