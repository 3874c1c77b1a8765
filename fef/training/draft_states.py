"""What a frozen network of the packed law knows of its own texts: one clean pass gives the target of every slot, and the
hidden states of draft groups at any of them.

Shapes: B texts, L longest text with its canvas, R longest response, X groups of a text, J members of a group, K slots of a
window, N = B X windows; D, V as in `transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.packed import REVEALED, PackedTokens, Stream, context_tokens, packed_visible, slot_tokens
from fef.models.transformer import Transformer
from fef.training.own_text import OwnTexts

__all__ = ["DraftStates", "Windows", "draft_states", "windows_of"]


@dataclass(frozen=True)
class DraftStates:
    """Final hidden states of the target queries [B, R, D], and of the members of the groups [B, X, J, D]; start_BX: first
    rank of each group, -1 where it is absent."""

    target_BRD: Tensor
    member_BXJD: Tensor
    start_BX: Tensor


@torch.no_grad()
def draft_states(network: Transformer, texts: OwnTexts, start_BX: Tensor, members: int) -> DraftStates:
    """The pass: the whole canvas masked as context, the response as references, a target at each of its slots, and groups
    of `members` masks that start at these ranks of the response."""
    L = texts.ids_BL.shape[1]
    index_L, rank_R = (
        torch.arange(L, device=network.device),
        torch.arange(int(texts.written_B.max()), device=network.device),
    )
    open_BL = (index_L >= texts.start_B[:, None]) & (index_L < texts.lengths_B[:, None])
    rank_BL = torch.where(index_L >= texts.start_B[:, None], index_L - texts.start_B[:, None], REVEALED)
    slot_BR = torch.where(rank_R < texts.written_B[:, None], texts.start_B[:, None] + rank_R, -1)
    rank_BXJ = start_BX[..., None] + torch.arange(members, device=network.device)
    there_BXJ = (start_BX[..., None] >= 0) & (rank_BXJ < texts.written_B[:, None, None])
    member_BM = torch.where(there_BXJ, texts.start_B[:, None, None] + rank_BXJ, -1).flatten(1)
    begin_BM = start_BX[..., None].expand_as(rank_BXJ).flatten(1)
    tokens = PackedTokens.cat(
        [
            context_tokens(rank_BL, texts.lengths_B),
            slot_tokens(Stream.REFERENCE, slot_BR, rank_BL),
            slot_tokens(Stream.TARGET, slot_BR, rank_BL),
            slot_tokens(Stream.DRAFT, member_BM, rank_BL, begin_BM),
        ]
    )
    mask_id, clean_BR = network.mask_id, texts.ids_BL.gather(1, slot_BR.clamp(min=0))
    masks = [torch.full_like(x, mask_id) for x in (slot_BR, member_BM)]
    ids_BN = torch.cat([texts.ids_BL.masked_fill(open_BL, mask_id), clean_BR, *masks], 1)
    hidden_BND, _ = network.trunk(ids_BN, tokens.index_BN, packed_visible(tokens, tokens))
    R, M = slot_BR.shape[1], member_BM.shape[1]
    target_BRD, member_BMD = hidden_BND[:, L + R : L + 2 * R], hidden_BND[:, -M:]
    return DraftStates(target_BRD, member_BMD.reshape(*rank_BXJ.shape, -1), start_BX)


@dataclass(frozen=True)
class Windows:
    """Slots behind states. hidden_NKD, lead_ND: see `fef.models.draft_head.DraftHead.window`. token_NX: the two tokens
    before the first slot and those of the slots, [N, K + 2]. text_N: which text. rank_NK, there_NK: where the slots are
    in the response, and whether they are within it."""

    hidden_NKD: Tensor
    lead_ND: Tensor
    token_NX: Tensor
    text_N: Tensor
    rank_NK: Tensor
    there_NK: Tensor

    @property
    def true_NK(self) -> Tensor:
        return self.token_NX[:, 2:]


def windows_of(states: DraftStates, texts: OwnTexts, skip_BX: Tensor, slots: int) -> Windows:
    """The window of `slots` slots behind the member `skip` of each group, at which the last committed token is drawn."""
    X, J, D = states.member_BXJD.shape[1:]
    device, R = texts.ids_BL.device, states.target_BRD.shape[1]
    number_BXK = skip_BX[..., None] + 1 + torch.arange(slots, device=device)
    hidden_BXKD = states.member_BXJD.gather(2, number_BXK.clamp(max=J - 1)[..., None].expand(-1, -1, -1, D))
    lead_rank_BX = states.start_BX + skip_BX
    lead_BXD = states.target_BRD.gather(1, lead_rank_BX.clamp(0, R - 1)[..., None].expand(-1, -1, D))
    rank_BXK = states.start_BX[..., None] + number_BXK
    there_BXK = (states.start_BX[..., None] >= 0) & (number_BXK < J) & (rank_BXK < texts.written_B[:, None, None])
    place_BXY = (texts.start_B[:, None] + lead_rank_BX)[..., None] - 1 + torch.arange(slots + 2, device=device)
    place_BXY = place_BXY.clamp(0, texts.ids_BL.shape[1] - 1)
    token_BXY = texts.ids_BL[:, None].expand(-1, X, -1).gather(2, place_BXY)
    text_BX = torch.arange(len(texts.ids_BL), device=device)[:, None].expand(-1, X)
    return Windows(
        *(x.flatten(0, 1) for x in (hidden_BXKD, lead_BXD, token_BXY, text_BX, rank_BXK.clamp(0, R - 1), there_BXK))
    )
