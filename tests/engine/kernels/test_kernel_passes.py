"""Whole passes made of the kernels do to the slots what the passes in plain torch do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="the kernels need Triton")

from fef.engine.build import EngineOptions, build
from fef.engine.kernel_passes import KernelPasses
from fef.engine.runner import PassKind, TorchPasses
from fef.engine.slots import PassRequest, SlotState
from fef.models.config import TransformerConfig
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.joined import join_weights
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

MASK, EOS = 11, 3


def network(layers: int) -> Transformer:
    config = TransformerConfig(
        vocab_size=12, dim=32, layers=layers, heads=2, head_dim=16, kv_heads=1, mlp_dim=48, mask_id=MASK, eos_id=EOS,
        max_length=16, packed=True, qk_norm=True, qkv_bias=True, tied_embeddings=False,
    )  # fmt: skip
    model = Transformer(config)
    model.reset(0)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval().requires_grad_(False)


def random_head(model: Transformer) -> DraftHead:
    head = DraftHead(HeadSizes.of(model.config, depths=4))
    head.reset(0)
    torch.nn.init.normal_(head.out_norm.weight, generator=torch.Generator().manual_seed(0))
    return head.requires_grad_(False)


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="on a GPU, tests/engine/test_engine_on_gpu.py compares whole engines"
)
@pytest.mark.parametrize(
    ("cut", "layers", "count", "tree", "head"),
    [
        (False, 2, 1, 0, False),
        (True, 1, 2, 0, False),
        (False, 1, 2, 8, False),
        pytest.param(False, 1, 2, 4, True, marks=pytest.mark.slow),
        pytest.param(False, 1, 1, 4, True, marks=pytest.mark.slow),
        pytest.param(True, 1, 1, 4, True, marks=pytest.mark.slow),
        pytest.param(False, 1, 4, -4, True, marks=pytest.mark.slow),  # chains in between
    ],
)
def test_a_context_pass_and_rounds(cut, layers, count, tree, head):
    model = network(layers)
    if head:
        model.extras = Extras(draft_head=random_head(model))
    windows = () if tree > 0 else (3,)
    options: dict[str, Any] = {"windows": windows, "anchors": 2 if tree else 1} | (
        {"tree": [abs(tree)]} if tree else {}
    )
    built = build(model, EngineOptions(max_batch=3, threads=1, **options), 1e9, print)
    plain, table = built.runner, built.table
    assert isinstance(plain, TorchPasses)
    state = SlotState.empty(table, torch.device("cpu"))
    cache = SlotCache.empty(model.config, table, torch.device("cpu"), torch.float32)
    kernels = KernelPasses(
        model, join_weights(model), state, cache, built.vocabulary, overlap=False, drafts=built.drafts
    )
    requests = [
        PassRequest(
            [1, 2, *[MASK] * 8], range(2, 10), seed=5, temperature=0.9, top_p=0.8 if cut else 1.0, top_k=5 if cut else 0
        ),
        PassRequest([MASK] * 6, [4, 0, 5, 2, 1, 3], seed=6, temperature=0.0),
        PassRequest([*[MASK] * 5, 7], range(5), seed=7, temperature=1.0, top_k=3 if cut else 0),
    ]
    slots, packed_BJ = [0, 1, 2], torch.stack([request.pack(table) for request in requests])
    bounds = Bounds(table.context, table.ranks)
    context = PassKind(RoundShape(0, 0, table.grown + 1 if head else table.drafts, head=head), bounds, 10, cut)
    rounds = [PassKind(shape, bounds, cut=cut) for shape in built.shapes[::-1]] * count
    plain.load(slots, packed_BJ)
    kernels.load(slots, packed_BJ)
    for kind in (context, *rounds[:count]):
        plain.run(kind, slots)
        with torch.no_grad():
            kernels.pass_(kind, torch.tensor(slots))
        torch.testing.assert_close(state.logprob_SR[:3, :-1], plain.state.logprob_SR[:3, :-1], atol=1e-4, rtol=0)
        torch.testing.assert_close(state.node_chance_SW[:3], plain.state.node_chance_SW[:3], atol=1e-4, rtol=0)
        is_node = plain.state.node_chance_SW[:3] >= 0  # of absent nodes they mean nothing
        for name in ("node_parent_SW", "node_candidate_SW", "node_depth_SW", "node_token_SW"):
            found, expected = getattr(state, name)[:3], getattr(plain.state, name)[:3]
            assert torch.equal(found[is_node], expected[is_node]), name
        for name in ("ids_SL", "done_S", "live_S", "drafted_S", "counters_SC"):
            found, expected = getattr(state, name)[:3], getattr(plain.state, name)[:3]
            if name == "ids_SL":  # the last column takes what is written nowhere
                found, expected = found[:, :-1], expected[:, :-1]
            assert torch.equal(found, expected), name
    assert (state.done_S[:3] >= count).all()
    assert not head or is_node.any() or tree < 0
