"""The order-causal layer of self-speculative masked diffusion (SSMD, arXiv 2510.03929), on a network that stays as it is.

Shapes: B rows, S slots in decoding order, D width of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.models.hidden_layer import HiddenLayer

__all__ = ["OrderBlock"]


class OrderBlock(HiddenLayer):
    """One layer over the open slots, causal in their order: it reads the hidden states of a pass that saw them as masks, and
    the token of each slot, and changes the hidden state of the slot behind."""

    objective, words, inputs = "ssmd", "an order-causal layer", 3

    def forward(self, hidden_BSD: Tensor, tokens_BSD: Tensor, positions_BS: Tensor) -> Tensor:
        """Hidden states [B, S, D] that also know the tokens of the slots before; that of the first slot as it was.

        hidden_BSD: of a pass, at the slots. tokens_BSD: embeddings of their tokens. positions_BS: where they are.
        """
        if hidden_BSD.shape[1] < 2:
            return hidden_BSD
        state_BSD = self.state_norm(hidden_BSD)
        parts = [state_BSD[:, :-1], state_BSD[:, 1:], self.token_norm(tokens_BSD[:, :-1])]
        size = hidden_BSD.shape[1] - 1
        causal_1SS = torch.ones(1, size, size, dtype=torch.bool, device=hidden_BSD.device).tril()
        added_BSD = self.change(parts, positions_BS[:, :-1], causal_1SS)
        return torch.cat([hidden_BSD[:, :1], hidden_BSD[:, 1:] + added_BSD], 1)
