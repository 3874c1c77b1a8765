"""The public functions: decode any denoiser, certify a decode, load a model and generate text.

Shapes: B rows (requests), L canvas length, V vocabulary (counting the mask id).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.certificate import Certificate, Settings, certificate_of
from fef.decoding.loop import decode_requests
from fef.decoding.methods import make_plan
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests
from fef.decoding.session import Observer, Round
from fef.errors import InputError, OptionError
from fef.laws.draws import KeyedNoise
from fef.laws.pipeline import Cut, Sampling, check_sampling

__all__ = ["Decoded", "certify", "decode"]

Setting = float | Sequence[float]
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Decoded:
    """ids [B, L]: the filled canvases. logprobs float64 [B, L]: log p (nats) of each filled token under the sampled law at
    its commit, nan elsewhere. stats: a dict a row (see `fef.decoding.meter`), with the `seconds` of the whole call.
    trace: the rounds, if asked for."""

    ids: Tensor
    logprobs: Tensor
    stats: list[dict[str, float]]
    certificate: Certificate
    trace: list[Round] | None = field(default=None, repr=False)


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
    eos_id: int | None = None,
    lengths: Sequence[int] | Tensor | None = None,
    banned: Sequence[int] = (),
    trace: bool = False,
    on_round: Observer | None = None,
    **method_options: Any,
) -> Decoded:
    """Fill the open positions of `ids` [B, L] by sampling the denoiser under a method.

    denoiser: callable on int64 ids [B, L] that returns logits [B, L, V], with an int attribute `mask_id`. open: bool
    [B, L], positions to fill; by default those that hold the mask id. temperature (0: greedy), top_p, top_k and seed: one
    value, or one a row; with one seed, row i uses seed + i. eos_id: "after EOS comes EOS" becomes part of the law.
    lengths: real tokens a row when rows are padded on the right (needs a denoiser that takes lengths). banned: ids that
    are never sampled, besides the mask id. on_round: called after every round.

    A row's result depends on its own ids, options and seed only. Raises OptionError for unknown methods, options or
    values, InputError for wrong ids, DenoiserError for wrong logits.
    """
    began = time.perf_counter()
    network = Network(denoiser)
    plan = make_plan(method, method_options, network)
    check_greedy(plan, temperature)
    ids_BL = check_ids(ids, network)
    B = len(ids_BL)
    open_BL = check_open(open, ids_BL, network.mask_id)
    lengths_B = check_lengths(lengths, ids_BL, open_BL, network)
    banned, eos_id = [*banned, *plan.banned], None if eos_id in plan.banned else eos_id
    sampling = make_sampling(network, temperature, top_p, top_k, banned, eos_id, B, ids_BL.device, plan.first_cut)
    noise = KeyedNoise(seeds(seed, B, ids_BL.device))
    canvas = Canvas.start(ids_BL, open_BL, ids_BL, lengths_B)
    requests = Requests.start(canvas, noise, sampling)
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
        canvas.ids_BL,
        canvas.logprob_BL,
        [{**requests.meter.row(i), "seconds": seconds} for i in range(B)],
        certificate_for(network, plan, temperature, top_p, top_k),
        rounds if trace else None,
    )


def certify(
    denoiser: Callable[..., Tensor],
    *,
    method: str = "fef",
    temperature: Setting = 0.0,
    top_p: Setting = 1.0,
    top_k: int | Sequence[int] = 0,
    **method_options: Any,
) -> Certificate:
    """Which law `decode` would sample with these arguments, and why. Runs no forward pass. Raises as `decode`."""
    network = Network(denoiser)
    plan = make_plan(method, method_options, network)
    check_settings(temperature, top_p, top_k)
    check_greedy(plan, temperature)
    return certificate_for(network, plan, temperature, top_p, top_k)


def certificate_for(
    network: Network, plan: Plan, temperature: Setting, top_p: Setting, top_k: int | Sequence[int]
) -> Certificate:
    words = setting_words(temperature, top_p, top_k, plan.first_cut)
    both_cuts = any(p != 1 for p in as_list(top_p)) and any(k != 0 for k in as_list(top_k))
    settings = Settings(words, is_greedy(temperature), is_plain(temperature, top_p, top_k), both_cuts)
    return certificate_of(plan, network.name, network.weight_format, network.block_causal, settings)


def check_greedy(plan: Plan, temperature: Setting) -> None:
    if plan.greedy and not is_greedy(temperature):
        raise OptionError(
            f"{plan.method} is defined at temperature 0; got {temperature!r}. To sample without loss use method='fef'."
        )


def check_ids(ids: Tensor, network: Network) -> Tensor:
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        got = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
        raise InputError(f"ids must be an integer tensor of shape [B, L]; got {got}. For one row use ids[None].")
    if ids.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        raise InputError(f"ids must hold integers (torch.int64); got {ids.dtype}. Use ids.long().")
    ids_BL = ids.to(device=network.device or ids.device, dtype=torch.int64, copy=True)
    if ids_BL.numel() == 0:
        raise InputError(f"ids of shape {tuple(ids.shape)} hold no position; give at least one row and one position.")
    low, high = int(ids_BL.min()), int(ids_BL.max())
    size = network.vocab_size
    if low < 0 or (size is not None and high >= size):
        wrong = low if low < 0 else high
        allowed = f"0 to {size - 1}" if size is not None else "0 and up"
        raise InputError(f"ids hold {wrong}, outside the vocabulary ({allowed}).")
    if network.max_length is not None and ids_BL.shape[1] > network.max_length:
        raise InputError(
            f"The canvas has {ids_BL.shape[1]} positions; {network.name} allows {network.max_length}. Shorten the prompt "
            "or ask for fewer new tokens."
        )
    return ids_BL


def check_open(open: Tensor | None, ids_BL: Tensor, mask_id: int) -> Tensor:
    if open is None:
        return ids_BL == mask_id
    if not isinstance(open, Tensor) or open.dtype != torch.bool or open.shape != ids_BL.shape:
        got = f"{open.dtype} {tuple(open.shape)}" if isinstance(open, Tensor) else type(open).__name__
        raise InputError(f"open must be a bool tensor of shape {tuple(ids_BL.shape)}, like ids; got {got}.")
    open_BL = open.to(ids_BL.device)
    ids_BL[open_BL] = mask_id
    return open_BL


def check_lengths(
    lengths: Sequence[int] | Tensor | None, ids_BL: Tensor, open_BL: Tensor, network: Network
) -> Tensor | None:
    if lengths is None:
        return None
    lengths_B = torch.as_tensor(lengths, dtype=torch.int64, device=ids_BL.device)
    if lengths_B.shape != ids_BL.shape[:1] or int(lengths_B.min()) < 1 or int(lengths_B.max()) > ids_BL.shape[1]:
        raise InputError(f"lengths must be {len(ids_BL)} numbers from 1 to {ids_BL.shape[1]}; got {lengths}.")
    if bool((lengths_B == ids_BL.shape[1]).all()):
        return None
    if not network.pads:
        raise InputError(f"{network.name} takes no lengths, so rows must have equal length. Decode them one by one.")
    index_L = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    if bool((open_BL & (index_L >= lengths_B[:, None])).any()):
        raise InputError("open positions lie behind the length of their row; shorten `open` or raise `lengths`.")
    return lengths_B


def make_sampling(
    network: Network,
    temperature: Setting,
    top_p: Setting,
    top_k: int | Sequence[int],
    banned: Sequence[int],
    eos_id: int | None,
    rows: int,
    device: torch.device,
    first_cut: Cut = "top-k",
) -> Sampling:
    check_settings(temperature, top_p, top_k)
    size = network.vocab_size
    ids = [network.mask_id, *banned]
    for name, value in [("eos_id", eos_id), *(("banned", b) for b in ids)]:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise OptionError(f"{name} must be a token id; got {value!r}.")
        if value is not None and size is not None and value >= size:
            raise OptionError(f"{name} {value} is outside the vocabulary of {size}.")
    network.largest_id = max(ids) if eos_id is None else max(*ids, eos_id)
    if eos_id in ids:
        raise OptionError(f"eos_id {eos_id} is banned or is the mask id; give another.")

    def column(value: Setting | int | Sequence[int], name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor(per_row(value, name, rows), dtype=dtype, device=device)

    return Sampling(
        column(temperature, "temperature", torch.float64),
        column(top_p, "top_p", torch.float64),
        column(top_k, "top_k", torch.int64),
        torch.tensor(sorted(set(ids)), device=device),
        eos_id,
        first_cut,
    )


def seeds(seed: int | Sequence[int], rows: int, device: torch.device) -> Tensor:
    values = [seed + i for i in range(rows)] if isinstance(seed, int) else per_row(seed, "seed", rows)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
            raise OptionError(f"seed must be whole numbers from 0 to 2^63 - 1; got {value!r}.")
    return torch.tensor(values, dtype=torch.int64, device=device)


def per_row(value: Any, name: str, rows: int) -> list[Any]:
    values = as_list(value)
    if not isinstance(value, Sequence | Tensor):
        return values * rows
    if len(values) != rows:
        raise OptionError(f"{name} has {len(values)} values for {rows} rows; give one value, or one a row.")
    return values


def check_settings(temperature: Setting, top_p: Setting, top_k: int | Sequence[int]) -> None:
    for name, value in [("temperature", temperature), ("top_p", top_p), ("top_k", top_k)]:
        values = as_list(value)
        if not values or not all(isinstance(v, Real) for v in values):
            raise OptionError(f"{name}={value!r} is not allowed: give one number, or one a row.")
    for t, p, k in zip(*broadcast(temperature, top_p, top_k), strict=True):
        check_sampling(t, p, k)


def broadcast(*settings: Any) -> list[list[Any]]:
    lists = [as_list(s) for s in settings]
    longest = max(len(values) for values in lists)
    return [
        values * longest if len(values) == 1 else values + values[-1:] * (longest - len(values)) for values in lists
    ]


def as_list(value: Any) -> list[Any]:
    if isinstance(value, Tensor):
        return list(value.tolist()) if value.ndim else [value.item()]
    return list(value) if isinstance(value, Sequence) else [value]


def is_greedy(temperature: Setting) -> bool:
    return all(t == 0 for t in as_list(temperature))


def is_plain(temperature: Setting, top_p: Setting, top_k: int | Sequence[int]) -> bool:
    pairs = ((temperature, 1), (top_p, 1), (top_k, 0))
    return all(value == unset for setting, unset in pairs for value in as_list(setting))


def setting_words(temperature: Setting, top_p: Setting, top_k: int | Sequence[int], first_cut: Cut) -> str:
    def words(value: Any) -> str:
        distinct = sorted(set(as_list(value)))
        return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"

    cuts: list[tuple[Cut, Any, int]] = [("top-k", top_k, 0), ("top-p", top_p, 1)]
    cuts.sort(key=lambda cut: cut[0] != first_cut)
    on = [f"{name} {words(value)}" for name, value, unset in cuts if any(v != unset for v in as_list(value))]
    return f"temperature {words(temperature)}" + (", " + " and then ".join(on) if on else "")
