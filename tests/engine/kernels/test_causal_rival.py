"""The left-to-right rival writes what a plain pass with a causal mask writes, in slots that requests take over."""

from __future__ import annotations

import pytest
import torch
from tiny_network import MASK, tiny_network
from torch import Tensor

pytest.importorskip("triton", reason="the kernels need Triton")

from fef.bench.engine.causal import CausalDecoder, CausalRequest
from fef.models.transformer import Transformer


def reference(network: Transformer, prompt: list[int], tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(tokens):
        L = len(ids)
        hidden, _ = network.trunk(torch.tensor([ids]), torch.arange(L)[None], torch.ones(1, L, L).tril().bool())
        logits = network.logits(hidden[0, -1])
        logits[MASK] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the steps of a graph are not seen from outside")
def test_requests_in_two_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network(scale=0.4, dim=32, heads=2, head_dim=16, mlp_dim=48, layers=1).float()
    decoder = CausalDecoder(network, 2, 16, 0.0, overlap=False, prompt_step=4)
    written: dict[int, list[int]] = {0: [], 1: []}
    plain = decoder.pass_

    def watched(slot_B: Tensor, ids_BN: Tensor, before_B: Tensor, count_B: Tensor) -> None:
        plain(slot_B, ids_BN, before_B, count_B)
        for slot in slot_B.tolist():
            if slot in written:
                written[slot].append(int(decoder.token_S[slot]))

    monkeypatch.setattr(decoder, "pass_", watched)
    requests = [CausalRequest([1, 2, 4], 4), CausalRequest([5], 2), CausalRequest([6, 3], 2)]
    _, tokens = decoder.run(requests)
    texts = [reference(network, list(request.prompt), request.tokens) for request in requests]
    assert tokens == 8
    assert written == {0: texts[0], 1: texts[1] + texts[2]}
