"""Given texts with spans between them: each span has the law of its method on the canvas that stands around it."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch

import fef
from fef.errors import InputError, OptionError
from fef.generation import Model

QUESTION = "Tom has 12 apples and buys 3 bags of 6. How many?"
PARTS: list[Any] = ["12 +", {"slots": 5}, " =", {"slots": 4}, " apples"]


@pytest.fixture(scope="module")
def model() -> Model:
    return fef.load("demo", device="cpu")


def laid_out(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """The canvas of `PARTS` and its open positions, made by hand."""
    mask = model.network.config.mask_id
    pieces = [model.prompt_ids(QUESTION) + model.answer_mark, model.prompt_ids("12 +"), [mask] * 5]
    pieces += [model.prompt_ids(" ="), [mask] * 4, model.prompt_ids(" apples")]
    ids_BL = torch.tensor([list(chain(*pieces))])
    return ids_BL, ids_BL == mask


@pytest.mark.parametrize("way", [{"window": 3, "accept": "coupled"}, {"method": "sequential"}], ids=str)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_without_end_tokens_a_template_is_one_canvas_that_is_filled_from_the_left(
    model: Model, way: dict[str, Any], temperature: float
) -> None:
    """The joint canvas is decoded in one go, by code that knows no spans; its plain passes see what is drawn, as spans do."""
    ids_BL, open_BL = laid_out(model)
    options: dict[str, Any] = {"temperature": temperature, "ignore_eos": True, "verify": "rows", **way}
    for seed in (1, 2):
        eos_id, banned = model.network.config.eos_id, model.never_drawn(())
        joint = fef.decode(model.network, ids_BL, seed=[seed], eos_id=eos_id, banned=banned, **options)
        filled = model.fill(QUESTION, PARTS, seed=seed, **options)
        assert list(chain(*(span.token_ids for span in filled.spans))) == joint.ids[open_BL].tolist()
        assert filled.logprob == pytest.approx(float(joint.logprobs[open_BL].sum()), abs=1e-4)
        assert filled.text == f"12 +{filled.spans[0].text} ={filled.spans[1].text} apples"


def test_no_window_changes_a_span_of_the_packed_law(model: Model) -> None:
    for seed in range(4):
        texts = {
            model.fill(QUESTION, PARTS, seed=seed, temperature=1.0, **way).text
            for way in ({"window": 2}, {"window": 8}, {"method": "sequential", "verify": "packed"})
        }
        assert len(texts) == 1


def test_an_end_token_ends_its_span_alone_and_log_p_is_that_of_the_spans(model: Model) -> None:
    ids_BL, open_BL = laid_out(model)
    places = open_BL[0].nonzero()[:, 0].tolist()
    first, second = range(places[0], places[4] + 1), range(places[5], places[8] + 1)
    ended = False
    likely: dict[str, Any] = {"logit_bias": {model.network.config.eos_id: 4.0}}
    for seed in range(6):
        filled = model.fill(QUESTION, PARTS, seed=seed, temperature=1.0, **likely)
        one, two = filled.spans
        ids = ids_BL[0].tolist()
        total = model.score_canvas(ids, first, one.token_ids, **likely).total
        ids[first.start : first.stop] = model.filling(one.token_ids, 5)
        total += model.score_canvas(ids, second, two.token_ids, **likely).total
        assert filled.logprob == pytest.approx(total, abs=1e-4)
        ended = ended or (one.finish_reason == "stop" and bool(two.token_ids))
    assert ended, "no seed had an end token in the first span and a text in the second"


def test_spans_see_what_stands_behind_them(model: Model) -> None:
    there = model.fill(QUESTION, ["12 +", {"slots": 4}, "= 30 apples"])
    elsewhere = model.fill(QUESTION, ["12 +", {"slots": 4}, ". So Tom has 7 and 7."])
    assert there.logprob == 0 and elsewhere.logprob == 0, "they are greedy"
    assert there.text[: -len("= 30 apples")] != elsewhere.text[: -len(". So Tom has 7 and 7.")]


def test_a_span_may_have_a_grammar_that_does_not_read_what_stands_behind(model: Model) -> None:
    parts = ["It is ", {"slots": 4, "choice": ["true", "false"]}, ", since ", {"slots": 6, "regex": "[0-9]+"}, "!"]
    texts = set()
    for seed in range(6):
        filled = model.fill("", parts, seed=seed, temperature=1.0)
        choice, number = (span.text for span in filled.spans)
        assert choice in ("true", "false") and number.isdigit()
        assert filled.text == f"It is {choice}, since {number}!"
        texts.add(filled.text)
    assert len(texts) > 1
    assert filled.certificate.kind == "chain"
    assert "2 spans, from the left" in filled.certificate.law
    assert sum("grammar:" in reason for reason in filled.certificate.reasons) == 2


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ([], "a list of at most 64 parts"),
        ("text", "a list of at most 64 parts"),
        (["a"] * 65, "a list of at most 64 parts"),
        (["a", "b"], "no span to fill"),
        ([{"slots": 0}], "slots"),
        ([{"slots": True}], "slots"),
        ([{"slots": 10**9}], "allows"),
        ([{"slots": 100}] * 30, "tokens"),
        ([{"choice": ["a"]}], "parts are texts and spans"),
        ([{"slots": 4, "wat": 1}], "one of the keys json, regex, choice, grammar"),
        ([{"slots": 4, "choice": ["a"], "regex": "a"}], "one of the keys json, regex, choice, grammar"),
        ([{"slots": 1, "regex": "[0-9]{9}"}], "within 1 tokens"),
        ([{"slots": 4}, 7], "parts are texts and spans"),
        ([{"slots": 4}, "\ud800"], "UTF-8"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_template_is_refused_in_one_sentence(model: Model, template: Any, words: str) -> None:
    with pytest.raises((OptionError, InputError)) as found:
        model.fill("A", template)
    assert words in str(found.value)
    assert "\n" not in str(found.value)
