"""Influence of masked positions on each other, measured on a frozen network by trying sampled values: what a head learns.

Shapes: B states, L canvas length, S slots, X sources (the first slots of a state), K draws a source, D width, V
vocabulary, R rows, P pairs of state and source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fef.laws.influence import total_variation
from fef.laws.pipeline import Sampling, log_law
from fef.models.transformer import Transformer
from fef.training.data import Examples, batch
from fef.training.patterns import decoding_masks

__all__ = ["States", "Targets", "Teacher", "draw_states", "sampled_influence"]

PADDING_SHARE = 0.2  # how often a slot behind the text is chosen, relative to one inside
FULL_SHARE, INFILL_SHARE = 0.4, 0.1
FLAT = 0.01  # the least deviation of a dimension of hidden states, relative to the mean one
ROWS = 32  # a pass on a CPU: few, so that rows of similar length run together
DEVICE_ENTRIES = 1 << 26  # entries of the laws of a pass on an accelerator: 512 MiB in float64


@dataclass(frozen=True)
class States:
    """Partly masked canvases ids_BL, shortest first, of lengths_B tokens, and some of their masked positions slots_BS in
    random order, -1 where there are fewer."""

    ids_BL: Tensor
    lengths_B: Tensor
    slots_BS: Tensor

    @property
    def at_BS(self) -> Tensor:
        """A position for every slot, present or not."""
        return self.slots_BS.clamp_min(0)

    def with_slots(self, slots_BS: Tensor) -> States:
        return States(self.ids_BL, self.lengths_B, slots_BS)

    def __getitem__(self, rows: slice) -> States:
        """These states, as long as their longest one."""
        length = int(self.lengths_B[rows].max())
        return States(self.ids_BL[rows, :length], self.lengths_B[rows], self.slots_BS[rows])


@dataclass(frozen=True)
class Teacher:
    """A frozen network and the law whose influence is measured: its temperature, and ids that never occur."""

    model: Transformer
    banned: Tensor
    temperature: float = 1.0

    def law(self, logits_RSV: Tensor) -> Tensor:
        """Log probabilities, float64 [R, S, V]."""
        ones_R = torch.ones(len(logits_RSV), dtype=torch.float64, device=logits_RSV.device)
        return log_law(
            logits_RSV,
            Sampling(
                temperature_B=ones_R * self.temperature, top_p_B=ones_R, top_k_B=ones_R.long() * 0, banned=self.banned
            ),
        )

    def score(self, states: States) -> Callable[[Tensor], Tensor]:
        """Logits at the states' slots, for whole copies of the batch (`fef.laws.influence`)."""

        def score(ids_RL: Tensor) -> Tensor:
            copies = len(ids_RL) // len(states.ids_BL)
            return self.model.logits_at(ids_RL, states.at_BS.repeat(copies, 1), states.lengths_B.repeat(copies))

        return score


@dataclass(frozen=True)
class Targets:
    """What a head is fitted to: hidden states [B, S, D] (bfloat16) and positions [B, S] of slots (-1: absent), and the
    influence [B, X, S] of the first X of them on all."""

    hidden_BSD: Tensor
    slots_BS: Tensor
    influence_BXS: Tensor

    @classmethod
    def cat(cls, parts: list[Targets]) -> Targets:
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def hidden_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, float32 [D] each, of the hidden states of present slots. Deviations far below the
        others count as a hundredth of their mean."""
        hidden_MD = self.hidden_BSD[self.slots_BS >= 0].float()
        deviation_D = hidden_MD.std(0, correction=0)
        return hidden_MD.mean(0), deviation_D.clamp_min(FLAT * max(float(deviation_D.mean()), FLAT))

    def weight_BXS(self) -> Tensor:
        """1 where both slots are present and differ, else 0."""
        S, X = self.slots_BS.shape[1], self.influence_BXS.shape[1]
        real_BS = self.slots_BS >= 0
        other_XS = ~torch.eye(S, dtype=torch.bool, device=real_BS.device)[:X]
        return (real_BS[:, :X, None] & real_BS[:, None, :] & other_XS).float()


def draw_states(
    examples: Examples, teacher: Teacher, size: int, canvas_length: int, slots: int, generator: torch.Generator
) -> States:
    """Random states of decoding: a prompt, its answer masked by a `decoding_masks` pattern, and up to `slots` slots."""
    config = teacher.model.config
    assert config.eos_id is not None
    canvases = batch(examples, config, size, canvas_length, FULL_SHARE, INFILL_SHARE, generator)
    masked_BL = decoding_masks(canvases, config.eos_id, generator)
    index_L = torch.arange(masked_BL.shape[1], device=masked_BL.device)
    text_BL = index_L < canvases.text_stop_B(config.eos_id)[:, None]
    # Efraimidis and Spirakis 2006: the largest u^(1/weight) are a weighted draw without replacement, in its order
    u_BL = torch.rand(masked_BL.shape, generator=generator, device=masked_BL.device)
    key_BL = u_BL.log() / torch.where(text_BL, 1.0, PADDING_SHARE)
    key_BS, slots_BS = key_BL.masked_fill(~masked_BL, -torch.inf).topk(min(slots, len(index_L)))
    slots_BS = torch.nn.functional.pad(
        slots_BS.masked_fill(key_BS == -torch.inf, -1), (0, slots - slots_BS.shape[1]), value=-1
    )
    ids_BL = canvases.ids_BL.masked_fill(masked_BL, config.mask_id)
    shortest_first = canvases.lengths_B.argsort()
    return States(*(x[shortest_first] for x in (ids_BL, canvases.lengths_B, slots_BS)))[:]


@torch.no_grad()
def sampled_influence(
    teacher: Teacher, states: States, sources: int, draws: int, generator: torch.Generator
) -> Targets:
    """Unbiased influence of the first `sources` slots, by `draws` values of each from its own law (2604.02560, stage 1).

    Total variations are between whole marginals. Equal draws share a row: 1 to 1 + X K rows per state.
    """
    hidden_BSD = teacher.model.hidden_at(states.ids_BL, states.at_BS, states.lengths_B)
    p_BSV = teacher.law(teacher.model.logits(hidden_BSD)).exp()
    B, S, V = p_BSV.shape
    sources = min(sources, S)
    drawn_PK = torch.multinomial(p_BSV[:, :sources].flatten(0, 1), draws, replacement=True, generator=generator)
    real_P = states.slots_BS[:, :sources].flatten() >= 0
    pair_P = torch.arange(B * sources, device=p_BSV.device)
    code_R, count_R = torch.unique((pair_P[:, None] * V + drawn_PK)[real_P], return_counts=True)
    influence_PS = p_BSV.new_zeros(B * sources, S)
    rows = ROWS if p_BSV.device.type == "cpu" else max(1, DEVICE_ENTRIES // (S * V))
    for part in torch.split(torch.arange(len(code_R)), rows):
        pair_R, value_R = code_R[part] // V, code_R[part] % V
        state_R, source_R = pair_R // sources, pair_R % sources
        L = int(states.lengths_B[state_R].max())
        ids_RL = states.ids_BL[state_R, :L].scatter(1, states.at_BS[state_R, source_R, None], value_R[:, None])
        logits_RSV = teacher.model.logits_at(ids_RL, states.at_BS[state_R], states.lengths_B[state_R])
        change_RS = total_variation(teacher.law(logits_RSV).exp(), p_BSV[state_R])
        influence_PS.index_add_(0, pair_R, change_RS * (count_R[part] / draws)[:, None])
    return Targets(hidden_BSD.bfloat16(), states.slots_BS, influence_PS.view(B, sources, S).float())
