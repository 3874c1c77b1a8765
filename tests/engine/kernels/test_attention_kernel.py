"""Packed attention against a dense softmax under `packed_visible`, stream by stream."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fef.engine.kernels import attention, attention_blocks, attention_parts
from fef.engine.kernels.attention import ScratchKeys, Sight, packed_attention
from fef.engine.kernels.attention_blocks import Blocks
from fef.engine.kernels.attention_parts import FoundParts
from fef.models.packed import PADDING, PackedTokens, Stream, packed_visible

L, R, LENGTHS = 37, 12, (37, 20)  # canvas places, reference places, real lengths of the two rows
DTYPES = [torch.float32, torch.bfloat16]


@dataclass
class Pass:
    """A pass of two rows: all inputs of the kernel, and the dense pattern [B, N, C] of what its queries see."""

    qkv_NX: Tensor
    keys: Tensor
    values: Tensor
    rank_SL: Tensor
    length_S: Tensor
    slot_B: Tensor
    rank_BN: Tensor
    limit_BN: Tensor
    group_BN: Tensor
    visible_BNC: Tensor
    heads: int
    kv_heads: int
    size: int
    seen_BN: Tensor | None = None
    nodes: int = 0

    def run(self, rows: list[int] | None = None, tokens: slice = slice(None), blocks: Blocks | None = None) -> Tensor:
        """Outputs [B, N, H, E] of these rows; `tokens` may leave out leading queries, not the scratch tokens."""
        B, N = self.rank_BN.shape
        rows = list(range(B)) if rows is None else rows
        metadata = [x[rows][:, tokens].int().contiguous() for x in (self.rank_BN, self.limit_BN, self.group_BN)]
        qkv = self.qkv_NX.view(B, N, -1)[rows][:, tokens].flatten(0, 1).contiguous()
        M = self.visible_BNC.shape[2] - L - R - self.nodes
        scratch = ScratchKeys(metadata[0][:, -M:], metadata[2][:, -M:])
        seen = None if self.seen_BN is None else self.seen_BN[rows][:, tokens].contiguous()
        per_slot = self.rank_SL.int(), self.length_S.int()
        out = packed_attention(
            qkv,
            self.keys,
            self.values,
            Sight(self.slot_B[rows].int(), *metadata, *per_slot, R, scratch, seen_BN=seen, nodes=self.nodes),
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_size=self.size,
            _blocks=blocks,
        )
        return out.view(len(rows), -1, self.heads, self.size)

    def dense(self) -> Tensor:
        B, N = self.rank_BN.shape
        q_BHNE = self.qkv_NX.view(B, N, -1, self.size)[:, :, : self.heads].transpose(1, 2).double()
        repeat = self.heads // self.kv_heads
        k_BHCE, v_BHCE = (
            x[self.slot_B.long()].double().nan_to_num().repeat_interleave(repeat, dim=1)
            for x in (self.keys, self.values)
        )
        score_BHNC = q_BHNE @ k_BHCE.transpose(2, 3) * self.size**-0.5
        score_BHNC = score_BHNC.masked_fill(~self.visible_BNC[:, None], -torch.inf)
        return (score_BHNC.softmax(-1).nan_to_num() @ v_BHCE).transpose(1, 2)


def decode_pass(dtype: torch.dtype, device: str, *, heads: int = 4, kv_heads: int = 2, size: int = 16) -> Pass:
    """References, targets, two draft groups and absent tokens; row 1 is a shorter canvas in another slot.

    Everything that no query sees holds nan.
    """
    generator = torch.Generator().manual_seed(heads + size)
    B, S = 2, 3
    slot_B = torch.tensor([2, 0])
    length_B = torch.tensor(LENGTHS)
    rank_BL = torch.full((B, L), PADDING)
    for b, length in enumerate(LENGTHS):
        rank_BL[b, :length] = -1
        slots = torch.randperm(length, generator=generator)[:R]
        rank_BL[b, slots] = torch.arange(R)
    # Three references (ranks 4, 5, 6), four targets (4 .. 7), a draft group at limit 4 and one at limit 7, one absent.
    stream = [Stream.REFERENCE] * 3 + [Stream.TARGET] * 4 + [Stream.DRAFT] * 6 + [Stream.ABSENT]
    rank = [4, 5, 6, *(4, 5, 6, 7), *(4, 5, 6), *(7, 8, 9), L]
    limit = [5, 6, 7, *(4, 5, 6, 7), *(4, 4, 4), *(7, 7, 7), 0]
    group = [-1, -1, -1, *(0, 1, 2, 3), *(10, 10, 10), *(11, 11, 11), -1]
    N, M = len(rank), 11
    tokens = PackedTokens(*(torch.tensor(x).expand(B, N) for x in (rank, stream, rank, limit)))

    context = PackedTokens(
        torch.arange(L).expand(B, L),
        torch.where(torch.arange(L) < length_B[:, None], Stream.CONTEXT, Stream.ABSENT),
        rank_BL,
        torch.zeros_like(rank_BL),
    )
    written = torch.arange(R).expand(B, R)
    references = PackedTokens(written, torch.where(written < 7, Stream.REFERENCE, Stream.ABSENT), written, written + 1)
    scratch = PackedTokens(
        *(x[:, N - M :] for x in (tokens.index_BN, tokens.stream_BN, tokens.rank_BN, tokens.limit_BN))
    )
    keys_BC = PackedTokens.cat([context, references, scratch])
    visible_BNC = packed_visible(tokens, keys_BC)

    C = L + R + M
    keys, values = torch.full((2, S, kv_heads, C + 1, size), torch.nan).unbind(0)
    present_BC = keys_BC.stream_BN != Stream.ABSENT
    for b in range(B):
        places = present_BC[b].nonzero()[:, 0]
        for cache in (keys, values):
            cache[slot_B[b], :, places] = torch.randn(kv_heads, len(places), size, generator=generator)
    rank_SL, length_S = torch.full((S, L), PADDING), torch.zeros(S, dtype=torch.int64)
    rank_SL[slot_B], length_S[slot_B] = rank_BL, length_B
    qkv_NX = torch.randn(B * N, (heads + 2 * kv_heads) * size, generator=generator)
    group_BN = torch.tensor(group).expand(B, N)
    return Pass(
        qkv_NX.to(device, dtype),
        keys[:, :, :C].to(device, dtype),
        values[:, :, :C].to(device, dtype),
        *(x.to(device) for x in (rank_SL, length_S, slot_B, tokens.rank_BN, tokens.limit_BN, group_BN)),
        visible_BNC.to(device),
        heads,
        kv_heads,
        size,
    )


def with_nodes(whole: Pass, nodes: int) -> Pass:
    """Each token also sees some of the nodes behind the scratch keys; every third is absent and holds nan."""
    generator = torch.Generator().manual_seed(nodes)
    B, N = whole.rank_BN.shape
    present_W = torch.arange(nodes) % 3 != 2
    sees_BNW = (torch.rand(B, N, nodes, generator=generator) < 0.4) & present_W
    seen_BN = (sees_BNW.long() << torch.arange(nodes)).sum(-1)
    device, dtype = whole.keys.device, whole.keys.dtype

    def longer(cache: Tensor) -> Tensor:
        more = torch.randn(*cache.shape[:2], nodes, whole.size, generator=generator)
        return torch.cat([cache, more.masked_fill(~present_W[:, None], torch.nan).to(device, dtype)], 2)

    return replace(
        whole,
        keys=longer(whole.keys),
        values=longer(whole.values),
        visible_BNC=torch.cat([whole.visible_BNC, sees_BNW.to(device)], 2),
        seen_BN=seen_BN.to(device),
        nodes=nodes,
    )


def context_pass(dtype: torch.dtype, device: str, tokens: int = 40) -> Pass:
    """A canvas that sees itself, with a first draft group behind it."""
    decode = decode_pass(dtype, "cpu")
    generator = torch.Generator().manual_seed(3)
    B, M = 2, 3
    N = tokens + M
    keys, values = (x[:, :, : L + R + M].nan_to_num().clone() for x in (decode.keys, decode.values))
    visible_BNC = torch.zeros(B, N, L + R + M, dtype=torch.bool)
    for b, length in enumerate(LENGTHS):
        rank_L = decode.rank_SL[decode.slot_B[b]]
        visible_BNC[b, :tokens, :length] = True
        for j in range(M):
            visible_BNC[b, tokens + j, :L] = (torch.arange(L) < length) & ((rank_L == -1) | (rank_L > j))
            visible_BNC[b, tokens + j, L + R : L + R + j + 1] = True
    tail = torch.arange(M)
    rank_BN = torch.cat([torch.full((tokens,), -2), tail]).expand(B, N)
    group_BN = torch.cat([torch.full((tokens,), -1), torch.zeros_like(tail)]).expand(B, N)
    qkv_NX = torch.randn(B * N, decode.qkv_NX.shape[1], generator=generator)
    parts = [keys, values, decode.rank_SL, decode.length_S, decode.slot_B, rank_BN, torch.zeros(B, N), group_BN]
    return Pass(
        qkv_NX.to(device, dtype), *(x.to(device) for x in parts), visible_BNC.to(device), decode.heads, 2, decode.size
    )


def close(actual: Tensor, expected: Tensor) -> None:
    tolerance = 1e-5 if actual.dtype == torch.float32 else 3e-2
    torch.testing.assert_close(actual.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(4, 2, 16), (2, 2, 48), (6, 1, 64)])
def test_every_stream_sees_what_the_pattern_says(
    heads: int, kv_heads: int, size: int, dtype: torch.dtype, device: str
) -> None:
    decode = decode_pass(dtype, device, heads=heads, kv_heads=kv_heads, size=size)
    assert decode.visible_BNC.any(dim=(0, 1))[:L].any() and decode.visible_BNC[:, :, L + R :].any()
    close(decode.run(), decode.dense())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_context_pass_with_drafts(dtype: torch.dtype, device: str) -> None:
    context = context_pass(dtype, device)
    close(context.run(), context.dense())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nodes", [5, 40, 64])
def test_nodes_are_seen_by_their_bits(nodes: int, dtype: torch.dtype, device: str) -> None:
    tree = with_nodes(decode_pass(dtype, device), nodes)
    together = tree.run()
    close(together, tree.dense())
    assert not torch.equal(together, decode_pass(dtype, device).run())
    assert torch.equal(tree.run([1])[0], together[1])
    small, large = (
        tree.run(blocks=Blocks(queries, 32 if dtype == torch.float32 else 64, 4, 2)) for queries in (16, 32)
    )
    assert torch.equal(small, large)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["round", "round of a tree", "context"])
def test_parts_with_programs_of_their_own_change_no_bit(
    kind: str, dtype: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = 32 if dtype == torch.float32 else 64
    monkeypatch.setattr(attention, "_PART", keys)
    whole = context_pass(dtype, device, tokens=20) if kind == "context" else decode_pass(dtype, device)
    whole = with_nodes(whole, 5) if kind == "round of a tree" else whole
    together = whole.run(blocks=Blocks(16, keys, 4, 2))
    close(together, whole.dense())
    joined = joins(monkeypatch)
    for queries, stages, unrolled in ((16, 2, 16), (32, 2, 16), (64, 1, 16), (16, 2, 2)):
        monkeypatch.setattr(attention_parts, "_UNROLLED", unrolled)
        assert torch.equal(whole.run(blocks=Blocks(queries, keys, 4, stages, spread=True)), together)
    assert len(joined) == 4 and min(joined) >= 3, "several parts, each time"


def joins(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many parts are joined from now on, each time."""
    found, join = list[int](), attention.join_parts

    def counted(parts: FoundParts, out: Tensor, **more: Any) -> None:
        found.append(len(parts.sum_PTHE))
        join(parts, out, **more)

    monkeypatch.setattr(attention, "join_parts", counted)
    return found


@pytest.mark.parametrize("many", ["_MULTIPROCESSORS", "_AT_ONCE"])
def test_parts_have_programs_of_their_own_where_there_are_few(
    many: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not on a GPU that is full already, or would be with so many parts; the bits are the same."""
    monkeypatch.setattr(attention, "_PART", 32)
    decode, joined = decode_pass(torch.float32, device), joins(monkeypatch)
    alone = decode.run([1])[0]
    assert joined == [4]
    monkeypatch.setattr(attention_blocks, many, 0)
    assert torch.equal(decode.run()[1], alone) and joined == [4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_part_that_is_left_out_is_noticed(dtype: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = 32 if dtype == torch.float32 else 64
    monkeypatch.setattr(attention, "_PART", keys)
    decode, blocks = decode_pass(dtype, device), Blocks(16, keys, 4, 2, spread=True)
    expected = decode.run(blocks=blocks)
    join = attention.join_parts
    monkeypatch.setattr(attention, "join_parts", lambda found, out, **more: join(without_the_first(found), out, **more))
    assert (decode.run(blocks=blocks) - expected).abs().max() > 0.1


def without_the_first(found: FoundParts) -> FoundParts:
    return FoundParts(found.best_PTH[1:], found.mass_PTH[1:], found.sum_PTHE[1:])


def test_a_query_that_sees_nothing_gives_zero(device: str) -> None:
    decode = decode_pass(torch.float32, device)
    decode.rank_SL[decode.rank_SL == -1] = PADDING  # the absent token sees revealed context only
    out = decode.run()
    assert (out[:, -1] == 0).all() and out.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_query_does_not_see_the_others(dtype: torch.dtype, device: str) -> None:
    decode = decode_pass(dtype, device)
    together = decode.run()
    assert torch.equal(decode.run([1])[0], together[1])
    assert torch.equal(decode.run(tokens=slice(3, None)), together[:, 3:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_query_block_does_not_change_the_bits(dtype: torch.dtype, device: str) -> None:
    keys = 32 if dtype == torch.float32 else 64
    for each in (decode_pass(dtype, device), context_pass(dtype, device)):
        small, middle, large = (each.run(blocks=Blocks(queries, keys, 4, 2)) for queries in (16, 32, 64))
        assert torch.equal(small, middle) and torch.equal(small, large)
