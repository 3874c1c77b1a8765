"""What the model classes for lm-evaluation-harness share: its requests, read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import lm_eval.models  # noqa: F401 (its own models are registered when the first one is asked for, unless there are some)
from lm_eval.api.instance import Instance

from fef.errors import OptionError, nearest_hint
from fef.eval.tasks import Message, Prompt

__all__ = ["CHAT", "chat_text", "decoding_settings", "prompt_of", "seeds_of", "until", "with_its_space"]

GENERATION = ("until", "do_sample", "temperature", "top_p", "top_k", "max_gen_toks")
CHAT = "fef-chat:"  # marks a prompt that holds messages: the checkpoint's own template comes later, in the model
REPEAT = 1_000_003  # seeds between two answers to one example


def chat_text(messages: Sequence[Message], add_generation_prompt: bool) -> str:
    """The messages as text that `prompt_of` reads back."""
    if not add_generation_prompt:
        raise OptionError("fef starts every answer itself, so a task with a begun answer (gen_prefix) cannot run.")
    return CHAT + json.dumps(list(messages))


def prompt_of(context: str) -> Prompt:
    messages: list[Message] = json.loads(context.removeprefix(CHAT)) if context.startswith(CHAT) else []
    return messages or context


def decoding_settings(given: Mapping[str, Any], own: Mapping[str, Any], max_new_tokens: int | None) -> dict[str, Any]:
    """A task's generation settings in our names, under those that the model was given. Raises OptionError."""
    for name in given:
        if name not in GENERATION:
            raise OptionError(f"Unknown generation setting {name!r}.{nearest_hint(name, GENERATION)}")
    task: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "top_k": 0}
    if given.get("do_sample", given.get("temperature", 0) > 0):
        task |= {"temperature": 1.0} | {name: given[name] for name in task if name in given}
    own = {name: value for name, value in own.items() if value is not None}
    return task | own | {"max_new_tokens": max_new_tokens or int(given.get("max_gen_toks", 256))}


def seeds_of(requests: Sequence[Instance], first: int) -> list[int]:
    """A seed for each: of its example, and another one for every further answer to it."""
    seen, seeds = Counter[int](), list[int]()
    for request in requests:
        seeds.append(first + request.doc_id + REPEAT * seen[request.doc_id])
        seen[request.doc_id] += 1
    return seeds


def with_its_space(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of a text context goes to the continuation: words are tokens with the space before them."""
    bare = context if context.startswith(CHAT) else context.rstrip()
    return bare, context[len(bare) :] + continuation


def until(text: str, stops: str | Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop:
            text = text.partition(stop)[0]
    return text
