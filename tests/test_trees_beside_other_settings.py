"""Trees of drafts change no text, whatever else changes the law."""

from __future__ import annotations

from typing import Any

import pytest

import fef

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"
OTHERS: list[dict[str, Any]] = [{"logit_bias": {50: 2.0}}, {"min_tokens": 20}, {"ignore_eos": True}, {"steps": 2}]


@pytest.fixture(scope="module")
def demo() -> fef.Model:
    return fef.load("demo", device="cpu")


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_a_tree_beside_another_setting(demo: fef.Model, other: dict[str, Any]) -> None:
    asked = {"temperature": 2.0, "seed": 3, "max_new_tokens": 24} | other
    plain, tree = demo.generate(QUESTION, **asked), demo.generate(QUESTION, tree=12, **asked)
    assert tree.text == plain.text and tree.certificate.kind == "chain"
    assert plain.text != demo.generate(QUESTION, **asked | {"seed": 4}).text


def test_a_tree_under_a_grammar(demo: fef.Model) -> None:
    pytest.importorskip("llguidance", reason="needs llguidance (extra grammar)")
    asked = {"temperature": 2.0, "seed": 3, "max_new_tokens": 24, "grammar": {"regex": "[a-z]+( [a-z]+)*"}}
    plain, tree = demo.generate(QUESTION, **asked), demo.generate(QUESTION, tree=12, **asked)
    assert tree.text == plain.text and tree.log_mass == pytest.approx(plain.log_mass)
