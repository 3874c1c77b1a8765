"""What `Model.generate`, `score` and the engine take as text, numbers and options, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_network import MASK, tiny_network

import fef
from fef.generation import Model
from fef.models.tokenizer import Tokenizer

BLOCK = 4
ATTENTION = [
    ("bidirectional", False),
    ("block-causal", False),
    ("block-causal", True),
    ("causal", False),
    ("causal", True),
]
HALF = "a\ud83d b"


def model_of(**config: object) -> Model:
    tokenizer = Tokenizer.train(["Tom has 12 apples. "], 270)
    size = tokenizer.vocab_size
    ids = {"vocab_size": size + 2, "mask_id": size, "eos_id": size + 1, "max_length": 40}
    return Model(tiny_network(0, **ids | config).float(), tokenizer, "small")


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of()


@pytest.mark.parametrize(("attention", "shift"), ATTENTION)
def test_what_is_seen_is_what_changes_a_prediction(attention, shift):
    L = 11
    packed = attention == "bidirectional"
    network = tiny_network(1, scale=0.5, attention=attention, block_length=BLOCK, shift=shift, packed=packed)
    plain = torch.full((1, L), MASK)
    for position in range(L):
        until = network.config.seen_until(position)
        for other in range(L):
            changed = plain.clone()
            changed[0, other] = 1
            at = torch.tensor([[position]])
            same = torch.equal(network.logits_at(changed, at), network.logits_at(plain, at))
            assert same == (until is not None and other >= until)


@pytest.mark.parametrize(
    ("prompt", "new", "suffix", "words"),
    [
        (6, 2, 1, "sees none of them"),
        (6, 2, 5, "sees none of them"),
        (6, 1, 2, "sees 1 of them.*keep it within 1 token"),
        (2, 7, 4, "sees 3 of them.*keep it within 3 token"),
    ],
)
def test_a_suffix_that_a_block_causal_network_cannot_see_is_refused(prompt, new, suffix, words):
    model = model_of(attention="block-causal", block_length=BLOCK, packed=False)
    with pytest.raises(fef.InputError, match=rf"The suffix has {suffix} tokens; small {words}"):
        model.generate("1" * prompt, max_new_tokens=new, suffix="2" * suffix)


@pytest.mark.parametrize(("prompt", "new", "suffix"), [(6, 1, 1), (2, 7, 3), (4, 1, 3), (6, 2, 0)])
def test_a_suffix_inside_the_block_of_the_last_slot_is_seen(prompt, new, suffix):
    model = model_of(attention="block-causal", block_length=BLOCK, packed=False)
    found = model.generate("1" * prompt, max_new_tokens=new, suffix="2" * suffix, temperature=1.0)
    assert any("no token sees what stands behind its own block" in reason for reason in found.certificate.reasons)
    ids, _, stop = model.canvas("1" * prompt, new, "2" * suffix)
    assert model.network.config.seen_until(stop - 1) >= len(ids)


def test_a_bidirectional_network_sees_any_suffix(model):
    found = model.generate("1" * 6, max_new_tokens=2, suffix="2" * 9)
    assert not any("behind its own block" in reason for reason in found.certificate.reasons)
    with pytest.raises(fef.InputError, match="sees none"):
        model_of(attention="causal", packed=False).generate("1", max_new_tokens=2, suffix="2")


def test_banned_ids_are_added_to_those_that_are_no_text(model):
    ask = {"max_new_tokens": 12, "temperature": 1.0, "seed": 3}
    free = model.generate("Tom", **ask)
    assert free.token_ids
    for banned in (free.token_ids[:1], np.array(free.token_ids[:1]), set(free.token_ids)):
        assert not set(model.generate("Tom", banned=banned, **ask).token_ids) & set(banned)


@pytest.mark.parametrize("name", ["ids", "open", "lengths", "eos_id", "denoiser"])
def test_what_the_model_gives_by_itself_is_refused_by_name(model, name):
    with pytest.raises(fef.OptionError, match=f"generate takes {name} from the prompt"):
        model.generate("Tom", max_new_tokens=4, **{name: 3})


@pytest.mark.parametrize("text", [3, None, b"x", ["x"], HALF])
def test_other_things_than_text_are_refused(model, text):
    ask = {"max_new_tokens": 4}
    calls = {
        "suffix": lambda: model.generate("Tom", suffix=text, **ask),
        "response": lambda: model.score("Tom", text, **ask),
        "prompt": lambda: model.score(text, "x", **ask),
        "profile": lambda: model.profile([("a", "b"), ("a", text)], **ask),
    }
    for call in calls.values():
        with pytest.raises(fef.InputError):
            call()


def test_a_profile_needs_pairs(model):
    for pairs in (3, "ab", [], [("a", "b"), "ab"], [("a", "b"), ("a",)], [("a", "b"), 3]):
        with pytest.raises(fef.InputError):
            model.profile(pairs, max_new_tokens=4)


@pytest.mark.parametrize("number", [np.int64, torch.tensor])
def test_a_length_of_any_library(model, number):
    assert (
        model.generate("Tom", max_new_tokens=number(5)).token_ids == model.generate("Tom", max_new_tokens=5).token_ids
    )
    for wrong in (0, True, 2.5, "5", None, np.True_):
        with pytest.raises(fef.OptionError, match=r"max_new_tokens=.* whole number of at least 1"):
            model.generate("Tom", max_new_tokens=wrong)


def test_the_engine_reads_the_same_numbers(model):
    engine = model.engine(
        max_batch=np.int64(2), max_length=40, max_new_tokens=torch.tensor(5), windows=np.array([4]), threads=1
    )
    own = model.generate("Tom", max_new_tokens=5, temperature=0.5, seed=4, top_k=3)
    settings = {"temperature": np.float32(0.5), "seed": np.int64(4), "top_k": torch.tensor(3)}
    assert engine.submit("Tom", max_new_tokens=np.int64(5), **settings).result().token_ids == own.token_ids
    wrong = [
        {"temperature": True},
        {"seed": False},
        {"top_k": 2**63},
        {"top_k": np.True_},
        {"window": True},
        {"top_p": [1.0]},
    ]
    wrong += [{"ids": [1]}, {"open": [1]}, {"suffix": HALF}, {"max_new_tokens": True}]
    for options in wrong:
        with pytest.raises(fef.FefError, match=next(iter(options))):
            engine.submit("Tom", **{"max_new_tokens": 5} | options)
    with pytest.raises(fef.InputError, match="ids must be a list of whole numbers"):
        engine.engine.submit([1, True, MASK], [2])


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch": True},
        {"windows": [True]},
        {"windows": 3},
        {"banned": 3},
        {"banned": [2**63]},
        {"eos_id": True},
        {"memory_gb": True},
        {"costs": 3},
        {"threads": 1.5},
    ],
)
def test_options_of_an_engine_are_refused_by_name(model, options):
    with pytest.raises(fef.OptionError, match=next(iter(options))):
        model.engine(**{"max_length": 40, "max_new_tokens": 4} | options)


@pytest.mark.parametrize("name", ["self", "cls", "ids", "opened", "counted"])
def test_an_option_is_no_argument_of_the_function_that_it_is_given_to(model, name):
    """Options come from elsewhere, such as the body of a request: a wrong one is an error of fef, whatever it is called."""
    engine = model.engine(max_length=40, max_new_tokens=4)
    option = {name: 1}
    calls = [
        lambda: model.generate("Tom", max_new_tokens=4, **option),
        lambda: model.score("Tom", "has", max_new_tokens=4, **option),
        lambda: model.engine(**option),
        lambda: engine.submit("Tom", max_new_tokens=4, **option),
        lambda: engine.generate(["Tom"], max_new_tokens=4, **option),
    ]
    for call in calls:
        with pytest.raises(fef.OptionError, match=name):
            call()
