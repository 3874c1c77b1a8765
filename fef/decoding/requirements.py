"""What presets ask of a network, of a canvas, and of options together. Each function raises OptionError with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from torch import Tensor

from fef.decoding.inputs import Settings
from fef.decoding.network import Network
from fef.decoding.order import block_numbers, block_sizes
from fef.decoding.plan import CacheKind, CacheRule, Guidance, Plan
from fef.decoding.transfer import DreamShare, EvenShare, Planned
from fef.errors import InputError, OptionError
from fef.models.demask import DependencyHead, load_head
from fef.models.hidden_layer import HiddenLayer, load_layer

__all__ = [
    "check_canvas",
    "check_grammar",
    "check_law",
    "check_packed",
    "ends",
    "exact_cache",
    "find_head",
    "find_layer",
    "stale_cache",
]

Layer = TypeVar("Layer", bound=HiddenLayer)


def check_law(law: str, network: Network, guidance: Guidance) -> None:
    if law == "packed":
        check_packed(network, 'verify="rows"')
    if guidance.on and network.visible_noise:
        raise OptionError(
            "cfg_scale and contrast need masks to tell what is known; leave them out under uniform noise."
        )
    if law == "packed" and guidance.on:
        raise OptionError('cfg_scale and contrast change the logits of plain passes. Use verify="rows" with them.')


def check_packed(network: Network, otherwise: str) -> None:
    """otherwise: what does on any network."""
    if network.packed is None:
        raise OptionError(
            f"{network.name} was not trained for the packed attention pattern. Use {otherwise}, or fine-tune it with "
            "`fef train`."
        )


def check_grammar(plan: Plan, network: Network, settings: Settings) -> None:
    """A grammar makes a chain law from left to right out of one; of anything else it makes a law that nobody has named."""
    way_out = "Use method='fef' or 'sequential' with order='left-to-right' and steps=1, or leave grammar out."
    if plan.order != "left-to-right" or not plan.chains or plan.revoke is not None or plan.replay:
        raise OptionError(
            f"A grammar asks what may follow the tokens before, so it goes with methods that draw from left to right, one by "
            f"one or drafted and verified; {plan.method} with these options does not. {way_out}"
        )
    if plan.steps > 1:
        raise OptionError(
            f"A grammar goes with one denoising pass, in which no token is hidden again; got {plan.steps}. {way_out}"
        )
    if plan.cache is not None and not plan.exact_cache(network.block_causal):
        raise OptionError(f"A grammar goes with exact caches only; {plan.method} has stale ones here. {way_out}")
    if network.visible_noise:
        raise OptionError(f"A grammar needs absorbing noise; {network.name} has uniform noise. Leave grammar out.")
    if plan.after_eos == "free":
        raise OptionError("Under a grammar a text ends at its end token; leave after_eos='free' out.")
    if settings.holds_end_back:
        raise OptionError("A grammar says itself where a text may end; leave min_tokens and ignore_eos out.")


def check_canvas(plan: Plan, open_BL: Tensor) -> None:
    """Raise OptionError or InputError for canvases that a plan cannot fill."""
    check_steps(plan, open_BL)
    if plan.causal is not None and bool(open_BL[:, 0].any()):
        raise InputError(
            f"{plan.method} asks a causal model for each token given those before it, and the first position is open: let "
            "the canvas begin with a given token, for example the one that begins a text."
        )


def check_steps(plan: Plan, open_BL: Tensor) -> None:
    """Each block of a canvas takes one step or more of those that its blocks share."""
    transfer = plan.rule.transfer
    if not isinstance(transfer, EvenShare | DreamShare | Planned) or transfer.steps is None:
        return
    sizes_BN = block_sizes(block_numbers(open_BL, plan.block_length, plan.aligned_blocks))
    blocks = int((sizes_BN > 0).sum(1).max())
    if transfer.steps < blocks:
        raise OptionError(
            f"steps={transfer.steps} are fewer than the {blocks} blocks of the canvas, each of which takes one or more. Give "
            "at least as many, or a larger block_length."
        )


def exact_cache(method: str, cache: str, law: str, network: Network, guidance: Guidance) -> CacheRule | None:
    """The prefix cache of an exact method. Raises OptionError where it would break the law."""
    if cache == "none":
        return None
    if law == "packed":
        raise OptionError('verify="packed" has exact caches of its own; leave cache out.')
    if not network.block_causal:
        raise OptionError(
            f'cache="prefix" would break the law of {method} on {network.name}: without block-causal attention the keys of '
            'the prefix change with every token. Exact alternatives: verify="packed" on a network trained for it, or '
            'method="dual-exact", which drafts with such a cache and verifies without.'
        )
    if guidance.on:
        raise OptionError("cfg_scale and contrast do not go with a cache. Leave cache out.")
    return CacheRule("prefix")


def stale_cache(
    method: str,
    kind: CacheKind | Literal["none"],
    network: Network,
    guidance: Guidance,
    refresh: int | None = None,
    opening: int = 1,
) -> CacheRule | None:
    if kind == "none":
        return None
    if guidance.on:
        raise OptionError('cfg_scale and contrast do not go with a cache. Use cache="none".')
    network.transformer(f"{method} with a cache")
    return CacheRule(kind, refresh, opening)


def find_head(file: str | None, network: Network, otherwise: str) -> DependencyHead:
    """The dependency head in a file, or the one that came with the network. otherwise: what does without."""
    model = network.transformer("a dependency head")
    head = network.dependency_head if file is None else load_head(Path(file), model)
    if head is not None and head.temperature != 1:
        raise OptionError(
            f"The dependency head learned influences at temperature {head.temperature:g}, but rules read laws at temperature "
            "1. Train one with `fef train-demask --temperature 1`."
        )
    if head is None:
        raise OptionError(
            f"{network.name} comes without a dependency head. Train one with `fef train-demask`, give head=FILE, or use "
            f"{otherwise}."
        )
    return head


def find_layer(kind: type[Layer], file: str | None, own: Layer | None, network: Network) -> Layer:
    """The layer in a file, or the one that came with the network. Raises CheckpointError as `load_layer`, OptionError where
    there is none."""
    layer = own if file is None else load_layer(Path(file), kind, network.transformer(kind.objective))
    if layer is None:
        raise OptionError(
            f"{network.name} comes without {kind.words}. Train one with `fef train --objective "
            f"{kind.objective}`, or give layer=FILE."
        )
    return layer


def ends(network: Network) -> tuple[int, ...]:
    """The ids that end a text or a turn, the end of text first."""
    if not network.end_ids:
        raise OptionError(
            f"{network.name} names no EOS id. Give the denoiser an `end_ids` attribute, or leave the flag out."
        )
    return network.end_ids
