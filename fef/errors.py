"""Errors meant for people: what was given, what is allowed, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "DenoiserError",
    "EngineError",
    "FefError",
    "GrammarError",
    "InputError",
    "OptionError",
    "SandboxError",
    "nearest_hint",
]


class FefError(Exception):
    """Base of every error that `fef` raises for its users."""


class OptionError(FefError, ValueError):
    """An unknown method or option, or a value outside its allowed range."""


class InputError(FefError, ValueError):
    """Token ids, prompts or files that cannot be decoded."""


class DenoiserError(FefError, ValueError):
    """A denoiser that failed, returned logits of a wrong shape or with nan, or lacks a needed capability."""


class GrammarError(DenoiserError):
    """A text that cannot go on: its grammar allows no token that the network can draw."""


class CheckpointError(FefError, OSError):
    """A model directory that is missing, truncated, unsafe or of an unknown format."""


class EngineError(FefError, RuntimeError):
    """A request that the engine cannot serve: it does not fit, was cancelled, or the device failed."""


class SandboxError(FefError, RuntimeError):
    """A sandbox that the system does not allow, or not at the needed isolation."""


def nearest_hint(name: str, allowed: Iterable[str]) -> str:
    """A sentence end that names the nearest allowed word and lists them all."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Allowed: {', '.join(names)}."
