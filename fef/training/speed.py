"""How fast a run trains: tokens per second, and the share of the device's peak in bfloat16 that its arithmetic is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fef.models.mlp import Experts
from fef.models.transformer import Transformer
from fef.training.lora import LowRankLinear

__all__ = ["Speed", "peak_of", "step_flops"]

# Dense bfloat16 peaks of the vendor's data sheets, FLOP/s, by a part of the device's name.
PEAKS = {"H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}


class Speed:
    """Rates between the rows of a loss log. A row has some only if its step counted its "tokens" and "flops"."""

    def __init__(self, device: torch.device, devices: int = 1) -> None:
        self.device = device
        peak = peak_of(device)
        self.peak = None if peak is None else devices * peak
        self.last: tuple[int, float] | None = None

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """For what is no step, a look or a save: its time does not count."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # steps that the device has yet to do count
        began = time.perf_counter()
        yield
        if self.last is not None:
            self.last = (self.last[0], self.last[1] + time.perf_counter() - began)

    def since_last(self, step: int, row: dict[str, float]) -> dict[str, float]:
        """tokens_per_second, and utilization where the peak is known; both take every step since the last row for one like
        this. The first row has neither: it also compiled. On a GPU gpu_gib: the most memory that tensors had on this one."""
        now, last = time.perf_counter(), self.last
        self.last = (step, now)
        rates: dict[str, float] = {}
        if self.device.type == "cuda":
            rates["gpu_gib"] = torch.cuda.max_memory_allocated(self.device) / (1 << 30)
        if last is None or "tokens" not in row:
            return rates
        steps_per_second = (step - last[0]) / (now - last[1])
        rates["tokens_per_second"] = row["tokens"] * steps_per_second
        if self.peak is not None:
            rates["utilization"] = row["flops"] * steps_per_second / self.peak
        return rates


def peak_of(device: torch.device) -> float | None:
    """FLOP/s of a device in bfloat16; None where they are not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def step_flops(network: Transformer, tokens: Tensor, trained: int, pairs: Tensor) -> Tensor:
    """Floating-point operations of one forward and backward pass, as models' FLOPs are counted (PaLM, 2204.02311, appendix
    B): 6 a parameter of the blocks and token, 6 a parameter of the head and trained position, and 12 a visible pair of query
    and key, layer and dimension of the attention. Of a frozen parameter 4: it has no gradient. Of a mixture's experts only
    those that a token runs through count. Nothing for padding, masked-out pairs or anything computed twice."""
    config = network.config
    head = network.head_weight
    attention = config.layers * config.heads * config.head_size
    return (
        sum(map(matrix_flops, network.blocks.modules())) * tokens
        + flops_of(head, head.requires_grad) * trained
        + 12.0 * attention * pairs
    )


def matrix_flops(module: nn.Module) -> float:
    """Of the matrices that a module has itself, a token."""
    if isinstance(module, Experts):
        chosen = module.per_token / len(module.gate)
        return chosen * sum(flops_of(matrix, matrix.requires_grad) for matrix in module.parameters())
    own = dict(module.named_parameters(recurse=False))
    if isinstance(module, LowRankLinear):
        factors = 0.0 if module.adds_up else flops_of(module.factor_in) + flops_of(module.factor_out)
        return factors + flops_of(module.weight, module.adds_up)  # a sum has a gradient of its size
    return sum(flops_of(matrix, matrix.requires_grad) for matrix in own.values() if matrix.ndim == 2)


def flops_of(matrix: Tensor, trained: bool = True) -> float:
    return (6.0 if trained else 4.0) * matrix.numel()
