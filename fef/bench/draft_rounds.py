"""Rounds of drafts, simulated on texts that the network drew itself: how many tokens a round commits, by chain and by tree.

A round begins behind a token that was drawn exactly, with a draft group at that very state, as where groups stand at
every place where a round may end. Under coupled acceptance the text is what the targets draw, so a draft holds exactly
where it is the text's next token; which drafts there are follows from draft laws and the noise that the engine draws
with.

Shapes: B texts, N states of all texts, K slots, C candidates; V, D as in `transformer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fef.laws.draws import Purpose, gumbels
from fef.laws.growth import child_chances, held
from fef.laws.pipeline import EntrySettings
from fef.models.draft_head import DraftHead, DraftWindow, top_candidates
from fef.models.draft_tree import DraftStart, draft_law, draft_tree
from fef.models.transformer import Transformer
from fef.training.draft_states import Windows, draft_states, windows_of
from fef.training.own_text import OwnText, batched

__all__ = ["Rounds", "States", "chain_held", "chain_rounds", "states_of", "tree_rounds"]

CHUNK = 4  # texts per pass
ONLY_PASS = 1  # the number of a text's denoising pass (`fef.decoding.passes`)


@dataclass(frozen=True)
class States:
    """Every state of some texts but their last. ids_NKC, logits_NKC: candidates and marginals of the slots behind it.
    noise_NKC: Gumbel numbers of the slots at the candidates, 0 for greedy texts. temperature_N: of the text. first_B,
    count_B: number of a text's first state, and how many it has."""

    windows: Windows
    ids_NKC: Tensor
    logits_NKC: Tensor
    noise_NKC: Tensor
    temperature_N: Tensor
    first_B: Tensor
    count_B: Tensor

    def settings(self, states: Tensor) -> EntrySettings:
        temperature = self.temperature_N[states]
        return EntrySettings(temperature, torch.ones_like(temperature), torch.zeros_like(states))

    def window(self, head: DraftHead | None, states: Tensor) -> DraftWindow:
        """What a head reads of these states; without one, the marginals."""
        ids, logits, hidden = self.ids_NKC[states], self.logits_NKC[states], self.windows.hidden_NKD[states]
        if head is None:
            return DraftWindow(hidden, ids, logits)
        return head.window(hidden, self.windows.lead_ND[states], ids, logits)


@torch.no_grad()
def states_of(
    network: Transformer, texts: Sequence[OwnText], slots: int, candidates: int, banned: Sequence[int]
) -> States:
    """Of texts of at least two tokens. banned: ids that are never drawn."""
    parts = list(parts_of(network, texts, slots, candidates, banned))
    count_B = torch.cat([part.count_B for part in parts])
    windows = [vars(part.windows) for part in parts]
    return States(
        windows=Windows(**{name: torch.cat([window[name] for window in windows]) for name in windows[0]}),
        ids_NKC=torch.cat([part.ids_NKC for part in parts]),
        logits_NKC=torch.cat([part.logits_NKC for part in parts]),
        noise_NKC=torch.cat([part.noise_NKC for part in parts]),
        temperature_N=torch.cat([part.temperature_N for part in parts]),
        first_B=count_B.cumsum(0) - count_B,
        count_B=count_B,
    )


def parts_of(
    network: Transformer, texts: Sequence[OwnText], slots: int, candidates: int, banned: Sequence[int]
) -> Iterator[States]:
    config, device = network.config, network.device
    assert config.eos_id is not None, "own texts have an end"
    never = torch.tensor([*banned, config.mask_id], device=device)
    for start in range(0, len(texts), CHUNK):
        chunk = batched(texts[start : start + CHUNK], config.eos_id, device)
        rank_R = torch.arange(int(chunk.written_B.max()), device=device)
        real_BR = rank_R < chunk.written_B[:, None] - 1
        states = draft_states(network, chunk, torch.where(real_BR, rank_R, -1), slots + 1)
        windows = windows_of(states, chunk, torch.zeros_like(states.start_BX), slots)
        real_N = real_BR.flatten()
        windows = replace(windows, **{name: value[real_N] for name, value in vars(windows).items()})
        logits_NKV = network.logits(windows.hidden_NKD).index_fill(-1, never, -torch.inf)
        ids_NKC, logits_NKC = top_candidates(logits_NKV, candidates)
        noise_NKC = torch.zeros(ids_NKC.shape, dtype=torch.float64, device=device)
        if bool((chunk.temperature_B > 0).any()):
            position_BR = chunk.start_B[:, None] + rank_R
            zero_B = torch.zeros_like(chunk.seed_B)
            noise_BRV = gumbels(
                chunk.seed_B,
                position_BR,
                step_B=zero_B + ONLY_PASS,
                attempt_B=zero_B,
                purpose=Purpose.TOKEN,
                count=config.vocab_size,
            )
            noise_NKC = noise_BRV[windows.text_N[:, None, None], windows.rank_NK[..., None], ids_NKC]
        yield States(
            windows,
            ids_NKC,
            logits_NKC,
            noise_NKC,
            chunk.temperature_B[windows.text_N],
            chunk.start_B,
            real_BR.sum(1),
        )


@dataclass(frozen=True)
class Rounds:
    """tokens_B, rounds_B: of each text, but for its first token, which the pass before the first round drew."""

    tokens_B: Tensor
    rounds_B: Tensor

    @property
    def tokens_per_round(self) -> float:
        return float(self.tokens_B.sum() / self.rounds_B.sum())

    @property
    def error(self) -> float:
        """Standard error of the ratio, over texts."""
        off_B = self.tokens_B - self.tokens_per_round * self.rounds_B
        return float(off_B.square().sum().sqrt() / self.rounds_B.sum())


@torch.no_grad()
def chain_held(network: Transformer, head: DraftHead | None, states: States, batch: int = 1024) -> Tensor:
    """Whether the chain's draft of each slot holds where those before it do, bool [N, K]."""
    found = []
    for start in range(0, len(states.ids_NKC), batch):
        part_N = torch.arange(start, min(start + batch, len(states.ids_NKC)), device=network.device)
        window = states.window(head, part_N)
        logits_NKC = window.logits_BKC.float()
        if head is not None:
            logits_NKC = head.sequence(network, window, states.windows.token_NX[part_N][:, :-1])
        logp_NKC = draft_law(logits_NKC, states.settings(part_N))
        _, best_NK1 = child_chances(logp_NKC, states.noise_NKC[part_N], branching=1)
        draft_NK = window.ids_BKC.gather(2, best_NK1)[..., 0]
        found.append((draft_NK == states.windows.true_NK[part_N]) & states.windows.there_NK[part_N])
    return torch.cat(found)


def chain_rounds(states: States, held_NK: Tensor, drafts: int) -> Rounds:
    """Chains of so many drafts."""
    run_N = held_NK[:, :drafts].long().cumprod(1).sum(1)
    return rounds_of(states, lambda state_B, _: run_N[state_B])


def rounds_of(states: States, drafts_held: Callable[[Tensor, Tensor], Tensor]) -> Rounds:
    """drafts_held(state_B, left_B): how many hold behind each of these states, of which texts have so many slots left."""
    done_B, rounds_B = torch.zeros_like(states.count_B), torch.zeros_like(states.count_B)
    while bool((live_B := done_B < states.count_B).any()):
        left_B = (states.count_B - done_B)[live_B]
        commit_B = torch.minimum(drafts_held((states.first_B + done_B)[live_B], left_B) + 1, left_B)
        done_B[live_B] += commit_B
        rounds_B[live_B] += 1
    return Rounds(states.count_B, rounds_B)


@torch.no_grad()
def tree_rounds(
    network: Transformer,
    head: DraftHead | None,
    states: States,
    nodes: int,
    slots: int,
    frontier: int,
    branching: int,
) -> Rounds:
    """Trees of so many nodes in so many depths, of each of which the best `frontier` states are continued by up to
    `branching` nodes."""

    def held_by_tree(state_B: Tensor, left_B: Tensor) -> Tensor:
        window = states.window(head, state_B)
        start = DraftStart(
            DraftWindow(window.known_BKD[:, :slots], window.ids_BKC[:, :slots], window.logits_BKC[:, :slots]),
            before_B=states.windows.token_NX[state_B, 0],
            last_B=states.windows.token_NX[state_B, 1],
            limit_B=left_B,
            noise_BKC=states.noise_NKC[state_B],
            settings=states.settings(state_B),
        )
        drafted = draft_tree(network, head, start, nodes, branching, frontier=frontier)
        return held(drafted, states.windows.true_NK[state_B], slots)

    return rounds_of(states, held_by_tree)
