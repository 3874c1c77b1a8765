"""Chat templates of checkpoints: messages to the text that the network was trained on. They run in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError

from fef.errors import CheckpointError, InputError
from fef.models.template_sandbox import BoundedSandbox, budget
from fef.models.tokenizer_files import named_tokens, tokenizer_settings

__all__ = ["ChatTemplate", "Message", "check_messages"]

Message = Mapping[str, str]
TEMPLATE = "chat_template.jinja"
ABSENT: dict[str, Any] = {"tools": None, "documents": None}  # as in `transformers`: templates ask whether they are none


class ChatTemplate:
    """A compiled template, of the text `source`; `tokens` are the named tokens that it may use, such as bos_token."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        """Raises CheckpointError for a source that is no template."""
        sandbox = BoundedSandbox()
        sandbox.add_filter("tojson", to_json)
        sandbox.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            self.template = sandbox.compiled(source)
        except (TemplateError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise broken(str(error) or type(error).__name__) from error
        self.source, self.tokens = source, dict(tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return ChatTemplate, (self.source, self.tokens)  # what is compiled is no data

    @classmethod
    def load(cls, path: Path) -> ChatTemplate | None:
        """The template of a model directory: chat_template.jinja, else the one in tokenizer_config.json; None: no chat.
        A broken one stands for itself."""
        try:
            if (path / TEMPLATE).is_file():
                source: Any = (path / TEMPLATE).read_text(encoding="utf-8")
            else:
                source = tokenizer_settings(path).get("chat_template")
            if isinstance(source, list):  # several, by name
                named = [t for t in source if isinstance(t, Mapping) and t.get("name") == "default"]
                source = named[0].get("template") if named else None
            if source is None:
                return None
            return cls.usable(source, named_tokens(path))
        except UnicodeDecodeError:
            return BrokenTemplate(broken("it is not UTF-8"))
        except CheckpointError as error:
            return BrokenTemplate(error)

    @classmethod
    def usable(cls, source: Any, tokens: Mapping[str, str]) -> ChatTemplate:
        """The template that a checkpoint stores. A broken one stands for itself: the checkpoint takes text, and conversations
        are refused."""
        if not isinstance(source, str):
            return BrokenTemplate(broken("it is no text"))
        try:
            return cls(source, tokens)
        except CheckpointError as error:
            return BrokenTemplate(error)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True, **settings: Any) -> str:
        """The text of a conversation, open for the next answer. settings: what else the template reads.

        Raises InputError for messages that are malformed or that the template refuses, CheckpointError for a broken
        template.
        """
        check_messages(messages)
        try:
            with budget():
                return self.template.render(
                    messages=[dict(m) for m in messages],
                    add_generation_prompt=add_generation_prompt,
                    **(ABSENT | self.tokens | settings),
                )
        except Exception as error:  # a template is a program of others, and can fail in any way
            reason = str(error) or type(error).__name__
            raise InputError(f"The chat template of the checkpoint refuses these messages: {reason}.") from error


class BrokenTemplate(ChatTemplate):
    """Stands for a template that cannot be used, and refuses every conversation with the reason."""

    def __init__(self, error: CheckpointError) -> None:
        self.error = error
        self.source, self.tokens = "", {}

    def __reduce__(self) -> tuple[Any, ...]:
        return BrokenTemplate, (self.error,)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True, **settings: Any) -> NoReturn:
        raise self.error


def broken(reason: str) -> CheckpointError:
    return CheckpointError(
        f"The chat template of the checkpoint is broken: {reason}. Plain text prompts work; for conversations copy its file "
        "again."
    )


def check_messages(messages: Sequence[Message]) -> None:
    fits = bool(messages) and all(
        isinstance(m, Mapping) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    )
    if not fits:
        raise InputError('Messages must be a list of {"role": ..., "content": ...}, both text, and at least one.')


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """With the arguments that templates know of `transformers`, in their order."""
    return dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)
