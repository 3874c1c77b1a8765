"""The public functions: decode any denoiser, certify a decode, load a model and generate text.

Shapes: B rows (requests), L canvas length, V vocabulary (counting the mask id).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fef.decoders import make_plan
from fef.decoding.certificate import Certificate, certificate_of
from fef.decoding.grammar import read_grammars
from fef.decoding.inputs import (
    Setting,
    check_greedy,
    check_ids,
    check_lengths,
    check_observer,
    check_open,
    read_settings,
)
from fef.decoding.loop import decode_requests
from fef.decoding.network import Network
from fef.decoding.requests import request_rows
from fef.decoding.requirements import check_canvas
from fef.decoding.session import Observer, Round
from fef.grammar.compiled import TokenGrammar
from fef.readers import whole_from

__all__ = ["Decoded", "certify", "decode"]


@dataclass(frozen=True)
class Decoded:
    """ids [B, L]: the filled canvases. logprobs float64 [B, L]: log p (nats) of each filled token under the sampled law at
    its commit, nan elsewhere. stats: a dict per row (see `fef.decoding.meter`), with the `seconds` of the whole call.
    trace: the rounds, if asked for. log_mass: float64 [B], under grammars only: log of the mass (nats) that the law without
    the grammar puts on what it allowed, summed over the tokens of a row; exp of it weighs a sample to that law.
    likeliest: where they were asked for, of each row at each open position the likeliest tokens under the sampled law at its
    commit (at temperature 0 under that at temperature 1), and their log p."""

    ids: Tensor
    logprobs: Tensor
    stats: list[dict[str, float]]
    certificate: Certificate
    trace: list[Round] | None = field(default=None, repr=False)
    log_mass: Tensor | None = None
    likeliest: list[list[list[tuple[int, float]]]] = field(default_factory=list)


Bias = Mapping[int, float] | None


@torch.no_grad()
def decode(
    denoiser: Callable[..., Tensor],
    ids: Tensor,
    *,
    method: str = "fef",
    open: Tensor | None = None,
    temperature: Setting = 0.0,
    top_p: Setting = 1.0,
    top_k: int | Sequence[int] = 0,
    seed: int | Sequence[int] = 0,
    logit_bias: Bias | Sequence[Bias] = None,
    min_tokens: int | Sequence[int] = 0,
    ignore_eos: bool | Sequence[bool] = False,
    eos_id: int | None = None,
    lengths: Sequence[int] | Tensor | None = None,
    banned: Sequence[int] = (),
    grammar: TokenGrammar | Sequence[TokenGrammar | None] | None = None,
    top: int = 0,
    trace: bool = False,
    on_round: Observer | None = None,
    **method_options: Any,
) -> Decoded:
    """Fill the open positions of `ids` [B, L] by sampling the denoiser under a method: by default FeF-DLLM's, which drafts
    and verifies (arXiv 2605.14305).

    denoiser: callable on int64 ids [B, L] that returns logits [B, L, V], with an int attribute `mask_id`. open: bool
    [B, L], positions to fill; by default those that hold the mask id. temperature (0: greedy), top_p, top_k and seed: one
    value, or one per row; with one seed, row i uses seed + i. logit_bias: numbers that are added to the logits of ids, before
    the temperature; -inf bans one. min_tokens: open positions from the left where the end token is banned; ignore_eos: all
    of them. top: how many of the likeliest tokens to note beside each one. eos_id: "after EOS comes EOS" becomes part of the
    law.
    lengths: real tokens of each row when rows are padded on the right (needs a denoiser that takes lengths). banned: ids that
    are never sampled, besides the mask id. grammar: what texts are allowed, from `fef.compile_grammar`, one for all rows or
    one per row; each token's law is renormalised over what the grammar allows behind those before it. A text is what the open
    positions hold, which stand side by side, with the tokens behind them. on_round: called after every round.

    A row's result depends on its own ids, options and seed only. Raises OptionError for unknown methods, options or
    values, InputError for wrong ids, DenoiserError for wrong logits and for any error of the denoiser (its cause), which
    names the call; what `on_round` raises passes as it is.
    """
    began = time.perf_counter()
    network = Network(denoiser)
    check_observer("on_round", on_round)
    plan = make_plan(method, method_options, network)
    settings = read_settings(temperature, top_p, top_k, logit_bias, min_tokens, ignore_eos)
    check_greedy(plan, settings)
    top = whole_from("top", top, 0, network.vocab_size)
    ids_BL = check_ids(ids, network)
    open_BL = check_open(open, ids_BL, network.mask_id)
    lengths_B = check_lengths(lengths, ids_BL, open_BL, network)
    grammars = read_grammars(grammar, len(ids_BL))
    requests = request_rows(
        network,
        plan,
        ids_BL,
        open_BL,
        settings,
        seed=seed,
        eos_id=eos_id,
        banned=banned,
        lengths_B=lengths_B,
        grammars=grammars,
        top=top,
    )
    check_canvas(plan, requests.canvas.open_BL)
    rounds: list[Round] = []
    observe = on_round
    if trace:

        def observe(round_: Round) -> None:
            rounds.append(round_)
            if on_round is not None:
                on_round(round_)

    if bool(open_BL.any()):
        decode_requests(network, plan, requests, observe)
    seconds = time.perf_counter() - began
    return Decoded(
        ids=requests.canvas.ids_BL,
        logprobs=requests.canvas.logprob_BL,
        stats=[{**counts, "seconds": seconds} for counts in requests.meter.counts()],
        certificate=certificate_of(plan, network, settings, grammars),
        trace=rounds if trace else None,
        log_mass=None if requests.grammar is None else requests.grammar.log_mass_B,
        likeliest=[requests.canvas.likeliest(b, open_L.nonzero()[:, 0]) for b, open_L in enumerate(open_BL)]
        if top
        else [],
    )


def certify(
    denoiser: Callable[..., Tensor],
    *,
    method: str = "fef",
    temperature: Setting = 0.0,
    top_p: Setting = 1.0,
    top_k: int | Sequence[int] = 0,
    logit_bias: Bias | Sequence[Bias] = None,
    min_tokens: int | Sequence[int] = 0,
    ignore_eos: bool | Sequence[bool] = False,
    **method_options: Any,
) -> Certificate:
    """Which law `decode` would sample with these arguments, and why. Runs no forward pass. Raises as `decode`."""
    network = Network(denoiser)
    plan = make_plan(method, method_options, network)
    settings = read_settings(temperature, top_p, top_k, logit_bias, min_tokens, ignore_eos)
    check_greedy(plan, settings)
    return certificate_of(plan, network, settings)
