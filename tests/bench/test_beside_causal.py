"""Texts of methods beside those of the causal model that a network came with."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_causal import write_causal

from fef.bench.beside_causal import Options, measure, token_entropy
from fef.bench.spec import parse_spec
from fef.eval.likelihood import causal_nats
from fef.generation import Model
from fef.models.causal import describe_causal, load_causal
from fef.models.extras import Extras
from fef.models.transformer import Transformer

PROMPTS = [[{"role": "user", "content": text}] for text in ("say a b", "say c d e", "say f")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A denoiser whose weights are those of a causal model, which came with it."""
    base = write_causal(tmp_path_factory.mktemp("beside") / "base")
    causal, tokenizer = load_causal(str(base), "cpu", torch.float64)
    config = dict(vars(causal.config)) | {"attention": "bidirectional", "packed": False}
    network = Transformer(type(causal.config)(**config)).double()
    network.load_state_dict(causal.state_dict())
    network.extras = Extras(causal_model=causal)
    return Model(network, tokenizer, "tiny", describe_causal(base).template)


@pytest.fixture(autouse=True)
def several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fef.bench.beside_causal.AT_ONCE", 2)


def options(**more: object) -> Options:
    return Options(prompts=Path("unused"), max_new_tokens=12, **more)  # type: ignore[arg-type]


def test_deer_writes_the_greedy_text_of_the_causal_model_and_another_decoder_does_not(model: Model) -> None:
    given = options(temperature=0.0)
    row, texts = measure(model, None, PROMPTS, given)
    assert row["passes"] == 256
    assert measure(model, parse_spec("deer:window=4"), PROMPTS, given)[1] == texts
    other, others = measure(model, parse_spec("random:tokens_per_step=4"), PROMPTS, given)
    assert others != texts
    assert other["passes"] == pytest.approx(64, abs=22)  # 4 tokens a pass, up to the end of a text
    assert row["causal_nats"] is not None is not other["causal_nats"]
    assert row["causal_nats"] < other["causal_nats"]


def test_a_checkpoint_without_a_causal_model_has_the_nats_of_its_own_chain_alone(model: Model) -> None:
    without = Transformer(model.network.config).double()
    without.load_state_dict(model.network.state_dict())
    bare, given = Model(without, model.tokenizer, "tiny", model.template), options(scored=2)
    row, texts = measure(bare, parse_spec("sequential"), PROMPTS, given)
    other, same = measure(model, parse_spec("sequential"), PROMPTS, given)
    assert texts == same
    assert row["causal_nats"] is None is row["causal_error"]
    assert other["causal_nats"] is not None
    assert row["chain_nats"] == other["chain_nats"]


def test_nats_are_those_of_the_chain_rule(model: Model) -> None:
    _, [text, *_] = measure(model, parse_spec("sequential"), PROMPTS, options(temperature=1.0, scored=1))
    begin = model.canvas(PROMPTS[0], 12, "")[0][:-12]
    causal = model.network.extras.causal_model
    steps = [float(causal(torch.tensor([begin + text[:n]]))[0, -1].log_softmax(-1)[text[n]]) for n in range(len(text))]
    assert causal_nats(causal, begin, text) == pytest.approx(-sum(steps), abs=1e-4)


def test_the_entropy_of_tokens_falls_where_texts_repeat() -> None:
    assert token_entropy([[1, 2], [3, 4]]) == pytest.approx(math.log(4))
    assert token_entropy([[1, 1], [1, 1]]) == 0
