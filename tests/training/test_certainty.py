"""Certainty forcing: complementary masks of one block, and an entropy term that acts where the network is right."""

from __future__ import annotations

import pytest
import torch
from tiny_network import EOS, tiny_network

from fef.training.certainty import certainty_loss, certainty_objective, complementary_masks
from fef.training.data import Examples
from fef.training.patterns import Canvases
from fef.training.trainer import TrainOptions


def canvases(rows: int = 40, length: int = 20) -> Canvases:
    made = torch.Generator().manual_seed(0)
    ids = torch.randint(6, (rows, length), generator=made)
    start = torch.arange(rows) % 5
    stop = length - torch.arange(rows) % 3
    return Canvases(ids, start, stop, torch.full_like(start, length))


def test_the_two_masks_part_one_block_between_clean_and_masked_ones() -> None:
    batch = canvases()
    masked, counted = complementary_masks(batch, 6, torch.Generator().manual_seed(1))
    seen = set()
    for b in range(len(batch.ids_BL)):
        start, stop = int(batch.start_B[b]), int(batch.stop_B[b])
        block = counted[:, b].any(0).nonzero()[:, 0].tolist()
        number = (block[0] - start) // 6
        seen.add(number)
        assert block == list(range(start + 6 * number, min(start + 6 * number + 6, stop)))
        assert not bool((counted[0, b] & counted[1, b]).any())
        for half in (0, 1):
            behind = torch.zeros(20, dtype=torch.bool)
            behind[block[-1] + 1 : stop] = True
            assert torch.equal(masked[half, b], counted[half, b] | behind)
    assert seen == {0, 1, 2, 3}


class Logits:
    """A network that says the same logits at every position, whatever it reads."""

    mask_id = 7

    def __init__(self, logits_V: torch.Tensor) -> None:
        self.logits_V = logits_V

    def hidden_at(self, ids: torch.Tensor, _at: torch.Tensor, _lengths: torch.Tensor) -> torch.Tensor:
        return ids[..., None].double()

    def logits(self, hidden_KD: torch.Tensor) -> torch.Tensor:
        return self.logits_V.expand(len(hidden_KD), -1)


@pytest.mark.parametrize(("token", "acts"), [(2, True), (3, False)])
def test_the_entropy_term_pulls_only_where_the_best_token_is_right(token: int, acts: bool) -> None:
    logits = torch.tensor([0.0, 0.1, 1.0, 0.2, 0.0, 0.0, 0.0, -9.0], requires_grad=True)
    ids = torch.full((2, 4), token)
    batch = Canvases(ids, torch.zeros(2).long(), torch.full((2,), 4), torch.full((2,), 4))
    everywhere = torch.ones(2, 2, 4, dtype=torch.bool)
    loss, parts = certainty_loss(Logits(logits), batch, everywhere, everywhere)  # type: ignore[arg-type]
    loss.backward()
    p = logits.detach().softmax(-1)
    one = torch.zeros(8)
    one[token] = 1
    q = (logits.detach() / 0.5).softmax(-1)
    entropy = -(q * q.log()).sum()
    pull = 2.0 * -(q * (q.log() + entropy)) / 0.5  # 2 dH(q) / dlogits, q at temperature 0.5
    expected = p - one + (pull if acts else 0)
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-5)
    assert float(parts["right"]) == acts
    assert float(parts["entropy"]) == pytest.approx(float(entropy) if acts else 0.0, abs=1e-5)


def test_a_network_becomes_surer_of_its_answers_and_stays_right() -> None:
    model = tiny_network(packed=False, eos_id=EOS, scale=0.2).float().requires_grad_(True)
    ones = torch.ones(24, 1, dtype=torch.int64)
    letters = torch.tensor([3, 4, 5, 6]).repeat(6)[:, None]
    examples = Examples(letters, ones[:, 0], letters.expand(-1, 6).contiguous(), 6 * ones[:, 0])
    objective = certainty_objective(examples, TrainOptions(batch_size=8, canvas_length=8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    told = []
    for step in range(100):
        loss, parts = objective(model, step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        told.append({name: float(value) for name, value in parts.items()})
    assert told[-1]["right"] > 0.75 > 0.5 > told[0]["right"]
    assert told[-1]["entropy"] < 0.2
    assert told[-1]["nll"] < 0.6 < 1.0 < told[0]["nll"]
