"""What a part of a decode declares; the certificate is computed from these."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LawClaim"]


@dataclass(frozen=True)
class LawClaim:
    """keeps: does the part keep the law. reason: why. bound: the error it allows, if it does not keep it but bounds it."""

    keeps: bool
    reason: str
    bound: str | None = None
