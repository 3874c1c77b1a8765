"""Rounds of a canvas as JSON, for pages that draw it."""

from __future__ import annotations

from typing import Any

from fef.engine.watched import CanvasRound, Token
from fef.serve.answer import Choice
from fef.serve.pieces import LEAST_LOGPROB, TextPieces

__all__ = ["round_body"]


def round_body(choice: Choice, round_: CanvasRound) -> dict[str, Any]:
    """What a round did to a choice's canvas; positions are counted from its first open one."""
    pieces = choice.pieces
    assert isinstance(pieces, TextPieces), "templates are not watched"
    start, decode = pieces.places.start, pieces.decode

    def told(token: Token) -> dict[str, Any]:
        end = token[1] in pieces.ends
        return {"at": token[0] - start, "id": token[1], "text": decode([token[1]]), "end": end}

    return {
        "index": choice.index,
        "passes": round_.passes,
        "filled": [
            {
                **told((one.place, one.token)),
                "logprob": max(one.logprob, LEAST_LOGPROB),
                "how": one.how,
            }
            for one in round_.filled
        ],
        "rejected": [told(token) for token in round_.rejected],
        "drafts": [told(token) for token in round_.drafts],
        "reopened": [place - start for place in round_.reopened],
    }
