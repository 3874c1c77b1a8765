"""The kernels that grow the trees of a draft head against `fef.models.draft_tree` and `fef.engine.head_drafts`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from slot_states import SLOTS, moved, random_state

pytest.importorskip("triton", reason="the kernels need Triton")

from fef.engine.draws import Vocabulary
from fef.engine.head_drafts import DraftSites, HeadDrafts, draft_noise, draft_sites
from fef.engine.kernel_forward import KernelForward
from fef.engine.kernel_head import KernelHead
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.growth import best
from fef.engine.kernels.slots_ahead import candidates
from fef.engine.kernels.slots_ahead import draft_sites as fused_sites
from fef.engine.slots import SlotState
from fef.models.config import TransformerConfig
from fef.models.draft_head import DraftHead, DraftWindow, HeadSizes, top_candidates
from fef.models.draft_tree import draft_candidates
from fef.models.joined import join_weights
from fef.models.packed_pass import SlotTable
from fef.models.transformer import Transformer

B, K, V = 3, 3, 20
CONFIG = TransformerConfig(
    vocab_size=V, dim=32, layers=1, heads=4, head_dim=16, kv_heads=2, mlp_dim=32, mask_id=V - 1, max_length=16, packed=True
)  # fmt: skip


def drafts_of(nodes: int, branching: int, survival: float, dtype: torch.dtype, device: str) -> HeadDrafts:
    network = Transformer(CONFIG)
    network.reset(0)
    torch.nn.init.normal_(network.embed.weight, generator=torch.Generator().manual_seed(1))
    head = DraftHead(HeadSizes.of(CONFIG, depths=K, candidates=6))
    head.reset(2)
    torch.nn.init.normal_(head.out_norm.weight, std=0.3, generator=torch.Generator().manual_seed(3))
    network, head = network.to(device, dtype).eval().requires_grad_(False), head.to(device, dtype).requires_grad_(False)
    vocabulary = Vocabulary(None, torch.tensor([V - 1], device=device))
    return HeadDrafts(network, head, vocabulary, nodes, branching, survival)


def random_start(drafts: HeadDrafts, dtype: torch.dtype, device: str) -> tuple[DraftSites, DraftWindow]:
    generator = torch.Generator().manual_seed(4)

    def number(*shape: int, below: int) -> torch.Tensor:
        return torch.randint(0, below, shape, generator=generator).to(device)

    never = torch.zeros(B, K, dtype=torch.bool, device=device)
    heat, one = torch.tensor([0.0, 0.7, 1.0]).double().to(device), torch.ones(B).double().to(device)
    sites = DraftSites(
        number(B, K, below=99), never, never, number(B, below=V), number(B, below=V),
        limit_B=torch.tensor([3, 2, 3], device=device), seed_B=number(B, below=2**40), step_B=number(B, below=9),
        temperature_B=heat, top_p_B=one, top_k_B=number(B, below=1),
    )  # fmt: skip
    hidden, lead = (torch.randn(*shape, 32, generator=generator).to(device, dtype) for shape in ((B, K), (B,)))
    return sites, drafts.window(sites, hidden, lead, 2 * drafts.network.logits(hidden))


def with_cuts(sites: DraftSites, device: str) -> DraftSites:
    """Top-p in one of the rows that draw, top-k in the other; in the greedy one they mean nothing."""
    top_p, top_k = torch.tensor([0.5, 0.7, 1.0]).double(), torch.tensor([2, 0, 2])
    return replace(sites, top_p_B=top_p.to(device), top_k_B=top_k.to(device))


@pytest.fixture(params=[1024, 16], ids=["wide", "narrow"])
def widest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A head's block of the network's width, and of half of it."""
    monkeypatch.setattr("fef.models.draft_head.WIDEST", request.param)
    return int(request.param)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize(
    ("nodes", "branching", "survival", "widest"),
    [(3, 1, 0.0, 1024), (3, 1, 0.5, 1024), (7, 3, 0.0, 1024), (20, 2, 0.0, 1024), (3, 1, 0.5, 16), (7, 3, 0.0, 16)],
    ids=str,
    indirect=["widest"],
)
def test_trees_are_those_of_plain_torch(
    nodes: int, branching: int, survival: float, cut: bool, widest: int, device: str
) -> None:
    drafts = drafts_of(nodes, branching, survival, torch.float32, device)
    assert drafts.head.sizes.width == min(32, widest)
    sites, window = random_start(drafts, torch.float32, device)
    sites = with_cuts(sites, device) if cut else sites
    noise = draft_noise(sites, window.ids_BKC)
    slot_B = torch.tensor([2, 0, 1], device=device)
    plain, fused = (SlotState.empty(SlotTable(4, 16, 8, K + 1, 9, 1, nodes), torch.device(device)) for _ in range(2))
    for state in (plain, fused):
        state.live_S[:] = True
        state.node_chance_SW[:] = 7.0
    plain.keep_tree(slot_B, drafts.tree(sites, window, noise, cut=cut))
    head = KernelHead(drafts, KernelForward(drafts.network, join_weights(drafts.network), overlap=False), fused)
    best(fused, slot_B, head.found(sites, window, noise, cut))
    torch.testing.assert_close(fused.node_chance_SW, plain.node_chance_SW, atol=1e-4, rtol=0)
    there = plain.node_chance_SW[:3] >= 0
    assert there.any(1).all() and (nodes < 20 or not there.all())
    for name in ("node_parent_SW", "node_candidate_SW", "node_depth_SW", "node_token_SW"):
        assert torch.equal(getattr(fused, name)[:3][there], getattr(plain, name)[:3][there]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_row_whose_law_is_whole_has_the_same_tree_beside_rows_with_cuts(dtype: torch.dtype, device: str) -> None:
    """To the last bit: one that lies elsewhere in the cache would change last bits of its text."""
    drafts = drafts_of(7, 3, 0.0, dtype, device)
    sites, window = random_start(drafts, dtype, device)
    noise, state = (
        draft_noise(sites, window.ids_BKC),
        SlotState.empty(SlotTable(4, 16, 8, K + 1, 9, 1, 7), torch.device(device)),
    )
    head = KernelHead(drafts, KernelForward(drafts.network, join_weights(drafts.network), overlap=False), state)
    alone = head.found(sites, window, noise, False)
    beside = head.found(with_cuts(sites, device), window, noise, True)
    for name in ("chance_BM", "father_BM", "held_BM", "candidate_BM", "depth_BM"):
        before, now = getattr(alone, name), getattr(beside, name)
        assert torch.equal(before[0], now[0]), name
    assert not torch.equal(alone.chance_BM[1:], beside.chance_BM[1:]), "cuts are made"


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize(("nodes", "branching"), [(3, 1), (7, 3), pytest.param(20, 2, marks=pytest.mark.slow)], ids=str)
def test_a_slot_whose_draft_logits_are_nan_ends_the_tree(nodes: int, branching: int, cut: bool, device: str) -> None:
    """Nodes without an order would leave places unwritten, whose tokens and parents the next depth reads."""
    drafts = drafts_of(nodes, branching, 0.0, torch.float32, device)
    sites, window = random_start(drafts, torch.float32, device)
    sites = with_cuts(sites, device) if cut else sites
    noise = draft_noise(sites, window.ids_BKC)
    broken = window.logits_BKC.clone()
    broken[1, 1] = torch.nan
    shorter = replace(sites, limit_B=torch.tensor([3, 1, 3], device=device))
    ended, expected = (SlotState.empty(SlotTable(4, 16, 8, K + 1, 9, 1, nodes), torch.device(device)) for _ in range(2))
    for state, its_sites, its_window in (
        (ended, sites, replace(window, logits_BKC=broken)),
        (expected, shorter, window),
    ):
        head = KernelHead(drafts, KernelForward(drafts.network, join_weights(drafts.network), overlap=False), state)
        best(state, torch.arange(B, device=device), head.found(its_sites, its_window, noise, cut))
    assert torch.equal(ended.node_chance_SW, expected.node_chance_SW)
    there = expected.node_chance_SW[:B] >= 0
    assert there.any(1).all()
    for name in ("node_parent_SW", "node_candidate_SW", "node_depth_SW", "node_token_SW"):
        assert torch.equal(getattr(ended, name)[:B][there], getattr(expected, name)[:B][there]), name


def test_a_head_without_the_path_grows_another_tree(device: str) -> None:
    """The comparison has teeth: what a state knows of its path is a part of it."""
    drafts = drafts_of(7, 3, 0.0, torch.float32, device)
    sites, window = random_start(drafts, torch.float32, device)
    noise = draft_noise(sites, window.ids_BKC)
    before = drafts.tree(sites, window, noise, cut=False)
    drafts.head.v.weight.zero_()
    assert not torch.allclose(before.tree.chance_BX, drafts.tree(sites, window, noise, cut=False).tree.chance_BX)


def test_sites_candidates_and_noise(device: str) -> None:
    """The uniform numbers are the same; their logarithms may be rounded otherwise."""
    head = DraftHead(HeadSizes(8, 1, 1, 8, 8, depths=4, candidates=6))
    for seed in range(3):
        state = random_state(4, 5, 2, seed)
        state.table = replace(state.table, grown=4)
        generator = torch.Generator().manual_seed(seed)
        count_B = torch.randint(0, 5, (len(SLOTS),), generator=generator)
        expected = draft_sites(state, SLOTS, count_B)
        found = fused_sites(moved(state, device), SLOTS.to(device), count_B.to(device))
        for name, value in vars(expected).items():
            assert torch.equal(getattr(found, name).cpu(), value), name
        logits = torch.randn(*expected.position_BK.shape, V, generator=generator)
        logits[0, 0, 3:] = -torch.inf
        for eos_id, forced in ((None, None), (V - 2, expected.forced_BK)):
            ids, marginal = draft_candidates(head, logits, forced, eos_id)
            top = top_candidates(logits, 6)[0].flip(-1).contiguous()
            fused = candidates(found, top.to(device), logits.to(device), eos_id)
            assert torch.equal(fused[0].cpu(), ids) and torch.equal(fused[1].cpu(), marginal)
            noise = fused[2].cpu()
            torch.testing.assert_close(noise, draft_noise(expected, ids), atol=1e-12, rtol=0)
            assert (noise == 0).all(-1).any() and (noise != 0).any()
        assert expected.forced_BK.any() or seed


@pytest.mark.usefixtures("widest")
def test_what_is_known_of_the_slots(device: str) -> None:
    drafts = drafts_of(7, 3, 0.0, torch.float32, device)
    state = SlotState.empty(SlotTable(B, 16, 8, K + 1, 9, 1, 7, K), torch.device(device))
    made = KernelHead(drafts, KernelForward(drafts.network, [], overlap=False), state)
    generator = torch.Generator().manual_seed(5)
    hidden_BQD = torch.randn(B, 9, 32, generator=generator).to(device)
    source_BK, last_B = (torch.randint(0, 9, shape, generator=generator).to(device) for shape in ((B, K + 1), (B,)))
    found = made.known(hidden_BQD, NextDrafts(source_BK, last_B, last_B))
    row_B = torch.arange(B, device=device)
    hidden_BKD, lead_BD = hidden_BQD[row_B[:, None], source_BK[:, :K]], hidden_BQD[row_B, last_B]
    expected = drafts.head.window(hidden_BKD, lead_BD, source_BK, hidden_BKD).known_BKW
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    other = drafts.head.window(hidden_BKD, lead_BD.roll(1, 0), source_BK, hidden_BKD).known_BKW
    assert not torch.allclose(found, other, atol=1e-2)
