"""Law and draw at the queries of a pass, in plain torch: what `fef.laws` says, for the tokens that are drawn alone.

Shapes: N queries of all rows, n those under grammars, X states of the tree, C candidates of a draft, V vocabulary; others as
in `rounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fef.engine.advance import Drawn, EndRules
from fef.engine.packed_texts import PackedText
from fef.engine.slots import SlotState
from fef.grammar.text import unpacked
from fef.laws.draws import Purpose, keyed_ranked, largest
from fef.laws.pipeline import EntrySettings, constrained, forbid_end, sampled_law
from fef.laws.tree import chances
from fef.models.packed_pass import PassTokens

__all__ = ["Vocabulary", "draw", "drawn_queries", "legal", "log_mass"]


@dataclass(frozen=True)
class Vocabulary:
    """eos_id: the end token, if it is a part of the law. banned: ids that never occur, the mask id among them."""

    eos_id: int | None
    banned: Tensor

    def banned_mask(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.bool, device=self.banned.device).index_fill_(0, self.banned, True)


def draw(
    logits_MV: Tensor,
    state: SlotState,
    tokens: PassTokens,
    rules: EndRules | None,
    vocabulary: Vocabulary,
    texts: Mapping[int, PackedText] | None = None,
) -> Drawn:
    """Draw at the M valid queries, whose logits these are, or where a draft head makes the drafts, at the states alone. Reads
    back which they are, so this one is for the CPU.

    texts: of the rows under grammars.
    """
    queries = tokens.shape.queries
    valid_BQ = tokens.valid_BN[:, -queries:]
    if tokens.shape.head:
        valid_BQ = valid_BQ[:, : tokens.shape.states]
    elif texts:
        drawn_BQ = drawn_queries(valid_BQ, tokens.shape.states, texts)
        logits_MV, valid_BQ = logits_MV[drawn_BQ[valid_BQ]], drawn_BQ
    row_N, query_N = valid_BQ.nonzero(as_tuple=True)
    exact = torch.promote_types(logits_MV.dtype, torch.float32)
    logits_NV = logits_MV.to(exact).index_fill(-1, vocabulary.banned, -torch.inf)
    if texts:
        logits_NV = legal(logits_NV, row_N, query_N, tokens.tree.depth_BX, texts, vocabulary.banned)
    mass_N = log_mass(logits_NV, logits_MV.dtype)
    count = state.table.branching
    score_NC, draft_NC = largest(logits_NV, count)
    score_NC = score_NC.double() - mass_N[:, None]
    top_N = score_NC.exp().sum(-1)
    forced_N = torch.zeros_like(row_N, dtype=torch.bool)
    if rules is not None:
        forced_N = rules.forced[row_N, query_N]
        forbidden_N = rules.forbidden[row_N, query_N]
        forbid_end(logits_NV, vocabulary.eos_id, forbidden_N)
        allowed_nC, draft_NC[forbidden_N] = largest(logits_NV[forbidden_N], count)
        score_NC[forbidden_N] = allowed_nC.double() - mass_N[forbidden_N, None]
    ok_N = score_NC[:, 0].isfinite() | forced_N
    logp_N = torch.zeros(len(row_N), dtype=torch.float64)
    sampled_N = (state.temperature_S[row_N] > 0) & ok_N & ~forced_N
    sampled_n = sampled_N.nonzero()[:, 0]
    if len(sampled_n):
        row_n = row_N[sampled_n]
        position_n = tokens.position_BN[:, -queries:][row_n, query_N[sampled_n]]
        settings = EntrySettings(state.temperature_S[row_n], state.top_p_S[row_n], state.top_k_S[row_n])
        logp_nV = sampled_law(logits_NV[sampled_n], settings)
        zero_n, step_n = torch.zeros_like(row_n), state.step_S[row_n]
        score_NC[sampled_n], draft_NC[sampled_n] = keyed_ranked(
            logp_nV, state.seed_S[row_n], position_n, step_n, zero_n, Purpose.TOKEN, count
        )
        logp_N[sampled_n] = logp_nV.gather(1, draft_NC[sampled_n, :1])[:, 0]
    if rules is not None:
        assert vocabulary.eos_id is not None
        draft_NC[forced_N, 0], score_NC[forced_N, 0], score_NC[forced_N, 1:] = vocabulary.eos_id, 0.0, -torch.inf
    holds_NC, token_N = chances(score_NC, top_N, sampled_N), draft_NC[:, 0]

    def spread(value_N: Tensor) -> Tensor:
        shape = (*valid_BQ.shape, *value_N.shape[1:])
        return value_N.new_zeros(shape).index_put((row_N, query_N), value_N)

    plain_N = logits_NV.gather(1, token_N[:, None])[:, 0].double() - mass_N
    return Drawn(spread(token_N), spread(logp_N), spread(plain_N), spread(draft_NC), spread(holds_NC), ~spread(~ok_N))


def log_mass(logits_NV: Tensor, given: torch.dtype) -> Tensor:
    """Log of the sum of exp [N], nats, float64: in float32 many confidences would be 1, and tie where they are ranked. given:
    the type that the logits came in; of 16 bits, float32 is enough for each exp, though not for their sum."""
    if given.itemsize > 2:
        return logits_NV.double().logsumexp(-1)
    top_N1 = logits_NV.amax(-1, keepdim=True)
    return top_N1[:, 0].double() + (logits_NV - top_N1).exp_().sum(-1, dtype=torch.float64).log()


def drawn_queries(valid_BQ: Tensor, states: int, texts: Mapping[int, PackedText]) -> Tensor:
    """The queries at which something is drawn [B, Q]: of rows under grammars the states alone, since the drafts behind them
    wait for those before."""
    drawn_BQ = valid_BQ.clone()
    drawn_BQ[list(texts), states:] = False
    return drawn_BQ


def legal(
    logits_NV: Tensor, row_N: Tensor, query_N: Tensor, depth_BX: Tensor, texts: Mapping[int, PackedText], banned: Tensor
) -> Tensor:
    """Logits under what grammars allow, all states at once. depth_BX: of each state, whose query has its number."""
    depth_N = depth_BX[row_N, query_N.clamp(max=depth_BX.shape[1] - 1)].tolist()
    under = [
        (n, row, depth) for n, (row, depth) in enumerate(zip(row_N.tolist(), depth_N, strict=True)) if row in texts
    ]
    allowed = {row: unpacked(text.masks(), text.text.size) for row, text in texts.items()}
    allowed_nV = torch.from_numpy(np.stack([allowed[row][depth] for _, row, depth in under]))
    if len(under) == len(logits_NV):
        return constrained(logits_NV, allowed_nV, banned)
    entry_n = torch.tensor([n for n, _, _ in under])
    return logits_NV.index_copy(0, entry_n, constrained(logits_NV[entry_n], allowed_nV, banned))
