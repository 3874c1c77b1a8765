"""Compiles the kernels of packed passes for a GPU that need not be there: `python compile_passes.py [compute capability]`.

Kernels are compiled, not run: what they would write stays zero. Prints the kernels, one a line.
"""

import sys
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from fef.engine.build import EngineOptions, build
from fef.engine.kernel_passes import KernelPasses
from fef.engine.runner import PassKind
from fef.engine.slots import SlotState
from fef.models.config import TransformerConfig
from fef.models.joined import join_weights
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

CONFIG = TransformerConfig(
    vocab_size=512,
    dim=128,
    layers=1,
    heads=4,
    kv_heads=2,
    mlp_dim=256,
    mask_id=11,
    eos_id=3,
    max_length=64,
    packed=True,
)
OPTIONS: list[dict[str, Any]] = [{"windows": (16,), "anchors": 2}, {"tree": 32}]


class AbsentGPU:
    """What Triton asks of a driver to compile."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:
        return 0


def compile_passes(options: dict[str, Any], dtype: torch.dtype) -> None:
    device = torch.device("cpu")
    model = Transformer(CONFIG).to(dtype).eval().requires_grad_(False)
    built = build(model, EngineOptions(max_batch=2, threads=1, **options), 1e9, print)
    state = SlotState.empty(built.table, device)
    cache = SlotCache.empty(CONFIG, built.table, device, dtype)
    passes = KernelPasses(model, join_weights(model), state, cache, built.vocabulary, overlap=True)
    bounds = Bounds(built.table.context, built.table.ranks)
    for kind in PassKind(RoundShape(0, 0, built.table.drafts), bounds, 64), PassKind(built.shapes[0], bounds, cut=True):
        passes.pass_(kind, torch.tensor([0, 1]))


def main() -> None:
    run, done = JITFunction.run, set()

    def compile_only(self: Any, *args: Any, **options: Any) -> Any:
        compiled = run(self, *args, **options | {"warmup": True})
        if compiled.hash not in done:
            done.add(compiled.hash)
            print(self.fn.__name__, flush=True)
        return compiled

    driver.set_active(AbsentGPU(int(sys.argv[1]) if len(sys.argv) > 1 else 90))
    JITFunction.run = compile_only  # type: ignore[method-assign]
    torch.empty = torch.zeros  # what is never written is read by the code between the kernels
    with torch.no_grad():
        for options in OPTIONS:
            for dtype in (torch.bfloat16, torch.float32):
                compile_passes(options, dtype)


if __name__ == "__main__":
    main()
