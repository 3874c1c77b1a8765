"""The page of released shapes, of several records made by hand."""

from __future__ import annotations

import pytest

from fef.bench.engine.released_page import RELEASED_KIND, PassTime, released_page
from fef.measure.record import Record
from tests.made_records import ENVIRONMENT


def record(network: str, command: str = "", finished: bool = True) -> Record:
    rows = {PassTime: [PassTime(network, 1, "full", 512, 11.8, 15.0, 0.3)]}
    return Record(RELEASED_KIND, command, {"environment": ENVIRONMENT}, {"bandwidth": 4e12}, rows, finished=finished)


def test_records_of_one_command_are_said_to_be_of_one() -> None:
    page, _ = released_page("released", {"1": record("first"), "2": record("second")})
    assert page.count("```") == 2 and "the results of this command" in page
    assert "| first | 1 | full |" in page and "| second | 1 | full |" in page
    assert "Unfinished" not in page


def test_every_command_of_a_page_is_told() -> None:
    page, _ = released_page("released", {"1": record("first", "python one"), "2": record("second", "python two")})
    assert "```\npython one\n```\n\n```\npython two\n```" in page and "the results of these commands" in page


@pytest.mark.parametrize("cut", [0, 1])
def test_any_record_that_was_cut_short_is_told(cut: int) -> None:
    page, _ = released_page(
        "released", dict(enumerate([record("first", finished=cut != 0), record("second", finished=cut != 1)]))
    )
    assert "run was interrupted, so networks are missing" in page
