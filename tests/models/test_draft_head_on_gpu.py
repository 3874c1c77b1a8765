"""A tree that a draft head grows, captured in a CUDA graph: the same nodes as outside of it."""

from __future__ import annotations

import pytest
import torch
from tiny_network import tiny_network
from torch import Tensor

from fef.laws.pipeline import EntrySettings
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.draft_tree import DraftStart, draft_candidates, draft_tree

B, K, V = 4, 5, 40


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tree_grows_inside_a_cuda_graph(dtype: torch.dtype) -> None:
    network = tiny_network(vocab_size=V, mask_id=V - 1, heads=4, kv_heads=2).to("cuda", dtype)
    head = DraftHead(HeadSizes.of(network.config, candidates=16)).to("cuda")
    head.reset(0)
    torch.nn.init.normal_(head.out_norm.weight)
    head = head.to(dtype).requires_grad_(False)
    heat, limit = torch.full((B,), 0.7, dtype=torch.float64, device="cuda"), torch.full((B,), K, device="cuda")
    noise = torch.randn(B, K, 16, dtype=torch.float64, device="cuda")
    hidden, lead = (torch.zeros(shape, dtype=dtype, device="cuda") for shape in ((B, K, 16), (B, 16)))
    before, last = torch.zeros(2, B, dtype=torch.int64, device="cuda")

    settings = EntrySettings(heat, torch.ones_like(heat), torch.zeros_like(limit))

    def tree() -> dict[str, Tensor]:
        window = head.window(hidden, lead, *draft_candidates(head, network.logits(hidden)))
        start = DraftStart(window, before, last, limit, noise, settings)
        drafted = draft_tree(network, head, start, nodes=12, branching=4, frontier=4)
        found = {name: value for name, value in vars(drafted.tree).items() if isinstance(value, Tensor)}
        return found | {"token": drafted.token_BW}

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        tree()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = tree()
    for seed in range(3):
        generator = torch.Generator("cuda").manual_seed(seed)
        for tensor in (hidden, lead):
            tensor.normal_(generator=generator)
        for tensor in (before, last):
            tensor.random_(0, V - 1, generator=generator)
        graph.replay()
        for name, value in tree().items():
            assert torch.equal(captured[name], value), name
