"""Chat templates of checkpoints: messages to the text that the network was trained on. They run in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fef.errors import CheckpointError, InputError
from fef.models.tokenizer_files import named_tokens, tokenizer_settings

__all__ = ["ChatTemplate", "Message"]

Message = Mapping[str, str]
TEMPLATE = "chat_template.jinja"


class ChatTemplate:
    """A compiled template; `tokens` are the named tokens that it may use, such as bos_token."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = lambda value, **options: dumps(value, ensure_ascii=False, **options)
        environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            self.template = environment.from_string(source)
        except TemplateError as error:
            raise CheckpointError(f"The chat template of the checkpoint is broken: {error}.") from error
        self.tokens = dict(tokens)

    @classmethod
    def load(cls, path: Path) -> ChatTemplate | None:
        """The template of a model directory: chat_template.jinja, else the one in tokenizer_config.json; None: no chat."""
        if (path / TEMPLATE).is_file():
            source: Any = (path / TEMPLATE).read_text(encoding="utf-8")
        else:
            source = tokenizer_settings(path).get("chat_template")
        if isinstance(source, list):  # several, by name
            source = next((t.get("template") for t in source if t.get("name") == "default"), None)
        return cls(source, named_tokens(path)) if isinstance(source, str) else None

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True, **settings: Any) -> str:
        """The text of a conversation, open for the next answer. settings: what else the template reads.

        Raises InputError for messages that are malformed or that the template refuses.
        """
        check_messages(messages)
        try:
            return self.template.render(
                messages=[dict(m) for m in messages],
                add_generation_prompt=add_generation_prompt,
                **(self.tokens | settings),
            )
        except (TemplateError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"The chat template of the checkpoint refuses these messages: {error}.") from error


def check_messages(messages: Sequence[Message]) -> None:
    fits = bool(messages) and all(
        isinstance(m, Mapping) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    )
    if not fits:
        raise InputError('Messages must be a list of {"role": ..., "content": ...}, both text, and at least one.')


def refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)
