"""The information profile of a denoiser, measured on texts (see `fef.laws.information`).

Shapes: B rows (texts), L canvas length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fef.decoders import make_plan
from fef.decoding.inputs import Settings, check_ids, check_lengths, check_observer, check_open
from fef.decoding.network import Network
from fef.decoding.profile import masked_nats
from fef.decoding.requests import request_rows
from fef.errors import InputError
from fef.laws.information import Profile, estimate_profile, measuring_points
from fef.readers import whole_from

__all__ = ["information_profile"]


@torch.no_grad()
def information_profile(
    denoiser: Callable[..., Tensor],
    ids: Tensor,
    *,
    open: Tensor | None = None,
    points: int = 16,
    seed: int | Sequence[int] = 0,
    eos_id: int | None = None,
    lengths: Sequence[int] | Tensor | None = None,
    banned: Sequence[int] = (),
    batch_size: int = 8,
    on_done: Callable[[int], None] | None = None,
) -> Profile:
    """f(k): mean -log p (nats) of a token of these texts given k others in a random order, at temperature 1.

    ids [B, L]: whole texts, laid out as they are decoded, at least two. open: bool [B, L], the slots that decoding fills,
    as many in every row; by default all. points: numbers of revealed tokens that are measured, one pass over each text a
    point; the profile is linear in between. on_done: called with the number of texts of each finished batch. Other
    arguments as in `fef.decode`. For texts of the denoiser's own law f(k) is the mean conditional entropy (Lavenant and
    Zanella, arXiv 2510.25544).

    Raises InputError for ids, slots or texts that do not fit, OptionError for other values.
    """
    points, batch_size = whole_from("points", points, 2), whole_from("batch_size", batch_size, 1)
    check_observer("on_done", on_done)
    network = Network(denoiser)
    plan = make_plan("sequential", {"order": "random"}, network)
    tokens_BL = check_ids(ids, network)
    masked_BL = tokens_BL.clone()
    open_BL = check_open(
        torch.ones_like(tokens_BL, dtype=torch.bool) if open is None else open, masked_BL, network.mask_id
    )
    lengths_B = check_lengths(lengths, tokens_BL, open_BL, network)
    length = check_slots(open_BL)
    requests = request_rows(
        network,
        plan,
        masked_BL,
        open_BL,
        Settings(temperature=1.0),
        seed=seed,
        eos_id=eos_id,
        banned=banned,
        lengths_B=lengths_B,
    )
    revealed = measuring_points(length, points)
    parts = []
    for start in range(0, len(tokens_BL), batch_size):
        rows = torch.arange(len(tokens_BL), device=tokens_BL.device)[start : start + batch_size]
        parts.append(masked_nats(network, plan, requests.select(rows), tokens_BL[rows], revealed))
        if on_done is not None:
            on_done(len(rows))
    nats_BG = torch.cat(parts)
    check_possible(nats_BG)
    return estimate_profile(nats_BG.cpu().numpy(), revealed, length)


def check_slots(open_BL: Tensor) -> int:
    """Open slots of a row."""
    counts = sorted(set(open_BL.sum(1).tolist()))
    if len(open_BL) < 2 or len(counts) > 1 or counts[0] < 1:
        raise InputError(
            f"A profile needs two texts or more with as many open slots each; got {len(open_BL)} with "
            f"{' or '.join(map(str, counts))}. Lay all texts out on canvases of one length."
        )
    return int(counts[0])


def check_possible(nats_BG: Tensor) -> None:
    wrong_N = (~nats_BG.isfinite().all(1)).nonzero()[:, 0]
    if len(wrong_N):
        raise InputError(
            f"Text {int(wrong_N[0])} (of {len(nats_BG)}, the first is 0) has a token of probability 0: the mask id, a banned "
            "id, a token behind EOS, or one that the denoiser excludes. Leave such texts out."
        )
