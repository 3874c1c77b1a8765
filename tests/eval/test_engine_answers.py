"""Tasks answered in the engine: the answers of one prompt at a time, kept and resumed like any others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fef.engine.text import TextEngine
from fef.eval.presets import Settings
from fef.eval.runner import run
from fef.eval.tasks import TASKS
from fef.generation import Model

SETTINGS = Settings("gsm8k", "fef", max_new_tokens=8, temperature=1.0, batch_size=3, long_prompts="cut", engine=True)


@pytest.fixture
def examples(data: Path):
    return TASKS["gsm8k"].read(data / TASKS["gsm8k"].file)


def answer(model: Model, examples, settings: Settings, **options):
    return run(model, TASKS["gsm8k"], examples, [], settings, **options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fef", {"verify": "packed", "window": 4}),
        ("fef", {"verify": "rows"}),
        ("low-confidence", {"block_length": 4, "tokens_per_step": 2}),
        ("threshold", {"block_length": 4, "threshold": 0.3}),
    ],
)
def test_the_engine_gives_the_answers_of_batches(tiny: Model, examples, method: str, options) -> None:
    temperature = 1.0 if method == "fef" else 0.0
    settings = replace(SETTINGS, method=method, options=options, temperature=temperature)
    found = answer(tiny, examples, settings)
    wanted = answer(tiny, examples, replace(settings, engine=False))
    assert [(r.index, r.text, r.tokens) for r in found] == [(r.index, r.text, r.tokens) for r in wanted]
    assert [r.right for r in found] == [r.right for r in wanted]
    other = answer(tiny, examples, replace(settings, seed=100, temperature=1.0 if method == "fef" else 0.0))
    assert (method == "fef") == ([r.text for r in other] != [r.text for r in found])


def test_a_method_without_drafts_takes_a_pass_a_token(tiny: Model, examples) -> None:
    settings = replace(SETTINGS, method="sequential", options={"verify": "packed"})
    records = answer(tiny, examples, settings)
    assert all(r.calls >= r.tokens for r in records)
    drafting = answer(tiny, examples, replace(settings, method="fef", temperature=0.0, options={"window": 8}))
    assert sum(r.calls for r in drafting) < sum(r.calls for r in records)


def test_a_stopped_run_in_the_engine_goes_on_with_what_is_missing(
    tiny: Model, examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer(tiny, examples, SETTINGS)
    stopped = tmp_path / "stopped"
    answer(tiny, examples, SETTINGS, out=stopped)
    part = stopped / "part-00000.jsonl"
    part.write_text("".join(part.read_text().splitlines(keepends=True)[:4]))
    asked: list[object] = []
    submit = TextEngine._submit_ids
    monkeypatch.setattr(
        TextEngine, "_submit_ids", lambda self, prompt, **o: asked.append(prompt) or submit(self, prompt, **o)
    )
    advanced: list[int] = []
    records = answer(tiny, examples, SETTINGS, out=stopped, on_done=advanced.append)
    assert len(asked) == len(examples) - 4
    assert (advanced[0], sum(advanced)) == (4, len(examples))
    # not the passes: windows go by measured time
    assert [(r.index, r.text, r.right) for r in records] == [(r.index, r.text, r.right) for r in whole]
    assert len((stopped / "results.jsonl").read_text().splitlines()) == len(examples)


def test_remarks_of_the_engine_reach_the_user(tiny: Model, examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fef.engine.build.CPU_MEMORY_GB", 2e-4)
    said: list[str] = []
    answer(tiny, examples, replace(SETTINGS, batch_size=64), note=said.append)
    assert any("instead of 64" in remark for remark in said)
