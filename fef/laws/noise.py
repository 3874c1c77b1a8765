"""Noise of discrete diffusion, absorbing (mask) and uniform: independent across positions given the clean text.

x_t is a noisy token id, x_0 a clean one; `...` is any shape (usually [B, L]); V vocabulary. Times run from 0 (clean)
to 1 (noise). Probabilities are float64. Sources: Austin et al. 2021 (D3PM, arXiv 2107.03006); Sahoo et al. 2024
(MDLM, arXiv 2406.07524).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import overload

import torch
from torch import Tensor

from fef.errors import OptionError, nearest_hint

__all__ = ["AbsorbingNoise", "Schedule", "SiteNoise", "UniformNoise", "cosine_keep", "linear_keep"]


@overload
def linear_keep(t: float) -> float: ...
@overload
def linear_keep(t: Tensor) -> Tensor: ...
def linear_keep(t: float | Tensor) -> float | Tensor:
    """alpha_t = 1 - t (LLaDA, MDLM's log-linear schedule)."""
    return 1 - t


@overload
def cosine_keep(t: float) -> float: ...
@overload
def cosine_keep(t: Tensor) -> Tensor: ...
def cosine_keep(t: float | Tensor) -> float | Tensor:
    """alpha_t = 1 - sin(pi t / 2) (MaskGIT's cosine schedule); exactly 1 at t = 0 and 0 at t = 1."""
    if isinstance(t, Tensor):
        return 1 - torch.sin(t * (math.pi / 2))
    return 1 - math.sin(t * (math.pi / 2))


_KEEP = {"linear": linear_keep, "cosine": cosine_keep}


@dataclass(frozen=True)
class Schedule:
    """Keep probability alpha_t by name, "linear" or "cosine"; alpha_0 = 1 and alpha_1 = 0 exactly."""

    name: str = "linear"

    def __post_init__(self) -> None:
        if self.name not in _KEEP:
            raise OptionError(f"Unknown noise schedule {self.name!r}.{nearest_hint(self.name, _KEEP)}")

    @overload
    def keep(self, t: float) -> float: ...
    @overload
    def keep(self, t: Tensor) -> Tensor: ...
    def keep(self, t: float | Tensor) -> float | Tensor:
        """alpha_t for a time in [0, 1] (a number, or a tensor of times)."""
        if isinstance(t, Tensor):
            return _KEEP[self.name](t.to(torch.float64))
        assert 0 <= t <= 1, f"time {t} outside [0, 1]"
        return _KEEP[self.name](t)


@dataclass(frozen=True)
class AbsorbingNoise:
    """Each token is kept with probability alpha_t and is otherwise the mask (MDLM, arXiv 2406.07524)."""

    mask_id: int
    schedule: Schedule = field(default_factory=Schedule)

    def keep(self, t: float) -> float:
        """alpha_t."""
        return self.schedule.keep(t)

    def prior(self, vocab_size: int, device: torch.device | None = None) -> Tensor:
        """q(x_1): a point mass on the mask; probabilities [V]."""
        prior_V = torch.zeros(vocab_size, dtype=torch.float64, device=device)
        prior_V[self.mask_id] = 1
        return prior_V

    def log_likelihood(self, x_t: Tensor, t: float | Tensor, vocab_size: int) -> Tensor:
        """log q(x_t | x_0 = v); [..., V]. A mask stays a mask, so the mask column is 0 at a mask and -inf elsewhere.

        t: one time, or times that broadcast against x_t.
        """
        return self._kernel(x_t, self.schedule.keep(_times(t, x_t)), vocab_size).log()

    def corrupt(self, x_0: Tensor, t: float | Tensor, uniform: Tensor) -> Tensor:
        """A draw of x_t given x_0; uniform: float64 in (0, 1), the shape of x_0."""
        return torch.where(uniform < self.schedule.keep(_times(t, x_0)), x_0, self.mask_id)

    def reveal_probability(self, t: float, s: float) -> float:
        """Probability that a site masked at t is revealed at s < t: (alpha_s - alpha_t) / (1 - alpha_t)."""
        assert 0 <= s < t <= 1, f"reverse step from t = {t} to s = {s}"
        keep_t = self.schedule.keep(t)
        return (self.schedule.keep(s) - keep_t) / (1 - keep_t)

    def posterior(self, x_t: Tensor, x_0: Tensor, t: float, s: float, vocab_size: int) -> Tensor:
        """q(x_s | x_t, x_0) for s < t; probabilities [..., V].

        A revealed token stays; a mask becomes x_0 with the reveal probability (MDLM, Eq. 6). x_t must be possible
        given x_0.
        """
        reveal = self.reveal_probability(t, s)
        stay = _one_hot(x_t, vocab_size)
        return torch.where(
            (x_t == self.mask_id)[..., None], (1 - reveal) * stay + reveal * _one_hot(x_0, vocab_size), stay
        )

    def _kernel(self, x_t: Tensor, keep: Tensor, vocab_size: int) -> Tensor:
        """q(x_t | x_0 = v); [..., V]."""
        same = _one_hot(x_t, vocab_size)
        masked = (x_t == self.mask_id).to(torch.float64)
        return keep[..., None] * same + ((1 - keep) * masked)[..., None]


@dataclass(frozen=True)
class UniformNoise:
    """Each token is kept with probability alpha_t and is otherwise drawn uniformly from the ids 0 .. vocab_size - 1
    (D3PM, arXiv 2107.03006).

    vocab_size counts real tokens. A site that holds another id (the mask of a canvas not drawn yet) was never
    observed: its likelihood is 1 whatever the clean token.
    """

    vocab_size: int
    schedule: Schedule = field(default_factory=Schedule)

    def keep(self, t: float) -> float:
        """alpha_t."""
        return self.schedule.keep(t)

    def prior(self, vocab_size: int, device: torch.device | None = None) -> Tensor:
        """q(x_1): uniform over the real tokens, 0 at ids past them; probabilities [V]."""
        return self._real(vocab_size, device) / self.vocab_size

    def log_likelihood(self, x_t: Tensor, t: float | Tensor, vocab_size: int) -> Tensor:
        """log q(x_t | x_0 = v); [..., V], -inf at ids that are no real tokens.

        t: one time, or times that broadcast against x_t.
        """
        return self._likelihood(x_t, self.schedule.keep(_times(t, x_t)), vocab_size).log()

    def corrupt(self, x_0: Tensor, t: float | Tensor, uniform: Tensor) -> Tensor:
        """A draw of x_t given x_0; uniform: float64 in (0, 1), the shape of x_0."""
        keep = self.schedule.keep(_times(t, x_0))
        # Given that it is at least alpha_t, the number is uniform on (alpha_t, 1), so it serves for the new token too.
        rest = (uniform - keep) / (1 - keep).clamp_min(torch.finfo(torch.float64).tiny)
        other = (rest * self.vocab_size).floor().clamp(0, self.vocab_size - 1).to(x_0.dtype)
        return torch.where(uniform < keep, x_0, other)

    def posterior(self, x_t: Tensor, x_0: Tensor, t: float, s: float, vocab_size: int) -> Tensor:
        """q(x_s | x_t, x_0) for s < t; probabilities [..., V]: Bayes' rule, q(x_t | x_s) q(x_s | x_0) (D3PM, Eq. 3)."""
        assert 0 <= s < t <= 1, f"reverse step from t = {t} to s = {s}"
        keep_s = torch.full(x_0.shape, self.schedule.keep(s), dtype=torch.float64, device=x_0.device)
        ratio = torch.full_like(keep_s, self.schedule.keep(t) / self.schedule.keep(s))
        # The kernel is symmetric: as a function of x_s, q(x_s | x_0) is the likelihood of x_0.
        weight = self._likelihood(x_t, ratio, vocab_size) * self._likelihood(x_0, keep_s, vocab_size)
        return weight / weight.sum(-1, keepdim=True)

    def _likelihood(self, x_t: Tensor, keep: Tensor, vocab_size: int) -> Tensor:
        """q(x_t | x_0 = v); [..., V]."""
        seen = keep[..., None] * _one_hot(x_t, vocab_size) + ((1 - keep) / self.vocab_size)[..., None]
        return torch.where((x_t < self.vocab_size)[..., None], seen, 1.0) * self._real(vocab_size, x_t.device)

    def _real(self, vocab_size: int, device: torch.device | None) -> Tensor:
        assert vocab_size >= self.vocab_size, "the vocabulary holds every real token"
        return (torch.arange(vocab_size, device=device) < self.vocab_size).to(torch.float64)


SiteNoise = AbsorbingNoise | UniformNoise


def _times(t: float | Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(t, dtype=torch.float64, device=x.device).expand(x.shape)


def _one_hot(x: Tensor, vocab_size: int) -> Tensor:
    return (x[..., None] == torch.arange(vocab_size, device=x.device)).to(torch.float64)
