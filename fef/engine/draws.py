"""Law and draw at the queries of a pass, in plain torch: what `fef.laws` says, for the tokens that are drawn alone.

Shapes: N queries of all rows, V vocabulary; others as in `rounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.advance import Drawn, EndRules
from fef.engine.rounds import PassTokens
from fef.engine.slots import SlotState
from fef.laws.draws import Purpose, keyed_argmax
from fef.laws.pipeline import cut_off

__all__ = ["Vocabulary", "cutoffs", "draw"]

_ENTRIES = 1 << 22  # float64 numbers held at once


@dataclass(frozen=True)
class Vocabulary:
    """eos_id: the end token, if it is a part of the law. banned: ids that never occur, the mask id among them."""

    eos_id: int | None
    banned: Tensor

    def banned_mask(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.bool, device=self.banned.device).index_fill_(0, self.banned, True)


def draw(
    logits_MV: Tensor, state: SlotState, tokens: PassTokens, rules: EndRules | None, vocabulary: Vocabulary
) -> Drawn:
    """Draw at the M valid queries, whose logits these are. Reads back which they are, so this one is for the CPU."""
    queries = tokens.shape.queries
    valid_BQ = tokens.valid_BN[:, -queries:]
    row_N, query_N = valid_BQ.nonzero(as_tuple=True)
    exact = torch.promote_types(logits_MV.dtype, torch.float32)
    logits_NV = logits_MV.to(exact).index_fill(-1, vocabulary.banned, -torch.inf)
    mass_N = logits_NV.double().logsumexp(-1)  # in float32 many confidences would be 1, and tie where they are ranked
    top_N = (logits_NV.amax(-1).double() - mass_N).exp()
    forced_N = torch.zeros_like(row_N, dtype=torch.bool)
    if rules is not None:
        forced_N = rules.forced[row_N, query_N]
        no_end_n = rules.forbidden[row_N, query_N].nonzero()[:, 0]
        logits_NV[no_end_n, vocabulary.eos_id] = -torch.inf
    ok_N = logits_NV.amax(-1).isfinite() | forced_N
    token_N = logits_NV.argmax(-1)
    logp_N = torch.zeros(len(row_N), dtype=torch.float64)
    sampled_n = ((state.temperature_S[row_N] > 0) & ok_N & ~forced_N).nonzero()[:, 0]
    if len(sampled_n):
        row_n = row_N[sampled_n]
        position_n = tokens.position_BN[:, -queries:][row_n, query_N[sampled_n]]
        logp_nV = sampled_law(logits_NV[sampled_n], state, row_n)
        token_N[sampled_n] = keyed_argmax(
            logp_nV, state.seed_S[row_n], position_n, state.step_S[row_n], torch.zeros_like(row_n), Purpose.TOKEN
        )
        logp_N[sampled_n] = logp_nV.gather(1, token_N[sampled_n, None])[:, 0]
    if rules is not None:
        assert vocabulary.eos_id is not None
        token_N = torch.where(forced_N, vocabulary.eos_id, token_N)

    def spread(value_N: Tensor) -> Tensor:
        return value_N.new_zeros(valid_BQ.shape).index_put((row_N, query_N), value_N)

    plain_N = logits_NV.gather(1, token_N[:, None])[:, 0].double() - mass_N
    return Drawn(spread(token_N), spread(logp_N), spread(plain_N), spread(top_N), spread(ok_N))


def sampled_law(logits_nV: Tensor, state: SlotState, row_n: Tensor) -> Tensor:
    """Log law at the temperature of each query's row, truncated; float64 [n, V]."""
    temperature_n, top_p_n, top_k_n = state.temperature_S[row_n], state.top_p_S[row_n], state.top_k_S[row_n]
    cut_n = ((top_p_n < 1) | (top_k_n > 0)).nonzero()[:, 0]
    if len(cut_n):
        cut_logits = logits_nV[cut_n]
        value, last_id = cutoffs(cut_logits, temperature_n[cut_n], top_p_n[cut_n], top_k_n[cut_n])
        id_V = torch.arange(logits_nV.shape[1], device=logits_nV.device)
        kept = (cut_logits > value[:, None]) | ((cut_logits == value[:, None]) & (id_V <= last_id[:, None]))
        logits_nV[cut_n] = cut_logits.masked_fill(~kept, -torch.inf)
    logits_nV = logits_nV.double()
    logits_nV = (logits_nV - logits_nV.amax(-1, keepdim=True)) / temperature_n[:, None]
    return logits_nV.log_softmax(-1)


def cutoffs(logits_nV: Tensor, temperature_n: Tensor, top_p_n: Tensor, top_k_n: Tensor) -> tuple[Tensor, Tensor]:
    """The last token that top-k and top-p keep, by falling probability and rising id: its logit [n] and id [n].

    logits_nV: -inf where banned. Top-k cuts first, as in every method that the engine runs; at temperature 0 the result has
    no meaning. Waits for nothing, so that a CUDA graph can hold it. A few slots at a time, so that float64 copies stay small.
    """
    step = max(1, _ENTRIES // logits_nV.shape[1])
    parts = [
        some_cutoffs(logits_nV[i : i + step], temperature_n[i : i + step], top_p_n[i : i + step], top_k_n[i : i + step])
        for i in range(0, len(logits_nV), step)
    ]
    return torch.cat([value for value, _ in parts]), torch.cat([last_id for _, last_id in parts])


def some_cutoffs(logits_nV: Tensor, temperature_n: Tensor, top_p_n: Tensor, top_k_n: Tensor) -> tuple[Tensor, Tensor]:
    """`cutoffs` of all slots at once."""
    sorted_nV, id_nV = logits_nV.sort(dim=-1, descending=True, stable=True)
    warm_n1 = temperature_n.masked_fill(temperature_n == 0, 1.0)[:, None]
    scaled_nV = (sorted_nV.double() - sorted_nV[:, :1].double()) / warm_n1
    dropped_nV = cut_off(scaled_nV, top_k_n[:, None], top_p_n[:, None], "top-k")
    last_n1 = (~dropped_nV).sum(-1, keepdim=True) - 1
    return sorted_nV.gather(1, last_n1)[:, 0], id_nV.gather(1, last_n1)[:, 0]
