"""Guidance changes the law, in the same way wherever a law is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.decoding.rows import contrasted
from fef.models.table import TableDenoiser
from fef.verify.reference import Table, denoised, table_of
from fef.verify.texts import State, distance, sharpened
from tests.integrated_law import integrated_law
from tests.tiny_tables import empty_rows

NETWORK = tiny_network(scale=0.3)
GUIDED: list[dict[str, float]] = [{"cfg_scale": 0.7}, {"contrast": 0.5}, {"cfg_scale": 0.4, "contrast": 0.3}]
K, L = 3, 3


def canvas(rows: int = 6, length: int = 9) -> torch.Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[:, 5] = 1
    return ids


@pytest.mark.parametrize("method", ["sequential", "fef", "low-confidence", "entropy", "origin"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_guidance_is_no_change(method, temperature):
    options: dict[str, Any] = {"verify": "rows"} if method == "fef" else {}
    plain = fef.decode(NETWORK, canvas(), method=method, temperature=temperature, **options)
    guided = fef.decode(NETWORK, canvas(), method=method, temperature=temperature, cfg_scale=0.0, contrast=0, **options)
    assert torch.equal(plain.ids, guided.ids)
    assert [s["rows"] for s in plain.stats] == [s["rows"] for s in guided.stats]


@pytest.mark.parametrize("guidance", GUIDED)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("eos_id", [None, EOS])
def test_fef_gives_the_text_of_sequential(guidance, temperature, order, eos_id):
    settings = {"temperature": temperature, "order": order, "eos_id": eos_id, **guidance}
    base = fef.decode(NETWORK, canvas(), method="sequential", **settings)
    for window, draft in [(1, "fresh"), (4, "reuse"), (16, "fresh"), (3, "random")]:
        out = fef.decode(NETWORK, canvas(), window=window, draft=draft, **settings)
        assert torch.equal(out.ids, base.ids)
        torch.testing.assert_close(out.logprobs, base.logprobs, rtol=0, atol=1e-9, equal_nan=True)


def guided_table(table: Table, prompt: dict[int, int], cfg_scale: float = 0.0, contrast: float = 0.0) -> Table:
    """The formulas, state by state: (1 + s) log p - s log p_without_prompt, then (1 + w) l - w (mean of the masked l)."""
    found: dict[State, np.ndarray] = {}
    for state in table.at:
        blind = tuple(table.mask if i in prompt else v for i, v in enumerate(state))
        masked = [i for i, v in enumerate(state) if v == table.mask and i not in prompt]
        found[state] = table.at[state].copy()
        if masked:  # log p differs from logits by a constant of each position, which no law sees
            logits = (1 + cfg_scale) * np.log(table.at[state][masked]) - cfg_scale * np.log(table.at[blind][masked])
            weight = np.exp((1 + contrast) * logits - contrast * logits.mean(0))
            found[state][masked] = weight / weight.sum(-1, keepdims=True)
    return Table(found, table.mask, table.length)


@pytest.mark.parametrize("guidance", GUIDED)
@pytest.mark.parametrize("options", [{"method": "sequential"}, {"accept": "rejection", "window": 2, "draft": "fresh"}])
def test_the_guided_chain_law(guidance, options):
    denoiser, prompt, start = TableDenoiser.inconsistent(K, L + 1, seed=2), {1: 1}, (K, 1, K, K)
    table = table_of(denoiser, K, L + 1)
    law = integrated_law(denoiser, L + 1, prompt=prompt, **guidance, **options)
    expected = denoised(guided_table(table, prompt, **guidance), start, [[0, 2, 3]], 1, sharpened())
    assert distance(law, expected) < 1e-9
    assert distance(law, denoised(table, start, [[0, 2, 3]], 1, sharpened())) > 0.01


def test_a_guided_sequence_counts_twice():
    plain = fef.decode(NETWORK, canvas(2), method="sequential").stats[0]
    guided = fef.decode(NETWORK, canvas(2), method="sequential", cfg_scale=1.0).stats[0]
    assert guided["calls"] == plain["calls"]
    assert (guided["rows"], guided["token_forwards"]) == (2 * plain["rows"], 2 * plain["token_forwards"])


@pytest.mark.parametrize("guidance", GUIDED)
def test_what_the_network_excludes_stays_excluded(guidance):
    joint = torch.zeros(K, K, K)
    joint[0, 0, 0] = joint[1, 1, 1] = joint[0, 1, 1] = 1 / 3
    ids = empty_rows(50, K, K)
    ids[:, 0] = 0
    out = fef.decode(TableDenoiser(joint), ids, temperature=1.0, **guidance)
    assert {tuple(t) for t in out.ids.tolist()} == {(0, 0, 0), (0, 1, 1)}


def test_contrast_with_the_mean_of_the_masked_positions():
    logits = torch.tensor([[[1.0, 2.0], [5.0, 5.0], [3.0, -2.0]]])
    masked = torch.tensor([[True, False, True]])
    mean = torch.tensor([2.0, 0.0])
    assert torch.allclose(contrasted(logits, masked, 0.5), 1.5 * logits - 0.5 * mean)
