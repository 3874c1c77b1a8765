"""The suite on a checkpoint: its own network on texts of a few of its tokens, so that every text can be listed.

A network whose embedding and head keep the rows of a few tokens and the mask has the law of the whole network given that
nothing else is written, since its other logits never mattered to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from fef.errors import FefError, OptionError
from fef.models.transformer import Transformer
from fef.verify.setting import Effort, Setting

__all__ = ["CHECKPOINT_EFFORT", "FewTokens", "on_checkpoint", "restricted"]

CHECKPOINT_EFFORT = Effort(samples=1_000, denoisers=1)
_TOKENS = 64  # that networks are made of
_PROBE = 8  # masks of the canvas on which the likeliest tokens are looked up


@dataclass(frozen=True)
class FewTokens:
    """Networks over a few tokens of a checkpoint each: the likeliest, the next likeliest, and so on. In float64."""

    model: Transformer
    name: str
    ranked: tuple[int, ...]  # its tokens, the likeliest first

    @classmethod
    def of(cls, model: Transformer, name: str) -> FewTokens:
        """Raises OptionError for a quantized network."""
        if model.weight_format is not None:
            raise OptionError(f"{name} has {model.weight_format} weights; load it without --weights to verify it.")
        ids_1L = torch.full((1, _PROBE), model.mask_id, device=model.device)
        law_V = model(ids_1L)[0].double().softmax(-1).mean(0)
        left_out = {model.mask_id, *model.end_ids}
        ranked = [token for token in law_V.argsort(descending=True).tolist() if token not in left_out]
        if model.extras is not None:
            model.extras.to(model.device, torch.float64)
        return cls(model.double().eval().requires_grad_(False), name, tuple(ranked[:_TOKENS]))

    def __call__(self, kind: str, seed: int, n_tokens: int) -> Transformer:
        start = seed * n_tokens % (len(self.ranked) - n_tokens + 1)
        return restricted(self.model, self.ranked[start : start + n_tokens])

    @property
    def kind(self) -> str:
        return "block-causal" if self.model.config.attention == "block-causal" else "network"


def restricted(model: Transformer, tokens: Sequence[int]) -> Transformer:
    """The network over these tokens, which become ids 0, 1, .., and the mask; its other weights are shared."""
    config = model.config
    rows = torch.tensor([*tokens, model.mask_id], device=model.device)
    small = replace(config, vocab_size=len(rows), mask_id=len(tokens), eos_id=None, stop_ids=(), answer_id=None)
    with torch.device("meta"):
        view = Transformer(small)
    view.blocks, view.norm = model.blocks, model.norm
    view.embed.weight = nn.Parameter(model.embed.weight[rows], requires_grad=False)
    if view.head is not None and model.head is not None:
        view.head.weight = nn.Parameter(model.head.weight[rows], requires_grad=False)
    view.extras = model.extras
    return view.eval().requires_grad_(False)


def on_checkpoint(settings: Sequence[Setting], networks: FewTokens) -> Iterator[Setting | tuple[Setting, str]]:
    """The settings that the checkpoint can run, on it; the others with the reason why not."""
    for setting in settings:
        if networks.kind not in setting.subjects:
            yield setting, f"not for a {networks.kind} network"
            continue
        here = replace(setting, subjects=(networks.kind,), oracle=False, networks=networks)
        try:
            kind = here.certificate().kind
        except FefError as error:
            yield setting, str(error)
            continue
        if kind in ("chain", "greedy", "process"):
            yield here
        else:
            yield setting, "states no law" if kind == "none" else "its bound is measured on tables"
