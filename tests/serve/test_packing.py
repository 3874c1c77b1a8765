"""Commands as bytes: a grammar is one object for the engine, however often it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from fef.generation import Model
from fef.grammar.compiled import TokenGrammar
from fef.serve.letters import Cancel, Submit, Wanted
from fef.serve.packing import Packer, Unpacker
from fef.text import TextFormat


def submit(*grammars: TokenGrammar | None) -> Submit:
    return Submit(3, Wanted([1, 2, 3], [range(1, 2)] * len(grammars), grammars, {"seed": 5}, True, False))


def sent(packer: Packer, unpacker: Unpacker, *grammars: TokenGrammar | None) -> Any:
    return unpacker.unpacked(packer.packed(submit(*grammars))).wanted.grammars


@pytest.fixture
def ends(model: Model) -> tuple[Packer, Unpacker]:
    """That of the routes has a vocabulary of its own."""
    return Packer(model.format), Unpacker(model)


def test_commands_come_as_they_were(ends: tuple[Packer, Unpacker]) -> None:
    for command in (submit(None), Cancel(7)):
        assert ends[1].unpacked(ends[0].packed(command)) == command


def test_a_grammar_is_one_object_and_sent_once(model: Model, ends: tuple[Packer, Unpacker]) -> None:
    packer, unpacker = ends
    grammar = packer.format.grammar({"choice": ["yes", "no"]})
    first = packer.packed(submit(grammar, None, grammar))
    again = packer.packed(submit(grammar))
    assert len(again) < len(first) / 2
    one, none, other = unpacker.unpacked(first).wanted.grammars
    assert none is None
    assert one is other is unpacker.unpacked(again).wanted.grammars[0]
    assert one.vocabulary is model.vocabulary
    assert one.vocabulary is not grammar.vocabulary
    assert one.text(8, ()).allowed([]).tolist() == grammar.text(8, ()).allowed([]).tolist()


def test_a_grammar_of_a_span_alone_is_another(ends: tuple[Packer, Unpacker]) -> None:
    grammar = ends[0].format.grammar({"regex": "[0-9]+"})
    one, other = sent(*ends, grammar, grammar.of_open_positions())
    assert one is not other
    assert one.reads_behind and not other.reads_behind


def test_a_grammar_of_llguidance_is_sent_once_it_has_been_asked(ends: tuple[Packer, Unpacker]) -> None:
    """As where the canvas of a template is made."""
    grammar = ends[0].format.grammar({"grammar": 'start: "yes" | "no"'})
    allowed = grammar.text(8, ()).allowed([]).tolist()
    [found] = sent(*ends, grammar)
    assert found.text(8, ()).allowed([]).tolist() == allowed


def test_both_ends_forget_the_same_grammars(ends: tuple[Packer, Unpacker]) -> None:
    grammars = [ends[0].format.grammar({"choice": [f"{n}"]}) for n in range(20)]
    first = [sent(*ends, grammar)[0] for grammar in grammars]
    last = [sent(*ends, grammar)[0] for grammar in reversed(grammars)]
    assert [one.grammar for one in first] == [one.grammar for one in reversed(last)]
    kept = sum(one is other for one, other in zip(first, reversed(last), strict=True))
    assert 0 < kept < len(grammars)
    assert list(ends[0].known) == list(ends[1].known)


def test_a_grammar_of_other_tokens_is_no_ones(model: Model, ends: tuple[Packer, Unpacker]) -> None:
    with pytest.raises(AssertionError, match="of all tokens"):
        ends[0].packed(submit(model.grammar({"choice": ["a"]}).without([5])))


def test_a_format_goes_to_another_process(model: Model) -> None:
    import pickle

    found: TextFormat = pickle.loads(pickle.dumps(model.format))
    assert found.config == model.config
    assert found.text_ids("prompt", "12 apples") == model.text_ids("prompt", "12 apples")
    messages = [{"role": "user", "content": "12 apples"}]
    assert found.prompt_ids(messages) == model.prompt_ids(messages)
