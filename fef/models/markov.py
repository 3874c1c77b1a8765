"""The exact denoiser of a hidden Markov chain: every posterior marginal by forward-backward, at any length.

A second oracle beside the table: long texts, where a sampler's error shows in transitions and n-grams (the test of
arXiv 2602.19619). Shapes: B rows, L canvas length, H hidden states, K real tokens, V = K + 1 with the mask id, N
tokens of an n-gram.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.errors import InputError

__all__ = ["MarkovDenoiser"]


class MarkovDenoiser:
    """Posterior marginals of a hidden Markov chain given the visible tokens.

    initial_H, transition_HH, emission_HK: probabilities of the first hidden state, of the next one (row: from), and of
    the token in each state. Without an emission the states are the tokens: a Markov chain of tokens.

    mask_id is K, vocab_size is K + 1. Raises `InputError` for arrays that do not fit or are no probabilities.
    """

    def __init__(self, initial_H: Tensor, transition_HH: Tensor, emission_HK: Tensor | None = None) -> None:
        H = len(initial_H)
        emission_HK = torch.eye(H) if emission_HK is None else emission_HK
        if initial_H.dim() != 1 or transition_HH.shape != (H, H) or emission_HK.dim() != 2 or len(emission_HK) != H:
            shapes = [tuple(x.shape) for x in (initial_H, transition_HH, emission_HK)]
            raise InputError(f"Arrays of shape {shapes}: a hidden Markov chain needs [H], [H, H] and [H, K].")
        self.initial_H = _law(initial_H, "initial")
        self.transition_HH = _law(transition_HH, "transition")
        self.emission_HK = _law(emission_HK, "emission")
        self.mask_id = self.emission_HK.shape[1]
        self.vocab_size = self.mask_id + 1

    @classmethod
    def random(cls, vocab_size: int, seed: int, *, power: float = 3.0) -> MarkovDenoiser:
        """A random Markov chain of `vocab_size` tokens; the larger `power`, the fewer likely successors a token has."""
        generator = torch.Generator().manual_seed(seed)
        weight_HH = torch.rand(vocab_size, vocab_size, generator=generator, dtype=torch.float64) ** power + 1e-3
        initial_H = torch.full((vocab_size,), 1 / vocab_size, dtype=torch.float64)
        return cls(initial_H, weight_HH / weight_HH.sum(1, keepdim=True))

    def __call__(self, ids_BL: Tensor) -> Tensor:
        """log p(X_0^i | visible tokens) at every site; float64 logits [B, L, V], -inf at the mask id.

        A visible token is certain. Visible tokens that the chain excludes leave the uniform law at the masks.
        """
        if ids_BL.dim() != 2 or (ids_BL.numel() and not 0 <= int(ids_BL.min()) <= int(ids_BL.max()) <= self.mask_id):
            raise InputError(f"ids of shape {tuple(ids_BL.shape)}: needs [B, L] with ids from 0 to {self.mask_id}.")
        masked_BL = ids_BL == self.mask_id
        seen_BLH = self.emission_HK.T[ids_BL.clamp(max=self.mask_id - 1)].masked_fill(masked_BL[..., None], 1.0)
        hidden_BLH = self._forward(seen_BLH) * self._backward(seen_BLH)
        token_BLK = hidden_BLH @ self.emission_HK
        token_BLK = torch.where(token_BLK.sum(-1, keepdim=True) > 0, token_BLK, 1.0)
        clean_BLK = torch.nn.functional.one_hot(ids_BL, self.vocab_size)[..., : self.mask_id].double()
        logp_BLK = torch.where(masked_BL[..., None], _share(token_BLK), clean_BLK).log()
        return torch.nn.functional.pad(logp_BLK, (0, 1), value=-torch.inf)

    def _forward(self, seen_BLH: Tensor) -> Tensor:
        """p(h_i | tokens before i), up to a constant a site; [B, L, H]."""
        message_BH = self.initial_H.expand(len(seen_BLH), -1)
        messages = [message_BH]
        for seen_BH in seen_BLH.unbind(1)[:-1]:
            message_BH = _share((message_BH * seen_BH) @ self.transition_HH)
            messages.append(message_BH)
        return torch.stack(messages, 1)

    def _backward(self, seen_BLH: Tensor) -> Tensor:
        """p(tokens after i | h_i), up to a constant a site; [B, L, H]."""
        message_BH = torch.ones_like(seen_BLH[:, 0])
        messages = [message_BH]
        for seen_BH in reversed(seen_BLH.unbind(1)[1:]):
            message_BH = _share((message_BH * seen_BH) @ self.transition_HH.T)
            messages.append(message_BH)
        return torch.stack(messages[::-1], 1)

    def ngram_law(self, n: int, length: int) -> Tensor:
        """The law of the n tokens at a uniform place of a text of `length` tokens; [K, ..., K]."""
        assert 1 <= n <= length, "an n-gram fits in the text"
        first_H, state_H = torch.zeros_like(self.initial_H), self.initial_H
        for _ in range(length - n + 1):
            first_H, state_H = first_H + state_H, state_H @ self.transition_HH
        joint_NH = (first_H / first_H.sum())[None]
        for place in range(n):
            if place:
                joint_NH = joint_NH @ self.transition_HH
            joint_NH = (joint_NH[:, None] * self.emission_HK.T).flatten(0, 1)
        return joint_NH.sum(1).view([self.mask_id] * n)

    def sample(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Texts [count, length], drawn state by state: ancestral sampling, no denoiser involved."""
        state_B = torch.multinomial(self.initial_H, count, replacement=True, generator=generator)
        tokens = []
        for place in range(length):
            if place:
                state_B = torch.multinomial(self.transition_HH[state_B], 1, generator=generator)[:, 0]
            tokens.append(torch.multinomial(self.emission_HK[state_B], 1, generator=generator)[:, 0])
        return torch.stack(tokens, 1)


def _share(weight: Tensor) -> Tensor:
    """Shares over the last axis; zeros where nothing is left."""
    total = weight.sum(-1, keepdim=True)
    return torch.where(total > 0, weight / total, 0.0)


def _law(array: Tensor, name: str) -> Tensor:
    array = array.to(torch.float64)
    if bool((array < 0).any()) or not bool(((array.sum(-1) - 1).abs() < 1e-6).all()):
        raise InputError(f"{name}: probabilities must not be negative and must sum to 1 over the last axis.")
    return array / array.sum(-1, keepdim=True)
