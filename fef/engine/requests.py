"""A request as a sequence of denoising passes: what each one draws, and what lies between them.

The sequence is a generator: it yields a `PassRequest`, is sent a `PassResult`, and returns the filled canvas.

Shapes: L canvas length, R ranks of a pass.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fef.decoding.grammar import text_on
from fef.decoding.inputs import Settings, TokenBiases, read_settings
from fef.decoding.network import Network
from fef.decoding.order import decoding_order
from fef.decoding.passes import PassState, next_passes, noise_of
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests, first_end, padded, request_rows
from fef.engine.slots import COUNTERS, NEVER, RESULT_HEAD, Numbers, PassRequest
from fef.errors import InputError, OptionError
from fef.grammar.compiled import TokenGrammar
from fef.grammar.text import GrammarText
from fef.laws.eos import undecided
from fef.models.transformer import Transformer
from fef.readers import LARGEST, several, shown, whole

__all__ = [
    "EngineResult",
    "Likeliest",
    "PassResult",
    "PassSequence",
    "Request",
    "as_numbers",
    "one_row",
    "pass_sequence",
    "plain",
    "results_of",
    "rows_of",
    "text_of",
    "whole_numbers",
]


@dataclass
class Request:
    """One canvas to fill."""

    ids: Numbers  # tokens of the canvas, the mask id where it is to be filled
    open: Numbers  # positions to draw, from the left
    plan: Plan  # that of its method and options
    temperature: float  # 0: greedy
    top_p: float  # 1: off
    top_k: int  # 0: off
    seed: int  # all that its randomness depends on
    eos_id: int | None  # that of the engine; the plan may leave the end free
    banned: list[int]  # ids never drawn, besides the mask id and those that the plan bans
    grammar: TokenGrammar | None = None  # what its text may be
    logit_bias: TokenBiases = TokenBiases()
    min_tokens: int = 0  # before its end
    top: int = 0  # likeliest tokens that are told beside each one


@dataclass
class PassResult:
    """Tokens drawn by rank, their log p (nats) and log p at temperature 1; slots of higher rank are end tokens for certain.
    counters: see `slots.COUNTERS`. log_mass: see `SlotState`."""

    tokens: list[int]
    logprobs: list[float]
    confidences: list[float]
    counters: list[int]
    log_mass: float


@dataclass
class EngineResult:
    """tokens and logprobs (nats) at the open positions from the left; counters as in `fef.decoding.meter`; log_mass as in
    `fef.Decoded`, None without a grammar. likeliest: at each position, if they were asked for."""

    tokens: list[int]
    logprobs: list[float]
    counters: dict[str, int]
    log_mass: float | None = None
    likeliest: list[Likeliest] | None = None


Likeliest = list[tuple[int, float]]
"""The likeliest tokens at a position, and their log p (nats)."""

_PLAIN = frozenset((int, float, bool, str, NoneType))
_SAMPLING = ("temperature", "top_p", "top_k", "logit_bias", "min_tokens", "ignore_eos")

PassSequence = Generator[PassRequest, PassResult, EngineResult]


def pass_sequence(request: Request, network: Transformer) -> PassSequence:
    """The passes of a request to this network, which was trained for the packed pattern."""
    plan = request.plan
    if plan.steps == 1 and plan.block_length is None and plan.order == "left-to-right":
        return one_pass(request)
    return many_passes(request, Network(network))


def one_pass(request: Request) -> PassSequence:
    """From left to right in one denoising pass."""
    asked = pass_request(request, request.ids, request.open)
    if request.eos_id is not None:
        asked.last_other = first_end(request.min_tokens, request.open, len(request.ids))
    result = yield asked
    missing = len(request.open) - len(result.tokens)
    counters = dict(zip(COUNTERS, result.counters, strict=True))
    tokens = result.tokens
    if missing:
        assert request.eos_id is not None, "only an end token makes others certain"
        tokens = tokens + [request.eos_id] * missing
    return filled(tokens, result.logprobs + [0.0] * missing, request.eos_id, counters, None)


def many_passes(request: Request, network: Network) -> PassSequence:
    """Blocks, orders and several denoising passes, on a canvas of one row, as `fef.decoding.loop` has them."""
    plan = request.plan
    requests = rows_of([request], network, plan, len(request.ids), torch.device("cpu"))
    canvas, eos = requests.canvas, requests.eos
    state = PassState.before_the_first(canvas, plan)
    total, process = dict.fromkeys(COUNTERS, 0), noise_of(plan, network.noise)
    while (began_B := next_passes(state, requests, plan, process)) is not None and bool(began_B.any()):
        within_BL = state.within_BL
        pending_L = (canvas.pending_BL & within_BL)[0]
        place_R = pending_L.nonzero()[:, 0]
        order: list[int] = place_R[canvas.rank_BL[0, place_R].argsort()].tolist()
        asked = pass_request(request, canvas.ids_BL[0].tolist(), order, int(state.k_B))
        if eos is not None:
            first_B, last_B = eos.bounds(canvas)
            asked.first_end = int(first_B) if int(first_B) < len(request.ids) else NEVER
            asked.last_other = int(last_B)
        result = yield asked
        # what an end token decides is filled below, with confidence 1, whether a window reached it or not
        needed = len(result.tokens)
        if eos is not None:
            end_B, order_BR = torch.tensor([asked.first_end]), torch.tensor([order])
            token_BT = torch.tensor([result.tokens], dtype=torch.int64)
            needed = int(undecided(end_B, order_BR, token_BT, eos.eos_id))
        drawn = order[:needed]
        canvas.ids_BL[0, drawn] = torch.tensor(result.tokens[:needed])
        canvas.logprob_BL[0, drawn] = torch.tensor(result.logprobs[:needed], dtype=torch.float64)
        canvas.confidence_BL[0, drawn] = torch.tensor(result.confidences[:needed], dtype=torch.float64).exp()
        canvas.pending_BL[0, drawn] = False
        if eos is not None:
            eos.settle(canvas, within_BL)
        for name, count in zip(COUNTERS, result.counters, strict=True):
            total[name] += count
    open_N = torch.from_numpy(request.open)
    tokens, logprobs = canvas.ids_BL[0, open_N].tolist(), canvas.logprob_BL[0, open_N].tolist()
    return filled(tokens, logprobs, request.eos_id, total, int(requests.meter.committed[0]))


def text_of(request: Request, denoiser: Callable[..., Tensor]) -> GrammarText | None:
    """The text under the request's grammar. Raises as `text_on`."""
    if request.grammar is None:
        return None
    plan = request.plan
    banned = [*request.banned, *plan.banned]
    ids, places = request.ids.tolist(), request.open.tolist()
    return text_on(request.grammar, Network(denoiser), ids, places, plan.end_token(request.eos_id), banned)


def pass_request(
    request: Request, ids: Sequence[int] | Numbers, order: Sequence[int] | Numbers, step: int = 1
) -> PassRequest:
    return PassRequest(
        ids,
        order,
        step=step,
        seed=request.seed,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
    )


def rows_of(asked: Sequence[Request], network: Network, plan: Plan, length: int, device: torch.device) -> Requests:
    """Requests of one plan as rows, each in its order, padded to one length."""
    ids_BL, open_BL = padded([(one.ids, one.open) for one in asked], length)
    requests = request_rows(
        network,
        plan,
        ids_BL.to(device),
        open_BL.to(device),
        Settings(
            [one.temperature for one in asked],
            [one.top_p for one in asked],
            [one.top_k for one in asked],
            [one.logit_bias for one in asked],
            [one.min_tokens for one in asked],
        ),
        seed=[one.seed for one in asked],
        eos_id=asked[0].eos_id,
        banned=asked[0].banned,
        lengths_B=torch.tensor([len(one.ids) for one in asked], device=device) if network.pads else None,
        grammars=[one.grammar for one in asked],
        top=asked[0].top,
    )
    requests.canvas.rank_BL = decoding_order(requests.canvas, plan, requests.noise)
    return requests


def filled(
    tokens: list[int], logprobs: list[float], eos_id: int | None, counters: dict[str, int], committed: int | None
) -> EngineResult:
    if committed is None:
        committed = tokens.index(eos_id) + 1 if eos_id in tokens else len(tokens)
    counters = counters | {"rows": counters["calls"], "committed": committed}
    return EngineResult(tokens, logprobs, counters)


def whole_numbers(name: str, values: Any) -> Numbers:
    """One row of whole numbers, a copy. Raises InputError for anything else."""
    if type(values) is np.ndarray and values.dtype == np.int64 and values.ndim == 1:
        return values.copy()
    if type(values) is range and values and values.step == 1 and values[0] >= -LARGEST and values[-1] < LARGEST:
        return np.arange(values[0], values[-1] + 1)
    found = values if type(values) is list else several(values)
    if found and set(map(type, found)) == {int} and min(found) >= -LARGEST and max(found) <= LARGEST:
        return as_numbers(found)
    numbers = [None] if found is None else [whole(value) for value in found]
    if not all(number is not None and -LARGEST <= number <= LARGEST for number in numbers):
        raise InputError(
            f"{name} must be a list of whole numbers: ids are one canvas, open the positions to fill in it."
        )
    return np.array(numbers, dtype=np.int64)


def as_numbers(values: list[int]) -> Numbers:
    """A list as an array, several times as fast as NumPy reads it: a canvas has hundreds."""
    return np.frombuffer(array("q", values), dtype=np.int64)


def one_row(*given: Any) -> Settings:
    """The sampling settings of a request, from the arguments of `read_settings`. Raises OptionError for other than one value
    each, and for values out of range."""
    for name, value in zip(_SAMPLING, given, strict=True):
        if several(value) is not None:
            raise OptionError(f"{name}={shown(value)} is not allowed: a request has one number.")
    return read_settings(*given)


def plain(values: Iterable[Any]) -> bool:
    """Are all of them numbers, text or None, of which one that is equal and of the same type is read alike?"""
    return _PLAIN.issuperset(map(type, values))


def results_of(rows: npt.NDArray[np.int64], known: Sequence[int] | None = None) -> Iterable[PassResult]:
    """What `PackedRounds.send_results` sent: see `SlotState.collect`. known: tokens at the first ranks of each row that are
    left out."""
    first = RESULT_HEAD
    ranks = (rows.shape[1] - first) // 3
    reals = rows.view(np.float64)
    heads, log_mass_B = rows[:, :first].tolist(), reals[:, first - 1].tolist()
    for row, (done, *counters, _) in enumerate(heads):
        start, end = first + (known[row] if known else 0), first + min(done, ranks)
        tokens = rows[row, start:end].tolist()
        logprobs = reals[row, ranks + start : ranks + end].tolist()
        confidences = reals[row, 2 * ranks + start : 2 * ranks + end].tolist()
        yield PassResult(tokens, logprobs, confidences, counters, log_mass_B[row])
