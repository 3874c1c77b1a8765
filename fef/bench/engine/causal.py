"""An honest left-to-right rival: the same weights, one token per pass, each of which sees those before it.

In the kernels, caches and CUDA graphs of the engine, with continuous batching. Answers have lengths that are given
beforehand, so that the host never waits for the device to learn that one has ended; what is in them does not matter here.

Shapes: B rows, N tokens of a row, S slots, L context places (none is used), V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.graphs import buckets
from fef.engine.kernel_forward import KernelForward, PlacedTokens
from fef.engine.kernels.attention import ScratchKeys, Sight
from fef.engine.kernels.draw import draw
from fef.engine.runner import rows_alone
from fef.measure.timing import Stopwatch, Work, captured
from fef.models.joined import join_weights
from fef.models.packed_pass import SlotTable
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

__all__ = ["CausalDecoder", "CausalRequest"]


@dataclass(frozen=True)
class CausalRequest:
    """A prompt, and how many tokens to write behind it."""

    prompt: Sequence[int]
    tokens: int


class CausalDecoder:
    """length: most tokens of a prompt and its answer. temperature: of all draws; 0 is greedy. prompt_step: prompts are padded
    to multiples of it."""

    def __init__(
        self,
        network: Transformer,
        rows: int,
        length: int,
        temperature: float,
        *,
        overlap: bool,
        prompt_step: int = 64,
    ) -> None:
        device = network.device
        self.rows, self.temperature, self.overlap, self.prompt_step = rows, temperature, overlap, prompt_step
        self.table = SlotTable(rows + 1, 1, length, 1, 1)
        self.cache = SlotCache.empty(network.config, self.table, device, network.embed.weight.dtype)
        self.forward = KernelForward(network, join_weights(network), overlap=overlap)
        self.banned_V = torch.zeros(network.config.vocab_size, dtype=torch.bool, device=device)
        self.banned_V[network.mask_id] = True
        self.token_S = torch.zeros(rows + 1, dtype=torch.int64, device=device)  # the last one of each slot
        self.count_S = torch.zeros_like(self.token_S)  # tokens of the slot whose keys are cached
        self.no_context_SL = torch.zeros(rows + 1, 1, dtype=torch.int32, device=device)
        self.passes: dict[tuple[int, int], tuple[tuple[Tensor, Tensor, Tensor], Work]] = {}  # inputs, and the replay

    @torch.no_grad()
    def run(self, requests: Sequence[CausalRequest]) -> tuple[float, int]:
        """Answer all: seconds, and tokens written."""
        waiting, left = deque(requests), dict[int, int]()
        watch = Stopwatch(self.token_S.device)
        while waiting or left:
            free = [slot for slot in range(self.rows) if slot not in left]
            seated = {slot: waiting.popleft() for slot in free[: len(waiting)]}
            if seated:  # keys of the prompts, and the first token of each answer
                self.launch(list(seated), [request.prompt for request in seated.values()])
                left |= {slot: request.tokens - 1 for slot, request in seated.items()}
                left = {slot: count for slot, count in left.items() if count}
            if left:
                self.launch(list(left), [])
                left = {slot: count - 1 for slot, count in left.items() if count > 1}
        return watch.seconds, sum(request.tokens for request in requests)

    def launch(self, slots: Sequence[int], prompts: Sequence[Sequence[int]]) -> None:
        """A token behind the prompt of each of these slots; without prompts, behind its last one."""
        tokens = -(-max(map(len, prompts), default=0) // self.prompt_step) * self.prompt_step
        size = next(size for size in buckets(self.rows) if size >= len(slots))
        if (size, tokens) not in self.passes:
            self.passes[size, tokens] = self.captured_pass(size, tokens)
        (slot_B, ids_BN, count_B), replay = self.passes[size, tokens]
        slot_B.copy_(torch.tensor([*slots, *[self.rows] * (size - len(slots))]))
        if prompts:
            every = [*map(list, prompts), *[list[int]()] * (size - len(slots))]
            ids_BN.copy_(torch.tensor([prompt + [0] * (tokens - len(prompt)) for prompt in every]))
            count_B.copy_(torch.tensor(list(map(len, every))))
        replay()

    def captured_pass(self, rows: int, tokens: int) -> tuple[tuple[Tensor, Tensor, Tensor], Work]:
        """A pass, by the tensors that it reads. tokens: of a prompt; 0: the last token of each slot."""
        slot_B = torch.full((rows,), self.rows, device=self.token_S.device)
        ids_BN = torch.zeros(rows, max(tokens, 1), dtype=torch.int64, device=slot_B.device)
        count_B = torch.ones_like(slot_B)  # tokens of each row that are there

        def work() -> None:
            if tokens:
                self.pass_(slot_B, ids_BN, torch.zeros_like(count_B), count_B)
            else:
                self.pass_(slot_B, self.token_S[slot_B, None], self.count_S[slot_B], count_B)

        return (slot_B, ids_BN, count_B), captured(work, slot_B.device)

    def pass_(self, slot_B: Tensor, ids_BN: Tensor, before_B: Tensor, count_B: Tensor) -> None:
        """Tokens behind `before_B` cached ones, `count_B` of which are there; the token drawn behind the last of them."""
        B, N = ids_BN.shape
        column_N = torch.arange(N, device=slot_B.device)
        there_BN = column_N < count_B[:, None]
        rank_BN = before_B[:, None] + column_N
        place_BN = torch.where(there_BN, self.table.context + rank_BN, self.table.nowhere).int()
        nothing_BN = torch.full_like(place_BN, -1)
        limit_BN = torch.where(there_BN, rank_BN + 1, 0).int()
        sight = Sight(
            slot_B,
            rank_BN.int(),
            limit_BN,
            nothing_BN,
            self.no_context_SL,
            self.no_context_SL[:, 0],
            self.table.ranks,
            ScratchKeys(nothing_BN[:, :1], nothing_BN[:, :1]),
        )
        position_BN = torch.where(there_BN, rank_BN, 0)
        slot_BN = slot_B[:, None].expand(B, N).int().contiguous()
        last_M = torch.arange(B, device=slot_B.device) * N + (count_B - 1).clamp(min=0)
        placed = PlacedTokens(ids_BN.contiguous(), position_BN, slot_BN, place_BN)
        alone = rows_alone(N, self.forward.config.dim)
        logits_MV = self.forward(placed, self.cache, sight, last_M if N > 1 else 1, alone=alone)
        behind_B = before_B + count_B
        no_B = torch.zeros_like(slot_B, dtype=torch.bool)
        drawn = draw(
            logits_MV,
            seed_N=slot_B,
            position_N=behind_B,
            step_N=torch.ones_like(slot_B),
            temperature_N=torch.full_like(slot_B, self.temperature, dtype=torch.float64),
            forced_N=no_B,
            forbidden_N=no_B,
            banned_V=self.banned_V,
            eos_id=-1,
            overlap=self.overlap,
        )
        self.token_S.index_copy_(0, slot_B, drawn.token)
        self.count_S.index_copy_(0, slot_B, behind_B)
