"""The exact denoiser of a small joint law: every conditional by summation. The oracle of the tests.

Shapes: B rows, L canvas length, K real tokens, V = K + 1 vocabulary with the mask id, M states.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from fef.errors import InputError
from fef.laws.draws import Purpose, uniforms
from fef.laws.noise import AbsorbingNoise, UniformNoise

__all__ = ["TableDenoiser"]

_TABLE_ENTRIES = 1 << 21  # all states are tabulated once when their laws have at most this many entries
_CHUNK_ENTRIES = 1 << 20  # entries of a temporary otherwise
_FLOOR = 0.01  # weight of the uniform law in inconsistent conditionals: keeps them positive, and logs moderate


class TableDenoiser:
    """Exact any-order conditionals of a joint law of L tokens.

    joint: probabilities [K, ..., K], one axis per position. noise: what corrupted the visible tokens; none or
    `AbsorbingNoise`: they are clean; `UniformNoise`: a token at a site with keep probability a contributes the
    likelihood a [x = v] + (1 - a) / K.

    mask_id is K, vocab_size is K + 1. Raises `InputError` for a joint that is not a probability table.
    """

    def __init__(self, joint: Tensor, *, noise: AbsorbingNoise | UniformNoise | None = None) -> None:
        self.joint = _checked(joint)
        self._setup(joint.shape[0], joint.dim(), noise)

    @classmethod
    def inconsistent(cls, vocab_size: int, length: int, seed: int) -> TableDenoiser:
        """Positive random conditionals that fit no joint: an independent Dirichlet(1/2)-like law a (state, position).

        vocab_size: number of real tokens K, so the instance's `vocab_size` is K + 1. Visible tokens are clean. Raises
        InputError for numbers below 1.
        """
        if vocab_size < 1 or length < 1:
            raise InputError(f"vocab_size={vocab_size} and length={length}: both must be at least 1.")
        return _InconsistentTable(vocab_size, length, seed)

    def _setup(self, n_tokens: int, length: int, noise: AbsorbingNoise | UniformNoise | None) -> None:
        self.mask_id = n_tokens
        self.vocab_size = n_tokens + 1
        self.length = length
        self.noise = noise

    def __call__(self, ids_BL: Tensor, keep_BL: Tensor | None = None) -> Tensor:
        """log p(X_0^i | visible) at every site; float64 logits [B, L, V], -inf at the mask id.

        ids_BL: int64; the mask id is a site without information. keep_BL: keep probabilities in [0, 1] of the sites
        (uniform noise only; default 1, a clean token). A clean token is certain. What the joint excludes (a draft it
        gives probability 0) gives the uniform law at the other sites.

        Raises `InputError` for ids of another shape or range.
        """
        self._check(ids_BL)
        ids, device = ids_BL.to(self._device), ids_BL.device
        if keep_BL is None or not isinstance(self.noise, UniformNoise):
            return self._clean(ids).to(device)
        seen_BLK = self._one_hot(ids)
        keep_BL1 = keep_BL.to(self._device, torch.float64)[..., None]
        likelihood_BLK = keep_BL1 * seen_BLK + (1 - keep_BL1) / self.mask_id
        likelihood_BLK = torch.where((ids == self.mask_id)[..., None], 1.0, likelihood_BLK)
        return self._logits(self._posterior(likelihood_BLK), likelihood_BLK).to(device)

    @property
    def _device(self) -> torch.device:
        return self.joint.device

    def _clean(self, ids_BL: Tensor) -> Tensor:
        """Logits given clean tokens and masks."""
        if self._n_states * self.length * self.vocab_size > _TABLE_ENTRIES:
            return self._logits_of(ids_BL)
        return self._table_MLV[self._code(ids_BL)]

    @property
    def _n_states(self) -> int:
        return int(self.vocab_size**self.length)

    @cached_property
    def _table_MLV(self) -> Tensor:
        digits = [torch.arange(self.vocab_size, device=self._device)] * self.length
        states_ML = torch.cartesian_prod(*digits).view(-1, self.length)
        return self._logits_of(states_ML)

    def _code(self, ids_BL: Tensor) -> Tensor:
        """The number of a state: its ids as digits."""
        place_L = self.vocab_size ** torch.arange(self.length - 1, -1, -1, device=ids_BL.device)
        return (ids_BL * place_L).sum(1)

    def _logits_of(self, ids_BL: Tensor) -> Tensor:
        likelihood_BLK = torch.where((ids_BL == self.mask_id)[..., None], 1.0, self._one_hot(ids_BL))
        return self._logits(self._posterior(likelihood_BLK), likelihood_BLK)

    def _posterior(self, likelihood_BLK: Tensor) -> Tensor:
        """Unnormalised p(X_0^i = v | visible); [B, L, K]."""
        half = self.mask_id ** ((self.length + 1) // 2)
        rows = torch.split(likelihood_BLK, max(1, _CHUNK_ENTRIES // half))
        return torch.cat([self._others(part) for part in rows]) * likelihood_BLK

    def _others(self, likelihood_BLK: Tensor) -> Tensor:
        B = likelihood_BLK.shape[0]
        # Matrix products of one row round otherwise than those of many: never a row alone.
        rows_BLK = likelihood_BLK.repeat(2, 1, 1) if B == 1 else likelihood_BLK
        return _leave_one_out(self.joint[None], rows_BLK)[:B]

    def _logits(self, weight_BLK: Tensor, likelihood_BLK: Tensor) -> Tensor:
        # Where the joint leaves nothing, a clean token stays certain and a mask is uniform.
        weight_BLK = torch.where(weight_BLK.sum(-1, keepdim=True) > 0, weight_BLK, likelihood_BLK)
        logp_BLK = (weight_BLK / weight_BLK.sum(-1, keepdim=True)).log()
        return torch.cat([logp_BLK, torch.full_like(logp_BLK[..., :1], -torch.inf)], -1)

    def _one_hot(self, ids_BL: Tensor) -> Tensor:
        return (ids_BL[..., None] == torch.arange(self.mask_id, device=ids_BL.device)).to(torch.float64)

    def _check(self, ids_BL: Tensor) -> None:
        if ids_BL.dim() != 2 or ids_BL.shape[1] != self.length:
            raise InputError(f"ids of shape {tuple(ids_BL.shape)}: this table denoiser reads [B, {self.length}].")
        if ids_BL.numel() and (int(ids_BL.min()) < 0 or int(ids_BL.max()) > self.mask_id):
            raise InputError(
                f"ids from {int(ids_BL.min())} to {int(ids_BL.max())}: tokens are 0 to {self.mask_id - 1}, "
                f"and the mask id is {self.mask_id}."
            )


class _InconsistentTable(TableDenoiser):
    def __init__(self, n_tokens: int, length: int, seed: int) -> None:
        self.seed = seed
        self._setup(n_tokens, length, None)

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu")

    def _logits_of(self, ids_BL: Tensor) -> Tensor:
        B, L, K = *ids_BL.shape, self.mask_id
        # The state enters through the seed, so a law depends on (seed, state, position) alone.
        u_BLK2 = uniforms(
            self.seed * self._n_states + self._code(ids_BL),
            torch.arange(L).expand(B, L),
            step_B=torch.zeros(B, dtype=torch.int64),
            attempt_B=torch.zeros(B, dtype=torch.int64),
            purpose=Purpose.PRIOR,
            count=2 * K,
        ).view(B, L, K, 2)
        # Squares of normal numbers (Box-Muller) are Gamma(1/2), and their shares Dirichlet(1/2).
        gamma_BLK = -u_BLK2[..., 0].log() * (2 * math.pi * u_BLK2[..., 1]).cos().square()
        law_BLK = (1 - _FLOOR) * gamma_BLK / gamma_BLK.sum(-1, keepdim=True) + _FLOOR / K
        law_BLK = torch.where((ids_BL == self.mask_id)[..., None], law_BLK, self._one_hot(ids_BL))
        return self._logits(law_BLK, law_BLK)


def _leave_one_out(table: Tensor, likelihood_BLK: Tensor) -> Tensor:
    """sum over the other sites of table * prod_{j != i} likelihood_j, for every site i and value; [B, L, K].

    table: [1 or B, K, ..., K]. Summing out one half of the sites and recursing into the other costs two matrix
    products.
    """
    B, L, K = likelihood_BLK.shape
    if L == 1:
        return table.expand(B, K)[:, None]
    left, right = likelihood_BLK[:, : L // 2], likelihood_BLK[:, L // 2 :]
    matrix = table.reshape(table.shape[0], K ** (L // 2), K ** (L - L // 2))
    left_table = (matrix @ _product(right)[..., None])[..., 0].view(B, *[K] * left.shape[1])
    right_table = (_product(left)[:, None] @ matrix)[:, 0].view(B, *[K] * right.shape[1])
    return torch.cat([_leave_one_out(left_table, left), _leave_one_out(right_table, right)], 1)


def _product(likelihood_BLK: Tensor) -> Tensor:
    """Outer product over the sites; [B, K^L]."""
    out = likelihood_BLK[:, 0]
    for j in range(1, likelihood_BLK.shape[1]):
        out = (out[:, :, None] * likelihood_BLK[:, j, None]).flatten(1)
    return out


def _checked(joint: Tensor) -> Tensor:
    if joint.dim() < 1 or len(set(joint.shape)) != 1 or joint.shape[0] < 1:
        raise InputError(
            f"joint of shape {tuple(joint.shape)}: one axis per position, all of the same number of tokens."
        )
    joint = joint.to(torch.float64)
    if not bool(joint.isfinite().all()) or bool((joint < 0).any()):
        raise InputError("joint with negative, nan or infinite entries: they must be probabilities.")
    total = float(joint.sum())
    if abs(total - 1) > 1e-4:
        raise InputError(f"joint with sum {total:.6g}: probabilities must sum to 1. Divide the table by its sum.")
    return joint / total
