"""The runner: one process or several, in one go or stopped anywhere, give the same results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fef.errors import InputError, OptionError, SandboxError
from fef.eval.presets import Settings
from fef.eval.runner import run
from fef.eval.tasks import TASKS
from fef.generation import Model
from fef.measure.answers import totals
from fef.measure.journal import begin, read_answers
from fef.text import Generation
from fef.training.processes import Processes

SETTINGS = Settings("gsm8k", "fef", max_new_tokens=8, temperature=1.0, batch_size=2, long_prompts="cut")


class Alone(Processes):
    """A process whose fellows run before or after it."""

    def wait(self) -> None:
        pass


@pytest.fixture
def examples(data: Path):
    return TASKS["gsm8k"].read(data / TASKS["gsm8k"].file)


def answer(model: Model, examples, settings: Settings = SETTINGS, **options):
    return run(model, TASKS[settings.task], examples, [], settings, **options)


def test_each_answer_is_that_of_its_prompt_alone_with_its_own_seed(tiny: Model, examples) -> None:
    for i, record in enumerate(answer(tiny, examples)):
        prompt = TASKS["gsm8k"].ask(examples[i])
        alone = tiny.generate(prompt, method="fef", max_new_tokens=8, temperature=1.0, seed=i)
        assert (record.index, record.text) == (i, alone.text)
        # no padding behind the end token is ever counted
        assert record.tokens == len(alone.token_ids) + (alone.finish_reason == "stop")
        assert record.calls == alone.stats["calls"]


def test_several_processes_write_the_same_results_as_one(tiny: Model, examples, tmp_path: Path) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    records = answer(tiny, examples, out=one)
    begin(three, {})
    for rank in (2, 1):
        assert answer(tiny, examples, out=three, processes=Alone(rank, 3)) == []
    merged = answer(tiny, examples, out=three, processes=Alone(0, 3))
    assert len(list(three.glob("part-*.jsonl"))) == 3
    assert (one / "results.jsonl").read_bytes() == (three / "results.jsonl").read_bytes()
    assert [r.text for r in records] == [r.text for r in merged]
    assert len(read_answers(three)) == len(examples)


@pytest.mark.parametrize("kept", [0, 1, 2, 5, 7])
def test_a_stopped_run_goes_on_where_it_was(tiny: Model, examples, tmp_path: Path, monkeypatch, kept: int) -> None:
    answer(tiny, examples, out=tmp_path / "whole")
    stopped = tmp_path / "stopped"
    answer(tiny, examples, out=stopped)
    part = stopped / "part-00000.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    part.write_text("".join(lines[:kept]) + (lines[kept][:30] if kept < len(lines) else ""))  # cut within a line
    (stopped / "results.jsonl").unlink()
    asked = []
    generate = Model.generate
    monkeypatch.setattr(
        Model, "generate", lambda self, prompts, **o: asked.extend(prompts) or generate(self, prompts, **o)
    )
    answer(tiny, examples, out=stopped)
    assert len(asked) in (7 - kept, 7 - kept + 1)  # a batch of two is answered whole
    assert (stopped / "results.jsonl").read_bytes() == (tmp_path / "whole" / "results.jsonl").read_bytes()


def test_a_folder_of_other_settings_or_of_other_files_is_refused(tiny: Model, examples, tmp_path: Path) -> None:
    answer(tiny, examples[:2], out=tmp_path / "out", identity={"method": "fef", "seed": 0})
    with pytest.raises(InputError, match=r"seed 0, now 1.*another folder"):
        answer(tiny, examples[:2], out=tmp_path / "out", identity={"method": "fef", "seed": 1})
    with pytest.raises(InputError, match="something else"):
        answer(tiny, examples[:2], out=tmp_path)
    with pytest.raises(OptionError, match="--out DIR"):
        answer(tiny, examples[:2], processes=Processes(0, 2))


def test_a_broken_line_of_results_is_named(tiny: Model, examples, tmp_path: Path) -> None:
    answer(tiny, examples[:2], out=tmp_path / "out")
    part = tmp_path / "out" / "part-00000.jsonl"
    part.write_text("broken\n" + part.read_text())
    with pytest.raises(InputError, match=r"part-00000\.jsonl:1: no result"):
        read_answers(tmp_path / "out")


def test_long_prompts_are_refused_or_cut_as_little_as_needed(tiny: Model, examples) -> None:
    long = [{**examples[0], "question": "word " * 400 + "What is 1 plus 1?"}, *examples[1:3]]
    with pytest.raises(InputError, match=r"1 of 3 prompts leave no room for 8 new tokens in tiny.*--long-prompts cut"):
        answer(tiny, long, Settings("gsm8k", "fef", max_new_tokens=8))
    records = answer(tiny, long)
    assert [r.cut_characters > 0 for r in records] == [True, False, False]
    prompt = TASKS["gsm8k"].ask(long[0])
    cut = records[0].cut_characters
    assert len(tiny.canvas(prompt[cut:], 8, "")[0]) <= 256
    with pytest.raises(InputError):
        tiny.canvas(prompt[cut - 1 :], 8, "")
    with pytest.raises(InputError, match="even without its last turn"):
        answer(tiny, long, Settings("gsm8k", "fef", max_new_tokens=400, long_prompts="cut"))


def test_messages_need_a_chat_template(tiny: Model, examples) -> None:
    with pytest.raises(OptionError, match=r"tiny has no chat template.*--no-chat"):
        answer(tiny, examples, Settings("gsm8k", "fef", max_new_tokens=8, chat=True))


def test_programs_need_a_strong_sandbox_or_consent(tiny: Model, data: Path, monkeypatch) -> None:
    from fef.tasks import sandbox

    monkeypatch.setattr(sandbox, "_refusal", lambda: "not permitted")
    examples = TASKS["humaneval"].read(data / "humaneval.jsonl")
    settings = Settings("humaneval", "fef", max_new_tokens=8, long_prompts="cut")
    with pytest.raises(SandboxError, match="--allow-weak-sandbox"):
        answer(tiny, examples, settings)
    assert [r.right for r in answer(tiny, examples, settings, allow_weak_sandbox=True)] == [False, False]


def test_padding_is_in_no_rate(tiny: Model, examples, monkeypatch) -> None:
    stats = {"calls": 2.0, "rows": 2.0, "token_forwards": 40.0, "rounds": 1.0}
    certificate = tiny.generate("x", max_new_tokens=1).certificate
    # three tokens and the end, of a canvas of 8
    out = Generation("abc", [1, 2, 3], [0.0] * 3, "stop", stats, certificate)
    monkeypatch.setattr(Model, "generate", lambda _, prompts, **__: [out] * len(prompts))
    records = answer(tiny, examples)
    assert {(r.tokens, r.calls, r.token_forwards) for r in records} == {(4, 2, 40)}
    summary = totals(records)
    assert (summary.tokens, summary.tokens_per_call, summary.unfinished) == (28, 2.0, 0)
    assert summary.tokens_per_second == pytest.approx(28 / summary.seconds)


@pytest.mark.slow
def test_torchrun_writes_the_same_results_as_one_process(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    command = [
        "-m",
        "fef",
        "eval",
        "gsm8k",
        "--model",
        tiny_path,
        "--data",
        data,
        "--max-new-tokens",
        "8",
        "--device",
        "cpu",
    ]
    command += ["--batch-size", "2", "--temperature", "1", "--json", "--long-prompts", "cut", "--out"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    for name, launch in (("one", []), ("two", launcher)):
        words = [sys.executable, *launch, *map(str, command), str(tmp_path / name)]
        ran = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=200, check=False)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["summary"]["problems"] == 7
    assert len(list((tmp_path / "two").glob("part-*.jsonl"))) == 2
    assert (tmp_path / "one" / "results.jsonl").read_bytes() == (tmp_path / "two" / "results.jsonl").read_bytes()
