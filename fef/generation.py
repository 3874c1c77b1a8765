"""A loaded checkpoint: generate text, score it, measure it, serve it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, overload

import torch

from fef.api import Bias, decode
from fef.decoders import make_plan
from fef.decoding.certificate import Certificate, certificate_of
from fef.decoding.inputs import check_ids, read_settings
from fef.decoding.likelihood import score_canvas
from fef.decoding.network import Network
from fef.decoding.payoff import check_rows_pay
from fef.decoding.requests import request_rows
from fef.decoding.session import Observer
from fef.errors import InputError, OptionError, nearest_hint
from fef.laws.information import Profile
from fef.laws.row_costs import RowCosts
from fef.models.adapter import apply_adapter
from fef.models.checkpoint import require_tokenizer
from fef.models.device import check_dtype, default_device, usable_device
from fef.models.extras import load_extras
from fef.models.families import NATIVE
from fef.models.hub import SHIPPED, download_weights, is_repository, locate, path_of
from fef.models.quantize import check_format
from fef.models.row_costs import check_row_costs
from fef.models.sources import Merged, describe_source, network_of, template_of
from fef.profiling import information_profile
from fef.readers import shown, whole_from
from fef.template import Filled, certificate_of_spans, read_template, template_canvas
from fef.text import Generation, Prompt, TextNetwork, refuse_taken

if TYPE_CHECKING:
    from fef.engine.text import TextEngine

__all__ = ["Model", "Score", "load"]

HEADS = ("auto", "none")


@dataclass(frozen=True)
class Score:
    """Log-likelihood of a response: token_ids (the end token last, if it fits), the log p of each and their sum, nats.
    likeliest: at each of them the likeliest tokens, as many as were asked for, and their log p."""

    token_ids: list[int]
    logprobs: list[float]
    total: float
    stats: dict[str, float]
    certificate: Certificate
    likeliest: list[list[tuple[int, float]]]


@dataclass
class Model(TextNetwork):
    """A loaded checkpoint: the denoiser `network`, its `tokenizer`, its `name`, and its chat `template` if it has one.

    costs: what passes of several sequences take on this device (`fef.measure_row_costs`); with them, `generate` refuses
    speculation in the rows law where that would be slower than one token per pass.
    """

    costs: RowCosts | None = None

    @overload
    def generate(self, /, prompt: Prompt, **options: Any) -> Generation: ...
    @overload
    def generate(self, /, prompt: Sequence[Prompt], **options: Any) -> list[Generation]: ...
    def generate(
        self,
        /,
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
        logit_bias: Bias | Sequence[Bias] = None,
        min_tokens: int | Sequence[int] = 0,
        ignore_eos: bool | Sequence[bool] = False,
        grammar: Any = None,
        top: int = 0,
        trace: bool = False,
        on_round: Observer | None = None,
        force: bool = False,
        **method_options: Any,
    ) -> Generation | list[Generation]:
        """Answer one prompt or many at once (each result equals the one of its prompt alone).

        prompt: a text, taken as it is, or a list of messages, which the chat template of the checkpoint renders.
        max_new_tokens: length of the canvas; every answer ends within it. suffix: text that follows the answer
        (infilling), as far as the network sees it: a block-causal one sees nothing behind the last block of the answer.
        banned: ids that are never sampled, besides those that are no text. grammar: what answers are allowed, each with the
        suffix behind it: {"json": schema}, {"regex": "..."}, {"choice": ["...", ...]} or {"grammar": "Lark rules"}, or a list
        of one per prompt (docs/grammar.md). min_tokens: of an answer before its end; ignore_eos: answers fill the canvas.
        top: how many of the likeliest tokens to tell beside each one. force: decode also where `costs` say that it is slower
        than one token per pass. Other arguments as in `fef.decode`. Raises OptionError or InputError with the fix.
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
        given = grammar if isinstance(grammar, list | tuple) else [grammar] * len(rows)
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
            banned=self.never_drawn(banned),
            logit_bias=logit_bias,
            min_tokens=min_tokens,
            ignore_eos=ignore_eos,
            grammar=[None if each is None else self.grammar(each) for each in given],
            top=top,
            trace=trace,
            on_round=on_round,
            **method_options,
        )
        results = []
        for b in range(len(rows)):
            ids, logprobs = out.ids[b][open_BL[b]].tolist(), out.logprobs[b][open_BL[b]].tolist()
            log_mass = None if given[b] is None or out.log_mass is None else float(out.log_mass[b])
            found = self.generation(ids, logprobs, out.stats[b], out.certificate, out.trace, log_mass)
            results.append(replace(found, likeliest=out.likeliest[b][: len(found.token_ids)]) if top else found)
        return results[0] if single else results

    def fill(
        self,
        /,
        prompt: Prompt,
        template: Sequence[Any],
        *,
        seed: int = 0,
        banned: Sequence[int] = (),
        **options: Any,
    ) -> Filled:
        """Fill the spans of a template, which stands behind the prompt where its answer does.

        template: texts, which are given, and spans: {"slots": 12} has that many tokens at most, and may have a grammar of its
        text beside it, {"slots": 12, "choice": ["yes", "no"]} (docs/grammar.md). The spans are filled from the left, each
        given all texts, the spans before it, and masks at those behind (`fef.template`). options: those of `fef.decode`, for
        every span. Raises OptionError or InputError with the fix.
        """
        refuse_taken("fill", options, ("denoiser", "ids", "open", "lengths", "eos_id", "grammar", "trace", "on_round"))
        before = self.prompt_ids(prompt) + self.answer_mark
        parts = read_template(template)
        canvas = template_canvas(self, before, parts)
        ids_BL = torch.tensor([canvas.ids], device=self.network.device)
        spans, total = list[Generation](), 0.0
        for span, grammar in zip(canvas.spans, canvas.grammars, strict=True):
            open_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
            open_BL[:, span.start : span.stop] = True
            out = decode(
                self.network,
                ids_BL,
                open=open_BL,
                seed=seed,
                eos_id=self.network.config.eos_id,
                banned=self.never_drawn(banned),
                grammar=grammar,
                **options,
            )
            ids_BL = out.ids
            ids, logprobs = out.ids[open_BL].tolist(), out.logprobs[open_BL].tolist()
            log_mass, total = None if out.log_mass is None else float(out.log_mass[0]), total + sum(logprobs)
            spans.append(self.generation(ids, logprobs, out.stats[0], out.certificate, log_mass=log_mass))
        texts = iter(spans)
        text = "".join(part if isinstance(part, str) else next(texts).text for part in parts)
        return Filled(text, spans, total, certificate_of_spans([span.certificate for span in spans]))

    def engine(self, /, **options: Any) -> TextEngine:
        """The engine on this model: many requests at once, by any method, the text of `generate` for each. options: those of
        `fef.engine.build.EngineOptions`. Raises OptionError for options that the engine cannot run, EngineError where memory
        does not suffice."""
        from fef.engine.text import TextEngine

        return TextEngine(self, **options)

    def score(
        self,
        /,
        prompt: Prompt,
        response: str | Sequence[int],
        *,
        method: str = "fef",
        max_new_tokens: int = 128,
        suffix: str = "",
        top: int = 0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        logit_bias: Bias = None,
        min_tokens: int = 0,
        ignore_eos: bool = False,
        grammar: Any = None,
        **method_options: Any,
    ) -> Score:
        """Exact log p of `response`, token by token, under the chain law that `generate` samples with these arguments.

        response: a text, or its token ids without the end token. The canvas length and the suffix are a part of the law, so
        they must be those of the generation. top: how many of the likeliest tokens to tell beside each one. Raises
        OptionError for methods without a chain law, InputError for a response that does not fit.
        """
        ids, start, stop = self.canvas(prompt, max_new_tokens, suffix)
        return self.score_canvas(
            ids,
            range(start, stop),
            response,
            top=top,
            method=method,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            logit_bias=logit_bias,
            min_tokens=min_tokens,
            ignore_eos=ignore_eos,
            grammar=grammar,
            **method_options,
        )

    def score_canvas(self, ids: list[int], opened: range, response: str | Sequence[int], /, **options: Any) -> Score:
        """As `score`, of a response at the places `opened` of a canvas. options: of `score_ids`."""
        whole, counted = self.with_response(ids, opened, response)
        return self.score_ids(whole, counted, opened, **options)

    @torch.no_grad()
    def score_ids(
        self,
        ids: Sequence[int],
        counted: range,
        opened: range,
        /,
        *,
        top: int = 0,
        method: str = "fef",
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        logit_bias: Bias = None,
        min_tokens: int = 0,
        ignore_eos: bool = False,
        grammar: Any = None,
        **method_options: Any,
    ) -> Score:
        """Exact log p of the tokens at the places `counted` of `ids`, when all places `opened` are drawn by the method.

        Raises as `score`.
        """
        network = Network(self.network)
        top = whole_from("top", top, 0, self.network.config.vocab_size)
        plan = make_plan(method, method_options, network)
        tokens_BL = torch.tensor([list(ids)], device=self.network.device)
        open_BL = torch.zeros_like(tokens_BL, dtype=torch.bool)
        open_BL[:, opened.start : opened.stop] = True
        ids_BL = check_ids(tokens_BL.masked_fill(open_BL, network.mask_id), network)
        settings = read_settings(temperature, top_p, top_k, logit_bias, min_tokens, ignore_eos)
        eos_id, banned = self.network.config.eos_id, self.special_ids()
        grammars = [None if grammar is None else self.grammar(grammar)]
        requests = request_rows(
            network,
            plan,
            ids_BL,
            open_BL,
            settings,
            seed=seed,
            eos_id=eos_id,
            banned=banned,
            grammars=grammars,
            top=top,
        )
        score_canvas(network, plan, requests, tokens_BL)
        logprobs = requests.canvas.logprob_BL[0, counted.start : counted.stop].tolist()
        certificate = certificate_of(plan, network, settings, grammars)
        scored = list(ids[counted.start : counted.stop])
        at = torch.arange(counted.start, counted.stop, device=ids_BL.device)
        likeliest = [[(t, p) for t, p in each if p > -math.inf] for each in requests.canvas.likeliest(0, at)]
        return Score(scored, logprobs, sum(logprobs), dict(requests.meter.counts()[0]), certificate, likeliest)

    def profile(
        self,
        pairs: Sequence[tuple[Prompt, str]],
        *,
        max_new_tokens: int = 128,
        points: int = 16,
        seed: int = 0,
        batch_size: int = 8,
        on_done: Callable[[int], None] | None = None,
    ) -> Profile:
        """The information profile of responses, each given its prompt, on the canvas that `generate` would fill.

        pairs: prompts and responses, at least two. Other arguments as in `fef.information_profile`. Raises as it does,
        and InputError for a pair that does not fit.
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
    adapter: str | PathLike[str] | None = None,
    head: str = "auto",
) -> Model:
    """A model by name: "demo" or "smol" (shipped), a directory, or a Hugging Face repository, "GSAI-ML/LLaDA-8B-Instruct".

    device: by default a GPU if there is one. dtype: by default float32 for our own checkpoints, bfloat16 for released ones
    and deltas merged into one. weights: "int8" or "fp8" keeps the dense matrices of the blocks in that format, a byte per
    weight and one scale per output row; by default they are as stored, in `dtype`. revision, token: of a repository.
    mask_id, block_length: for a released checkpoint that does not say them, or was trained for another block length. adapter:
    a directory with LoRA factors of `fef train --lora` or PEFT, which are added to the weights; trained parts (draft head,
    dependency head, ...) are then those of that directory, since parts learn from one network. head: "none" leaves out the
    draft head that may lie beside the weights; it changes speed and no text. Raises CheckpointError or OptionError with what
    is wrong and what to give instead.
    """
    if head not in HEADS:
        raise OptionError(f"head={shown(head)} is not allowed.{nearest_hint(str(head), HEADS)}")
    if weights is not None:
        check_format(weights)
    device = usable_device(device or default_device())
    name = fspath(name) if isinstance(name, PathLike) else name
    adapter_path = None if adapter is None else path_of(fspath(adapter) if isinstance(adapter, PathLike) else adapter)
    path = locate(name, revision, token)
    described = describe_source(path, mask_id, block_length)  # before gigabytes are downloaded in vain
    tokenizer = require_tokenizer(path, described)
    download_weights(name, path, token)
    dtype = dtype or (
        torch.float32 if described.family is NATIVE and not isinstance(described, Merged) else torch.bfloat16
    )
    check_dtype(dtype, device)
    network = network_of(path, described, device, dtype, weights)
    network.name = name if name in SHIPPED or is_repository(name) else path.name
    parts = path if adapter_path is None else adapter_path
    if adapter_path is not None:
        apply_adapter(network, described.family, adapter_path)
    base, template = described.base if isinstance(described, Merged) else None, template_of(path, described)
    del described  # it may hold a delta: its memory is for what comes next
    network.extras = load_extras(parts, network, base, head == "auto")
    return Model(network, tokenizer, network.name, template)
