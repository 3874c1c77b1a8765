"""What the attention of a training step costs per layer, with torch's own tiles of `flex_attention` and with the network's.

    python benchmarks/attention_tiles.py --shape 135m
    python benchmarks/attention_tiles.py --shape 8b --row-tokens 8192 --canvas-length 1024 --slots 256
    python benchmarks/attention_tiles.py --also block=128 bwd_num_stages=3 fwd_num_stages=2,bwd_num_warps=8

Prints one JSON line on the pattern of a flat row of random canvases, and one for each of the two and for each that is given:
milliseconds per layer, and the largest difference of outputs and gradients from those of torch's own tiles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from fef.bench.engine.shapes import SHAPES, shape_config
from fef.bench.training import random_examples, with_end
from fef.errors import OptionError, nearest_hint
from fef.measure.environment import environment
from fef.measure.program import option, program, told
from fef.measure.timing import Clock
from fef.models.config import TransformerConfig
from fef.models.device import default_device, usable_device
from fef.models.transformer import FLEX_OPTIONS, PATTERN_BLOCK, flex_options, pattern_block
from fef.readers import shown, whole_from
from fef.training.adapt import AdaptOptions, rows_fitting, step_streams
from fef.training.flat import BLOCK, Flat, flatten, revealed_last
from fef.training.speed import peak_of
from fef.training.trainer import TrainOptions

__all__ = ["Timed", "main", "random_row", "time_tiles"]

SURPLUS = 1.5  # canvases drawn, of those that fill the row on average
REPEATS = 30
WORD = re.compile(r"(?P<name>(fwd_|bwd_)?(?P<bare>[A-Za-z_0-9]+))=(?P<number>[0-9]{1,9})")
MOST = 2**16  # tokens of a canvas, and slots of its streams
LONGEST = 2**20  # places of a row
SIZES = ("BLOCK_M", "BLOCK_N", "BLOCK_M1", "BLOCK_N1", "BLOCK_M2", "BLOCK_N2", "num_warps", "num_stages")
FLAGS = ("PRESCALE_QK", "ROWS_GUARANTEED_SAFE", "BLOCKS_ARE_CONTIGUOUS", "WRITE_DQ", "USE_TMA")
LEAST = {"block": 1} | dict.fromkeys(SIZES, 1) | dict.fromkeys(FLAGS, 0)
"""What an option may be at least. Torch ignores names that it does not know, and on a CPU all of them."""


@dataclass(frozen=True)
class Timed:
    """Milliseconds forward and, where the device trains, backward; difference: of outputs and gradients, the largest. error:
    why these tiles cannot be had, with no times."""

    tiles: str
    forward_ms: float | None = None
    backward_ms: float | None = None
    difference: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Tiles:
    """Options of the kernels, and places of a block of the pattern."""

    name: str
    options: dict[str, Any] | None
    block: int

    @classmethod
    def read(cls, words: str, head_size: int) -> Tiles:
        """The network's, changed as these words say: name=number, with commas. block: of the pattern. Raises OptionError."""
        changed: dict[str, int] = {}
        for word in words.split(","):
            found = WORD.fullmatch(word)
            if found is None or found["name"] in changed:
                raise OptionError(
                    f"Tiles are written as name=number with commas, each name once; got --also {shown(words)}."
                )
            name, bare = found["name"], found["bare"]
            if bare not in LEAST or bare == "block" != name:
                hint = nearest_hint(bare, LEAST)
                raise OptionError(f"--also {words} names no option of the kernels, of a pass or of both: {name}.{hint}")
            most = 1 if bare in FLAGS else None
            changed[name] = whole_from(f"--also {name}", int(found["number"]), LEAST[bare], most)
        block = changed.pop("block", pattern_block(head_size))
        return cls(words, FLEX_OPTIONS.get(head_size, {}) | changed, block)


def time_tiles(
    config: TransformerConfig, flat: Flat, device: torch.device, compiled: bool = True, also: Sequence[str] = ()
) -> Iterator[Timed]:
    """Of torch's own tiles, of those that the network has for heads of this size, if it has any, and of others."""
    inputs, size = random_inputs(config, flat, device), config.head_size
    known = [Tiles("the network's", FLEX_OPTIONS[size], pattern_block(size))] if size in FLEX_OPTIONS else []
    own: list[Tensor] | None = None
    for tiles in (Tiles("torch's", None, PATTERN_BLOCK), *known, *(Tiles.read(words, size) for words in also)):
        torch.compiler.reset()  # behind eight variants of one function torch compiles no further one
        try:
            mask = flat.intervals.block_mask(tiles.block, tiles.block)
            found, timed = measured(tiles.name, inputs, attention_of(mask, tiles.options, compiled), own)
        except Exception as error:  # more shared memory than there is, blocks that tiles do not divide
            yield Timed(tiles.name, error=str(error).partition("\n")[0])
        else:
            own = found if own is None else own
            yield timed


def measured(
    tiles: str, inputs: Sequence[Tensor], attend: Callable[..., Tensor], own: Sequence[Tensor] | None = None
) -> tuple[list[Tensor], Timed]:
    """Output and gradients, and what they cost. own: those of torch's own tiles."""
    *operands, slope = inputs

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(attend(*operands), operands, slope)

    trains = operands[0].requires_grad
    found = [attend(*operands).detach(), *(backward() if trains else ())]
    clock = Clock(slope.device, REPEATS)
    forward_ms = 1e3 * clock.seconds(lambda: attend(*operands))
    return found, Timed(
        tiles,
        forward_ms=forward_ms,
        backward_ms=1e3 * clock.seconds(backward) - forward_ms if trains else None,
        difference=max(float((a - b).abs().max()) for a, b in zip(found, own or found, strict=True)),
    )


def attention_of(mask: BlockMask, options: Any, compiled: bool) -> Callable[..., Tensor]:
    def attend(q_BHNE: Tensor, k_BGNE: Tensor, v_BGNE: Tensor) -> Any:
        grouped, length = k_BGNE.shape[1] != q_BHNE.shape[1], q_BHNE.shape[2]
        tiles: Any = flex_options(options, mask, length, length)
        return flex_attention(q_BHNE, k_BGNE, v_BGNE, block_mask=mask, enable_gqa=grouped, kernel_options=tiles)

    return torch.compile(attend, dynamic=False) if compiled else attend


def random_inputs(config: TransformerConfig, flat: Flat, device: torch.device) -> list[Tensor]:
    """Queries, keys and values that ask for gradients where the device has them, and the gradient of the output."""
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    length = flat.input_1T.shape[1]
    made = [
        torch.randn(1, heads, length, config.head_size, generator=generator, device=device, dtype=dtype)
        for heads in (config.heads, config.kv_head_count, config.kv_head_count, config.heads)
    ]
    return [tensor.requires_grad_(on_gpu) for tensor in made[:3]] + made[3:]


def random_row(
    config: TransformerConfig, adaptation: AdaptOptions, options: TrainOptions, device: torch.device
) -> Flat:
    """A flat row of the packed objective, of random canvases."""
    examples = random_examples(config, options).to(device)
    size = math.ceil(SURPLUS * rows_fitting(examples, config, adaptation, options)) + 1
    streams = step_streams(examples, config, adaptation, options, size, 0)
    return flatten(revealed_last(streams), adaptation.capacity)


def described(config: TransformerConfig, flat: Flat, device: torch.device) -> dict[str, Any]:
    """What there is to be done, what it takes at the device's peak, and the visible share of blocks of two sizes."""
    pairs, peak = int(flat.intervals.pairs()), peak_of(device)
    facts: dict[str, Any] = {"places": flat.input_1T.shape[1], "tokens": int(flat.tokens), "pairs": pairs}
    if peak is not None:
        forward = 4e3 * pairs * config.heads * config.head_size / peak
        facts |= {"forward_ms_at_peak": forward, "backward_ms_at_peak": 2 * forward}
    for size in (128, 64):
        seen_QK, _ = flat.intervals.blocks(size, size)
        facts[f"visible in blocks of {size}"] = pairs / (int(seen_QK.sum()) * size**2)
    return facts


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    shape: str = option("135m", choices=sorted(SHAPES))
    row_tokens: int = 65_536
    canvas_length: int = 192
    slots: int = option(192, "of the packed streams of a canvas")
    also: Sequence[str] = option(
        (), "tiles beside: the network's with name=number,..., block= of the pattern", nargs="*"
    )
    device: str = default_device()

    def __post_init__(self) -> None:
        whole_from("--canvas-length", self.canvas_length, 2, MOST)
        whole_from("--slots", self.slots, 1, MOST)
        if whole_from("--row-tokens", self.row_tokens, BLOCK, LONGEST) % BLOCK:
            raise OptionError(f"--row-tokens must be a multiple of {BLOCK}; got {self.row_tokens}.")
        for words in self.also:
            Tiles.read(words, shape_config(self.shape).head_size)


@program(Options, __doc__)
def main(given: Options) -> None:
    config, device = with_end(shape_config(given.shape)), usable_device(given.device)
    adaptation = AdaptOptions(batch_tokens=given.row_tokens)
    options = TrainOptions(canvas_length=given.canvas_length, packed_count=given.slots, infill_share=0.0)
    flat = random_row(config, adaptation, options, device)
    told(**asdict(given) | environment(given.device) | described(config, flat, device))
    for timed in time_tiles(config, flat, device, device.type == "cuda", given.also):
        told(**asdict(timed))


if __name__ == "__main__":
    main()
