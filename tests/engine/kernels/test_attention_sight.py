"""Packed attention on random ranks, limits and groups against a dense softmax over what `fef.models.packed` says is seen."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fef.engine.kernels import attention
from fef.engine.kernels.attention import ScratchKeys, Sight, packed_attention
from fef.engine.kernels.attention_blocks import Blocks
from fef.models.packed import CONTEXT_RANK, PADDING, REVEALED, context_seen, group_seen, reference_seen

B, N, S, L, R, M = 3, 9, 4, 70, 40, 6
HEADS, KV_HEADS, SIZE = 4, 2, 16
FAR = 1 << 30  # ranks of block-causal networks lie just below it (`fef.engine.cached_network`)
SMALL = (CONTEXT_RANK, 0, 1, R // 2, R - 1)


@dataclass
class Case:
    """A pass, and which places of its slot each query sees."""

    sight: Sight
    keys_SGCE: Tensor
    values_SGCE: Tensor
    qkv_NX: Tensor
    visible_BNC: Tensor

    def run(self, blocks: Blocks | None = None) -> Tensor:
        out_NX = packed_attention(
            self.qkv_NX,
            self.keys_SGCE,
            self.values_SGCE,
            self.sight,
            heads=HEADS,
            kv_heads=KV_HEADS,
            head_size=SIZE,
            _blocks=blocks,
        )
        return out_NX.view(B, N, HEADS, SIZE)

    def dense(self) -> Tensor:
        q_BHNE = self.qkv_NX.view(B, N, -1, SIZE)[:, :, :HEADS].transpose(1, 2).double()
        k_BHCE, v_BHCE = (
            x[self.sight.slot_B.long()].double().nan_to_num().repeat_interleave(HEADS // KV_HEADS, dim=1)
            for x in (self.keys_SGCE, self.values_SGCE)
        )
        score_BHNC = (q_BHNE @ k_BHCE.transpose(2, 3) * SIZE**-0.5).masked_fill(~self.visible_BNC[:, None], -torch.inf)
        return (score_BHNC.softmax(-1).nan_to_num() @ v_BHCE).transpose(1, 2)


def random_case(seed: int, device: str, *, by_row: bool, causal: bool) -> Case:
    """Ranks of every kind beside each other, padding within the length too. causal: those of a block-causal network.
    by_row: told of each row, where scratch keys lie anywhere and belong to several groups. What nobody reads holds nan."""
    generator = torch.Generator().manual_seed(seed)

    def one_of(choices: tuple[int, ...], *shape: int) -> Tensor:
        return torch.tensor(choices)[torch.randint(len(choices), shape, generator=generator)]

    def below(most: int, *shape: int) -> Tensor:
        return torch.randint(most, shape, generator=generator)

    slot_B = torch.randperm(S, generator=generator)[:B]
    told = B if by_row else S
    of_context = (REVEALED, PADDING, *(FAR - block for block in range(5))) if causal else (REVEALED, PADDING, *range(R))
    rank_XL, length_X = one_of(of_context, told, L), one_of((0, 1, 31, 33, L), told)
    described_B = torch.arange(B) if by_row else slot_B
    rank_BN = one_of((*SMALL, *(FAR - 1 - block for block in range(5))) if causal else SMALL, B, N)
    limit_BN, group_BN = one_of((0, 0, 1, 33, R), B, N), below(4, B, N) - 1
    key_rank_BM, key_group_BM = one_of(SMALL, B, M), below(4, B, M) - 1
    until_BM = key_group_BM + 1 + below(2, B, M)
    start_B = L + R + below(5, B) if by_row else torch.full((B,), L + R)

    place_L = torch.arange(L)
    rank_B1L = rank_XL[described_B][:, None]
    in_length_B1L = (place_L < length_X[described_B][:, None])[:, None]
    of_context_BNL = context_seen(rank_B1L, rank_BN[..., None]) & (rank_B1L != PADDING) & in_length_B1L
    of_references_BNR = reference_seen(torch.arange(R), limit_BN[..., None])
    key_rank_B1M, key_group_B1M, until_B1M = key_rank_BM[:, None], key_group_BM[:, None], until_BM[:, None]
    rank_BN1, group_BN1 = rank_BN[..., None], group_BN[..., None]
    of_scratch_BNM = group_seen(key_rank_B1M, key_group_B1M, rank_BN1, group_BN1)
    if by_row:
        of_any = (key_group_B1M <= group_BN1) & (group_BN1 < until_B1M)
        of_scratch_BNM = (key_group_B1M >= 0) & of_any & (key_rank_B1M <= rank_BN1)

    C = L + R + 5 + M
    keys, values = torch.full((2, S, KV_HEADS, C, SIZE), torch.nan).unbind(0)
    visible_BNC = torch.zeros(B, N, C, dtype=torch.bool)
    for b, slot in enumerate(slot_B.tolist()):
        written_C = torch.zeros(C, dtype=torch.bool)
        written_C[:L] = in_length_B1L[b, 0]
        written_C[L : L + R] = of_references_BNR[b].any(0)
        scratch = slice(int(start_B[b]), int(start_B[b]) + M)
        written_C[scratch] = key_group_BM[b] >= 0
        visible_BNC[b, :, :L], visible_BNC[b, :, L : L + R] = of_context_BNL[b], of_references_BNR[b]
        visible_BNC[b, :, scratch] = of_scratch_BNM[b]
        for cache in (keys, values):
            cache[slot, :, written_C] = torch.randn(KV_HEADS, int(written_C.sum()), SIZE, generator=generator)

    def given(*tensors: Tensor) -> list[Tensor]:
        return [tensor.int().to(device) for tensor in tensors]

    scratch_keys = ScratchKeys(*given(key_rank_BM, key_group_BM, *([until_BM, start_B] if by_row else [])))
    sight = Sight(*given(slot_B, rank_BN, limit_BN, group_BN, rank_XL, length_X), R, scratch_keys, by_row=by_row)
    qkv_NX = torch.randn(B * N, (HEADS + 2 * KV_HEADS) * SIZE, generator=generator)
    return Case(sight, *(x.to(device) for x in (keys, values, qkv_NX, visible_BNC)))


@pytest.mark.parametrize("by_row", [False, True], ids=["by slot", "by row"])
@pytest.mark.parametrize("causal", [False, True], ids=["packed", "block-causal"])
@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 12))])
def test_a_query_sees_what_its_numbers_say(
    seed: int, causal: bool, by_row: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(seed, device, by_row=by_row, causal=causal)
    expected, together = case.dense(), case.run(Blocks(32, 32, warps=4, stages=2))
    torch.testing.assert_close(together.double(), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(case.run(Blocks(16, 32, warps=4, stages=2)), together)
    monkeypatch.setattr(attention, "_PART", 32)
    torch.testing.assert_close(case.run().double(), expected, atol=1e-5, rtol=1e-5)


def test_the_cases_hold_what_is_special(device: str) -> None:
    """Rows without context, queries that see nothing, and padding that would be seen if it were ranked like the others."""
    cases = [random_case(seed, device, by_row=True, causal=True) for seed in range(6)]
    assert any((case.sight.length_S == 0).any() for case in cases)
    assert any((~case.visible_BNC.any(2)).any() for case in cases)
    assert all((case.sight.rank_SL == PADDING).any() and (case.sight.limit_BN == 0).any() for case in cases)
    assert all((case.sight.rank_BN == CONTEXT_RANK).any() and (case.sight.rank_BN > FAR - 9).any() for case in cases)
