"""The joint sampling layer of ADJUST (arXiv 2509.22738): what a drawn token changes at the other slots, without a pass.

Shapes: B rows, S slots, D width of the network.
"""

from __future__ import annotations

from torch import Tensor

from fef.models.hidden_layer import HiddenLayer

__all__ = ["JointLayer"]


class JointLayer(HiddenLayer):
    """One layer over the slots that a pass has seen as masks, every slot seen by every other: it reads their hidden states
    and what stands there by now. It runs again for each token that is drawn. The paper's layer reads the whole canvas; what
    stands elsewhere is in the hidden states."""

    objective, words, inputs = "adjust", "a joint layer", 2

    def forward(self, hidden_BSD: Tensor, tokens_BSD: Tensor, positions_BS: Tensor, real_BS: Tensor) -> Tensor:
        """Hidden states [B, S, D] that know the tokens drawn since.

        hidden_BSD: of a pass, or of the layer before. tokens_BSD: embeddings of tokens, and of the mask at open slots.
        positions_BS: where the slots are. real_BS: which there are.
        """
        parts = [self.state_norm(hidden_BSD), self.token_norm(tokens_BSD)]
        visible_BSS = real_BS[:, None].expand(-1, real_BS.shape[1], -1)
        return hidden_BSD + self.change(parts, positions_BS, visible_BSS)
