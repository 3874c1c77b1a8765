"""Rows of the bench of drafts: which there are, what a line says, and what a file keeps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from fef.bench.engine.drafts import Options, Rounds
from fef.bench.engine.drafts_page import ServedRow, ShapeRow

ASKED = Options(rows=["chosen", "chains", "trees"], problems=1319, batch=[1, 8, 64], chains=[0, 4], tree=[16])
CHAINS = ShapeRow("chains of 4", rounds=10, rows=40, predicted=90.0, tokens=100, seconds=0.0021)
ROW = ServedRow(64, 0.7, "chosen by cost", True, 9, 120, 60, 2.0, differ=1, captured=2, shapes=[CHAINS])


def test_rows_are_those_asked_for_each_with_the_options_of_its_engine() -> None:
    assert list(ASKED.rounds()) == [
        Rounds("chosen by cost", True, {}),
        Rounds("one token", False, {"windows": (0,)}),
        Rounds("chains of 4", False, {"windows": (4,)}),
        Rounds("trees of 16", False, {"tree": (16,), "windows": ()}),
        Rounds("trees of 16", True, {"tree": (16,), "windows": ()}),
    ]
    assert [rounds.name for rounds in replace(ASKED, rows=["causal", "chosen"]).rounds()] == ["chosen by cost"]


def test_a_batch_answers_its_share_of_the_prompts_and_never_too_few() -> None:
    assert [ASKED.share(batch) for batch in (1, 8, 64)] == [20, 164, 1319]
    assert replace(ASKED, problems=192).share(1) == 16


def test_a_file_keeps_rows_as_they_are() -> None:
    assert ServedRow(**json.loads(json.dumps(asdict(ROW)))) == ROW
