"""The model class of lm-evaluation-harness: stop strings, exact likelihoods, and gsm8k end to end without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra eval)")

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model, model_registry
from lm_eval.utils import make_table

import fef.eval.harness_server  # noqa: F401 (registers its model)
from fef.errors import InputError, OptionError
from fef.eval.harness import FefLM
from fef.eval.harness_requests import CHAT
from fef.generation import Model


def request(kind: str, *arguments: object, doc_id: int = 0) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=("task", doc_id, 1))  # type: ignore[arg-type]


@pytest.fixture
def lm(tiny_path: Path) -> FefLM:
    return FefLM(str(tiny_path), max_new_tokens=8, batch_size=2, device="cpu", window=4)


def test_the_model_is_registered_and_made_from_an_argument_string(tiny_path: Path) -> None:
    made = get_model("fef").create_from_arg_string(
        f"pretrained={tiny_path},method=fef,window=4,max_new_tokens=8", {"batch_size": 2, "device": "cpu"}
    )
    assert isinstance(made, FefLM)
    assert (made.options, made.max_new_tokens, made.batch_size) == ({"window": 4}, 8, 2)


def test_the_harnesss_own_models_are_there_beside_ours() -> None:
    for name in ("fef", "fef-server", "local-completions", "dummy"):
        assert name in model_registry


def test_the_harnesss_tables_name_their_columns() -> None:
    """Releases of pytablewriter before 1 call them A, B, C."""
    metrics = {"alias": "gsm8k", "exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.1}
    results = {"results": {"gsm8k": metrics}, "versions": {"gsm8k": 3}, "n-shot": {"gsm8k": 5}}
    assert make_table(results | {"higher_is_better": {}, "configs": {}}).startswith("|Tasks|Version|")


def test_answers_are_those_of_the_model_up_to_the_stop(lm: FefLM, tiny: Model) -> None:
    prompts = ["one plus one", "two", "three apples and four", "five"]
    wanted = [tiny.generate(p, max_new_tokens=8, window=4).text for p in prompts]
    stop = wanted[2][2:4]
    stops: list[list[str]] = [[], ["", "never there"], [stop], []]
    requests = [
        request("generate_until", p, {"until": s, "do_sample": False, "temperature": 0.0}, doc_id=i)
        for i, (p, s) in enumerate(zip(prompts, stops, strict=True))
    ]
    answers = lm.generate_until(requests, disable_tqdm=True)
    assert answers == [wanted[0], wanted[1], wanted[2].partition(stop)[0], wanted[3]]
    assert stop not in answers[2]


def test_an_answer_ends_at_the_first_stop_of_any_order(lm: FefLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm, "answers", lambda prompts, *_: ((place, "a b c") for place in range(len(prompts))))
    settings: list[dict[str, Any]] = [{"until": ["c", "b"]}, {"until": "b"}, {"until": []}, {}]
    requests = [request("generate_until", "", own) for own in settings]
    assert lm.generate_until(requests, disable_tqdm=True) == ["a ", "a ", "a b c", "a b c"]


def test_sampling_is_the_tasks_or_the_models(lm: FefLM, tiny_path: Path) -> None:
    greedy = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 8}
    assert lm.decoding_settings({"until": ["x"], "max_gen_toks": 99}) == greedy
    assert lm.decoding_settings({"do_sample": False, "temperature": 0.7}) == greedy
    assert lm.decoding_settings({"do_sample": True, "top_p": 0.9}) == greedy | {"temperature": 1.0, "top_p": 0.9}
    own = FefLM(str(tiny_path), temperature=0.3, device="cpu")
    assert own.decoding_settings({"do_sample": True, "max_gen_toks": 99}) == greedy | {
        "temperature": 0.3,
        "max_new_tokens": 99,
    }
    with pytest.raises(OptionError, match="Did you mean 'top_p'"):
        lm.decoding_settings({"topp": 1})


def test_repeats_of_an_example_get_other_seeds_in_any_batch(lm: FefLM, tiny: Model) -> None:
    sample = {"do_sample": True, "temperature": 1.0}
    first, second = lm.generate_until([request("generate_until", "one", sample, doc_id=5)] * 2, disable_tqdm=True)
    assert first != second
    assert first == tiny.generate("one", max_new_tokens=8, window=4, temperature=1.0, seed=5).text


@pytest.mark.parametrize("method", ["fef", "sequential"])
def test_likelihood_is_the_exact_chain(tiny: Model, tiny_path: Path, method: str) -> None:
    lm = FefLM(str(tiny_path), method=method, device="cpu")
    pairs = [("one plus one", " is two"), ("one plus one ", "is two"), ("", "two"), ("three", "")]
    results = lm.loglikelihood([request("loglikelihood", *pair) for pair in pairs], disable_tqdm=True)
    length = len(tiny.tokenizer.encode(" is two"))
    exact = tiny.score("one plus one", " is two", method=method, max_new_tokens=length).total
    assert results[0] == (pytest.approx(exact, abs=1e-9), False)
    assert results[1] == results[0]  # the space belongs to the word
    assert results[3] == (0.0, True)


def test_the_greedy_text_is_called_greedy_and_others_not(tiny: Model, lm: FefLM) -> None:
    out = tiny.generate("one", max_new_tokens=4, window=4)
    ids, start, _ = tiny.canvas("one", 4, "")
    assert lm.score(ids[:start], out.token_ids, True)[1] == (len(out.token_ids) == 4)
    assert not lm.score(ids[:start], [(i + 1) % 300 for i in out.token_ids], True)[1]
    assert not lm.score(ids[:start], out.token_ids, False)[1]


def test_a_long_text_is_scored_in_windows_that_hold_every_token_once(lm: FefLM, monkeypatch) -> None:
    seen: list[tuple[int, int]] = []
    tokens: list[int] = []

    def score(before: list[int], target: list[int], check_greedy: bool) -> tuple[float, bool]:
        assert not check_greedy
        seen.append((len(before), len(target)))
        tokens.extend(target)
        return float(len(target)), False

    monkeypatch.setattr(lm, "score", score)
    text = "Tom has 12 apples. " * 90
    (total,) = lm.loglikelihood_rolling([request("loglikelihood_rolling", text)], disable_tqdm=True)
    assert tokens == lm.model.tokenizer.encode(text)
    assert total == len(tokens)
    assert len(seen) > 2
    assert max(before + target for before, target in seen) <= 256
    assert min(before for before, _ in seen[1:]) > 100


def test_a_short_text_is_scored_whole(lm: FefLM, tiny: Model) -> None:
    (total,) = lm.loglikelihood_rolling([request("loglikelihood_rolling", "Tom has 12")], disable_tqdm=True)
    length = len(tiny.tokenizer.encode("Tom has 12"))
    assert total == pytest.approx(tiny.score("", "Tom has 12", window=4, max_new_tokens=length).total, abs=1e-9)


def test_the_bound_is_near_the_chain_and_can_be_asked_for(tiny_path: Path) -> None:
    one = request("loglikelihood", "one", " two three")
    ((chain, _),) = FefLM(str(tiny_path), device="cpu").loglikelihood([one], disable_tqdm=True)
    bound = FefLM(str(tiny_path), likelihood="bound", mc_samples=16, device="cpu")
    ((value, _),) = bound.loglikelihood([one], disable_tqdm=True)
    assert value != chain
    assert value == pytest.approx(chain, rel=0.2)


def test_messages_travel_as_text_and_need_a_template(lm: FefLM) -> None:
    text = lm.apply_chat_template([{"role": "user", "content": "one"}])
    assert json.loads(text.removeprefix(CHAT)) == [{"role": "user", "content": "one"}]
    with pytest.raises(OptionError, match="no chat template"):
        lm.generate_until([request("generate_until", text, {})], disable_tqdm=True)
    with pytest.raises(OptionError, match="gen_prefix"):
        lm.apply_chat_template([], add_generation_prompt=False)


def test_long_prompts_are_refused_or_cut_and_counted(tiny_path: Path, capsys) -> None:
    long = request("generate_until", "word " * 400, {})
    with pytest.raises(InputError, match="long_prompts=cut"):
        FefLM(str(tiny_path), max_new_tokens=8, device="cpu").generate_until([long], disable_tqdm=True)
    cutting = FefLM(str(tiny_path), max_new_tokens=8, long_prompts="cut", device="cpu")
    cutting.generate_until([long], disable_tqdm=True)
    assert "1 of 1 prompts lost their beginning to fit tiny." in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", [{"likelihood": "bond"}, {"long_prompts": "trim"}, {"batch_size": "auto"}, {"batch_size": 0}]
)
def test_wrong_arguments_are_refused(tiny_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=str(next(iter(wrong)))):
        FefLM(str(tiny_path), device="cpu", **wrong)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_runs_gsm8k_without_a_network(tiny_path: Path, data: Path, tmp_path: Path, processes: int) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes > 1 else []
    arguments = f"pretrained={tiny_path},method=fef,window=4,max_new_tokens=8,long_prompts=cut"
    words = [
        *launch,
        "-m",
        "fef",
        "lm-eval",
        "--data",
        data,
        "--model",
        "fef",
        "--model_args",
        arguments,
        "--tasks",
        "gsm8k",
    ]
    words += ["--limit", "3", "--num_fewshot", "1", "--batch_size", "2", "--output_path", tmp_path / "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=environment, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (results,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(results.read_text())
    assert found["results"]["gsm8k"]["exact_match,strict-match"] == 0.0
    assert found["n-samples"]["gsm8k"]["effective"] == 3
