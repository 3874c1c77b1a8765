"""Log-likelihood of given tokens: the chain law that decode samples, token by token."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, complete_network, tiny_causal, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import Settings, make_sampling, seeds
from fef.decoding.likelihood import score_canvas
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.laws.draws import KeyedNoise
from fef.models.table import TableDenoiser
from fef.verify.reference import denoised, table_of
from fef.verify.texts import sharpened
from tests.tiny_tables import EMPTY, EndingTable, K, L, empty_rows, inconsistent

NETWORK = tiny_network(scale=0.3)
JUDGED: list[tuple[str, dict[str, Any]]] = [
    ("deer", {}),
    ("apd-exact", {"window": 1}),
    ("apd-exact", {"share": 0.0, "window": 3}),
    ("ssmd", {"window": 1}),
    ("dcd", {"steps": 1}),
    ("dcd", {"steps": 1, "block_length": 2}),
]


def score(denoiser: Any, tokens: torch.Tensor, open_: torch.Tensor, **settings: Any) -> torch.Tensor:
    return scored(denoiser, tokens, open_, **settings)[0]


def scored(
    denoiser: Any,
    tokens: torch.Tensor,
    open_: torch.Tensor,
    *,
    method: str = "fef",
    seed: int | list[int] = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    eos_id: int | None = None,
    top: int = 0,
    **options: Any,
) -> tuple[torch.Tensor, Canvas]:
    network = Network(denoiser)
    ids = tokens.masked_fill(open_, network.mask_id)
    canvas = Canvas.start(ids, open_, ids, None, top)
    noise = KeyedNoise(seeds(seed, len(ids), ids.device))
    sampling = make_sampling(network, Settings(temperature, top_p, 0), [], eos_id, len(ids), ids.device)
    plan = make_plan(method, options, network)
    score_canvas(network, plan, Requests.start(canvas, noise, sampling), tokens)
    assert not bool(canvas.pending_BL.any())
    assert torch.equal(canvas.ids_BL, tokens)
    return canvas.logprob_BL, canvas


def every_text() -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(K), repeat=L)))


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9)])
@pytest.mark.parametrize("eos_id", [None, 1])
def test_the_probabilities_of_all_texts_are_the_chain_law(temperature, top_p, eos_id):
    texts = every_text()
    logp = score(
        inconsistent(), texts, torch.ones_like(texts).bool(), temperature=temperature, top_p=top_p, eos_id=eos_id
    )
    law = denoised(
        EndingTable.of(table_of(inconsistent(), K, L), eos_id), EMPTY, [range(L)], 1, sharpened(temperature, top_p)
    )
    expected = [law.get(tuple(t), 0.0) for t in texts.tolist()]
    found = logp.sum(1).nan_to_num(neginf=-1e9).exp()  # a text the law excludes
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", ["random", "left-to-right"])
@pytest.mark.parametrize("top", [2, K])
def test_the_likeliest_tokens_are_those_of_texts_that_begin_alike(order, top):
    """What a text is told of a token at its last step is the log p that the text with that token has there."""
    texts = every_text()
    settings = {"order": order, "seed": [4] * len(texts), "eos_id": 1}
    logp, canvas = scored(inconsistent(), texts, torch.ones_like(texts).bool(), top=top, **settings)
    assert canvas.likely_BLK.shape == (len(texts), L, top)
    for place in range(L):
        alike: dict[tuple[int, ...], dict[int, float]] = {}
        others = texts.clone()
        others[:, place] = 0
        for text, rest, own in zip(texts.tolist(), others.tolist(), logp[:, place].tolist(), strict=True):
            alike.setdefault(tuple(rest), {})[text[place]] = own
        for b, rest in enumerate(others.tolist()):
            law = alike[tuple(rest)]
            told = dict(canvas.likeliest(b, torch.tensor([place]))[0])
            assert told == pytest.approx({token: law.get(token, -math.inf) for token in told}, abs=1e-12)
            assert max(told.values()) == pytest.approx(max(law.values()), abs=1e-12)


@pytest.mark.parametrize("order", ["random", "left-to-right"])
def test_every_order_sums_to_one(order):
    texts = every_text()
    logp = score(inconsistent(), texts, torch.ones_like(texts).bool(), order=order, seed=[4] * len(texts))
    assert float(logp.sum(1).exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize(("verify", "block_length"), [("rows", None), ("packed", None), ("rows", 3)])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("method", ["sequential", "fef"])
def test_a_decoded_text_scores_as_decode_said(eos_id, verify, block_length, order, method):
    ids = torch.full((20, 8), MASK)
    ids[:, 3] = 5
    options = {"verify": verify, "order": order, "block_length": block_length, "method": method}
    out = fef.decode(NETWORK, ids, temperature=0.8, top_p=0.95, eos_id=eos_id, seed=3, **options)
    found = score(NETWORK, out.ids, ids == MASK, temperature=0.8, top_p=0.95, eos_id=eos_id, seed=3, **options)
    torch.testing.assert_close(found, out.logprobs, atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize(("method", "options"), JUDGED)
def test_a_chain_of_another_model_or_layer_scores_as_decode_said(eos_id, method, options):
    ids = torch.full((20, 8), MASK)
    ids[:, 0], ids[:, 5] = torch.arange(20) % 6, 5
    network, settings = complete_network(), {"temperature": 0.8, "top_p": 0.95, "eos_id": eos_id, "seed": 3}
    out = fef.decode(network, ids, method=method, **settings, **options)
    assert out.certificate.kind == "chain"
    found = score(network, out.ids, ids == MASK, method=method, **settings, **options)
    torch.testing.assert_close(found, out.logprobs, atol=1e-6, rtol=0, equal_nan=True)


@pytest.mark.parametrize("eos_id", [None, 1])
def test_a_copula_in_blocks_sums_to_one(eos_id):
    """Texts that go on behind their end have no probability, in a block that the end fills, too."""
    small = {"vocab_size": K + 1, "mask_id": K}
    network, causal = tiny_network(scale=0.3, packed=False, **small), tiny_causal(**small)
    texts = torch.tensor([(*text, 2) for text in itertools.product(range(K), repeat=4)])
    open_ = (torch.arange(5) > 0).expand(len(texts), -1) & (torch.arange(5) < 4)
    logp = score(network, texts, open_, method="dcd", steps=1, block_length=2, causal=causal, eos_id=eos_id)
    assert float(logp[:, 1:4].sum(1).exp().sum()) == pytest.approx(K, abs=1e-5)  # one for each first token


def test_a_table_scores_as_decode_said():
    for options in (
        {"order": "random"},
        {"order": "random", "block_length": 2},
        {"order": "blocks", "block_length": 3},
    ):
        out = fef.decode(inconsistent(), empty_rows(100), temperature=1.0, **options)
        found = score(inconsistent(), out.ids, torch.ones_like(out.ids).bool(), **options)
        torch.testing.assert_close(found, out.logprobs, atol=1e-12, rtol=0)


def test_a_text_longer_than_the_scoring_window():
    length = 70
    network = tiny_network(layers=1, max_length=128)
    ids = torch.full((1, length), MASK)
    for verify in ("rows", "packed"):
        out = fef.decode(network, ids, temperature=1.0, verify=verify)
        found = score(network, out.ids, ids == MASK, verify=verify)
        torch.testing.assert_close(found, out.logprobs, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("method", "options"),
    [("fef", {"steps": 2}), ("low-confidence", {}), ("random", {"tokens_per_step": 2}), ("random", {"steps": 2})],
)
def test_methods_without_a_chain_law_are_refused(method, options):
    texts = every_text()[:1]
    with pytest.raises(fef.OptionError, match=r"no one-pass chain law.*sequential"):
        score(inconsistent(), texts, torch.ones_like(texts).bool(), method=method, **options)


def test_uniform_noise_and_packed_blocks_are_refused():
    texts = every_text()[:1]
    noisy = TableDenoiser(torch.full((K,) * L, K**-L * 1.0), noise=fef.UniformNoise(K))
    with pytest.raises(fef.OptionError, match="absorbing noise"):
        score(noisy, texts, torch.ones_like(texts).bool())
    with pytest.raises(fef.OptionError, match="block_length"):
        score(NETWORK, torch.zeros(1, 4).long(), torch.ones(1, 4).bool(), block_length=2)
