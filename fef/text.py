"""Text in and out: prompts become canvases of token ids, and filled canvases text. One home for `Model` and the engine.

Shapes: B rows (prompts), L canvas length.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from fef.decoding.certificate import Certificate
from fef.decoding.requests import padded
from fef.decoding.session import Round
from fef.errors import InputError, OptionError
from fef.grammar.compiled import TokenGrammar, compiled
from fef.grammar.given import read_grammar
from fef.grammar.vocabulary import Vocabulary, token_bytes
from fef.models.chat import ChatTemplate, Message
from fef.models.config import TransformerConfig
from fef.models.encode_ahead import encode_ahead
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.models.typed import Guarded, control_tokens, encode_guarded, guarded_messages, guarded_text
from fef.readers import check_text, token_ids, whole_from

__all__ = ["Generation", "Prompt", "TextFormat", "TextNetwork", "refuse_taken"]

Prompt = str | Sequence[Message]
"""A text as it is, or messages {"role": ..., "content": ...} for the chat template of the checkpoint."""


@dataclass(frozen=True)
class Generation:
    """What was generated, up to the end token."""

    text: str  # of the answer
    token_ids: list[int]  # of the answer
    logprobs: list[float]  # of each token, nats, under the sampled law
    finish_reason: Literal["stop", "length"]  # "stop": the model ended the text; "length": the canvas was full
    stats: dict[str, float]  # as in `fef.Decoded`
    certificate: Certificate  # which law was sampled
    trace: list[Round] | None = None  # the rounds of the whole call, if asked for
    log_mass: float | None = None  # under a grammar, as in `fef.Decoded`
    likeliest: list[list[tuple[int, float]]] | None = (
        None  # if asked for, the likeliest tokens at each place and their log p
    )


class TextFormat:
    """How a network reads and writes text, which asks for no weights: its `config`, its `tokenizer`, its `name`, and its chat
    `template` if it has one."""

    def __init__(
        self, config: TransformerConfig, tokenizer: Tokenizer, name: str, template: ChatTemplate | None = None
    ) -> None:
        self.config, self.tokenizer, self.name, self.template = config, tokenizer, name, template

    # --- in: prompts to canvases ---

    def canvas(self, prompt: Prompt, max_new_tokens: int, suffix: str) -> tuple[list[int], int, int]:
        """Ids of prompt, masks and suffix, and the range of the masks. Raises InputError for what does not fit."""
        return self.canvas_behind(self.prompt_ids(prompt), max_new_tokens, suffix)

    def canvas_behind(
        self, ids: list[int], max_new_tokens: int, suffix: str, marked: bool = False
    ) -> tuple[list[int], int, int]:
        """As `canvas`, for a prompt of token ids. marked: do they hold the token already that begins an answer? Raises
        InputError for a prompt and a suffix that do not fit."""
        config = self.config
        max_new_tokens = whole_from("max_new_tokens", max_new_tokens, 1)
        before = ids if marked else ids + self.answer_mark
        after = [] if suffix == "" else self.text_ids("suffix", suffix)
        room = config.max_length - len(before) - len(after)
        if room < 1:
            raise InputError(
                f"The prompt takes {len(before) + len(after)} tokens; {self.name} allows {config.max_length} with the "
                "answer, so there is no room for a new token. Shorten the prompt."
            )
        if max_new_tokens > room:
            raise InputError(
                f"The prompt takes {len(before) + len(after)} tokens and {self.name} allows {config.max_length} in all: "
                f"{room} are left, but max_new_tokens is {max_new_tokens}. Ask for at most {room} or shorten the prompt."
            )
        stop = len(before) + max_new_tokens
        self.check_seen(len(after), stop)
        return before + [config.mask_id] * max_new_tokens + after, len(before), stop

    @property
    def answer_mark(self) -> list[int]:
        """What stands between a prompt and its answer."""
        return [] if self.config.answer_id is None else [self.config.answer_id]

    def check_seen(self, suffix_length: int, stop: int) -> None:
        """Raise InputError for a suffix behind `stop` of which the network would not see every token."""
        seen_until = self.config.seen_until(stop - 1)
        if seen_until is None or suffix_length <= max(0, seen_until - stop):
            return
        seen = max(0, seen_until - stop)
        block = self.config.block_length
        raise InputError(
            f"The suffix has {suffix_length} tokens; {self.name} sees {seen or 'none'} of them, since its attention is "
            f"{self.config.attention}{f' in blocks of {block}' if block else ''} and the answer's canvas ends at "
            f"position {stop}. Leave it out{f', keep it within {seen} tokens' if seen else ''}, or take a bidirectional "
            "model."
        )

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Ids of a prompt. In text the mask token is text; in messages every control token is: the template makes those.

        Raises InputError for messages to a checkpoint that holds no conversations, and for text that is not UTF-8.
        """
        return self.guarded_ids("prompt", self.guarded_prompt(prompt))

    def prompts_ids(self, prompts: Iterable[Prompt]) -> Generator[list[int], None, None]:
        """As `prompt_ids` of each, in their order; another thread encodes the next ones meanwhile, until this is closed."""
        with closing(encode_ahead(self.tokenizer, map(self.guarded_prompt, prompts))) as encoded:
            for ids in encoded:
                yield self.without_masks("prompt", ids)

    def guarded_prompt(self, prompt: Prompt) -> Guarded:
        """A prompt before it is encoded. Raises InputError as `prompt_ids`."""
        if isinstance(prompt, str):
            return guarded_text(check_text("prompt", prompt), self.mask_text)
        return guarded_messages(self.chat_template(prompt), prompt, self.controls)

    @cached_property
    def controls(self) -> list[str]:
        """The control tokens, which only a template makes."""
        config = self.config
        return control_tokens(self.tokenizer, (config.mask_id, config.eos_id, *config.stop_ids, config.answer_id))

    @cached_property
    def mask_text(self) -> list[str]:
        """What the mask token is in text, if the tokenizer has it."""
        mask = self.tokenizer.raw.id_to_token(self.config.mask_id)
        return [] if mask is None else [mask]

    def text_ids(self, what: str, text: str) -> list[int]:
        """Ids of a text as it is, but for the mask token, which is text. what: its name. Raises InputError for no
        text."""
        return self.guarded_ids(what, guarded_text(check_text(what, text), self.mask_text))

    def begun_ids(self, text: str) -> list[int]:
        """Ids of the beginning of an answer to messages: every control token in it is text. Raises InputError for what is not
        UTF-8."""
        return self.guarded_ids("prompt", guarded_text(check_text("prompt", text), self.controls))

    def guarded_ids(self, what: str, text: Guarded) -> list[int]:
        """Ids of a text. Raises InputError as `without_masks`."""
        [ids] = encode_guarded(self.tokenizer, [text])
        return self.without_masks(what, ids)

    def without_masks(self, what: str, ids: list[int]) -> list[int]:
        """`ids` themselves. Raises InputError where an ordinary entry of the vocabulary is the mask, and a text holds it."""
        if self.config.mask_id in ids:
            raise InputError(f"The {what} holds the mask of {self.name}, which no text may hold. Take it out.")
        return ids

    def prompt_text(self, prompt: Prompt) -> str:
        """A prompt as the network reads it. Raises InputError as `prompt_ids`."""
        return prompt if isinstance(prompt, str) else self.chat_template(prompt).render(prompt)

    def chat_template(self, messages: Sequence[Message]) -> ChatTemplate:
        """What renders these messages. Raises InputError for what are none, and where the checkpoint has no template."""
        if not isinstance(messages, list | tuple):
            raise InputError(f"Prompts must be text, or lists of messages; got {type(messages).__name__}.")
        if self.template is None:
            raise InputError(f"{self.name} has no chat template, so it takes text and no messages.")
        return self.template

    def response_ids(self, response: str | Sequence[int], max_new_tokens: int) -> list[int]:
        """Ids of a response, which may be ids already. Raises InputError for one that is neither or does not fit."""
        if isinstance(response, str):
            found = self.text_ids("response", response)
        else:
            ids = token_ids("response", response, self.config.vocab_size, InputError)
            found = self.without_masks("response", ids)
        if len(found) > max_new_tokens:
            raise InputError(
                f"The response has {len(found)} tokens; the canvas has {max_new_tokens}. Raise max_new_tokens, or leave out "
                f"{response[:40]!r}."
            )
        return found

    def filling(self, response_ids: list[int], max_new_tokens: int) -> list[int]:
        """A response and the end tokens behind it."""
        eos_id = self.config.eos_id
        assert eos_id is not None
        return response_ids + [eos_id] * (max_new_tokens - len(response_ids))

    def with_response(
        self, ids: Sequence[int], opened: range, response: str | Sequence[int]
    ) -> tuple[list[int], range]:
        """A canvas with a response at its places `opened`, and the places of its tokens, the end token among them if it fits.
        Raises InputError as `response_ids`."""
        size = len(opened)
        response_ids = self.response_ids(response, size)
        whole = [*ids[: opened.start], *self.filling(response_ids, size), *ids[opened.stop :]]
        return whole, range(opened.start, opened.start + min(len(response_ids) + 1, size))

    # --- the law of text ---

    def grammar(self, given: Any) -> TokenGrammar:
        """A grammar for the tokens of this model, in the form that `generate` takes; for `fef.decode` and `Engine.submit`.

        Raises OptionError for what is no grammar, and for a tokenizer whose tokens are no bytes.
        """
        return given if isinstance(given, TokenGrammar) else compiled(read_grammar(given), self.vocabulary)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every token that may be drawn."""
        config = self.config
        return token_bytes(self.tokenizer, config.vocab_size, config.eos_id, config.stop_ids).without(
            [*self.special_ids(), config.mask_id]
        )

    def special_ids(self) -> list[int]:
        """Ids that are never text: rows of the embedding that are no token, but for the end token."""
        config = self.config
        unused = [*self.tokenizer.holes, *range(self.tokenizer.vocab_size, config.vocab_size)]
        return [i for i in unused if i not in (config.eos_id, config.mask_id)]

    def never_drawn(self, banned: Sequence[int]) -> list[int]:
        """`special_ids`, and the ids that somebody bans besides."""
        return [*self.special_ids(), *token_ids("banned", banned)]

    # --- out: filled canvases to text ---

    def generation(
        self,
        ids: list[int],
        logprobs: list[float],
        stats: dict[str, float],
        certificate: Certificate,
        trace: list[Round] | None = None,
        log_mass: float | None = None,
    ) -> Generation:
        """What was generated, from all tokens of the canvas and their log p."""
        text_ids = ids[:]
        for end in (self.config.eos_id, *self.config.stop_ids):
            if end in text_ids:
                del text_ids[text_ids.index(end) :]
        reason: Literal["stop", "length"] = "stop" if len(text_ids) < len(ids) else "length"
        text = self.tokenizer.decode(text_ids)
        return Generation(
            text=text,
            token_ids=text_ids,
            logprobs=logprobs[: len(text_ids)],
            finish_reason=reason,
            stats=stats,
            certificate=certificate,
            trace=trace,
            log_mass=log_mass,
        )


@dataclass
class TextNetwork(TextFormat):
    """A network that reads and writes text: the denoiser `network`, and its format."""

    network: Transformer
    tokenizer: Tokenizer
    name: str
    template: ChatTemplate | None = None

    def __post_init__(self) -> None:
        self.config = self.network.config

    @property
    def format(self) -> TextFormat:
        """Its format alone."""
        return TextFormat(self.config, self.tokenizer, self.name, self.template)

    def lay_out(self, pairs: Sequence[tuple[Prompt, str]], max_new_tokens: int) -> tuple[Tensor, Tensor, list[int]]:
        """Whole texts [B, L] (prompt, response, end tokens to the end of the canvas), the canvas's places [B, L], lengths.
        Raises InputError for a pair that does not fit."""
        max_new_tokens = whole_from("max_new_tokens", max_new_tokens, 1)
        ids_BL, open_BL, lengths = self.pad([self.canvas(prompt, max_new_tokens, "") for prompt, _ in pairs])
        fill = [self.filling(self.response_ids(response, max_new_tokens), max_new_tokens) for _, response in pairs]
        return ids_BL.masked_scatter(open_BL, torch.tensor(fill, device=ids_BL.device)), open_BL, lengths

    def pad(self, rows: Sequence[tuple[list[int], int, int]]) -> tuple[Tensor, Tensor, list[int]]:
        """Canvases as `canvas` makes them, padded to one length: ids [B, L], open positions [B, L], their own lengths."""
        lengths, device = [len(ids) for ids, _, _ in rows], self.network.device
        ids_BL, open_BL = padded([(ids, range(start, stop)) for ids, start, stop in rows], max(lengths))
        return ids_BL.to(device), open_BL.to(device), lengths


def refuse_taken(caller: str, given: Iterable[str], taken: Iterable[str]) -> None:
    """Raise OptionError for arguments that `caller` makes itself."""
    for name in given:
        if name in taken:
            raise OptionError(
                f"{caller} takes {name} from the prompt and the checkpoint; leave it out, or use fef.decode."
            )
