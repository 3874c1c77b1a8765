"""Prompts that leave room for the canvas: refused by name, or cut at their beginning, as far as needed and never silently."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fef.errors import InputError, OptionError
from fef.eval.presets import LongPrompts
from fef.eval.tasks import Prompt
from fef.generation import Model

__all__ = ["FittedPrompt", "fit_prompts"]


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits."""

    prompt: Prompt
    length: int  # tokens of it and the canvas together
    cut_characters: int  # of its beginning, so that it fits


def fit_prompts(
    model: Model, prompts: Sequence[Prompt], max_new_tokens: Sequence[int], long_prompts: LongPrompts
) -> list[FittedPrompt]:
    """Every prompt as it is, or, where it leaves no room for its canvas and `long_prompts` is "cut", its longest fitting end.

    Of messages the last one is cut. Raises InputError, under "refuse", with the number of prompts that do not fit, and
    OptionError for messages to a model without a chat template.
    """
    if model.template is None and not all(isinstance(prompt, str) for prompt in prompts):
        raise OptionError(f"{model.name} has no chat template; ask in plain text with --no-chat.")
    pairs = list(zip(prompts, max_new_tokens, strict=True))
    fitted = [fit(model, prompt, room) for prompt, room in pairs]
    too_long = [room for (_, room), one in zip(pairs, fitted, strict=True) if one is None]
    if too_long and long_prompts == "refuse":
        raise InputError(
            f"{len(too_long)} of {len(pairs)} prompts leave no room for {too_long[0]} new tokens in {model.name}. Ask for "
            "fewer new tokens or fewer shots, or have the beginnings of long prompts cut with --long-prompts cut (in the "
            "harness: long_prompts=cut); the results say how many."
        )
    return [one or cut_prompt(model, *pair) for pair, one in zip(pairs, fitted, strict=True)]


def fit(model: Model, prompt: Any, max_new_tokens: int, cut: int = 0) -> FittedPrompt | None:
    try:
        return FittedPrompt(prompt, len(model.canvas(prompt, max_new_tokens, "")[0]), cut)
    except InputError:
        return None


def cut_prompt(model: Model, prompt: Prompt, max_new_tokens: int) -> FittedPrompt:
    """The longest end of a prompt that fits."""
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]

    def end(start: int) -> FittedPrompt | None:
        left = text[start:] if isinstance(prompt, str) else [*prompt[:-1], {**prompt[-1], "content": text[start:]}]
        return fit(model, left, max_new_tokens, start)

    shortest = end(len(text))
    if shortest is None:
        raise InputError(
            f"A prompt does not fit {model.name} with {max_new_tokens} new tokens even without its last turn. Ask for fewer "
            "new tokens or fewer shots."
        )
    return end(bisect_left(range(len(text)), True, lo=1, key=lambda start: end(start) is not None)) or shortest
