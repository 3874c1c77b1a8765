"""Shared by the tests of `fef.laws`. Shapes: B rows, S slots, W drafts, L canvas length, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fef.laws.accept import AcceptRule, block, rejection
from fef.laws.draws import Noise, Purpose, Site
from fef.models.table import TableDenoiser

EXACT = [rejection, block]
K, L = 3, 4
LogLaw = Callable[[Tensor], Tensor]  # canvas ids [B, L] -> log law of every position [B, L, V]


def site(n_rows: int, n_slots: int, *, first: int = 0, step: int = 0, attempt: int = 0) -> Site:
    position_BS = (first + torch.arange(n_slots)).expand(n_rows, n_slots)
    attempt_B = torch.full((n_rows,), attempt)
    return Site(position_BS, torch.full((n_rows,), step), attempt_B, torch.ones(n_rows, n_slots, dtype=torch.bool))


def random_law(*shape: int, seed: int, concentration: float = 0.5) -> Tensor:
    """Dirichlet laws over the last axis."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch._standard_gamma(torch.full(shape, concentration, dtype=torch.float64), generator=generator)
    weight = weight + 1e-9
    return weight / weight.sum(-1, keepdim=True)


def total_variation(p: Tensor, q: Tensor) -> float:
    return 0.5 * float((p - q).abs().sum())


def draft_and_verify(
    rule: AcceptRule, target: LogLaw, drafter: LogLaw, canvas_BL: Tensor, width: int, bonus: bool, noise: Noise
) -> tuple[Tensor, Tensor]:
    """One round from the left end of an all-masked canvas, the rest token by token: text [B, L] and accepted [B]."""
    B, L = canvas_BL.shape
    T = width + bonus
    logq_BWV = drafter(canvas_BL)[:, :width]
    draft_BW = noise.categorical(logq_BWV, site(B, width), Purpose.DRAFT)
    logp = []
    for t in range(T):
        state_BL = canvas_BL.clone()
        state_BL[:, :t] = draft_BW[:, :t]
        logp.append(target(state_BL)[:, t])
    width_B = torch.full((B,), width)
    accepted = rule(torch.stack(logp, 1), logq_BWV, draft_BW, width_B, width_B + bonus, noise, site(B, T))

    text_BL = torch.cat([accepted.tokens_BT, canvas_BL[:, T:]], 1)
    for t in range(L):
        state_BL = canvas_BL.clone()
        state_BL[:, :t] = text_BL[:, :t]
        open_B = t >= accepted.commit_B
        here = site(B, 1, first=t, attempt=1).where(open_B[:, None])
        token_B = noise.categorical(target(state_BL)[:, t : t + 1], here, Purpose.TOKEN)[:, 0]
        text_BL[:, t] = torch.where(open_B, token_B, text_BL[:, t])
    return text_BL, accepted.accepted_B


def chain_law(target: LogLaw, canvas_L: Tensor, vocab_size: int) -> Tensor:
    """prod_j p(x_j | x_<j, masks after) of every text; [V, ..., V]."""
    L = canvas_L.numel()
    texts_NL = torch.cartesian_prod(*[torch.arange(vocab_size)] * L).view(-1, L)
    logp_N = torch.zeros(texts_NL.shape[0], dtype=torch.float64)
    for t in range(L):
        state_NL = canvas_L.repeat(texts_NL.shape[0], 1)
        state_NL[:, :t] = texts_NL[:, :t]
        logp_N += target(state_NL)[:, t].gather(1, texts_NL[:, t : t + 1])[:, 0]
    return logp_N.exp().view(*[vocab_size] * L)


def law_of_texts(text_NL: Tensor, probability_N: Tensor, vocab_size: int) -> Tensor:
    """Total probability of every text; [V, ..., V]."""
    L = text_NL.shape[1]
    code_N = (text_NL * vocab_size ** torch.arange(L - 1, -1, -1)).sum(1)
    law = torch.zeros(vocab_size**L, dtype=torch.float64).index_add_(0, code_N, probability_N)
    return law.view(*[vocab_size] * L)


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def point(token, vocab_size):
    return torch.nn.functional.one_hot(torch.as_tensor(token), vocab_size).double()


def log_conditionals(table):
    return lambda ids: table(ids).log_softmax(-1)


def joint_table(seed):
    return TableDenoiser(random_law(K**L, seed=seed, concentration=0.15).view(*[K] * L))


PAIRS = {
    "consistent": (joint_table(0), joint_table(0)),
    "consistent, another drafter": (joint_table(0), joint_table(1)),
    "inconsistent": (TableDenoiser.inconsistent(K, L, 0), TableDenoiser.inconsistent(K, L, 0)),
    "inconsistent, another drafter": (TableDenoiser.inconsistent(K, L, 0), TableDenoiser.inconsistent(K, L, 1)),
}
