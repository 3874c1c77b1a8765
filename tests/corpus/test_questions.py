"""Questions that a model imagines: which are kept, and where a user's turn begins."""

from __future__ import annotations

import pytest

from fef.corpus.ask import new_questions, opening
from fef.corpus.overlap import TestItems
from fef.errors import OptionError
from fef.models.chat import ChatTemplate

TEMPLATE = "<sys>Help.</sys>{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
HELD_OUT = TestItems.of(["How do bakers know when a loaf is done?", "Who invented the telephone?"])


def kept(*texts: str) -> list[str]:
    return list(new_questions(texts, HELD_OUT))


def test_plain_questions_are_kept_in_their_order_each_once() -> None:
    texts = ["Can you help me with 2 essays?", "Why is ice cold?", "why is ice COLD", "Can you help me with 3 essays?"]
    assert kept(*texts) == texts[:2]


@pytest.mark.parametrize(
    "text",
    [
        "Tell me, how do bakers know when a loaf is done?",
        "Who invented the telephone?",
        "WHO invented the telephone",
        "Summarise [article] for me.",
        "Give me a list of",
        "",
    ],
    ids=["held-out-within", "held-out", "held-out-capitals", "placeholder", "no-end", "nothing"],
)
def test_questions_that_are_held_out_or_no_plain_text_are_left_out(text: str) -> None:
    assert kept(text, "Who invented the umbrella, and when?") == ["Who invented the umbrella, and when?"]


def test_a_users_turn_begins_behind_what_the_template_puts_first() -> None:
    assert opening("m", ChatTemplate(TEMPLATE, {})) == "<sys>Help.</sys><user>"


@pytest.mark.parametrize("template", [None, ChatTemplate("Hello.", {})], ids=["no-template", "no-turns"])
def test_a_model_without_turns_of_users_cannot_ask(template: ChatTemplate | None) -> None:
    with pytest.raises(OptionError, match="give a chat model"):
        opening("m", template)
