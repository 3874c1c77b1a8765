"""Text in, text out: a network with its tokenizer, and what it generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor

from fef.api import certificate_for, check_ids, decode, make_sampling, refuse_taken, seeds
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.certificate import Certificate
from fef.decoding.likelihood import score_canvas
from fef.decoding.network import Network
from fef.decoding.payoff import check_rows_pay
from fef.decoding.requests import Requests
from fef.decoding.session import Observer, Round
from fef.errors import InputError
from fef.laws.draws import KeyedNoise
from fef.laws.information import Profile
from fef.laws.row_costs import RowCosts
from fef.models.chat import ChatTemplate, Message
from fef.models.checkpoint import require_tokenizer
from fef.models.device import check_dtype, usable_device
from fef.models.extras import load_extras
from fef.models.families import NATIVE
from fef.models.hub import SHIPPED, download_weights, is_repository, locate
from fef.models.quantize import check_format
from fef.models.row_costs import check_row_costs
from fef.models.sources import Merged, describe_source, network_of, template_of
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.models.typed import control_tokens, encode_messages, encode_typed
from fef.profiling import information_profile
from fef.readers import check_text, shown, token_ids, whole_from

if TYPE_CHECKING:
    from fef.engine.text import TextEngine

__all__ = ["Generation", "Model", "Prompt", "Score", "load"]

Prompt = str | Sequence[Message]
"""A text as it is, or messages {"role": ..., "content": ...} for the chat template of the checkpoint."""


@dataclass(frozen=True)
class Generation:
    """text, and token_ids with their logprobs (nats, under the sampled law), up to the end token. finish_reason: "stop" (the
    model ended the text) or "length" (the canvas was full). stats and trace as in `fef.Decoded`."""

    text: str
    token_ids: list[int]
    logprobs: list[float]
    finish_reason: Literal["stop", "length"]
    stats: dict[str, float]
    certificate: Certificate
    trace: list[Round] | None = None


@dataclass(frozen=True)
class Score:
    """Log-likelihood of a response: token_ids (the end token last, if it fits), logprobs a token and their sum, nats."""

    token_ids: list[int]
    logprobs: list[float]
    total: float
    stats: dict[str, float]
    certificate: Certificate


@dataclass
class Model:
    """A loaded checkpoint: the denoiser `network`, its `tokenizer`, its `name`, and its chat `template` if it has one.

    costs: what passes of several sequences take on this device (`fef.measure_row_costs`); with them, `generate` refuses
    speculation in the rows law where that would be slower than one token a pass.
    """

    network: Transformer
    tokenizer: Tokenizer
    name: str
    template: ChatTemplate | None = None
    costs: RowCosts | None = None

    @overload
    def generate(self, prompt: Prompt, **options: Any) -> Generation: ...
    @overload
    def generate(self, prompt: Sequence[Prompt], **options: Any) -> list[Generation]: ...
    def generate(
        self,
        prompt: Prompt | Sequence[Prompt],
        *,
        method: str = "fef",
        max_new_tokens: int = 128,
        suffix: str = "",
        temperature: float | Sequence[float] = 0.0,
        top_p: float | Sequence[float] = 1.0,
        top_k: int | Sequence[int] = 0,
        seed: int | Sequence[int] = 0,
        banned: Sequence[int] = (),
        trace: bool = False,
        on_round: Observer | None = None,
        force: bool = False,
        **method_options: Any,
    ) -> Generation | list[Generation]:
        """Answer one prompt or many at once (each result equals the one of its prompt alone).

        prompt: a text, taken as it is, or a list of messages, which the chat template of the checkpoint renders.
        max_new_tokens: length of the canvas; every answer ends within it. suffix: text that follows the answer
        (infilling), as far as the network sees it: a block-causal one sees nothing behind the last block of the answer.
        banned: ids that are never sampled, besides those that are no text. force: decode also where `costs` say that it is
        slower than one token a pass. Other arguments as in `fef.decode`. Raises OptionError or InputError with the fix.
        """
        refuse_taken("generate", method_options, ("denoiser", "ids", "open", "lengths", "eos_id"))
        max_new_tokens = whole_from("max_new_tokens", max_new_tokens, 1)
        if not isinstance(prompt, Sequence):
            raise InputError(f"Prompts must be text, messages, or a list of them; got {type(prompt).__name__}.")
        single = isinstance(prompt, str) or any(isinstance(message, Mapping) for message in prompt)
        prompts: list[Any] = [prompt] if single else list(prompt)
        if not prompts:
            return []
        rows = [self.canvas(p, max_new_tokens, suffix) for p in prompts]
        if self.costs is not None and not force:
            check_row_costs(self.costs, self.network)
            network = Network(self.network)
            check_rows_pay(make_plan(method, method_options, network), self.costs, len(rows), max_new_tokens)
        ids_BL, open_BL, lengths = self.pad(rows)
        out = decode(
            self.network,
            ids_BL,
            method=method,
            open=open_BL,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            eos_id=self.network.config.eos_id,
            lengths=lengths,
            banned=[*self.special_ids(), *token_ids("banned", banned)],
            trace=trace,
            on_round=on_round,
            **method_options,
        )
        results = []
        for b in range(len(rows)):
            ids, logprobs = out.ids[b][open_BL[b]].tolist(), out.logprobs[b][open_BL[b]].tolist()
            results.append(self.generation(ids, logprobs, out.stats[b], out.certificate, out.trace))
        return results[0] if single else results

    def generation(
        self,
        ids: list[int],
        logprobs: list[float],
        stats: dict[str, float],
        certificate: Certificate,
        trace: list[Round] | None = None,
    ) -> Generation:
        """What was generated, from all tokens of the canvas and their log p."""
        ends = {self.network.config.eos_id, *self.network.config.stop_ids}
        text_ids = ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))]
        reason: Literal["stop", "length"] = "stop" if len(text_ids) < len(ids) else "length"
        text = self.tokenizer.decode(text_ids)
        return Generation(text, text_ids, logprobs[: len(text_ids)], reason, stats, certificate, trace)

    def engine(self, **options: Any) -> TextEngine:
        """The engine on this model: many requests at once, by any method, the text of `generate` for each. options: those of
        `fef.engine.build.EngineOptions`. Raises OptionError for options that the engine cannot run, EngineError where memory
        does not suffice."""
        from fef.engine.text import TextEngine

        return TextEngine(self, **options)

    def score(
        self,
        prompt: Prompt,
        response: str,
        *,
        method: str = "fef",
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        **method_options: Any,
    ) -> Score:
        """Exact log p of `response`, token by token, under the chain law that `generate` samples with these arguments.

        The canvas length is a part of the law, so `max_new_tokens` must be that of the generation. Raises OptionError for
        methods without a chain law, InputError for a response that does not fit.
        """
        max_new_tokens = whole_from("max_new_tokens", max_new_tokens, 1)
        tokens_BL, open_BL, _ = self.lay_out([(prompt, response)], max_new_tokens)
        start = int(open_BL[0].long().argmax())
        counted = min(len(self.text_ids("response", response)) + 1, max_new_tokens)
        return self.score_ids(
            tokens_BL[0].tolist(),
            range(start, start + counted),
            range(start, start + max_new_tokens),
            method=method,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            **method_options,
        )

    @torch.no_grad()
    def score_ids(
        self,
        ids: Sequence[int],
        counted: range,
        opened: range,
        *,
        method: str = "fef",
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        **method_options: Any,
    ) -> Score:
        """Exact log p of the tokens at the places `counted` of `ids`, when all places `opened` are drawn by the method.

        Raises as `score`.
        """
        network = Network(self.network)
        plan = make_plan(method, method_options, network)
        tokens_BL = torch.tensor([list(ids)], device=self.network.device)
        open_BL = torch.zeros_like(tokens_BL, dtype=torch.bool)
        open_BL[:, opened.start : opened.stop] = True
        ids_BL = check_ids(tokens_BL.masked_fill(open_BL, network.mask_id), network)
        eos_id = plan.end_token(self.network.config.eos_id)
        sampling = make_sampling(
            network,
            temperature,
            top_p,
            top_k,
            self.special_ids(),
            eos_id,
            1,
            ids_BL.device,
            plan.first_cut,
            plan.keeps_crossing,
        )
        canvas = Canvas.start(ids_BL, open_BL, ids_BL, None)
        requests = Requests.start(canvas, KeyedNoise(seeds(seed, 1, ids_BL.device)), sampling)
        score_canvas(network, plan, requests, tokens_BL)
        logprobs = canvas.logprob_BL[0, counted.start : counted.stop].tolist()
        certificate = certificate_for(network, plan, temperature, top_p, top_k)
        scored = list(ids[counted.start : counted.stop])
        return Score(scored, logprobs, sum(logprobs), dict(requests.meter.row(0)), certificate)

    def profile(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        max_new_tokens: int = 128,
        points: int = 16,
        seed: int = 0,
        batch_size: int = 8,
        on_done: Callable[[int], None] | None = None,
    ) -> Profile:
        """The information profile of responses, each given its prompt, on the canvas that `generate` would fill.

        pairs: prompts and responses, at least two. Other arguments and errors as in `fef.information_profile`; also raises
        InputError for a pair that does not fit.
        """
        if isinstance(pairs, str) or not isinstance(pairs, Sequence) or not pairs:
            raise InputError(f"A profile needs a list of two texts or more; got {shown(pairs)}.")
        for pair in pairs:
            if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
                raise InputError(f"Texts to profile must be pairs of a prompt and a response; got {shown(pair)}.")
        tokens_BL, open_BL, lengths = self.lay_out(pairs, max_new_tokens)
        return information_profile(
            self.network,
            tokens_BL,
            open=open_BL,
            points=points,
            seed=seed,
            eos_id=self.network.config.eos_id,
            lengths=lengths,
            banned=self.special_ids(),
            batch_size=batch_size,
            on_done=on_done,
        )

    def lay_out(self, pairs: Sequence[tuple[Prompt, str]], max_new_tokens: int) -> tuple[Tensor, Tensor, list[int]]:
        """Whole texts [B, L] (prompt, response, end tokens to the end of the canvas), the canvas's places [B, L], lengths."""
        eos_id, max_new_tokens = self.network.config.eos_id, whole_from("max_new_tokens", max_new_tokens, 1)
        assert eos_id is not None
        ids_BL, open_BL, lengths = self.pad([self.canvas(prompt, max_new_tokens, "") for prompt, _ in pairs])
        fill = []
        for _, response in pairs:
            response_ids = self.text_ids("response", response)
            if len(response_ids) > max_new_tokens:
                raise InputError(
                    f"The response has {len(response_ids)} tokens; the canvas has {max_new_tokens}. Raise max_new_tokens, or "
                    f"leave out {response[:40]!r}."
                )
            fill.append(response_ids + [eos_id] * (max_new_tokens - len(response_ids)))
        return ids_BL.masked_scatter(open_BL, torch.tensor(fill, device=ids_BL.device)), open_BL, lengths

    def canvas(self, prompt: Prompt, max_new_tokens: int, suffix: str) -> tuple[list[int], int, int]:
        """Ids of prompt, masks and suffix, and the range of the masks."""
        config = self.network.config
        max_new_tokens = whole_from("max_new_tokens", max_new_tokens, 1)
        mark = [] if config.answer_id is None else [config.answer_id]
        before = self.prompt_ids(prompt) + mark
        after = self.text_ids("suffix", suffix)
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

    def check_seen(self, suffix_length: int, stop: int) -> None:
        """Raise InputError for a suffix behind `stop` of which the network would not see every token."""
        seen_until = self.network.config.seen_until(stop - 1)
        if seen_until is None or suffix_length <= max(0, seen_until - stop):
            return
        seen = max(0, seen_until - stop)
        block = self.network.config.block_length
        raise InputError(
            f"The suffix has {suffix_length} tokens; {self.name} sees {seen or 'none'} of them, since its attention is "
            f"{self.network.config.attention}{f' in blocks of {block}' if block else ''} and the answer's canvas ends at "
            f"position {stop}. Leave it out{f', keep it within {seen} tokens' if seen else ''}, or take a bidirectional "
            "model."
        )

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Ids of a prompt. In text the mask token is text; in messages every control token is: the template makes those.

        Raises InputError for messages to a checkpoint that holds no conversations, and for text that is not UTF-8.
        """
        if isinstance(prompt, str):
            return self.text_ids("prompt", prompt)
        config = self.network.config
        controls = control_tokens(self.tokenizer, (config.mask_id, config.eos_id, *config.stop_ids, config.answer_id))
        return self.without_masks(
            "prompt", encode_messages(self.tokenizer, self.chat_template(prompt), prompt, controls)
        )

    def text_ids(self, what: str, text: str) -> list[int]:
        """Ids of a text as it is, but for the mask token, which is text. what: its name in the InputError for no text."""
        mask = self.tokenizer.raw.id_to_token(self.network.config.mask_id)
        return self.without_masks(
            what, encode_typed(self.tokenizer, check_text(what, text), [] if mask is None else [mask])
        )

    def without_masks(self, what: str, ids: list[int]) -> list[int]:
        """`ids` themselves. Raises InputError where an ordinary entry of the vocabulary is the mask, and a text holds it."""
        if self.network.config.mask_id in ids:
            raise InputError(f"The {what} holds the mask of {self.name}, which no text may hold. Take it out.")
        return ids

    def prompt_text(self, prompt: Prompt) -> str:
        """A prompt as the network reads it. Raises InputError as `prompt_ids`."""
        return prompt if isinstance(prompt, str) else self.chat_template(prompt).render(prompt)

    def chat_template(self, messages: Sequence[Message]) -> ChatTemplate:
        if not isinstance(messages, list | tuple):
            raise InputError(f"Prompts must be text, or lists of messages; got {type(messages).__name__}.")
        if self.template is None:
            raise InputError(f"{self.name} has no chat template, so it takes text and no messages.")
        return self.template

    def pad(self, rows: list[tuple[list[int], int, int]]) -> tuple[Tensor, Tensor, list[int]]:
        lengths = [len(ids) for ids, _, _ in rows]
        ids_BL = torch.zeros((len(rows), max(lengths)), dtype=torch.int64)
        open_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
        for b, (ids, start, stop) in enumerate(rows):
            ids_BL[b, : len(ids)] = torch.tensor(ids)
            open_BL[b, start:stop] = True
        return ids_BL.to(self.network.device), open_BL.to(self.network.device), lengths

    def special_ids(self) -> list[int]:
        """Ids that are never text: rows of the embedding that are no token, but for the end token."""
        config = self.network.config
        unused = [*self.tokenizer.holes, *range(self.tokenizer.vocab_size, config.vocab_size)]
        return [i for i in unused if i not in (config.eos_id, config.mask_id)]


def load(
    name: str | PathLike[str],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    weights: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    mask_id: int | None = None,
    block_length: int | None = None,
) -> Model:
    """A model by name: "demo" or "smol" (shipped), a directory, or a Hugging Face repository, "GSAI-ML/LLaDA-8B-Instruct".

    device: by default a GPU if there is one. dtype: by default float32 for our own checkpoints, bfloat16 for released ones
    and deltas merged into one. weights: "int8" or "fp8" keeps the dense matrices of the blocks in that format, a byte a
    weight and one scale an output row; by default they are as stored, in `dtype`. revision, token: of a repository.
    mask_id, block_length: for a released checkpoint that does not say them, or was trained for another block length. Raises
    CheckpointError or OptionError with what is wrong and what to give instead.
    """
    if weights is not None:
        check_format(weights)
    device = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    name = fspath(name) if isinstance(name, PathLike) else name
    path = locate(name, revision, token)
    described = describe_source(path, mask_id, block_length)  # before gigabytes are downloaded in vain
    tokenizer = require_tokenizer(path, described)
    if is_repository(name):
        download_weights(name, path, token)
    dtype = dtype or (
        torch.float32 if described.family is NATIVE and not isinstance(described, Merged) else torch.bfloat16
    )
    check_dtype(dtype, device)
    network = network_of(path, described, device, dtype, weights)
    network.name = name if name in SHIPPED or is_repository(name) else path.name
    network.extras = load_extras(path, network)
    return Model(network, tokenizer, network.name, template_of(path, described))
