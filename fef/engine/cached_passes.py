"""Network passes of sessions on a GPU: any tokens of any rows over cached keys, as CUDA graphs of static shapes.

A pass is captured for a number of rows, of tokens of a row and of reads of a row, each rounded up; its inputs are copied into
tensors that the graph reads. What a token sees is told by numbers (`packed_attention`), so one kind of graph runs plain
passes of whole canvases, passes of some positions over older keys, and prefix states of a block side by side.

Shapes: B rows, N tokens of a row, Q reads, L context places, V vocabulary, X numbers of a token or of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.records import RowRecord
from fef.engine.arena import NOWHERE, Arena, passing_cache
from fef.engine.graphs import Graphs
from fef.engine.kernel_forward import KernelForward, PlacedTokens
from fef.engine.kernels.attention import ScratchKeys, Sight
from fef.engine.runner import rows_alone
from fef.models.joined import join_weights
from fef.models.packed_pass import NO_GROUP
from fef.models.slot_cache import bytes_per_place
from fef.models.transformer import Transformer

__all__ = ["ArenaTokens", "CachedPasses"]

_MOST_TOKENS = 8192  # of a pass of several rows: more gain nothing, and hold memory
_MOST_READS = 2048  # likewise: half a gigabyte of logits at 126,000 ids
_MOST_ROWS = 128
_SCRATCH = 16_384  # places for prefix states
_MOST_NUMBERS = 2**31 - 2**20  # keys of a layer: the attention kernel counts them in 32 bits


@dataclass
class ArenaTokens(RowRecord):
    """What a pass computes, and what its tokens see; all on the device.

    ids_BN, position_BN. place_BN: where keys and values go in the arena, `NOWHERE` for absent tokens. rank_BN, group_BN,
    until_BN: as in `packed_attention` and `ScratchKeys`. context_BL: the rank of each context place; start_B: the first of
    those places, length_B: how many are read. scratch_B: the first place of the row's tokens where they are in groups.
    reads_BQ: the tokens of a row whose logits are read.
    """

    ids_BN: Tensor
    position_BN: Tensor
    place_BN: Tensor
    rank_BN: Tensor
    group_BN: Tensor
    until_BN: Tensor
    context_BL: Tensor
    start_B: Tensor
    length_B: Tensor
    scratch_B: Tensor
    reads_BQ: Tensor

    def where(self, chosen_B: Tensor, other: ArenaTokens) -> ArenaTokens:
        """These rows where they are chosen, else those of `other`, of the same shapes."""

        def choose(ours: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(chosen_B.view(-1, *[1] * (ours.ndim - 1)), ours, theirs)

        return self.made({name: choose(ours, getattr(other, name)) for name, ours in vars(self).items()})


@dataclass(frozen=True)
class PassSize:
    """tokens, reads: of a row, rounded up. kept: the keys go to the arena. alone: as in `KernelForward`."""

    tokens: int
    reads: int
    kept: bool
    alone: bool


@dataclass(frozen=True)
class StaticInputs:
    """What a graph reads. token_XBN: ids, position, place, rank, group, until. row_XB: start, length, scratch."""

    token_XBN: Tensor
    row_XB: Tensor
    context_BL: Tensor
    reads_BQ: Tensor

    @classmethod
    def empty(cls, rows: int, size: PassSize, context: int, device: torch.device) -> StaticInputs:
        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        inputs = cls(
            zeros(6, rows, size.tokens),
            zeros(3, rows),
            zeros(rows, context),
            zeros(rows, size.reads, dtype=torch.int64),
        )
        inputs.clear()
        return inputs

    def clear(self) -> None:
        """No row holds a token."""
        self.token_XBN.fill_(NOWHERE)
        self.token_XBN[4].fill_(NO_GROUP)
        self.row_XB.zero_()

    def fill(self, tokens: ArenaTokens) -> None:
        rows, count = tokens.ids_BN.shape
        if (rows, count) != self.token_XBN.shape[1:]:
            self.clear()
        at = (tokens.ids_BN, tokens.position_BN, tokens.place_BN, tokens.rank_BN, tokens.group_BN, tokens.until_BN)
        self.token_XBN[:, :rows, :count] = torch.stack(at)
        self.row_XB[:, :rows] = torch.stack([tokens.start_B, tokens.length_B, tokens.scratch_B - tokens.start_B])
        self.context_BL[:rows, : tokens.context_BL.shape[1]] = tokens.context_BL
        self.reads_BQ[:rows, : tokens.reads_BQ.shape[1]] = tokens.reads_BQ

    @property
    def sight(self) -> Sight:
        _, _, _, rank_BN, group_BN, until_BN = self.token_XBN
        start_B, length_B, scratch_B = self.row_XB
        scratch = ScratchKeys(rank_BN, group_BN, until_BN, scratch_B)
        no_reference_BN = torch.zeros_like(rank_BN)
        return Sight(start_B, rank_BN, no_reference_BN, group_BN, self.context_BL, length_B, 0, scratch, by_row=True)


@dataclass(frozen=True)
class CapturedPass:
    graph: torch.cuda.CUDAGraph
    inputs: StaticInputs
    logits_BQV: Tensor


class CachedPasses(Graphs[PassSize, CapturedPass]):
    """budget: bytes for kept keys, taken when the first are kept. seats: rows that keep keys at once. longest: tokens of a
    canvas. overlap: as in `KernelForward`. notes: takes remarks for the user."""

    def __init__(
        self,
        network: Transformer,
        *,
        budget: float,
        seats: int,
        longest: int,
        overlap: bool,
        notes: Callable[[str], None],
    ) -> None:
        super().__init__([1 << n for n in range(_MOST_ROWS.bit_length())], notes)
        self.network, self.config, self.longest = network, network.config, longest
        self.dtype, self.device = network.embed.weight.dtype, network.device
        self.forward = KernelForward(network, join_weights(network), overlap=overlap)
        self.places = int(min(budget // bytes_per_place(self.config, self.dtype), seats * longest))
        if self.config.attention != "bidirectional":
            self.places += _SCRATCH
        self.places = min(self.places, _MOST_NUMBERS // (self.config.kv_head_count * self.config.head_size))
        self._arena: Arena | None = None
        self.passing = passing_cache(self.config, max(_MOST_TOKENS, up(longest)), self.device, self.dtype)

    @property
    def arena(self) -> Arena:
        """Where rows keep keys and values."""
        if self._arena is None:
            self._arena = Arena(self.config, self.places, self.device, self.dtype)
        return self._arena

    def run(self, tokens: ArenaTokens, *, kept: bool, whole: bool = False) -> Tensor:
        """Logits [B, Q, V] in the network's dtype. kept: the tokens are placed in the arena, else in `passing`. whole: the
        tokens of each row are its canvas, however long the others are. Raises EngineError where not even one row fits."""
        rows, count = tokens.ids_BN.shape
        reads = tokens.reads_BQ.shape[1]
        size = PassSize(up(count), up_reads(reads), kept, alone=whole and rows_alone(count, self.config.dim))
        logits_BQV = torch.empty(rows, reads, self.config.vocab_size, dtype=self.dtype, device=self.device)
        start = 0
        while start < rows:
            held = self.fitting(size, min(rows - start, self.most_rows(count, reads)))
            captured = self.graphs[size, held]
            part = slice(start, min(start + held, rows))
            captured.inputs.fill(tokens.select(part))
            captured.graph.replay()
            logits_BQV[part] = captured.logits_BQV[: part.stop - start, :reads]
            start = part.stop
        return logits_BQV

    def most_rows(self, count: int, reads: int) -> int:
        """Rows of a pass."""
        most = max(1, min(_MOST_TOKENS // up(count), _MOST_READS // up_reads(reads), _MOST_ROWS))
        return 1 << (most.bit_length() - 1)

    def capture(self, kind: PassSize, size: int) -> CapturedPass:
        inputs = StaticInputs.empty(size, kind, self.longest, self.device)
        graph, logits_MV = self.graph_of(lambda: self.logits(inputs, kind))
        return CapturedPass(graph, inputs, logits_MV.view(size, kind.reads, -1))

    def logits(self, inputs: StaticInputs, size: PassSize) -> Tensor:
        """Logits [B x Q, V], without waiting for the device."""
        ids_BN, position_BN, place_BN, _, _, _ = inputs.token_XBN
        placed = PlacedTokens(
            ids_BN, position_BN, torch.zeros_like(place_BN), place_BN
        )  # places are counted from the first
        first_B1 = torch.arange(len(ids_BN), device=self.device)[:, None] * size.tokens
        reads_M = (inputs.reads_BQ + first_B1).view(-1)
        cache = self.arena.cache if size.kept else self.passing
        return self.forward(placed, cache, inputs.sight, reads_M, alone=size.alone)

    def bytes_of(self, captured: CapturedPass) -> int:
        return sum(tensor.nbytes for tensor in (captured.logits_BQV, *vars(captured.inputs).values()))

    def words(self, kind: PassSize) -> str:
        return f"a pass of {kind.tokens} tokens"


def power_of_two(count: int) -> int:
    """The next one."""
    return 1 << (count - 1).bit_length()


def up_reads(reads: int) -> int:
    """Reads of a row that graphs are captured for: few sizes of the small ones, as the head of a few more costs little."""
    return next((size for size in (4, 16) if reads <= size), power_of_two(reads))


def up(tokens: int) -> int:
    """Tokens of a row that graphs are captured for."""
    if tokens <= 32:
        return max(4, power_of_two(tokens))
    step = 32 if tokens <= 128 else 64
    return -(-tokens // step) * step
