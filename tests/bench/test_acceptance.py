from dataclasses import replace

import pytest
import torch

from fef import tasks
from fef.bench.acceptance import Acceptance, AcceptanceCounter
from fef.bench.evaluate import Settings, evaluate
from fef.bench.spec import parse_spec
from fef.decoding.session import Round


def round_of(widths: list[int], accepted: list[int], window: int, bonus: bool, step: int = 0) -> Round:
    slots = torch.tensor([[i if i < w else -1 for i in range(window + bonus)] for w in widths])
    drafts = torch.tensor([[0 if i < w else -1 for i in range(window)] for w in widths])
    none = torch.empty(0)
    return Round(
        torch.full((len(widths),), step),
        torch.zeros(len(widths)),
        torch.arange(len(widths)),
        slots,
        slots,
        slots >= 0,
        drafts,
        torch.tensor(accepted),
        none,
        none,
    )


def test_a_hand_counted_case():
    count = AcceptanceCounter()
    count(round_of([3, 3, 2, 0], [1, 3, 2, 0], window=3, bonus=True))  # the last row has finished
    assert count.result() == Acceptance((3, 3, 1), (3, 2, 1), bonus=True)
    count(round_of([4, 4], [0, 4], window=4, bonus=True, step=1))  # a wider window, in a second pass
    assert count.result() == Acceptance((5, 4, 2, 1), (4, 3, 2, 1), bonus=True, passes=2)
    count(replace(round_of([1], [1], 1, False), drafts=None, accepted=None))
    assert count.result().tried == (5, 4, 2, 1)
    assert AcceptanceCounter().result().predicted(1.0, 1.0) is None


def test_pooled_counts_add_up():
    pooled = Acceptance.pooled([Acceptance((4, 2), (2, 1)), Acceptance((1,), (1,), bonus=True, passes=2)])
    assert pooled == Acceptance((5, 2), (3, 1), bonus=True, passes=2)


def test_the_prediction_is_what_a_simulation_of_full_windows_measures():
    generator = torch.Generator().manual_seed(0)
    rates, rounds = torch.tensor([1.0, 0.9, 0.6, 0.8]), 50_000
    kept = (torch.rand(rounds, 4, generator=generator) < rates).long().cumprod(1).sum(1)
    count = AcceptanceCounter()
    count(round_of([4] * rounds, kept.tolist(), window=4, bonus=False))
    committed = (kept + 1).clamp_max(4).double().mean()
    # two calls per round; sequential takes one call per token
    assert count.result().predicted(2.0, 1.0) == pytest.approx(float(committed) / 2, rel=1e-9)
    in_two_passes = replace(count.result(), passes=2).predicted(2.0, 1.0)
    assert in_two_passes == pytest.approx(float(committed) / 2 / 1.5, rel=1e-9)


@pytest.mark.parametrize("text", ["fef:window=4", "fef:window=4,bonus=false,verify=rows", "sequential"])
def test_counts_agree_with_the_meter(tiny_model, text):
    problems = tasks.generate("joint", 4, seed=0, split="held-out")
    settings = Settings(batch_size=3, max_new_tokens=16, temperature=1.0)
    found = evaluate(tiny_model, problems, parse_spec(text), settings).acceptance
    stats = [
        tiny_model.generate(p.prompt, seed=i, method=text.partition(":")[0], max_new_tokens=16, temperature=1.0,
                            **parse_spec(text).options).stats
        for i, p in enumerate(problems)
    ]  # fmt: skip
    assert sum(found.kept) == sum(s["accepted"] for s in stats)
    assert (found.tried[0] if found.tried else 0) == sum(s["rounds"] for s in stats) * (text != "sequential")
    assert sum(found.tried) <= sum(s["drafted"] for s in stats)
    assert found.bonus == (text == "fef:window=4")
