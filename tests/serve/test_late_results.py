"""Streams tell the costs that whole answers tell, where a result comes rounds after its tokens, as from a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from serving import Client, running

from fef.engine.host_copies import HostCopies, PendingCopy
from fef.generation import Model
from fef.serve.pieces import TextPieces

COUNTED = ("passes", "rounds", "drafted", "accepted")


class LateCopies(HostCopies):
    """Come in the round after the one in which they were sent."""

    old = 0

    def collect(self, keep: int) -> list[PendingCopy]:
        found = [self.copies.popleft() for _ in range(min(self.old, len(self)))]
        self.old = len(self)
        return found


@pytest.fixture(scope="module")
def late(model: Model) -> Iterator[Client]:
    with running(model, {"max_batch": 4}) as client:
        packed = client.host.engine.packed
        assert packed is not None
        packed.results = LateCopies(packed.device)
        yield client


def told(client: Client, **asked: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is told of the choices of an answer: whole, and streamed."""
    asked |= {"n": 3, "temperature": 1.0}
    *_, last = client.complete(stream=True, **asked).events
    return client.complete(**asked).body["fef"]["choices"], last["fef"]["choices"]


def full_texts(name: str) -> dict[str, Any]:
    return {
        "by an end token": {},
        "by their length": {"ignore_eos": True},
        "a template": {"fef": {"template": ["So: ", {"slots": 6}, " apples, ", {"slots": 5}]}, "max_tokens": None},
        "of a session": {"fef": {"method": "sequential", "options": {"verify": "rows"}}, "max_tokens": 6},
    }[name]


@pytest.mark.parametrize("name", ["by an end token", "by their length", "a template", "of a session"])
def test_a_streamed_text_that_fills_its_canvas_has_the_costs_of_the_whole_one(late: Client, name: str) -> None:
    whole, streamed = told(late, **full_texts(name))
    for one, other in zip(whole, streamed, strict=True):
        assert all(one[cost] is not None and other[cost] is not None for cost in COUNTED)
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-4)


def test_an_end_that_does_not_wait_for_its_result_has_no_costs(late: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """That results are late here, and that a text is told with all of its tokens before."""
    monkeypatch.setattr(TextPieces, "filled", lambda *_: False)
    _, streamed = told(late, ignore_eos=True)
    assert None in [choice["passes"] for choice in streamed]


@pytest.mark.parametrize(
    "asked",
    [{"max_tokens": 5, "fef": {"canvas": 40}}, {"stop": [" "], "max_tokens": 60}],
    ids=["cut", "stopped"],
)
def test_a_text_that_ends_before_its_canvas_is_given_up_whole_and_streamed(late: Client, asked: dict[str, Any]) -> None:
    for choices in told(late, **asked):
        assert all(choice["passes"] is None for choice in choices)


def test_behind_an_end_that_leaves_the_canvas_open_both_give_up(late: Client, model: Model) -> None:
    """An end token comes at once in a block, and there are three more."""
    options = {"after_eos": "free", "block_length": 3, "tokens_per_step": 3}
    asked = {"max_tokens": 12, "logit_bias": {str(model.config.eos_id): 50}}
    for choices in told(late, fef={"method": "low-confidence", "options": options}, **asked):
        assert all(choice["passes"] is None for choice in choices)
