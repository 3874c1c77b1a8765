"""What was asked, read and checked: ids, open positions, lengths, sampling settings, seeds.

Shapes: B rows (requests), L canvas length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.errors import InputError, OptionError
from fef.laws.pipeline import Cut, LogitBias, Sampling, check_sampling
from fef.readers import LARGEST, real, several, shown, token_id, token_ids, whole, whole_from

__all__ = [
    "ENDLESS",
    "Setting",
    "Settings",
    "TokenBiases",
    "banned_ids",
    "check_greedy",
    "check_ids",
    "check_lengths",
    "check_observer",
    "check_open",
    "check_vocabulary",
    "make_sampling",
    "read_seed",
    "read_settings",
    "row_seeds",
    "seeds",
]

Setting = float | Sequence[float]
ENDLESS = LARGEST  # tokens that no canvas has
_MOST_BIASES = 1024  # ids of one row
_LARGEST_BIAS = 10**6  # beyond what logits are, and far from an overflow
_INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64}


# --- ids and positions ---


def check_ids(ids: Tensor, network: Network) -> Tensor:
    """A copy of the canvases, int64 [B, L], where the network is. Raises InputError for what is none."""
    if not is_dense(ids) or ids.ndim != 2:
        raise InputError(
            f"ids must be a dense integer tensor of shape [B, L]; got {kind(ids)}. For one row use ids[None]."
        )
    if ids.dtype not in _INTEGERS:
        raise InputError(f"ids must hold integers (torch.int64); got {ids.dtype}. Use ids.long().")
    ids_BL = ids.to(device=network.device or ids.device, dtype=torch.int64, copy=True)
    if ids_BL.numel() == 0:
        raise InputError(f"ids of shape {tuple(ids.shape)} hold no position; give at least one row and one position.")
    check_vocabulary(int(ids_BL.min()), int(ids_BL.max()), network.vocab_size)
    if network.max_length is not None and ids_BL.shape[1] > network.max_length:
        raise InputError(
            f"The canvas has {ids_BL.shape[1]} positions; {network.name} allows {network.max_length}. Shorten the prompt "
            "or ask for fewer new tokens."
        )
    return ids_BL


def check_vocabulary(low: int, high: int, vocab_size: int | None) -> None:
    """Raise InputError for ids from `low` to `high` that the vocabulary does not have."""
    if low < 0 or (vocab_size is not None and high >= vocab_size):
        allowed = f"0 to {vocab_size - 1}" if vocab_size is not None else "0 and up"
        raise InputError(f"ids hold {low if low < 0 else high}, outside the vocabulary ({allowed}).")


def check_open(open: Tensor | None, ids_BL: Tensor, mask_id: int) -> Tensor:
    """The positions to fill, bool [B, L]; those of `ids_BL` get the mask id."""
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
    """Real tokens of each row, int64 [B]; None where every row has all of them."""
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


def check_observer(name: str, observer: Any) -> None:
    if observer is not None and not callable(observer):
        raise OptionError(f"{name}={shown(observer)} is not allowed: give a function, or leave it out.")


# --- sampling settings ---


@dataclass(frozen=True)
class TokenBiases:
    """Ids, each with what is added to its logit."""

    pairs: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Settings:
    """Sampling settings as they were read: Python's numbers, each one for all rows, or one per row. min_tokens: of a text
    before its end; `ENDLESS` lets none end."""

    temperature: Setting = 0.0
    top_p: Setting = 1.0
    top_k: int | Sequence[int] = 0
    logit_bias: TokenBiases | Sequence[TokenBiases] = TokenBiases()
    min_tokens: int | Sequence[int] = 0

    @property
    def greedy(self) -> bool:
        """Is the temperature 0 in all rows?"""
        return all(t == 0 for t in as_list(self.temperature))

    @property
    def plain(self) -> bool:
        """Is the temperature 1, and no cut on, in all rows?"""
        return all(t == 1 for t in as_list(self.temperature)) and not self.cuts_p and not self.cuts_k

    @property
    def biases(self) -> list[TokenBiases]:
        """Those that any row has, each once."""
        return [bias for bias in dict.fromkeys(as_list(self.logit_bias)) if bias.pairs]

    @property
    def holds_end_back(self) -> bool:
        """Is an end token banned somewhere in any row?"""
        return any(n > 0 for n in as_list(self.min_tokens))

    @property
    def cuts_p(self) -> bool:
        """Is top-p on in any row?"""
        return any(p != 1 for p in as_list(self.top_p))

    @property
    def cuts_k(self) -> bool:
        """Is top-k on in any row?"""
        return any(k != 0 for k in as_list(self.top_k))

    def words(self, first_cut: Cut) -> str:
        cuts: list[tuple[Cut, Any, bool]] = [("top-k", self.top_k, self.cuts_k), ("top-p", self.top_p, self.cuts_p)]
        cuts.sort(key=lambda cut: cut[0] != first_cut)
        on = [f"{name} {spread(value)}" for name, value, cuts_any in cuts if cuts_any]
        words = f"temperature {spread(self.temperature)}" + (", " + " and then ".join(on) if on else "")
        biased = max((len(bias.pairs) for bias in self.biases), default=0)
        if biased:
            several_rows = " of each row's own" if several(self.logit_bias) is not None else ""
            words += f", logit_bias at {biased} id{'s' if biased > 1 else ''}{several_rows}"
        if self.holds_end_back:
            words += f", {self.end_words}"
        return words

    @property
    def end_words(self) -> str:
        numbers = {n for n in as_list(self.min_tokens) if n > 0}
        if numbers == {ENDLESS}:
            return "no end token"
        counts = sorted(numbers - {ENDLESS})
        return (
            f"no end token among the first {' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} tokens"
        )


def spread(value: Any) -> str:
    """The values of all rows in words."""
    distinct = sorted(set(as_list(value)))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def read_settings(
    temperature: Any, top_p: Any, top_k: Any, logit_bias: Any = None, min_tokens: Any = 0, ignore_eos: Any = False
) -> Settings:
    """The sampling settings with their numbers as Python's: one, or one per row. Raises OptionError for anything else, and
    for values out of range."""
    read: list[Any] = []
    for name, value in [("temperature", temperature), ("top_p", top_p), ("top_k", top_k)]:
        numbers = [real(v) for v in as_list(value)]
        if not numbers or None in numbers:
            raise OptionError(f"{name}={shown(value)} is not allowed: give one number, or one per row.")
        if name != "top_k":  # 1 is 1.0, in the words of a certificate, too
            numbers = [float(v) for v in numbers if v is not None]
        read.append(numbers[0] if several(value) is None else numbers)
    for t in as_list(read[0]):
        check_sampling(t)
    for p in as_list(read[1]):
        check_sampling(0.0, p)
    for k in as_list(read[2]):
        check_sampling(0.0, 1.0, k)
    biases = [read_biases(v) for v in as_list(logit_bias)]
    read += [biases[0] if several(logit_bias) is None else biases, read_min_tokens(min_tokens, ignore_eos)]
    return Settings(*read)


def read_biases(value: Any) -> TokenBiases:
    """Raises OptionError unless it is a dict of ids and what is added to their logits: finite, or -inf."""
    if value is None:
        return TokenBiases()
    if not isinstance(value, Mapping) or len(value) > _MOST_BIASES:
        raise OptionError(
            f"logit_bias={shown(value)} is not allowed: give a dict of at most {_MOST_BIASES} token ids, each with the "
            "number that is added to its logit."
        )
    pairs = [(token_id("logit_bias", token), real(bias)) for token, bias in value.items()]
    for token, bias in pairs:
        if bias is None or math.isnan(bias) or bias > _LARGEST_BIAS or -math.inf < bias < -_LARGEST_BIAS:
            raise OptionError(
                f"logit_bias of id {token} must be a number from -{_LARGEST_BIAS} to {_LARGEST_BIAS}, or -inf to ban it; got "
                f"{shown(value[token])}."
            )
    return TokenBiases(tuple(sorted((token, float(bias)) for token, bias in pairs if bias)))


def read_min_tokens(min_tokens: Any, ignore_eos: Any) -> int | list[int]:
    """One number, or one per row: `ENDLESS` where the end token is ignored."""
    least = [whole_from("min_tokens", n, 0) for n in as_list(min_tokens)]
    ignore = as_list(ignore_eos)
    if not all(isinstance(flag, bool) for flag in ignore):
        raise OptionError(f"ignore_eos={shown(ignore_eos)} is not allowed: give True or False, or one per row.")
    if several(min_tokens) is None and several(ignore_eos) is None:
        return ENDLESS if ignore[0] else least[0]
    rows = max(len(least), len(ignore))
    both = zip(per_row(min_tokens, "min_tokens", rows), per_row(ignore_eos, "ignore_eos", rows), strict=True)
    return [ENDLESS if endless else whole_from("min_tokens", n, 0) for n, endless in both]


def check_greedy(plan: Plan, settings: Settings) -> None:
    """Raise OptionError for a method of temperature 0 with another."""
    if plan.greedy and not settings.greedy:
        raise OptionError(
            f"{plan.method} is defined at temperature 0; got {settings.temperature!r}. To sample without loss use "
            "method='fef'."
        )


def banned_ids(network: Network, banned: Sequence[int], eos_id: int | None) -> list[int]:
    """The ids that are never drawn, the mask id among them, sorted. Raises OptionError for ids outside the vocabulary, and
    for an end token among them."""
    size = network.vocab_size
    eos_id = None if eos_id is None else token_id("eos_id", eos_id, size)
    ids = token_ids("banned", [network.mask_id, *token_ids("banned", banned)], size)
    if eos_id in ids:
        raise OptionError(f"eos_id {eos_id} is banned or is the mask id; give another.")
    return sorted(set(ids))


def make_sampling(
    network: Network,
    settings: Settings,
    banned: Sequence[int],
    eos_id: int | None,
    rows: int,
    device: torch.device,
    first_cut: Cut = "top-k",
    keeps_crossing: bool = True,
) -> Sampling:
    """The settings as tensors, one number per row. Raises OptionError as `banned_ids`, and for other
    than `rows` numbers; the network is told of the largest id that they name."""
    ids = banned_ids(network, banned, eos_id)
    eos_id = None if eos_id is None else token_id("eos_id", eos_id)
    network.largest_id = max(ids) if eos_id is None else max(*ids, eos_id)

    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor(per_row(getattr(settings, name), name, rows), dtype=dtype, device=device)

    return Sampling(
        temperature_B=column("temperature", torch.float64),
        top_p_B=column("top_p", torch.float64),
        top_k_B=column("top_k", torch.int64),
        banned=torch.tensor(ids, device=device),
        eos_id=eos_id,
        first_cut=first_cut,
        keeps_crossing=keeps_crossing,
        bias=make_bias(per_row(settings.logit_bias, "logit_bias", rows), network, device),
    )


def make_bias(rows: Sequence[TokenBiases], network: Network, device: torch.device) -> LogitBias | None:
    """Biases as tensors; None where there are none. Raises OptionError for ids outside the vocabulary."""
    width = max(len(row.pairs) for row in rows)
    if not width:
        return None
    token_ids("logit_bias", [token for row in rows for token, _ in row.pairs], network.vocab_size)
    network.largest_id = max(network.largest_id, *(token for row in rows for token, _ in row.pairs))
    padded_rows = [[*row.pairs, *[(0, 0.0)] * (width - len(row.pairs))] for row in rows]
    id_BK = torch.tensor([[token for token, _ in row] for row in padded_rows], device=device)
    bias_BK = torch.tensor([[bias for _, bias in row] for row in padded_rows], dtype=torch.float64, device=device)
    return LogitBias(id_BK, bias_BK)


# --- seeds ---


def seeds(seed: int | Sequence[int], rows: int, device: torch.device) -> Tensor:
    """Seeds int64 [rows]. Raises OptionError for what is none."""
    return torch.tensor([read_seed(value) for value in row_seeds(seed, rows)], dtype=torch.int64, device=device)


def row_seeds(seed: Any, rows: int, what: str = "row") -> list[Any]:
    """A seed per row, not yet read: those given, or from the one given upwards."""
    one = whole(seed)
    return per_row(seed, "seed", rows, what) if one is None else [one + i for i in range(rows)]


def read_seed(value: Any) -> int:
    seed = whole(value)
    if seed is None or not 0 <= seed <= LARGEST:
        raise OptionError(f"seed must be whole numbers from 0 to 2^63 - 1; got {shown(value)}.")
    return seed


# --- one value, or one per row ---


def per_row(value: Any, name: str, rows: int, what: str = "row") -> list[Any]:
    values = several(value)
    if values is None:
        return [value] * rows
    if len(values) != rows:
        raise OptionError(f"{name} has {len(values)} values for {rows} {what}s; give one value, or one per {what}.")
    return values


def as_list(value: Any) -> list[Any]:
    values = several(value)
    return [value] if values is None else values
