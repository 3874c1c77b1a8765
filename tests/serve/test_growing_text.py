"""Text that grows is at every step what all tokens together decode to, and no token is decoded more than a few times."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fef.serve.growing_text import UNFINISHED, GrowingText
from fef.serve.pieces import TextPieces

CHARACTERS = ["a", " ", "é", "€", "🙂", UNFINISHED]
# whole characters, parts of them, bytes that are none, several at once, and a token that is no text
PARTS = [c.encode()[i:j] for c in CHARACTERS for i in range(4) for j in range(i + 1, 5)]
TOKENS = sorted({*PARTS, b"", b"\xff", b"\x80", b"\xc0", b" the", b"\x82\xac\xe2", b"\xff\xf0\x9f", b"\xed\xa0\x80"})


def plain(ids: Sequence[int]) -> str:
    return b"".join(TOKENS[i] for i in ids).decode("utf-8", "replace")


def without_first_space(ids: Sequence[int]) -> str:
    return plain(ids).removeprefix(" ")


def check(decode: Callable[[Sequence[int]], str], parts: Sequence[Sequence[int]]) -> None:
    text, ids = GrowingText(decode), []
    for part in parts:
        ids += part
        text.add(part)
        whole = decode(ids)
        assert (text.length, text.finished_length) == (len(whole), len(whole.rstrip(UNFINISHED)))
        assert text.kept + text.tail == whole


@pytest.mark.parametrize("decode", [plain, without_first_space])
@given(st.lists(st.lists(st.integers(0, len(TOKENS) - 1), max_size=12), max_size=12))
@settings(max_examples=150, deadline=None)
def test_the_text_is_that_of_all_tokens(decode, parts: list[list[int]]) -> None:
    check(decode, parts)


@pytest.mark.parametrize("decode", [plain, without_first_space])
def test_long_runs_of_what_is_no_character_are_as_exact(decode) -> None:
    """Long enough that their beginning is settled before they end."""
    dice = random.Random(1)
    broken = [i for i, token in enumerate(TOKENS) if UNFINISHED in token.decode("utf-8", "replace")]
    for _ in range(300):
        some = dice.sample(broken, dice.randint(1, 4)) + [TOKENS.index(b"")] * dice.randint(0, 1)
        ids = [dice.choice(some) for _ in range(40)] + [dice.randrange(len(TOKENS)) for _ in range(8)]
        check(decode, [[i] for i in ids])


def test_what_was_told_is_forgotten() -> None:
    text = GrowingText(plain)
    text.add([TOKENS.index(b" the")] * 3 + [TOKENS.index("é".encode()[:1])])
    assert text.since(0) == " the the the" + UNFINISHED
    assert text.since(9) == "the" + UNFINISHED
    text.add([TOKENS.index("é".encode()[1:])])
    assert text.since(11) == "eé"


class Counting:
    """A decoder that counts the tokens that it decodes."""

    def __init__(self) -> None:
        self.tokens = 0

    def __call__(self, ids: Sequence[int]) -> str:
        self.tokens += len(ids)
        return plain(ids)


@pytest.mark.parametrize("token", [b"a", b" the", b"\x80", b"\xf0\x9f", b"\xe2", "🙂".encode()[:3]])
@pytest.mark.parametrize("options", [{}, {"tokens": True}, {"stops": ["zz"], "least": 3000}], ids=str)
def test_a_token_is_decoded_a_few_times_however_long_the_text(token: bytes, options) -> None:
    count, decode = 4000, Counting()
    ids = [TOKENS.index(token)] * (count - 2) + [TOKENS.index(b"a")] * 2
    pieces = TextPieces(decode, range(count), [], **options)
    found = [pieces.add([(i, (token, 0.0))]) for i, token in enumerate(ids)]
    assert "".join(piece.text for piece in found if piece is not None) == plain(ids)
    assert decode.tokens < 150 * count  # by decoding every prefix: 8,000,000
