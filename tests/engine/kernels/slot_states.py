"""Random slots in the middle of decoding, for the kernels that compose and advance passes."""

import torch

from fef.engine.slots import NEVER, PassRequest, SlotState, SlotTable

__all__ = ["EOS", "MASK", "random_state"]

EOS, MASK, VOCABULARY = 2, 9, 10


def random_state(
    window: int, depth: int, anchors: int, seed: int, slots: int = 12, context: int = 40, ranks: int = 28
) -> SlotState:
    """The last slot is spare and was never loaded, the one before it is not live."""
    generator = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    drafts = max(window + 1, depth) + seed % 2
    state = SlotState.empty(
        SlotTable(slots, context, ranks, drafts, window + (anchors + 1) * depth), torch.device("cpu")
    )
    for slot in range(slots - 1):
        length = number(1, context)
        ids_L = torch.randint(0, VOCABULARY - 1, (length,), generator=generator)
        order = torch.randperm(length, generator=generator)[: number(1, min(length, ranks))]
        order = order if slot % 3 else order.sort().values
        rest = sorted(set(range(length)) - set(order.tolist()))
        ends = [p for p in rest if ids_L[p] == EOS]
        request = PassRequest(
            ids_L.tolist(),
            order.tolist(),
            step=number(1, 300),
            seed=number(-(2**62), 2**62),
            temperature=number(0, 3) / 2,
            first_end=ends[0] if ends and slot % 2 else NEVER,
            last_other=max((p for p in rest if ids_L[p] != EOS), default=-1) if slot % 4 == 3 else -1,
        )
        state.load(torch.tensor([slot]), request.pack(state.table)[None])
        open_ = len(order)
        done = (0, open_ - 1, max(open_ - 1 - number(0, window + 1), 0), number(0, open_ - 1))[number(0, 3)]
        state.done_S[slot] = done
        state.drafted_S[slot] = min(number(0, drafts), open_ - done)
        state.draft_SK[slot] = torch.randint(0, 4, (drafts,), generator=generator)
        holds_K = torch.rand(drafts, generator=generator, dtype=torch.float64)
        holds_K[torch.rand(drafts, generator=generator) < 0.3] = 1.0  # drafts that cannot end a round
        state.holds_SK[slot] = holds_K
        state.logprob_SR[slot] = -torch.rand(ranks + 1, generator=generator, dtype=torch.float64)
        state.confidence_SR[slot] = -torch.rand(ranks + 1, generator=generator, dtype=torch.float64)
        state.counters_SC[slot] = torch.randint(0, 50, (state.counters_SC.shape[1],), generator=generator)
    state.live_S[slots - 2] = False
    return state
