"""The Monte-Carlo lower bound of log p of a text, as masked diffusion models are usually scored.

Shapes: R samples, r of them at once, L canvas length, P scored positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fef.decoding.inputs import Settings, make_sampling
from fef.decoding.network import Network
from fef.laws.pipeline import log_law

__all__ = ["monte_carlo_bound"]

BATCH_ENTRIES = 1 << 26  # logits at once


@torch.no_grad()
def monte_carlo_bound(
    network: Network, ids_L: Tensor, position_P: Tensor, samples: int, seed: int, banned: Sequence[int]
) -> float:
    """A lower bound, in nats, of log p of the tokens of `ids_L` at `position_P` given all others.

    The mean over `samples` of P/k times the sum of log p of k tokens masked together, k uniform on 1..P and the k tokens a
    uniform subset (LLaDA, arXiv 2502.09992, eq. 6 with its appendix B.5). Its expectation is the mean log p of the chain law
    over all orders, hence a bound by Jensen. k is stratified over the samples, which keeps the estimate unbiased.
    banned: ids that the law excludes besides the mask.
    """
    count = len(position_P)
    generator = torch.Generator().manual_seed(seed)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    size_R = 1 + (((torch.arange(samples) + offset) / samples) * count).long().clamp(max=count - 1)
    rank_RP = torch.rand(samples, count, generator=generator, dtype=torch.float64).argsort(1).argsort(1)
    masked_RP = (rank_RP < size_R[:, None]).to(ids_L.device)
    weight_R = (count / size_R).to(ids_L.device)
    sampling = make_sampling(network, Settings(temperature=1.0), banned, None, 1, ids_L.device)
    rows = max(1, BATCH_ENTRIES // (count * (network.vocab_size or 1)))
    total = 0.0
    for begin in range(0, samples, rows):
        masked_rP, weight_r = masked_RP[begin : begin + rows], weight_R[begin : begin + rows]
        states_rL = ids_L.repeat(len(masked_rP), 1)
        states_rL[:, position_P] = states_rL[:, position_P].masked_fill(masked_rP, network.mask_id)
        logits_rPV = network.logits_at(states_rL, position_P.expand(len(masked_rP), -1))
        logp_rPV = log_law(logits_rPV.flatten(0, 1)[None], sampling)[0].reshape(logits_rPV.shape)
        logp_rP = logp_rPV.gather(-1, ids_L[position_P].expand(len(masked_rP), -1)[..., None])[..., 0]
        total += float((logp_rP.where(masked_rP, 0.0).sum(1) * weight_r).sum())
    return total / samples
