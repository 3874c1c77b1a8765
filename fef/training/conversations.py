"""JSONL of conversations, or of prompts with responses -> the ids of prompts and responses that training needs.

Every answer of the assistant is an example of its own: the messages before it are its prompt, rendered by the chat template
of the checkpoint and open for the next answer, and the answer is the response. So the loss of a conversation is that of all
its answers, each once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fef.errors import InputError
from fef.models.chat import ChatTemplate, Message
from fef.models.config import TransformerConfig
from fef.models.tokenizer import Tokenizer
from fef.models.typed import control_tokens, encode_guarded, guarded_messages, guarded_text
from fef.readers import check_text, shown
from fef.training.data import Examples, padded, read_lines
from fef.training.hub_dataset import dataset_rows, is_dataset

__all__ = ["Answer", "Encoder", "encode_answers", "read_answers", "read_prompts"]

PROBE = "Zq9"  # an answer that no template says by itself
EXPECTED = '{"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "response": ...}'
TO_ANSWER = '{"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ...}'
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython")


@dataclass(frozen=True)
class Answer:
    """A response, the messages before it, and the line of the file that they stand in."""

    line: int
    before: tuple[Message, ...]
    response: str


def read_answers(path: Path) -> list[Answer]:
    """Every answer of the assistant in a JSONL file, or in a dataset of the hub (`dataset_rows`). Raises InputError that
    names the line which is broken, or has an empty response or none."""
    answers = [answer for line, row in json_rows(path) for answer in answers_of(path, line, row)]
    if not answers:
        raise InputError(f"{path} holds no examples. It needs lines of {EXPECTED}.")
    return answers


def read_prompts(path: Path) -> list[tuple[Message, ...]]:
    """The messages up to the last one that is not the assistant's, of each line. Raises InputError as `read_answers`."""
    prompts = []
    for line, row in json_rows(path, TO_ANSWER):
        messages = messages_of(path, line, row | {"response": "?"} if "prompt" in row else row, TO_ANSWER)
        while messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        if not messages:
            raise InputError(f"{path}, line {line}: no message to answer.")
        prompts.append(messages)
    return prompts


def json_rows(path: Path, expected: str = EXPECTED) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file, or of a dataset of the hub that is named so, with their numbers."""
    if is_dataset(path):
        yield from dataset_rows(path.as_posix())
        return
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected {expected}.")
        yield number, row


def answers_of(path: Path, line: int, row: dict[str, Any]) -> list[Answer]:
    messages = messages_of(path, line, row)
    answers = [Answer(line, messages[:i], m["content"]) for i, m in enumerate(messages) if m["role"] == "assistant"]
    if not answers:
        raise InputError(f"{path}, line {line}: no answer of the assistant.")
    for answer in answers:
        if not answer.response.strip():
            raise InputError(f"{path}, line {line}: an empty response teaches nothing; leave the line out.")
        if not answer.before:
            raise InputError(
                f"{path}, line {line}: the first message is the assistant's; put what it answers before it."
            )
    return answers


def messages_of(path: Path, line: int, row: dict[str, Any], expected: str = EXPECTED) -> tuple[Message, ...]:
    messages = row.get("messages")
    if messages is None and isinstance(row.get("prompt"), str) and isinstance(row.get("response"), str):
        messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
    fits = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    )
    if not fits:
        raise InputError(f"{path}, line {line}: expected {expected}.")
    for message in messages or ():
        if message["role"] not in ROLES:
            raise InputError(f"{path}, line {line}: the role {shown(message['role'])} is none of {', '.join(ROLES)}.")
        check_text(f"message in line {line} of {path}", message["content"])
    return tuple(messages)  # type: ignore[arg-type]


class Encoder:
    """Prompts to the ids that a network answers to, of many conversations at once.

    Without a template a prompt is the text of its only message. Typed control tokens are text, as in `fef.models.typed`.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, config: TransformerConfig) -> None:
        self.tokenizer, self.template, self.config = tokenizer, template, config
        ids = (config.mask_id, config.eos_id, *config.stop_ids, config.answer_id)
        self.controls = [text for text in control_tokens(tokenizer, ids) if text]

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Raises InputError as `ChatTemplate.render`, and for several messages without a template."""
        if self.template is None:
            if any(len(messages) != 1 for messages in conversations):
                raise InputError(
                    "The checkpoint has no chat template, so it takes single prompts and no conversations."
                )
            return self.texts([messages[0]["content"] for messages in conversations])
        return encode_guarded(
            self.tokenizer, [guarded_messages(self.template, messages, self.controls) for messages in conversations]
        )

    def answer_end(self) -> list[int]:
        """Ids of what the template puts behind an answer, up to the token that ends its turn; none where that is the end of
        the text, which follows every response.

        Raises InputError for a template that does not go on where it opened the answer.
        """
        if self.template is None:
            return []
        question, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": PROBE}
        opened, plain = self.template.render([question]), self.template.render([question], add_generation_prompt=False)
        closed = self.template.render([question, answer], add_generation_prompt=False)
        before, found, behind = closed.partition(PROBE)
        if not found or not before.startswith(opened) or (opened == plain and before[len(opened) :].strip()):
            raise InputError(
                "The chat template of the checkpoint does not mark where an answer begins: what it renders of a question "
                "with add_generation_prompt is not what it puts before the answer. Give a template that does."
            )
        ids = self.tokenizer.encode(behind)
        ends = [at for at, token in enumerate(ids) if token in (self.config.eos_id, *self.config.stop_ids)]
        if not ends:
            return []
        return ids[: ends[0] + (ids[ends[0]] != self.config.eos_id)]

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        return encode_guarded(self.tokenizer, [guarded_text(check_text("text", text), self.controls) for text in texts])


def encode_answers(
    answers: Sequence[Answer], encoder: Encoder, path: Path, max_prompt: int, canvas_length: int, drop_long: bool
) -> tuple[Examples, int]:
    """The examples, and how many were left out for their length.

    A prompt may have `max_prompt` tokens, a response `canvas_length` with its end. Raises InputError that names the line of a
    longer one (unless drop_long), and if none is left.
    """
    more = longer_prompts(encoder.config, max_prompt, canvas_length)
    prompts = encoder.prompts([answer.before for answer in answers])
    end = encoder.answer_end()
    responses = [ids + end for ids in encoder.texts([answer.response for answer in answers])]
    kept = []
    for answer, prompt, response in zip(answers, prompts, responses, strict=True):
        if len(prompt) <= max_prompt and len(response) < canvas_length:
            kept.append((prompt, response))
        elif not drop_long:
            what, has, most, way_out = (
                ("prompt", len(prompt), max_prompt, more)
                if len(prompt) > max_prompt
                else ("response", len(response) + 1, canvas_length, "raise --canvas-length")
            )
            raise InputError(
                f"{path}, line {answer.line}: the {what} has {has} tokens, and at most {most} are allowed; {way_out}, "
                "or give --drop-long to leave such examples out."
            )
    if not kept:
        raise InputError(
            f"{path}: none of {len(answers)} examples fits {max_prompt} prompt and {canvas_length} response tokens; for "
            f"longer prompts {more}, for longer responses raise --canvas-length."
        )
    examples = Examples(*padded([p for p, _ in kept]), *padded([r for _, r in kept]))
    return examples, len(answers) - len(kept)


def longer_prompts(config: TransformerConfig, max_prompt: int, canvas_length: int) -> str:
    """How prompts of more than `max_prompt` tokens would be allowed, in words."""
    if max_prompt < config.max_length - canvas_length - (config.answer_id is not None):
        return "raise --max-prompt"
    return f"lower --canvas-length {canvas_length}, beside which no more fits a max_length of {config.max_length}"
