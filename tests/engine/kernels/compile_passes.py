"""Compiles kernels of passes, mixtures and training for a GPU that need not be there: `compile_passes.py [capability]`.

Kernels are compiled, not run: what they would write stays zero. Prints the kernels, one a line.
"""

import re
import sys
from dataclasses import replace
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from fef.engine.build import EngineOptions, build
from fef.engine.kernel_forward import KernelForward
from fef.engine.kernel_passes import KernelPasses
from fef.engine.kernels.attention import ScratchKeys, Sight, packed_attention
from fef.engine.runner import PassKind
from fef.engine.slots import SlotState
from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.joined import ExpertWeights, join_weights
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.slope_kernels import gate_slope, rotation_slope
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
OPTIONS: list[tuple[dict[str, Any], bool]] = [  # and whether a draft head drafts
    ({"windows": (16,), "anchors": 2}, False),
    ({"windows": (24,), "anchors": 2}, False),
    ({"tree": [32], "windows": ()}, False),
    ({"tree": [32], "windows": (), "anchors": 8, "depth": 6}, False),
    ({"tree": [32], "windows": (16,)}, True),
    ({}, False),  # what an engine chooses among by itself, and with trees beside
    ({"tree": 32}, True),
]


HOPPER_SHARED = 227 * 1024  # bytes of shared memory that a program may have


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


def compile_passes(options: dict[str, Any], head: bool, dtype: torch.dtype) -> None:
    device = torch.device("cpu")
    model = Transformer(CONFIG).to(dtype).eval().requires_grad_(False)
    if head:
        model.extras = Extras(draft_head=DraftHead(HeadSizes.of(CONFIG)).to(dtype).requires_grad_(False))
    built = build(model, EngineOptions(max_batch=2, threads=1, **options), 1e9, print)
    state = SlotState.empty(built.table, device)
    cache = SlotCache.empty(CONFIG, built.table, device, dtype)
    passes = KernelPasses(model, join_weights(model), state, cache, built.vocabulary, overlap=True, drafts=built.drafts)
    bounds = Bounds(built.table.context, built.table.ranks)
    contexts = [RoundShape(0, 0, built.table.drafts, head=shape.head) for shape in built.shapes]
    kinds = [PassKind(shape, bounds, 64) for shape in dict.fromkeys(contexts)]
    for kind in kinds + [PassKind(shape, bounds, cut=True) for shape in built.shapes]:
        passes.pass_(kind, torch.tensor([0, 1]))
    for kind in [PassKind(shape, bounds, cut=cut, grammars=True) for shape in built.shapes for cut in (False, True)]:
        for part in passes.parted(kind, torch.tensor([0, 1])).parts:
            if part.work is not None:
                part.work()


def compile_mixture(dtype: torch.dtype) -> None:
    """Routed as in LLaDA2: by groups, with a bias."""
    mixture = MixtureConfig(
        experts=16,
        per_token=4,
        expert_dim=128,
        shared_dim=128,
        scores="sigmoid",
        selection_bias=True,
        groups=4,
        top_groups=2,
    )
    model = Transformer(replace(CONFIG, packed=False, mixture=mixture)).to(dtype).eval().requires_grad_(False)
    layers = join_weights(model)
    weights = layers[0].feed_forward
    assert isinstance(weights, ExpertWeights)
    x_TD = torch.zeros(32, CONFIG.dim, dtype=dtype)
    KernelForward(model, layers, overlap=True).mixture(x_TD, weights, x_TD, model.norm)


def compile_slopes(dtype: torch.dtype) -> None:
    """Of a training step."""
    x_THE, k_TGE, table_TE = (torch.zeros(64, *shape, dtype=dtype) for shape in ((9, 64), (3, 64), (64,)))
    rotation_slope(x_THE, k_TGE, k_TGE, table_TE, table_TE, 0.125)
    gate_slope(torch.zeros(64, 3072, dtype=dtype), torch.zeros(64, 1536, dtype=dtype))


def compile_parts(dtype: torch.dtype) -> None:
    """Of a long context: 257 parts, which take no longer than a few."""
    length = 32_768
    rank_BN, rank_SL, one = (torch.zeros(1, n, dtype=torch.int32) for n in (8, length, 1))
    sight = Sight(one[0], rank_BN, rank_BN, rank_BN, rank_SL, one[0], 0, ScratchKeys(rank_BN, rank_BN))
    keys_SGCE = torch.zeros(1, 1, length + 8, 64, dtype=dtype)
    qkv_NX = torch.zeros(8, 5 * 64, dtype=dtype)
    packed_attention(qkv_NX, keys_SGCE, keys_SGCE, sight, heads=3, kv_heads=1, head_size=64, overlap=True)


def compile_wide_heads(dtype: torch.dtype) -> None:
    """Of heads that are wider than those of most networks, many queries of which are on the same keys; of many rows, and of
    one, whose parts have programs of their own."""
    compile_wide_rows(dtype, rows=64, tokens=128)
    compile_wide_rows(dtype, rows=1, tokens=16)


def compile_wide_rows(dtype: torch.dtype, rows: int, tokens: int) -> None:
    length = 512
    rank_BN, rank_SL, row_B = (
        torch.zeros(*shape, dtype=torch.int32) for shape in ((rows, tokens), (1, length), (rows,))
    )
    sight = Sight(row_B, rank_BN, rank_BN, rank_BN, rank_SL, row_B, 0, ScratchKeys(rank_BN, rank_BN))
    keys_SGCE = torch.zeros(1, 1, length + tokens, 256, dtype=dtype)
    qkv_NX = torch.zeros(rows * tokens, 10 * 256, dtype=dtype)
    packed_attention(qkv_NX, keys_SGCE, keys_SGCE, sight, heads=8, kv_heads=1, head_size=256, overlap=True)


def constants_of_pairs(ptx: str) -> list[str]:
    """Operations on two integers of 16 bits at once of which one operand is a constant. ptxas 12.8 and 12.9 may leave it out
    on Hopper: `fef.engine.kernels.compose._divided` says how to do without."""
    constant = {*re.findall(r"mov\.b32\s+(%r\d+), -?\d+;", ptx)}
    pairs = re.findall(r"(\w+\.[su]16x2)\s+%r\d+, ([%\w-]+), ([%\w-]+);", ptx)
    return [name for name, *operands in pairs if any(x in constant or x[0] != "%" for x in operands)]


def main() -> None:
    run, done = JITFunction.run, set()

    def compile_only(self: Any, *args: Any, **options: Any) -> Any:
        compiled = run(self, *args, **options | {"warmup": True})
        if compiled.hash not in done:
            done.add(compiled.hash)
            assert not constants_of_pairs(compiled.asm["ptx"]), f"{self.fn.__name__}: see `constants_of_pairs`"
            shared = compiled.metadata.shared
            assert shared <= HOPPER_SHARED, (
                f"{self.fn.__name__} takes {shared} bytes of shared memory: it could not start"
            )
            print(self.fn.__name__, flush=True)
        return compiled

    driver.set_active(AbsentGPU(int(sys.argv[1]) if len(sys.argv) > 1 else 90))
    JITFunction.run = compile_only  # type: ignore[method-assign]
    # what is never written is read by the code between the kernels
    torch.empty = torch.zeros
    torch.empty_like = torch.zeros_like  # type: ignore[assignment]
    torch.Tensor.new_empty = torch.Tensor.new_zeros  # type: ignore[assignment, method-assign]
    with torch.no_grad():
        for dtype in (torch.bfloat16, torch.float32):
            compile_mixture(dtype)
            compile_slopes(dtype)
            compile_parts(dtype)
            compile_wide_heads(dtype)
            for options, head in OPTIONS:
                compile_passes(options, head, dtype)


if __name__ == "__main__":
    main()
