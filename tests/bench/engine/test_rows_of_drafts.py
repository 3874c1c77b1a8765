"""Rows of the bench of drafts: which there are, what a line says, and what a file keeps."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from fef.bench.engine.drafts import Options, Rounds
from fef.bench.engine.rows import ENGINE, Served, ShapeRow
from fef.measure.fields import fitted

ASKED = Options(rows=["chosen", "chains", "trees"], problems=1319, batch=[1, 8, 64], chains=[0, 4], tree=[16])
CHAINS = ShapeRow("chains of 4", rounds=10, rows=40, predicted=90.0, tokens=100, seconds=0.0021)
ROW = Served(64, "chosen by cost", ENGINE, 9, 2.0, 120, 60, temperature=0.7, differ=1, captured=2, shapes=[CHAINS])


def test_rows_are_those_asked_for_each_with_the_options_of_its_engine() -> None:
    assert list(ASKED.rounds.values()) == [
        Rounds("chosen by cost, head"),
        Rounds("one token", {"windows": (0,)}),
        Rounds("chains of 4", {"windows": (4,)}),
        Rounds("trees of 16", {"tree": (16,), "windows": ()}, head=False),
        Rounds("trees of 16, head", {"tree": (16,), "windows": ()}),
    ]
    assert list(replace(ASKED, rows=["causal", "chosen"]).rounds) == ["chosen by cost, head", "left to right"], (
        "the first is what others are compared with"
    )


def test_a_batch_answers_its_share_of_the_prompts_and_never_too_few() -> None:
    assert [ASKED.share(batch) for batch in (1, 8, 64)] == [20, 164, 1319]
    assert replace(ASKED, problems=192).share(1) == 16


def test_a_file_keeps_rows_as_they_are() -> None:
    assert fitted(Served, json.loads(json.dumps(asdict(ROW)))) == ROW
