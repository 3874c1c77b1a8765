"""The file of a draft head (`fef.models.rounded_file`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from fef.errors import CheckpointError
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.rounded_file import UNREADABLE, read_rounded, same_network, save_rounded, short
from fef.models.transformer import Transformer

__all__ = ["DRAFT_HEAD", "load_draft_head", "save_draft_head"]

DRAFT_HEAD = "draft_head.safetensors"
FORMAT = "fef-draft-head-1"
TRAIN = "`fef train --objective draft-head --init MODEL`"


def save_draft_head(path: Path, head: DraftHead, network: Transformer) -> None:
    """Write the head of this network, whole or not at all. Raises CheckpointError where that fails."""
    save_rounded(path, head, network, FORMAT, {"sizes": json.dumps(asdict(head.sizes))})


def load_draft_head(path: Path, network: Transformer) -> DraftHead:
    """The head of this network, in its dtype and on its device. Raises CheckpointError for a damaged file and for the
    head of another network."""
    try:
        found = read_rounded(path, FORMAT, network.embed.weight.dtype)
        sizes = HeadSizes(**json.loads(found.metadata["sizes"]))
        if sizes.candidates > network.config.vocab_size:
            raise ValueError(f"{sizes.candidates} candidates of {network.config.vocab_size} tokens")
        with torch.device("meta"):
            head = DraftHead(sizes)
        head.load_state_dict(found.weights, assign=True)
    except FileNotFoundError:
        raise CheckpointError(f"There is no draft head {path}. {TRAIN} makes one.") from None
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is damaged or no draft head ({short(error)}). Copy it again, make one with {TRAIN}, or load the model "
            "without it (head='none')."
        ) from error
    if not same_network(found.sample_N, network):
        raise CheckpointError(
            f"{path} was trained on another network than this one. Make one with {TRAIN}, or load the model without it "
            "(head='none')."
        )
    return head.to(network.device).eval().requires_grad_(False)
