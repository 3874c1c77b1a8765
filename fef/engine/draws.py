"""Law and draw at the queries of a pass, in plain torch: what `fef.laws` says, for the tokens that are drawn alone.

Shapes: N queries of all rows, V vocabulary; others as in `rounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.advance import Drawn, EndRules
from fef.engine.slots import SlotState
from fef.laws.draws import Purpose, keyed_argmax
from fef.laws.pipeline import EntrySettings, forbid_end, sampled_law
from fef.models.packed_pass import PassTokens

__all__ = ["Vocabulary", "draw"]


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
        forbid_end(logits_NV, vocabulary.eos_id, rules.forbidden[row_N, query_N])
    ok_N = logits_NV.amax(-1).isfinite() | forced_N
    token_N = logits_NV.argmax(-1)
    logp_N = torch.zeros(len(row_N), dtype=torch.float64)
    sampled_n = ((state.temperature_S[row_N] > 0) & ok_N & ~forced_N).nonzero()[:, 0]
    if len(sampled_n):
        row_n = row_N[sampled_n]
        position_n = tokens.position_BN[:, -queries:][row_n, query_N[sampled_n]]
        settings = EntrySettings(state.temperature_S[row_n], state.top_p_S[row_n], state.top_k_S[row_n])
        logp_nV = sampled_law(logits_NV[sampled_n], settings)
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
