"""The public functions: decode any denoiser, certify a decode, load a model and generate text.

Shapes: B rows (requests), L canvas length, V vocabulary (counting the mask id).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.certificate import Certificate, Settings, certificate_of
from fef.decoding.loop import decode_requests
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests
from fef.decoding.requirements import check_steps
from fef.decoding.session import Observer, Round
from fef.errors import InputError, OptionError
from fef.laws.draws import KeyedNoise
from fef.laws.pipeline import Cut, Sampling, check_sampling
from fef.readers import LARGEST, real, several, shown, token_id, token_ids, whole

__all__ = ["Decoded", "certify", "decode"]

Setting = float | Sequence[float]
_INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64}


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
    values, InputError for wrong ids, DenoiserError for wrong logits and for any error of the denoiser (its cause), which
    names the call; what `on_round` raises passes as it is.
    """
    began = time.perf_counter()
    network = Network(denoiser)
    check_observer("on_round", on_round)
    plan = make_plan(method, method_options, network)
    temperature, top_p, top_k = read_settings(temperature, top_p, top_k)
    check_greedy(plan, temperature)
    ids_BL = check_ids(ids, network)
    B = len(ids_BL)
    open_BL = check_open(open, ids_BL, network.mask_id)
    lengths_B = check_lengths(lengths, ids_BL, open_BL, network)
    eos_id = None if eos_id is None else token_id("eos_id", eos_id, network.vocab_size)
    banned, eos_id = [*token_ids("banned", banned), *plan.banned], plan.end_token(eos_id)
    sampling = make_sampling(
        network, temperature, top_p, top_k, banned, eos_id, B, ids_BL.device, plan.first_cut, plan.keeps_crossing
    )
    noise = KeyedNoise(seeds(seed, B, ids_BL.device))
    canvas = Canvas.start(ids_BL, open_BL, ids_BL, lengths_B)
    check_steps(plan, canvas)
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
    temperature, top_p, top_k = read_settings(temperature, top_p, top_k)
    check_greedy(plan, temperature)
    return certificate_for(network, plan, temperature, top_p, top_k)


def certificate_for(
    network: Network, plan: Plan, temperature: Setting, top_p: Setting, top_k: int | Sequence[int]
) -> Certificate:
    words = setting_words(temperature, top_p, top_k, plan.first_cut)
    cut_p, cut_k = any(p != 1 for p in as_list(top_p)), any(k != 0 for k in as_list(top_k))
    settings = Settings(words, is_greedy(temperature), is_plain(temperature, top_p, top_k), cut_p, cut_k)
    return certificate_of(plan, network.name, network.weight_format, network.block_causal, settings)


def check_greedy(plan: Plan, temperature: Setting) -> None:
    if plan.greedy and not is_greedy(temperature):
        raise OptionError(
            f"{plan.method} is defined at temperature 0; got {temperature!r}. To sample without loss use method='fef'."
        )


def refuse_taken(caller: str, given: Iterable[str], taken: Iterable[str]) -> None:
    """Raise OptionError for arguments that `caller` makes itself."""
    for name in given:
        if name in taken:
            raise OptionError(
                f"{caller} takes {name} from the prompt and the checkpoint; leave it out, or use fef.decode."
            )


def check_observer(name: str, observer: Any) -> None:
    if observer is not None and not callable(observer):
        raise OptionError(f"{name}={shown(observer)} is not allowed: give a function, or leave it out.")


def check_ids(ids: Tensor, network: Network) -> Tensor:
    if not is_dense(ids) or ids.ndim != 2:
        raise InputError(
            f"ids must be a dense integer tensor of shape [B, L]; got {kind(ids)}. For one row use ids[None]."
        )
    if ids.dtype not in _INTEGERS:
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
    if not is_dense(open) or open.dtype != torch.bool or open.shape != ids_BL.shape:
        raise InputError(f"open must be a bool tensor of shape {tuple(ids_BL.shape)}, like ids; got {kind(open)}.")
    open_BL = open.to(ids_BL.device)
    ids_BL[open_BL] = mask_id
    return open_BL


def is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_nested and not value.is_meta


def kind(value: Any) -> str:
    """What a value is, in words."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.is_nested:
        return "a nested tensor"
    where = " on meta, where tensors hold no values" if value.is_meta else ""
    return f"{'' if value.layout is torch.strided else 'a sparse tensor of '}{value.dtype} {tuple(value.shape)}{where}"


def check_lengths(
    lengths: Sequence[int] | Tensor | None, ids_BL: Tensor, open_BL: Tensor, network: Network
) -> Tensor | None:
    if lengths is None:
        return None
    B, L = ids_BL.shape
    found = [whole(length) for length in several(lengths) or []]
    if len(found) != B or not all(length is not None and 1 <= length <= L for length in found):
        raise InputError(f"lengths must be {B} numbers from 1 to {L}; got {shown(lengths)}.")
    lengths_B = torch.tensor(found, device=ids_BL.device)
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
    keeps_crossing: bool = True,
) -> Sampling:
    temperature, top_p, top_k = read_settings(temperature, top_p, top_k)
    size = network.vocab_size
    eos_id = None if eos_id is None else token_id("eos_id", eos_id, size)
    ids = token_ids("banned", [network.mask_id, *token_ids("banned", banned)], size)
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
        keeps_crossing,
    )


def seeds(seed: int | Sequence[int], rows: int, device: torch.device) -> Tensor:
    one = whole(seed)
    values = per_row(seed, "seed", rows) if one is None else [one + i for i in range(rows)]
    return torch.tensor([read_seed(value) for value in values], dtype=torch.int64, device=device)


def read_seed(value: Any) -> int:
    seed = whole(value)
    if seed is None or not 0 <= seed <= LARGEST:
        raise OptionError(f"seed must be whole numbers from 0 to 2^63 - 1; got {shown(value)}.")
    return seed


def per_row(value: Any, name: str, rows: int, what: str = "row") -> list[Any]:
    values = several(value)
    if values is None:
        return [value] * rows
    if len(values) != rows:
        raise OptionError(f"{name} has {len(values)} values for {rows} {what}s; give one value, or one a {what}.")
    return values


def read_settings(temperature: Any, top_p: Any, top_k: Any) -> tuple[Setting, Setting, int | Sequence[int]]:
    """The sampling settings with their numbers as Python's: one, or one a row. Raises OptionError for anything else, and for
    values out of range."""
    read = []
    for name, value in [("temperature", temperature), ("top_p", top_p), ("top_k", top_k)]:
        numbers = [real(v) for v in as_list(value)]
        if not numbers or None in numbers:
            raise OptionError(f"{name}={shown(value)} is not allowed: give one number, or one a row.")
        read.append(numbers[0] if several(value) is None else numbers)
    for t, p, k in zip(*broadcast(*read), strict=True):
        check_sampling(t, p, k)
    temperature, top_p, top_k = read
    return temperature, top_p, top_k


def broadcast(*settings: Any) -> list[list[Any]]:
    lists = [as_list(s) for s in settings]
    longest = max(len(values) for values in lists)
    return [
        values * longest if len(values) == 1 else values + values[-1:] * (longest - len(values)) for values in lists
    ]


def as_list(value: Any) -> list[Any]:
    values = several(value)
    return [value] if values is None else values


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
