"""What a request is about, read from its body: a text, token ids, or messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fef.models.chat import Message
from fef.serve.errors import bad_request
from fef.serve.values import boolean, id_list, is_whole

__all__ = ["Begun", "Prompt", "TokenIds", "read_conversation", "read_messages", "read_prompts"]


@dataclass(frozen=True)
class TokenIds:
    """A prompt that is tokens already."""

    ids: list[int]


@dataclass(frozen=True)
class Begun:
    """Messages, and the beginning of the answer to them."""

    messages: list[Message]
    text: str


Prompt = str | TokenIds | list[Message] | Begun
"""A text, token ids, messages, or messages whose answer has begun."""


def read_prompts(body: Mapping[str, Any], most: int) -> list[Prompt]:
    """A text, texts, token ids, or lists of token ids; at most so many. Raises ApiError."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise bad_request("prompt must be text, token ids, or a list of them that is not empty.", "prompt")
    if is_whole(prompt[0]):
        return [token_prompt(prompt)]
    if len(prompt) > most:
        raise bad_request(f"prompt has {len(prompt)} entries; {most} are allowed.", "prompt")
    return [each if isinstance(each, str) else token_prompt(each) for each in prompt]


def token_prompt(ids: Any) -> TokenIds:
    found = id_list(ids, "prompt")
    if not found:
        raise bad_request("A prompt of token ids must hold one or more; the empty text is a prompt, too.", "prompt")
    return TokenIds(found)


def read_conversation(body: Mapping[str, Any], most: int) -> list[Message] | Begun:
    """Messages; with `continue_final_message` the last one is the beginning of the answer."""
    messages = read_messages(body, most)
    if not boolean(body, "continue_final_message"):
        return messages
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise bad_request(
            "continue_final_message needs messages of which the last one, not the only one, is the assistant's.",
            "continue_final_message",
        )
    if boolean(body, "add_generation_prompt"):
        raise bad_request("continue_final_message does not go with add_generation_prompt.", "continue_final_message")
    return Begun(messages[:-1], messages[-1]["content"])


def read_messages(body: Mapping[str, Any], most: int) -> list[Message]:
    """At most so many. Raises ApiError."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages must be a list of at least one message.", "messages")
    if len(messages) > most:
        raise bad_request(f"messages has {len(messages)} entries; {most} are allowed.", "messages")
    return [read_message(message) for message in messages]


def read_message(message: Any) -> Message:
    """Role and content; a list of text parts is one text."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise bad_request('A message must be {"role": ..., "content": ...}.', "messages")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(map(text_of_part, content))
    if content is None:
        content = ""
    if not isinstance(content, str):
        raise bad_request("content must be text or a list of text parts.", "messages")
    return {"role": message["role"], "content": content}


def text_of_part(part: Any) -> str:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        raise bad_request('Content parts must be {"type": "text", "text": ...}.', "messages")
    return str(part["text"])
