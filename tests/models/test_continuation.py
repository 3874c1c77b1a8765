"""Batched continuations of a causal network against one uncached pass per token, and their law against its own."""

from __future__ import annotations

import pytest
import torch

from fef.models.causal import load_causal
from fef.models.continuation import continuations
from fef.models.transformer import Transformer
from tests.tiny_causal import write_causal

PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    network, _ = load_causal(write_causal(tmp_path_factory.mktemp("causal") / "base"), dtype=torch.float32)
    for block in network.blocks:  # else the tied head repeats the last token for ever
        block.mlp.down.weight.mul_(3)
    return network


def draw(
    model: Transformer, prompts: list[list[int]], count: int, temperature: float, top_p: float = 1.0, seed: int = 0
):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    return continuations(model, prompts, count, temperature=temperature, top_p=top_p, banned=[3], generator=generator)


def test_greedy_rows_of_any_length_are_those_of_uncached_passes(model: Transformer) -> None:
    found = draw(model, PROMPTS, 12, 0.0)
    for prompt, row in zip(PROMPTS, found, strict=True):
        ids = list(prompt)
        for token in row:
            logits = model(torch.tensor([ids]))[0, -1]
            logits[3] = -torch.inf
            assert int(logits.argmax()) == token
            ids.append(token)
    assert len({token for row in found for token in row}) > 3


def test_a_row_stops_behind_its_end_token(model: Transformer) -> None:
    free = draw(model, PROMPTS, 12, 0.0)
    end = free[0][4]
    model.config, kept = type(model.config)(**{**vars(model.config), "eos_id": end}), model.config
    try:
        stopped = draw(model, PROMPTS, 12, 0.0)
    finally:
        model.config = kept
    assert stopped[0] == free[0][: free[0].index(end) + 1]


def test_draws_have_the_law_of_the_network_at_the_temperature(model: Transformer) -> None:
    logits = model(torch.tensor([[5, 6]]))[0, -1].double()
    logits[3] = -torch.inf
    law = (logits / 0.7).softmax(-1)
    order = law.argsort(descending=True)
    kept = order[: int((law[order].cumsum(0) < 0.5).sum()) + 1]
    rows = draw(model, [[5, 6]] * 4000, 1, 0.7, 0.5)
    seen = torch.bincount(torch.tensor([row[0] for row in rows]), minlength=len(law)).double() / 4000
    expected = torch.zeros_like(law).index_copy(0, kept, law[kept] / law[kept].sum())
    assert (seen - expected).abs().sum() < 0.1
    assert (seen - law).abs().sum() > 0.3  # the whole law is another one
