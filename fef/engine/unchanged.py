"""Whether a network is still the one that an engine was made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import attrgetter

import torch
from torch import Tensor, nn

from fef.errors import EngineError

__all__ = ["Fingerprint"]

_FEW = 16  # numbers of a tensor that are compared: writes through `.data` leave no other trace
_WRITTEN = attrgetter("_version")


class Fingerprint:
    """What was known of a denoiser when an engine was made of it: where its tensors lie, how often each was written, its
    format if it is quantized, and a few numbers of each tensor."""

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        tensors = tensors_of(denoiser)
        self.places, self.weight_format = places(tensors), form(denoiser)
        self.counted = [tensor for tensor in tensors if not tensor.is_inference()]
        self.writes = writes(self.counted)
        on_devices = groupby(map(few_bytes, filter(is_plain, tensors)), key=lambda found: found.device)
        self.looked_at = [list(found) for _, found in on_devices]
        self.numbers = self.read()

    def read(self) -> list[Tensor]:
        """The numbers that are compared, as they are now: their bits, since nan is no other nan."""
        return [torch.cat(found).cpu() for found in self.looked_at]

    @property
    def overwritten(self) -> bool:
        """Was a tensor written in place, as optimizers and `load_state_dict` do? Told in microseconds, without the device."""
        return writes(self.counted) != self.writes

    def check(self, denoiser: Callable[..., Tensor]) -> None:
        """Raise EngineError for a denoiser that is not as it was."""
        now = tensors_of(denoiser)
        kept = places(now) == self.places and form(denoiser) == self.weight_format and not self.overwritten
        if not kept or not all(map(torch.equal, self.read(), self.numbers)):
            raise EngineError(
                "The network was moved, cast, quantized or trained after this engine was made. Make a new engine of it."
            )


def tensors_of(denoiser: Callable[..., Tensor]) -> list[Tensor]:
    """All that a module would save: what it does not is made anew as it runs."""
    saved = denoiser.state_dict(keep_vars=True).values() if isinstance(denoiser, nn.Module) else ()
    return [tensor for tensor in saved if isinstance(tensor, Tensor)]


def places(tensors: list[Tensor]) -> list[tuple[int, torch.dtype]]:
    return [(tensor.data_ptr() if is_plain(tensor) else id(tensor), tensor.dtype) for tensor in tensors]


def is_plain(tensor: Tensor) -> bool:
    """Does it hold numbers that can be looked at as bytes? Subclasses of quantized weights, sparse and meta tensors do not:
    of those it is told whether they are the same objects, and how often they were written."""
    strided = type(tensor.data) is Tensor and tensor.layout is torch.strided and not tensor.is_meta
    return strided and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg()) and tensor.numel() > 0


def writes(tensors: list[Tensor]) -> list[int]:
    return list(map(_WRITTEN, tensors))  # asked for with every request and round


def form(denoiser: Callable[..., Tensor]) -> object:
    return getattr(denoiser, "weight_format", None)


def few_bytes(tensor: Tensor) -> Tensor:
    """A view of a few numbers from the middle of a tensor, as bytes."""
    row = tensor.detach()
    while row.ndim > 1 and len(row):
        row = row[len(row) // 2]
    row = row.reshape(-1)
    side_by_side = row.stride(0) == 1
    return row[:_FEW].view(torch.uint8) if side_by_side else row[:1].as_strided((1,), (1,)).view(torch.uint8)
