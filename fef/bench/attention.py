"""What the attention of a training step costs per layer, with the kernels and the blocks of `flex_attention` in variants.

    python -m fef.bench.attention --shape 135m
    python -m fef.bench.attention --shape 8b --row-tokens 8192 --canvas-length 1024 --slots 256

Prints one JSON line on the pattern of a flat row of random canvases, and one per variant: milliseconds per layer, the share
of the peak that the visible pairs are, and the largest difference of outputs and of gradients from the first variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fef.bench.engine.shapes import SHAPES, shape_config
from fef.bench.training import random_examples, with_end
from fef.measure.environment import environment
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch
from fef.models.config import TransformerConfig
from fef.models.device import default_device, usable_device
from fef.models.transformer import FLEX_OPTIONS
from fef.training.adapt import AdaptOptions, rows_fitting, step_streams
from fef.training.flat import Flat, Intervals, flatten, listed
from fef.training.speed import peak_of
from fef.training.trainer import TrainOptions

__all__ = ["VARIANTS", "Timed", "Variant", "main", "random_row", "time_variants"]

SURPLUS = 1.5  # canvases drawn, of those that fill the row on average
REPEATS = 30  # in a row


@dataclass(frozen=True)
class Variant:
    """options: of the kernels; None: those of the network. queries, keys: places of a block. whole: are blocks that are seen
    whole read without the predicate? floats: does the predicate compare float32 numbers?"""

    name: str
    options: dict[str, Any] | None = field(default_factory=dict)
    queries: int = 128
    keys: int = 128
    whole: bool = True
    floats: bool = False


NARROW = {"fwd_BLOCK_M": 128, "fwd_BLOCK_N": 64}
EIGHT = {"fwd_BLOCK_M": 128, "fwd_BLOCK_N": 128, "fwd_num_warps": 8}
SMALL = {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64, "fwd_num_warps": 4}
SQUARE_BACK = {f"bwd_BLOCK_{side}": 64 for side in ("M1", "N1", "M2", "N2")}
VARIANTS = (
    Variant("predicate in every block", whole=False),
    Variant("the network's", None),
    Variant("64 keys at a time", NARROW | {"fwd_num_warps": 4}),
    Variant("64 keys, floats", NARROW | {"fwd_num_warps": 4}, floats=True),
    Variant("8 warps", EIGHT | {"bwd_num_warps": 4}),
    Variant("64 keys, blocks of 128 x 64", NARROW | {"fwd_num_warps": 4} | SQUARE_BACK | {"bwd_num_warps": 4}, keys=64),
    Variant("64 x 64, blocks of 64 x 64", SMALL | SQUARE_BACK | {"bwd_num_warps": 4}, queries=64, keys=64),
    Variant("64 keys, 8 warps, 2 stages", NARROW | {"fwd_num_warps": 8, "num_stages": 2}),
    Variant("64 keys, scaled queries", NARROW | {"fwd_num_warps": 4, "PRESCALE_QK": True}),
    Variant("64 keys, tensor memory", NARROW | {"fwd_num_warps": 4, "fwd_USE_TMA": True}),
    Variant("64 x 64 in blocks of 128", SMALL | SQUARE_BACK | {"bwd_num_warps": 4, "bwd_num_stages": 2}),
)


@dataclass(frozen=True)
class Timed:
    """A variant's milliseconds, forward and backward, and how far it is from the first one; error: why it did not run."""

    name: str
    forward_ms: float | None = None
    backward_ms: float | None = None
    forward_share: float | None = None
    backward_share: float | None = None
    difference: float | None = None
    gradient_difference: float | None = None
    compile_seconds: float | None = None
    error: str | None = None


def time_variants(
    config: TransformerConfig, flat: Flat, device: torch.device, seconds: float, compiled: bool = True
) -> Iterator[Timed]:
    """Every variant that begins within so many seconds."""
    watch = Stopwatch()
    inputs = random_inputs(config, flat, device)
    first: list[Tensor] | None = None
    for variant in VARIANTS:
        if watch.seconds > seconds:
            yield Timed(variant.name, error="no time was left")
            continue
        try:
            found, timed = time_variant(variant, config, flat, inputs, first, compiled)
        except Exception as error:  # a kernel that does not compile, or that asks for too much, can fail in any way
            yield Timed(variant.name, error=f"{type(error).__name__}: {error}"[:300])
            continue
        first = first or found
        yield timed


def time_variant(
    variant: Variant,
    config: TransformerConfig,
    flat: Flat,
    inputs: list[Tensor],
    first: list[Tensor] | None,
    compiled: bool,
) -> tuple[list[Tensor], Timed]:
    device = inputs[0].device
    run = attention_of(variant, config, flat.intervals, compiled)
    *operands, slope = inputs
    watch = Stopwatch(device)
    output = run(*operands)
    gradients = torch.autograd.grad(output, operands, slope) if output.requires_grad else ()
    ready = watch.seconds
    found = [output.detach(), *gradients]
    forward = milliseconds(lambda: run(*operands), device)
    back = None
    if gradients:
        back = milliseconds(lambda: torch.autograd.grad(run(*operands), operands, slope), device) - forward
    peak, needed = peak_of(device), float(flat.intervals.pairs()) * 4 * config.heads * config.head_size
    differences = [float((a - b).abs().max()) for a, b in zip(found, first or found, strict=True)]
    return found, Timed(
        variant.name,
        forward_ms=forward,
        backward_ms=back,
        forward_share=None if peak is None else needed / peak / forward * 1e3,
        backward_share=None if peak is None or back is None else 2 * needed / peak / back * 1e3,
        difference=differences[0],
        gradient_difference=max(differences[1:], default=None),
        compile_seconds=ready,
    )


def attention_of(
    variant: Variant, config: TransformerConfig, intervals: Intervals, compiled: bool
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    mask = mask_of(variant, intervals)
    options: Any = FLEX_OPTIONS.get(config.head_size) if variant.options is None else variant.options or None

    def attend(q_BHNE: Tensor, k_BGNE: Tensor, v_BGNE: Tensor) -> Any:
        return flex_attention(
            q_BHNE,
            k_BGNE,
            v_BGNE,
            block_mask=mask,
            enable_gqa=k_BGNE.shape[1] != q_BHNE.shape[1],
            kernel_options=options,
        )

    if not compiled:
        return attend
    torch.compiler.reset()  # variants are versions of one function, of which torch keeps a few
    return torch.compile(attend, dynamic=False)


def mask_of(variant: Variant, intervals: Intervals) -> BlockMask:
    if variant.floats:
        intervals = Intervals(*(tensor.float() for tensor in vars(intervals).values()))
    if variant.whole:
        return intervals.block_mask(variant.queries, variant.keys)
    seen_QK, _ = intervals.blocks(variant.queries, variant.keys)
    return BlockMask.from_kv_blocks(
        *listed(seen_QK), BLOCK_SIZE=(variant.queries, variant.keys), mask_mod=intervals.predicate()
    )


def random_inputs(config: TransformerConfig, flat: Flat, device: torch.device) -> list[Tensor]:
    """Queries, keys and values that ask for gradients where the device has them, and the gradient of the output."""
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    sizes = [config.heads, config.kv_head_count, config.kv_head_count, config.heads]
    length = flat.input_1T.shape[1]
    made = [
        torch.randn(1, heads, length, config.head_size, generator=generator, device=device, dtype=dtype)
        for heads in sizes
    ]
    return [tensor.requires_grad_(on_gpu) for tensor in made[:3]] + made[3:]


def random_row(
    config: TransformerConfig, adaptation: AdaptOptions, options: TrainOptions, device: torch.device
) -> Flat:
    """A flat row of the packed objective, of random canvases."""
    examples = random_examples(config, options).to(device)
    size = math.ceil(SURPLUS * rows_fitting(examples, config, adaptation, options)) + 1
    return flatten(step_streams(examples, config, adaptation, options, size, 0), adaptation.capacity)


def described(config: TransformerConfig, flat: Flat, device: torch.device) -> dict[str, Any]:
    """What there is to be done, and how much of it blocks of two sizes hold."""
    pairs, length = int(flat.intervals.pairs()), flat.input_1T.shape[1]
    peak, flops = peak_of(device), 4.0 * pairs * config.heads * config.head_size
    facts: dict[str, Any] = {"places": length, "tokens": int(flat.tokens), "rows": int(flat.rows), "pairs": pairs}
    if peak is not None:
        facts |= {"forward_ms_at_peak": flops / peak * 1e3, "backward_ms_at_peak": 2 * flops / peak * 1e3}
    for size in (128, 64):
        seen_QK, whole_QK = flat.intervals.blocks(size, size)
        facts[f"blocks of {size}"] = {
            "pairs in them": int(seen_QK.sum()) * size**2,
            "seen whole": float(whole_QK.sum() / seen_QK.sum()),
        }
    return facts


def milliseconds(run: Callable[[], Any], device: torch.device) -> float:
    """Of one of some runs in a row, between which the device does not wait for the host."""
    run()
    watch = Stopwatch(device)
    for _ in range(REPEATS):
        run()
    return 1e3 * watch.seconds / REPEATS


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    shape: str = option("135m", choices=sorted(SHAPES))
    row_tokens: int = 65_536
    canvas_length: int = 192
    slots: int = option(192, "of the packed streams of a canvas")
    seconds: float = option(75.0, "after which no further variant begins")
    device: str = default_device()


@program(Options, __doc__)
def main(given: Options) -> None:
    config, device = with_end(shape_config(given.shape)), usable_device(given.device)
    adaptation = AdaptOptions(batch_tokens=given.row_tokens)
    options = TrainOptions(canvas_length=given.canvas_length, packed_count=given.slots, infill_share=0.0)
    flat = random_row(config, adaptation, options, device)
    told(**asdict(given) | environment(given.device) | described(config, flat, device))
    for timed in time_variants(config, flat, device, given.seconds, compiled=device.type == "cuda"):
        told(**{name: value for name, value in asdict(timed).items() if value is not None})


if __name__ == "__main__":
    main()
