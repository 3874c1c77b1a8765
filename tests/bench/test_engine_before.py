"""The engine beside an older one: both answer, the same texts are found the same, and others are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine_before import ROOT, compared, main


def test_an_engine_beside_itself_gives_the_same_texts(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model", "demo", "--tasks", "word-problems", "--device", "cpu", "--dtype", "float32", "--problems", "2"]
    main([*common, "--max-new-tokens", "8", "--turns", "1", "--no-own", "--source", str(ROOT)])
    setup, before, now = map(json.loads, capsys.readouterr().out.splitlines())
    assert setup["setup"]["commit"] == "9f03768"
    assert [before["engine"], now["engine"]] == ["before", "now"]
    assert before["tokens"] == now["tokens"] > 0
    assert before["other_texts"] == 0
    assert now["now_is_faster_by"] == [1.0, 1.0, 1.0]


def test_faster_means_more_tokens_per_second_and_other_texts_are_counted() -> None:
    def turn(seconds: float, passes: int, texts: list[list[int]]) -> dict[str, Any]:
        return {"seconds": seconds, "processor": 2 * seconds, "passes": passes, "texts": texts}

    turns = [{"before": turn(s, 3, [[1, 2], [3]]), "now": turn(1.0, 2, [[1, 2], [4, 5, 6, 7]])} for s in (1, 3, 2)]
    found = compared("before", turns)
    assert found["now_is_faster_by"] == [4.0, 2.0, 6.0]
    assert (found["tokens_per_pass"], found["tokens_per_second"], found["other_texts"]) == (1.0, 1.5, 1)
    assert found["tokens_per_second_of_a_core"] == 0.8


def test_an_engine_that_ends_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fef.py").write_text("raise ImportError('broken')\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "demo", "--tasks", "word-problems", "--device", "cpu", "--no-own", "--source", str(tmp_path)])
    assert f"The engine in {tmp_path} has ended" in capfd.readouterr().err
