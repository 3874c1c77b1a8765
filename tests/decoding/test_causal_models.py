"""Methods with a causal model beside the network: `deer` has its text, `apd` its judgement, `apd-exact` a product of both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, tiny_causal, tiny_network
from torch import Tensor

import fef
from fef.engine.engine import Engine
from fef.laws.draws import Purpose, gumbels
from fef.models.causal import load_causal
from fef.models.smol_base import find_base

NETWORK, CAUSAL = tiny_network(packed=False), tiny_causal()
DEER: dict[str, Any] = {"method": "deer", "causal": CAUSAL, "eos_id": EOS}


class Alone:
    """A causal model as a denoiser: what it says of a position, it says one before."""

    def __init__(self, model: Any) -> None:
        self.model, self.mask_id = model, model.mask_id

    def __call__(self, ids_BL: Tensor) -> Tensor:
        logits_BLV: Tensor = self.model(ids_BL)
        return torch.cat([torch.zeros_like(logits_BLV[:, :1]), logits_BLV[:, :-1]], 1)


def canvases(rows: int = 12, length: int = 9) -> Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[::2, 4] = 1
    return ids


def greedy_text(model: Any, ids: list[int], slots: list[int], banned: list[int], eos: int | None) -> list[int]:
    """Of a causal model by hand: a pass over the beginning for each token."""
    ids = list(ids)
    for i in slots:
        if eos is not None and any(ids[j] == eos for j in slots if j < i):
            ids[i] = eos
            continue
        logits_V = model(torch.tensor([ids[:i]]))[0, -1].double()
        logits_V[banned] = -torch.inf
        ids[i] = int(logits_V.argmax())
    return ids


@pytest.mark.parametrize("window", [1, 3, 16])
def test_the_greedy_text_is_the_causal_models_own(window):
    ids = canvases()
    out = fef.decode(NETWORK, ids, window=window, **DEER)
    assert out.certificate.kind == "greedy"
    assert "Causal, the causal model, alone" in out.certificate.law
    for row, found in zip(ids.tolist(), out.ids.tolist(), strict=True):
        slots = [i for i, v in enumerate(row) if v == MASK]
        assert found == greedy_text(CAUSAL, row, slots, [MASK], EOS)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_with_coupled_acceptance_a_seed_gives_the_text_that_the_causal_model_draws_with_it(temperature):
    ids = canvases()
    out = fef.decode(NETWORK, ids, temperature=temperature, **DEER)
    alone = fef.decode(Alone(CAUSAL), ids, method="sequential", eos_id=EOS, temperature=temperature)
    assert torch.equal(out.ids, alone.ids)
    torch.testing.assert_close(out.logprobs, alone.logprobs, rtol=0, atol=1e-9, equal_nan=True)
    own = fef.decode(NETWORK, ids, method="sequential", eos_id=EOS, temperature=temperature)
    assert not torch.equal(out.ids, own.ids)  # it is not the network's


def test_drafts_that_hold_save_passes():
    """Of a law that looks at nothing every draft is right."""

    def constant(ids_BL: Tensor) -> Tensor:
        return torch.linspace(0, 3, 8).expand(*ids_BL.shape, -1)

    constant.mask_id = MASK  # type: ignore[attr-defined]
    ids = torch.full((2, 20), MASK)
    ids[:, 0] = 3
    out = fef.decode(constant, ids, method="deer", causal=constant, window=8, temperature=1.0)
    assert out.stats[0]["calls"] == 2 * 3  # a pass of each model for eight drafts and the slot behind them
    assert out.stats[0]["accepted"] == out.stats[0]["drafted"] == 8 + 8 + 1


def judged_text(ids: list[int], slots: list[int], share: float, lookahead: int, seed: int, exact: bool) -> list[int]:
    """APD by hand, one row: Gumbel noise on the network's marginals and on the product of experts."""
    ids, attempt = list(ids), 0
    while left := [i for i in slots if ids[i] == MASK][:lookahead]:
        own = NETWORK(torch.tensor([ids]))[0, :, :MASK].double().log_softmax(-1)
        key = {"step_B": torch.ones(1).long(), "attempt_B": torch.tensor([0 if exact else attempt])}
        where = torch.tensor([left])
        noise = gumbels(torch.tensor([seed]), where, **key, purpose=Purpose.TOKEN, count=8)[0, :, :MASK]
        drafts = {i: int((own[i] + noise[n]).argmax()) for n, i in enumerate(left)}
        filled = [drafts.get(i, v) for i, v in enumerate(ids)]
        for n, i in enumerate(left):
            next_ = CAUSAL(torch.tensor([filled[:i]]))[0, -1, :MASK].double().log_softmax(-1)
            product = (share * own[i] + (1 - share) * next_).log_softmax(-1)
            target = int((product + noise[n]).argmax())
            if not exact and target != drafts[i] and n:
                break
            ids[i] = target if exact else drafts[i]
            if exact and target != drafts[i]:
                break
        attempt += 1
    return ids


@pytest.mark.parametrize(("method", "exact"), [("apd", False), ("apd-exact", True)])
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0, 0.0])
def test_apd_keeps_the_run_on_which_both_experts_agree_and_the_exact_form_draws_the_next_from_both(
    method, exact, share
):
    ids = canvases(6)
    options = {"causal": CAUSAL, "share": share, "window" if exact else "lookahead": 4}
    out = fef.decode(NETWORK, ids, method=method, temperature=1.0, seed=range(6), **options)
    for seed, (row, found) in enumerate(zip(ids.tolist(), out.ids.tolist(), strict=True)):
        slots = [i for i, v in enumerate(row) if v == MASK]
        assert found == judged_text(row, slots, share, 4, seed, exact)


@pytest.mark.parametrize("bias", [None, {1: 2.0, 3: -1.0}])
def test_the_ends_of_the_product_are_the_two_models(bias):
    """All to the causal model: its own text. All to the network: every draft stands, in one round. What is added to logits
    is added to those of the product, once."""
    ids = canvases()
    asked: dict[str, Any] = {"temperature": 1.0, "eos_id": EOS, "causal": CAUSAL, "logit_bias": bias}
    theirs = fef.decode(NETWORK, ids, method="apd-exact", share=0.0, **asked)
    assert torch.equal(theirs.ids, fef.decode(NETWORK, ids, method="deer", **asked).ids)
    assert theirs.certificate.kind == "chain"
    for method in ("apd", "apd-exact"):
        own = fef.decode(NETWORK, ids, method=method, share=1.0, **asked)
        assert {stats["calls"] for stats in own.stats} == {2}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_process_is_not_called_a_chain_and_is_not_scored(temperature):
    settings: dict[str, Any] = {"method": "apd-exact", "causal": CAUSAL, "temperature": temperature}
    certificate = fef.certify(NETWORK, **settings)
    assert certificate.kind == "process"
    assert "given the text before the round to the power 0.6 times Causal to the power 0.4" in certificate.law
    assert fef.certify(NETWORK, window=1, **settings).kind == ("greedy" if temperature == 0 else "chain")
    assert fef.certify(NETWORK, **settings | {"method": "apd"}).kind == "none"
    model = fef.load("demo")
    with pytest.raises(fef.OptionError, match="no one-pass chain law"):
        model.score("2 + 3", "5", method="apd-exact", causal=causal_for(model), max_new_tokens=4)


def causal_for(model: fef.Model) -> Any:
    """A random causal model that reads the tokens of a checkpoint."""
    config = model.network.config
    return tiny_causal(vocab_size=config.vocab_size, mask_id=config.mask_id, eos_id=config.eos_id).float()


@pytest.mark.parametrize("method", ["apd", "apd-exact"])
def test_demo_is_judged_in_decode_and_in_the_engine_alike(method):
    model = fef.load("demo")
    asked: dict[str, Any] = {"method": method, "causal": causal_for(model), "max_new_tokens": 12, "temperature": 1.0}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_demo_drafts_for_a_causal_model_in_decode_and_in_the_engine(temperature):
    model = fef.load("demo")
    causal = causal_for(model)
    asked: dict[str, Any] = {"method": "deer", "causal": causal, "max_new_tokens": 12, "temperature": temperature}
    prompts = ["What is 2 + 3?", "Tom has 4 apples."]
    texts = model.generate(prompts, **asked)
    engine = model.engine(threads=1)
    jobs = [engine.submit(prompt, seed=i, **asked) for i, prompt in enumerate(prompts)]
    assert [job.result().text for job in jobs] == [text.text for text in texts]
    ids, start, stop = model.canvas(prompts[0], 12, "")
    alone = fef.decode(
        Alone(causal),
        torch.tensor([ids]),
        method="sequential",
        eos_id=model.network.config.eos_id,
        banned=model.never_drawn(()),
        temperature=temperature,
    )
    assert model.generation(alone.ids[0, start:stop].tolist(), [0.0] * 12, {}, alone.certificate).text == texts[0].text


def test_a_text_is_scored_under_the_law_of_the_causal_model():
    model = fef.load("demo")
    causal = causal_for(model)
    score = model.score("Add 2 and 3.", "5", method="deer", causal=causal, max_new_tokens=8)
    ids, start, _ = model.canvas("Add 2 and 3.", 8, "")
    whole = [*ids[:start], *score.token_ids]
    logits_LV = causal(torch.tensor([whole]))[0].double()
    logits_LV[:, model.never_drawn(())] = -torch.inf
    logits_LV[:, model.network.mask_id] = -torch.inf
    logp_LV = logits_LV.log_softmax(-1)
    expected = [float(logp_LV[start + i - 1, token]) for i, token in enumerate(score.token_ids)]
    assert score.logprobs == pytest.approx(expected, abs=1e-4)
    assert "causal model, alone" in score.certificate.law


@pytest.mark.slow
def test_smol_drafts_for_the_model_that_it_was_made_of():
    """Its greedy text is that model's own."""
    model = fef.load("smol")
    base, _ = load_causal(find_base(), dtype=torch.float32)
    prompt = "List three colors."
    out = model.generate(prompt, method="deer", max_new_tokens=12)
    ids, start, stop = model.canvas(prompt, 12, "")
    slots, banned = list(range(start, stop)), [*model.never_drawn(()), model.network.mask_id]
    text = greedy_text(base, ids, slots, banned, model.network.config.eos_id)
    assert out.token_ids == text[start : start + len(out.token_ids)]
    assert out.stats["calls"] > 0


def test_a_grammar_holds_the_causal_models_text_and_makes_no_process():
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    letters = (b"a", b"b", b"", b"c", b"d", b"e", b"f", b"")
    grammar = fef.compile_grammar({"regex": "(ab|cd)*e?"}, letters, EOS)
    ids = torch.full((6, 9), MASK)
    ids[:, 0] = torch.arange(6) % 6
    asked: dict[str, Any] = {"grammar": grammar, "eos_id": EOS, "temperature": 1.0}
    out = fef.decode(NETWORK, ids, method="deer", causal=CAUSAL, window=3, **asked)
    assert torch.equal(out.ids, fef.decode(Alone(CAUSAL), ids, method="sequential", **asked).ids)
    for method in ("apd", "apd-exact"):
        with pytest.raises(fef.OptionError, match="A grammar asks what may follow"):
            fef.decode(NETWORK, ids, method=method, causal=CAUSAL, **asked)


def test_what_is_no_causal_model_is_refused():
    ids = canvases(1)
    with pytest.raises(fef.OptionError, match="comes without a causal model"):
        fef.decode(NETWORK, ids, method="deer")
    with pytest.raises(fef.OptionError, match="its attention is bidirectional"):
        fef.decode(NETWORK, ids, method="deer", causal=NETWORK)
    with pytest.raises(fef.OptionError, match="9 tokens and Transformer 8"):
        fef.decode(NETWORK, ids, method="deer", causal=tiny_causal(vocab_size=9))
    with pytest.raises(fef.OptionError, match="causal=3 must be a model"):
        fef.decode(NETWORK, ids, method="deer", causal=3)
    with pytest.raises(fef.CheckpointError, match="neither a GGUF file nor a model directory"):
        fef.decode(NETWORK, ids, method="deer", causal="nowhere")


def test_a_canvas_must_begin_with_a_given_token():
    for open_slots in ([0, 1], [0]):
        ids = torch.tensor([[1, 2, 3]])
        open_ = torch.zeros_like(ids, dtype=torch.bool)
        open_[0, open_slots] = True
        with pytest.raises(fef.InputError, match="the first position is open"):
            fef.decode(NETWORK, ids, open=open_, **DEER)
        with pytest.raises(fef.InputError, match="the first position is open"):
            Engine(NETWORK).submit([1, 2, 3], open_slots, method="deer", causal=CAUSAL)
