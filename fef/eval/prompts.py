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

__all__ = ["FittedPrompt", "canvas_length", "fit_prompts"]


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits, and how many characters of its beginning were cut for that."""

    prompt: Prompt
    cut_characters: int


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
    too_long = [i for i, (prompt, room) in enumerate(pairs) if not fits(model, prompt, room)]
    if too_long and long_prompts == "refuse":
        raise InputError(
            f"{len(too_long)} of {len(pairs)} prompts leave no room for {max_new_tokens[too_long[0]]} new tokens in "
            f"{model.name}. Ask for fewer new tokens or fewer shots, or have the beginnings of long prompts cut with "
            "--long-prompts cut (in the harness: long_prompts=cut); the results say how many."
        )
    fitted = [FittedPrompt(prompt, 0) for prompt in prompts]
    for i in too_long:
        fitted[i] = cut_prompt(model, *pairs[i])
    return fitted


def cut_prompt(model: Model, prompt: Prompt, max_new_tokens: int) -> FittedPrompt:
    """The longest end of a prompt that fits."""
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]

    def end(start: int) -> Prompt:
        return text[start:] if isinstance(prompt, str) else [*prompt[:-1], {**prompt[-1], "content": text[start:]}]

    if not fits(model, end(len(text)), max_new_tokens):
        raise InputError(
            f"A prompt does not fit {model.name} with {max_new_tokens} new tokens even without its last turn. Ask for fewer "
            "new tokens or fewer shots."
        )
    cut = bisect_left(range(len(text)), True, lo=1, key=lambda start: fits(model, end(start), max_new_tokens))
    return FittedPrompt(end(cut), cut)


def fits(model: Model, prompt: Prompt, max_new_tokens: int) -> bool:
    try:
        canvas_length(model, prompt, max_new_tokens)
    except InputError:
        return False
    return True


def canvas_length(model: Model, prompt: Any, max_new_tokens: int) -> int:
    """Tokens of prompt and canvas together. Raises InputError where they are too many."""
    return len(model.canvas(prompt, max_new_tokens, "")[0])
