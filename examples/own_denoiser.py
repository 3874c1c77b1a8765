"""Your own network: train one for some seconds, then decode it exactly and in fewer passes.

    python examples/own_denoiser.py

The texts are numbers that read the same backwards, such as 41922914, a digit a token. Whatever maps ids [batch, length] to
logits [batch, length, vocabulary] and has a `mask_id` can take the network's place.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import fef

MASK, LENGTH = 10, 8


class Denoiser(nn.Module):
    """Two layers over all places at once."""

    mask_id = MASK

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(LENGTH * (MASK + 1), 256), nn.ReLU(), nn.Linear(256, LENGTH * (MASK + 1)))

    def forward(self, ids: Tensor) -> Tensor:
        seen = nn.functional.one_hot(ids, MASK + 1).float().flatten(1)
        return self.layers(seen).unflatten(1, (LENGTH, MASK + 1))


def train(network: Denoiser, steps: int) -> None:
    """The loss of a masked diffusion model: cross-entropy at masks, of which there is a random share in each text."""
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(steps):
        half = torch.randint(10, (64, LENGTH // 2))
        ids = torch.cat([half, half.flip(1)], 1)
        share = torch.rand(len(ids), 1).clamp(min=0.1)
        masked = torch.rand(ids.shape) < share
        logits = network(ids.masked_fill(masked, MASK))
        loss = (nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none") * masked / share).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=800)
    torch.manual_seed(0)
    network = Denoiser()
    train(network, parser.parse_args().steps)
    network.eval()
    blank = torch.full((100, LENGTH), MASK)
    for method, options in (("sequential", {}), ("fef", {}), ("random", {"tokens_per_step": 4})):
        out = fef.decode(network, blank, method=method, temperature=0.7, seed=1, **options)
        right = (out.ids == out.ids.flip(1)).all(1).sum()
        passes = sum(row["calls"] for row in out.stats) / len(blank)
        first = "".join(map(str, out.ids[0].tolist()))
        print(
            f"{method}: first {first}, {right} of 100 read the same backwards, {passes:.1f} passes, {out.certificate.kind}"
        )


if __name__ == "__main__":
    main()
