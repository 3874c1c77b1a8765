"""The certificate of every composition, computed without a forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import complete_network, tiny_network
from torch import Tensor

import fef
from fef.models.quantize import quantize_


class Untouchable:
    """A denoiser that must not be asked."""

    mask_id, vocab_size, name = 3, 4, "untouchable"

    def __call__(self, _ids: Tensor) -> Tensor:
        raise AssertionError("certify ran a forward pass")


def kind(method: str, temperature: float = 1.0, **options: Any) -> str:
    return fef.certify(Untouchable(), method=method, temperature=temperature, **options).kind


@pytest.mark.parametrize("order", ["left-to-right", "random", "blocks"])
@pytest.mark.parametrize("accept", ["coupled", "rejection", "block"])
@pytest.mark.parametrize("draft", ["fresh", "reuse", "random", lambda _canvas, _slots: None])
@pytest.mark.parametrize("window", [1, 16])
@pytest.mark.parametrize("bonus", [True, False])
def test_fef_is_exact_with_any_drafter_rule_and_order(order, accept, draft, window, bonus):
    options = {"order": order, "accept": accept, "draft": draft, "window": window, "bonus": bonus, "block_length": 8}
    assert kind("fef", **options) == "chain"
    assert kind("fef", temperature=0.0, **options) == "greedy"
    assert kind("fef", steps=3, **options) == "chain"
    for temperature in (0.0, 1.0):
        assert kind("fef", temperature=temperature, steps=2, remask="low-confidence", **options) == "none"
    assert kind("fef", remask="low-confidence", **options) == "chain"  # one step never re-masks


@pytest.mark.parametrize(
    ("method", "temperature", "options", "expected"),
    [
        ("sequential", 1.0, {}, "chain"),
        ("sequential", 0.0, {}, "greedy"),
        ("sequential", 0.0, {"order": "random"}, "greedy"),
        ("sequential", 0.7, {"order": "blocks", "block_length": 4}, "chain"),
        ("low-confidence", 0.0, {}, "greedy"),
        ("low-confidence", 0.0, {"block_length": 4}, "greedy"),
        ("low-confidence", 0.7, {}, "none"),
        ("low-confidence", 0.0, {"tokens_per_step": 2}, "none"),
        ("low-confidence", 1.0, {"tokens_per_step": 2}, "none"),
        ("low-confidence", 0.0, {"steps": 4}, "none"),
        ("random", 1.0, {}, "chain"),
        ("random", 0.0, {}, "greedy"),
        ("random", 1.0, {"tokens_per_step": 2}, "none"),
        ("random", 0.0, {"tokens_per_step": 2}, "none"),
        ("random", 1.0, {"steps": 4, "block_length": 2}, "none"),
    ],
)
def test_other_methods(method, temperature, options, expected):
    assert kind(method, temperature, **options) == expected


def test_the_sentence_names_network_order_law_passes_and_settings():
    certificate = fef.certify(Untouchable(), temperature=[0.0, 0.7], top_p=0.9, top_k=5, steps=3, order="random")
    assert certificate.kind == "chain"  # greedy only if every row is
    for words in (
        "untouchable",
        "random-order",
        "plain forward",
        "3 denoising passes",
        "0.0 to 0.7",
        "top-p 0.9",
        "top-k 5",
    ):
        assert words in certificate.law
    assert any("consistent" in reason for reason in certificate.reasons)
    assert fef.certify(Untouchable(), method="low-confidence").law.count("most-confident-first") == 1


@pytest.mark.parametrize(
    ("method", "options", "word"),
    [
        ("fef", {"steps": 2, "remask": "low-confidence"}, "re-mask"),
        ("low-confidence", {}, "values drawn"),
        ("random", {"tokens_per_step": 2}, "product law"),
    ],
)
def test_no_law_gives_the_reason(method, options, word):
    certificate = fef.certify(Untouchable(), method=method, temperature=1.0, **options)
    assert certificate.kind == "none"
    assert certificate.law.startswith("No stated law")
    assert word in certificate.law
    assert any(word in reason for reason in certificate.reasons)


def test_decode_gives_the_certificate_that_certify_promised():
    table = fef.TableDenoiser.inconsistent(3, 4, seed=0)
    for method, options in [
        ("fef", {"steps": 2}),
        ("random", {}),
        ("low-confidence", {"steps": 2}),
        ("sequential", {}),
    ]:
        settings = {"method": method, "temperature": 0.7, "top_p": 0.9, **options}
        out = fef.decode(table, torch.full((1, 4), 3), **settings)
        assert out.certificate == fef.certify(table, **settings)
        assert out.certificate.to_dict()["kind"] == out.certificate.kind


def test_every_default_has_the_certificate_that_the_methods_table_promises():
    network = complete_network()
    for name, info in fef.methods().items():
        assert info.name == name
        assert info.paper
        kind = fef.certify(network, method=name, **info.options).kind
        assert kind in info.exactness


@pytest.mark.parametrize("method", ["threshold", "factor", "entropy-bounded", "demask"])
def test_a_bound_is_stated_at_temperature_1_and_for_modes_only(method):
    assert kind(method, 1.0) == kind(method, 0.0) == "bound"
    assert kind(method, 2.0) == kind(method, 0.7) == "none"
    assert fef.certify(Untouchable(), method=method, temperature=1.0, top_p=0.9).kind == "none"


def test_a_bound_says_that_bans_are_not_counted():
    """Here the network puts nearly all on what is banned, so what is drawn is far from its joint law."""
    joint = torch.zeros(3, 3, dtype=torch.float64)
    joint[0, 1], joint[1, 2] = 0.96, 0.04
    out = fef.decode(
        fef.TableDenoiser(joint),
        torch.tensor([[3, 3]]),
        method="threshold",
        temperature=1.0,
        threshold=0.95,
        banned=[0],
    )
    assert out.ids.tolist() == [[1, 2]] and out.stats[0]["calls"] == 1
    assert "ids that are never drawn" in out.certificate.reasons[-1]


def test_the_profile_of_a_network_bounds_nothing_of_its_guided_law():
    asked: dict[str, Any] = {"method": "schedule", "temperature": 1.0}
    assert fef.certify(complete_network(), **asked).kind == "bound"
    for guidance in ({"cfg_scale": 0.5}, {"contrast": 0.5}):
        assert fef.certify(complete_network(), **asked, **guidance).kind == "none"


def test_an_end_token_that_a_flag_bans_is_named():
    network = tiny_network(eos_id=2)
    for method in ("low-confidence", "random"):
        reasons = fef.certify(network, method=method, logits_eos_inf=True).reasons
        assert any(reason.startswith("banned: never drawn 2") for reason in reasons)
        assert not any("banned" in reason for reason in fef.certify(network, method=method).reasons)


def test_vacuous_bounds_are_none():
    assert kind("factor", factor=3.0) == kind("threshold", threshold=0.0) == "none"


def test_the_order_of_a_rule_is_named():
    law = fef.certify(tiny_network(), method="entropy", tokens_per_step=1, first_slot_first=True, left_bias=0.5).law
    assert "first-slot-of-a-block-first, then least-entropy-first (left bias 0.5)" in law


def my_network(ids):
    return torch.zeros(*ids.shape, 4)


def test_a_denoiser_is_called_by_its_own_name_or_that_of_its_function_or_class():
    """And not `function`, as every function would be."""
    my_network.mask_id = 3
    assert "chain law of my_network under" in fef.certify(my_network, temperature=1.0).law
    assert "chain law of Transformer under" in fef.certify(tiny_network(), temperature=1.0).law
    my_network.name = "mine"
    assert "chain law of mine under" in fef.certify(my_network, temperature=1.0).law


@pytest.mark.parametrize("format", ["int8", "fp8"])
@pytest.mark.parametrize(
    ("method", "temperature", "options"),
    [
        ("fef", 0.0, {}),
        ("fef", 0.7, {"verify": "rows"}),
        ("threshold", 1.0, {}),
        ("threshold", 0.7, {}),
        ("low-confidence", 0.0, {"tokens_per_step": 2}),
    ],
)
def test_quantized_weights_are_named_and_keep_the_kind(format, method, temperature, options):
    """The law is that of the rounded weights, which the certificate says; how it is sampled stays as exact as it was."""
    plain = fef.certify(tiny_network(), method=method, temperature=temperature, **options)
    network = quantize_(tiny_network(), format)
    found = fef.certify(network, method=method, temperature=temperature, **options)
    assert found.kind == plain.kind
    assert found.law == plain.law.replace("of Transformer", f"of Transformer with {format} weights")
    added = f"weights: {format}, one scale per output row: the law is that of the quantized weights"
    assert found.reasons == (plain.reasons[0], added, *plain.reasons[1:])


def test_a_whole_number_is_told_like_the_same_number_with_a_point():
    words = {fef.certify(Untouchable(), temperature=t, top_p=0.5).law for t in (1, 1.0)}
    assert len(words) == 1
