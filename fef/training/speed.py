"""How fast a run trains: tokens per second, and the share of the device's peak in bfloat16 that its arithmetic is."""

from __future__ import annotations

import time

import torch

from fef.models.config import TransformerConfig

__all__ = ["Speed", "step_flops"]

# Dense bfloat16 peaks of the vendor's data sheets, FLOP/s, by a part of the device's name.
PEAKS = {"H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}


class Speed:
    """Rates between the rows of a loss log. A row has some only if its step counted its "tokens" and "flops"."""

    def __init__(self, device: torch.device, devices: int = 1) -> None:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self.peak = next((devices * peak for part, peak in PEAKS.items() if part in name), None)
        self.last: tuple[int, float] | None = None

    def since_last(self, step: int, row: dict[str, float]) -> dict[str, float]:
        """tokens_per_second, and utilization where the peak is known; both take every step since the last row for one like
        this. The first row has neither: it also compiled."""
        now, last = time.perf_counter(), self.last
        self.last = (step, now)
        if last is None or "tokens" not in row:
            return {}
        steps_per_second = (step - last[0]) / (now - last[1])
        rates = {"tokens_per_second": row["tokens"] * steps_per_second}
        if self.peak is not None:
            rates["utilization"] = row["flops"] * steps_per_second / self.peak
        return rates


def step_flops(
    config: TransformerConfig, block_parameters: int, tokens: torch.Tensor, trained: int, pairs: torch.Tensor
) -> torch.Tensor:
    """Floating-point operations of one forward and backward pass, as models' FLOPs are counted (PaLM, 2204.02311, appendix
    B): 6 a parameter of the blocks and token, 6 a parameter of the head and trained position, and 12 a visible pair of query
    and key, layer and dimension of the attention. Nothing for padding, masked-out pairs or anything computed twice."""
    head = config.vocab_size * config.dim
    attention = config.layers * config.heads * config.head_size
    return 6.0 * block_parameters * tokens + 6.0 * head * trained + 12.0 * attention * pairs
