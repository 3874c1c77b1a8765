"""What a grammar does not fit is refused in a sentence, and a state that leaves nothing ends with one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from grammar_tables import END, TOKENS, A, B, regular, spelled

import fef
from fef.errors import DenoiserError, FefError, InputError, OptionError
from tests.tiny_tables import MASK, TABLES, K, L

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")


# --- states that no text gets to, and those that leave nothing ---


class Cornered:
    """Behind b at the first slot it never draws a; b stands there with probability zero."""

    mask_id, vocab_size = MASK, K + 1

    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, ids_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV = torch.zeros(*ids_BL.shape, K + 1, dtype=torch.float64)
        logits_BLV[:, 0, B] = self.first
        logits_BLV[:, 1, A] = torch.where(ids_BL[:, 0] == B, -torch.inf, 0.0)
        return logits_BLV


def draft_b(_canvas: Any, slots_BS: torch.Tensor) -> torch.Tensor:
    logits_BSV = torch.full((*slots_BS.shape, K + 1), -50.0, dtype=torch.float64)
    logits_BSV[..., B] = 50.0
    return logits_BSV


@pytest.mark.parametrize("expression", ["ab|ba", "aba|bab|ba"])
def test_a_state_that_no_text_gets_to_may_leave_nothing(expression: str) -> None:
    grammar, _ = regular(expression)
    rows = torch.full((4, 3), MASK)
    out = fef.decode(
        Cornered(-2000.0),
        rows,
        grammar=grammar,
        eos_id=END,
        temperature=1.0,
        window=2,
        draft=draft_b,
        accept="rejection",
    )
    assert all(spelled(tuple(text)).startswith("ab") for text in out.ids.tolist())


def test_a_text_that_cannot_go_on_ends_with_a_sentence() -> None:
    grammar, _ = regular("ba")
    with pytest.raises(DenoiserError, match="the grammar allows no token that the network can draw"):
        fef.decode(Cornered(0.0), torch.full((1, 3), MASK), grammar=grammar, eos_id=END, temperature=1.0)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "random"}, "from left to right"),
        ({"order": "blocks", "block_length": 2}, "from left to right"),
        ({"steps": 2}, "one denoising pass"),
        ({"method": "sequential", "order": "random"}, "from left to right"),
        *(
            ({"method": name}, "from left to right")
            for name in ("threshold", "low-confidence", "klass", "wino", "random")
        ),
        ({"method": "entropy", "temperature": 1.0}, "from left to right"),
        ({"eos_id": None}, "eos_id is None"),
        ({"eos_id": 1}, "eos_id is 1"),
        ({"grammar": "a+"}, "fef.compile_grammar"),
        ({"grammar": {"regex": "a+"}}, "fef.compile_grammar"),
        ({"grammar": [None, None]}, "2 values for 1 rows"),
    ],
    ids=str,
)
def test_what_would_not_be_exact_is_refused_in_one_sentence(options: dict[str, Any], words: str) -> None:
    grammar, _ = regular("a+")
    asked: dict[str, Any] = {"grammar": grammar, "eos_id": END, **options}
    with pytest.raises((OptionError, InputError)) as found:
        fef.decode(TABLES["inconsistent"](), torch.full((1, L), MASK), **asked)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("ids", "size", "words"),
    [
        ([MASK, A, MASK, MASK], 4, "side by side"),
        ([MASK, MASK, MASK, MASK], 5, "compiled for 5 ids"),
        ([MASK, MASK, B, B], 4, "There is no text before this suffix"),
    ],
)
def test_canvases_that_a_grammar_does_not_fit_are_refused(ids: list[int], size: int, words: str) -> None:
    grammar = fef.compile_grammar({"regex": "(ab)+"}, (*TOKENS, b"c")[:size], END)
    with pytest.raises(FefError, match=words):
        fef.decode(TABLES["inconsistent"](), torch.tensor([ids]), grammar=grammar, eos_id=END)
