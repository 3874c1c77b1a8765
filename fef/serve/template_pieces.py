"""The text of a template as it is filled: given texts, and the pieces of its spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fef.serve.pieces import FinishReason, Likeliest, Piece, TextPieces, Token

__all__ = ["TemplatePieces"]


@dataclass
class TemplatePieces:
    """parts: given texts, and a span's pieces for each span. What is given is told with what stands before it."""

    parts: Sequence[str | TextPieces]
    at: int = 0  # the part that is told now
    told: int = 0  # characters of those before it
    text_of: dict[int, str] = field(default_factory=dict)  # of spans, by the number of the part

    @property
    def spans(self) -> list[TextPieces]:
        return [part for part in self.parts if not isinstance(part, str)]

    @property
    def texts(self) -> list[str]:
        """Of the spans that have begun."""
        return list(self.text_of.values())

    @property
    def places(self) -> list[int]:
        return [place for span in self.spans for place in span.places]

    @property
    def counted(self) -> int:
        """Tokens drawn, end tokens among them."""
        return sum(span.counted for span in self.spans)

    @property
    def logprobs(self) -> list[float]:
        return [logprob for span in self.spans for logprob in span.logprobs]

    def filled(self, end_id: int | None) -> bool:
        """As `TextPieces.filled`, of the last span."""
        return self.spans[-1].filled(end_id)

    def add(
        self, committed: Iterable[tuple[int, tuple[int, float]]], likeliest: Mapping[int, Likeliest] | None = None
    ) -> Piece | None:
        """As `TextPieces.add`. It ends with its last part: by "length" where a span is full without an end token."""
        if self.at == len(self.parts):
            return None
        known, text, tokens = list(committed), "", list[Token]()
        while self.at < len(self.parts):
            part = self.parts[self.at]
            if isinstance(part, str):
                text += part
                self.told += len(part)
            else:
                piece = part.add([each for each in known if each[0] in part.places], likeliest)
                if piece is not None:
                    text += piece.text
                    tokens += [replace(token, start=self.told + token.start) for token in piece.tokens]
                    self.text_of[self.at] = self.text_of.get(self.at, "") + piece.text
                if part.finish is None:
                    break
                self.told += part.sent
            self.at += 1
        finish: FinishReason | None = None
        if self.at == len(self.parts):
            finish = "length" if any(span.finish == "length" for span in self.spans) else "stop"
        return Piece(text, tokens, finish) if text or tokens or finish else None
