"""The comparison asks for what the official code defines, and for no less: golden cases changed on purpose.

They are made of whichever cases the golden data has: a stop token put into a recorded run, ties that a plain loop breaks from
either side, and records that are wrong.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
import torch
from comparison import compare, prompts_of
from golden import case_of, cases, network
from test_decode import DECODE

from fef.models.transformer import Transformer

Case = dict[str, Any]


def found(api: str, **flags: Any) -> list[tuple[str, str]]:
    """Cases of one prompt without stop tokens."""
    names = []
    for family, name in cases(DECODE):
        case = case_of(family, DECODE, name)
        stops = case["args"].get("eos_id", -1) != -1
        same = case["api"] == api and all(case["args"].get(flag) == value for flag, value in flags.items())
        names += [(family, name)] if same and not stops and len(case["input_ids"]) == 1 else []
    return names


LLADA2 = found("llada2.generate")
LLADA = found("llada.generate", confidence_eos_eot_inf=True, logits_eos_inf=False)


def stopped(case: Case, at: int, early: bool) -> Case:
    """The recorded run, had the token at place `at` of its first block been the stop token: what is returned ends with the
    first of them. Without early stop the block is filled all the same."""
    start = len(case["input_ids"][0])
    output, calls = case["output_ids"][0][start:], case["commit_call"][0]
    token = output[at]
    first = output.index(token)
    filled = (
        calls[: first + 1] if early else calls[: case["args"]["block_length"] - start % case["args"]["block_length"]]
    )
    return case | {
        "args": case["args"] | {"eos_id": token, "eos_early_stop": early},
        "output_ids": [case["input_ids"][0] + output[: first + 1]],
        "commit_call": [calls[: first + 1]],
        "nfe": max(filled) + 1,
    }


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(("family", "name"), LLADA2[:3])
def test_calls_behind_a_stop_token_count_up_to_the_end_of_its_block(family, name, at, early, monkeypatch):
    case = stopped(case_of(family, DECODE, name), at, early)
    compare(case, network(family), monkeypatch)
    with pytest.raises(AssertionError):
        compare(case | {"nfe": case["nfe"] + 1}, network(family), monkeypatch)


def test_some_of_these_calls_commit_nothing_that_is_returned():
    """Else the test above would not tell the two counts apart."""
    whole = [stopped(case_of(*case[:1], DECODE, case[1]), at, early=False) for case in LLADA2[:3] for at in range(3)]
    assert not LLADA2 or any(case["nfe"] > max(case["commit_call"][0]) + 1 for case in whole)


def with_ends(model: Transformer, ends: tuple[int, ...]) -> Transformer:
    other = copy.copy(model)
    other.config = dataclasses.replace(model.config, eos_id=ends[0], stop_ids=(ends[1],))
    return other


def plainly(model: Transformer, case: Case, ends: tuple[int, ...], last_first: bool) -> Case:
    """LLaDA's loop at temperature 0 with `confidence_eos_eot_inf`: ends have confidence 0, in one block, and the last or the
    first of equals is taken."""
    prompt, args = prompts_of(case)[0], case["args"]
    length, steps = args["gen_length"], args["steps"]
    ids = torch.tensor([prompt + [model.config.mask_id] * length])
    calls = [-1] * length
    for step in range(steps):
        logits = model(ids)[0, len(prompt) :].double()
        logits[:, model.config.mask_id] = -torch.inf
        token = logits.argmax(-1)
        logits[:, list(ends)] = -torch.inf
        confidence = logits.softmax(-1).gather(-1, token[:, None])[:, 0]
        open_ = [p for p in range(length) if calls[p] < 0]
        open_.sort(key=lambda p: (-float(confidence[p]), -p if last_first else p))
        for p in open_[: length // steps + (step < length % steps)]:
            ids[0, len(prompt) + p], calls[p] = token[p], step
    args = args | {"block_length": length}
    outcome = {"output_ids": ids.tolist(), "commit_call": [calls], "nfe": steps}
    return case | {"args": args, "input_ids": [prompt], "attention_mask": None, **outcome}


@pytest.fixture(scope="module", params=[1, 2], ids="{} a step".format)
def tied(request):
    """A model with such ends that several slots wait for them, and its runs with ties broken from either side."""
    if not LLADA:
        pytest.skip("no case with confidence_eos_eot_inf")
    family, name = LLADA[0]
    case = case_of(family, DECODE, name)
    case = case | {"args": case["args"] | {"gen_length": 12, "steps": 12 // request.param}}
    model = network(family)
    usual = plainly(model, case, (), last_first=False)["output_ids"][0][-12:]
    for ends in itertools.combinations(sorted(set(usual), key=usual.index), 2):
        runs = [plainly(model, case, ends, last_first) for last_first in (False, True)]
        if runs[0]["commit_call"] != runs[1]["commit_call"]:
            return with_ends(model, ends), ends, runs
    pytest.fail("no two tokens of the run make a tie")


def test_equals_may_be_committed_in_either_order(tied, monkeypatch):
    model, _, runs = tied
    for run in runs:
        compare(run, model, monkeypatch)


def test_an_order_that_no_tie_explains_is_another_decode(tied, monkeypatch):
    """The twin: the first slot that was committed and the last, which are no equals, change places in the record."""
    model, ends, runs = tied
    calls = list(runs[0]["commit_call"][0])
    first, last = calls.index(min(calls)), calls.index(max(calls))
    tokens = runs[0]["output_ids"][0][-12:]
    assert tokens[first] not in ends
    calls[first], calls[last] = calls[last], calls[first]
    with pytest.raises(AssertionError):
        compare(runs[0] | {"commit_call": [calls]}, model, monkeypatch)


@pytest.mark.parametrize(("family", "name"), [(*case,) for case in (LLADA[:1] + LLADA2[:1])])
def test_a_wrong_token_is_another_decode(family, name, monkeypatch):
    case = copy.deepcopy(case_of(family, DECODE, name))
    case["output_ids"][0][-1] += 1
    with pytest.raises(AssertionError):
        compare(case, network(family), monkeypatch)
