"""Sizes and parts of an engine for a network, a device and a memory budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.decoding.inputs import banned_ids
from fef.decoding.network import Network, is_out_of_memory
from fef.decoding.options import checked, flag, path, whole
from fef.engine.draws import Vocabulary
from fef.engine.graphs import GraphRunner, buckets
from fef.engine.head_drafts import HeadDrafts
from fef.engine.runner import Passes, Runs, TorchPasses
from fef.engine.slots import SlotState
from fef.errors import EngineError, OptionError, nearest_hint
from fef.laws.tree import MOST_NODES
from fef.laws.window import MORE_GROUPS, TREE_ANCHORS, TREE_DEPTH, chain_anchors, least_chance
from fef.laws.window import branching as tree_branching
from fef.models.device import device_name, from_hopper_on
from fef.models.joined import Matrix, in_order, join_weights, ordered
from fef.models.packed_forward import TorchForward
from fef.models.packed_pass import RoundShape, SlotTable
from fef.models.prefixes import PrefixStore
from fef.models.slot_cache import SlotCache, bytes_per_place
from fef.models.transformer import Transformer
from fef.readers import real, several, shown, token_id, token_ids, whole_from

__all__ = ["EngineOptions", "EngineParts", "build", "cache_budget", "network_maker", "prefix_store", "shapes_of"]

WINDOWS = (0, 1, 2, 4, 8, 16, 24)
TREES = (8, 16, 32)
CPU_MEMORY_GB = 4.0
_OF_PACKED_ROUNDS = ("windows", "tree", "depth", "anchors", "context_tokens", "threads", "weights_in_order", "costs")
_ALSO_OF_METHODS = ("tree", "depth", "anchors")
_KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_PREFIX_SHARE = 0.25  # of the memory for caches, on block-causal networks; the rest is for running requests
_GPU_SHARE = 0.7  # of the free memory for caches; the rest is for the passes themselves


def read_tree(name: str, value: Any) -> int | tuple[int, ...]:
    trees = several(value)
    if trees is None:
        return whole_from(name, value, 0, MOST_NODES)
    return tuple(whole_from(name, nodes, 1, MOST_NODES) for nodes in trees)


def read_windows(name: str, value: Any) -> tuple[int, ...]:
    windows = several(value)
    if windows is None:
        raise no_windows(value)
    return tuple(whole_from(name, window, 0) for window in windows)


def no_windows(given: Any) -> OptionError:
    return OptionError(f"windows={shown(given)} is not allowed: give a list of at least one, such as (16,).")


def read_banned(name: str, value: Any) -> tuple[int, ...]:
    return tuple(token_ids(name, value))


def read_memory(name: str, value: Any) -> float:
    gigabytes = real(value)
    if gigabytes is None or not 0 < gigabytes < math.inf:
        raise OptionError(f"{name}={shown(value)} is not allowed: give a positive number of gigabytes.")
    return gigabytes


@dataclass(frozen=True)
class EngineOptions:
    """Sizes and settings of an engine. Raises OptionError for values that no engine runs."""

    max_batch: int = whole(16)  # requests at once
    max_length: int | None = whole(None)  # tokens of a canvas; None: what the network allows
    max_new_tokens: int | None = whole(None)  # slots of a canvas that one denoising pass fills; None: as many
    # drafts per round, as chains; 0 is one token per pass; None: `WINDOWS`, on a GPU also a chain of `MORE_GROUPS`
    windows: Sequence[int] | None = checked(None, read_windows)
    # drafts per round, as a tree: trees of up to so many beside the chains; several: of these; 0: none;
    # None: those of `TREES` where a draft head grows them, `windows` says nothing and weights are no halves
    tree: int | Sequence[int] | None = checked(None, read_tree)
    depth: int = whole(TREE_DEPTH)  # drafts along a path of the tree
    anchors: int | None = whole(
        None, least=0
    )  # draft groups besides that of the likeliest drafts; None: as shapes need
    memory_gb: float | None = checked(None, read_memory)  # for the caches; None: a share of what is free
    eos_id: int | None = checked(None, token_id)  # as in `fef.decode`
    banned: Sequence[int] = checked((), read_banned)  # as in `fef.decode`
    context_tokens: int = whole(16384)  # canvas tokens per context pass
    threads: int | None = whole(None)  # of a CPU, among which rows are shared out; None: torch's number
    weights_in_order: bool = flag(True)  # on a CPU, matrices in bfloat16 once more, for speed: `in_order`
    costs: Path | str | None = path()  # `CostTable.save`; None: measured at the first rounds

    def __post_init__(self) -> None:
        windows = self.windows
        for f in fields(self):
            object.__setattr__(self, f.name, f.metadata["read"](f.name, getattr(self, f.name)))
        if self.windows == () and not self.tree:
            raise no_windows(windows)

    def trees(self, *, head: bool, dtype: torch.dtype) -> list[int]:
        """Nodes of trees, to choose among. head: does a draft head grow them?

        Sums of a tree have another order than those of a chain. In half precision that decides between logits that are almost
        equal, and a text would depend on the load: there trees have to be asked for.
        """
        if self.tree is None:
            return list(TREES) if head and self.windows is None and dtype.itemsize >= 4 else []
        if isinstance(self.tree, int):
            return sorted({*(nodes for nodes in TREES if nodes < self.tree), self.tree} - {0})
        return sorted(set(self.tree))

    @classmethod
    def given(cls, /, **options: Any) -> EngineOptions:
        """These options. Raises OptionError for one that there is not, and for a wrong value."""
        names = [f.name for f in fields(cls)]
        for name in options:
            if name not in names:
                raise OptionError(f"The engine has no option {name!r}.{nearest_hint(name, names)}")
        return cls(**options)

    @property
    def of_packed_rounds(self) -> list[str]:
        """The names of those that were given and that only packed rounds read."""
        return [f.name for f in fields(self) if f.name in _OF_PACKED_ROUNDS and getattr(self, f.name) != f.default]

    @classmethod
    def refuse_in_request(cls, given: Iterable[str]) -> None:
        """Raise OptionError for options of a request that only an engine has."""
        engines = {f.name for f in fields(cls)}.difference(_ALSO_OF_METHODS)
        for name in given:
            if name in engines:
                raise OptionError(
                    f"A request has no option {name!r}, which is one for all of an engine. Give it when you make the engine."
                )


@dataclass
class EngineParts:
    """The parts of packed rounds."""

    table: SlotTable  # sizes of the state
    slots: int  # requests at once; one more slot is spare
    slot_bytes: int  # of a slot's keys and values
    shapes: list[RoundShape]  # of rounds, to choose among
    state: SlotState  # of the requests
    cache: SlotCache  # keys and values
    passes: Passes  # over them
    runner: Runs  # runs these
    vocabulary: Vocabulary  # end token and bans, for draws
    drafts: HeadDrafts | None  # of a draft head
    cost_key: dict[str, Any]  # for which network and device costs hold

    @property
    def cache_bytes(self) -> int:
        return self.table.slots * self.slot_bytes


def build(network: Transformer, options: EngineOptions, budget: float, note: Callable[[str], None]) -> EngineParts:
    """budget: bytes for the caches of the whole engine, of which packed rounds leave some to sessions."""
    config = network.config
    device, dtype = network.device, network.embed.weight.dtype
    head = Network(network).draft_head
    trees = options.trees(head=head is not None, dtype=dtype)
    head = head if trees else None
    grown = None if head is None else head.sizes.depths
    shapes = shapes_of(options, trees, config.vocab_size, grown, roomy=device.type == "cuda")
    drafts = max(shape.depth for shape in shapes)
    context = min(options.max_length or config.max_length, config.max_length)
    if options.max_length is not None and options.max_length > context:
        note(f"canvases of up to {context} tokens instead of {options.max_length}: the network allows no more")
    ranks = min(options.max_new_tokens or context, context)
    scratch, branching = max(drafts, *(shape.scratch for shape in shapes)), max(shape.branching for shape in shapes)
    table = SlotTable(0, context, ranks, drafts, scratch, branching)
    if head is not None:
        table = replace(table, branching=1, nodes=max(trees), grown=shapes[-1].depth - 1)
    place_bytes = bytes_per_place(config, dtype)
    slot_bytes = place_bytes * table.places
    slots = affordable(options.max_batch, slot_bytes, place_bytes * context, budget, note)
    table = replace(table, slots=slots + 1)
    try:
        state, cache = SlotState.empty(table, device), SlotCache.empty(config, table, device, dtype)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise EngineError(
            f"The caches of {slots} requests and a spare one are {table.slots * slot_bytes / 1e9:.2f} GB, and there is no "
            "room for them. Lower max_batch, max_length or memory_gb."
        ) from error
    banned = banned_ids(Network(network), options.banned, options.eos_id)
    vocabulary = Vocabulary(options.eos_id, torch.tensor(banned, device=device))
    drafts_of_head = None
    if head is not None:
        drafts_of_head = HeadDrafts(network, head, vocabulary, table.nodes, branching, least_chance(branching))
    layers = join_weights(network)
    passes: Passes
    runner: Runs
    if device.type == "cuda":
        check_current(device)
        try:
            from fef.engine.kernel_passes import KernelPasses
        except ImportError as error:
            raise OptionError(
                f"On a GPU the engine needs Triton ({error}). Install it, or run the engine on cpu."
            ) from error
        overlap = from_hopper_on(device)
        kernels = KernelPasses(network, layers, state, cache, vocabulary, overlap=overlap, drafts=drafts_of_head)
        passes, runner = kernels, GraphRunner(kernels, spare=slots, sizes=buckets(slots), notes=note)
    else:
        # each row is one thread's, so that more would wait for ever
        threads = min(torch.get_num_threads() if options.threads is None else options.threads, slots)
        output = Matrix(network.head_weight.detach())
        if options.weights_in_order:
            layers, output = in_order(layers), ordered(output)
        forward = TorchForward(network, layers, cache, table, output)
        passes = runner = TorchPasses(state, forward, vocabulary, network.mask_id, threads, drafts_of_head)
    cost_key = {
        "network": network.name,
        "weights": network.weight_format,
        "device": device_name(device),
        "dtype": str(dtype).removeprefix("torch."),
        "context": context,
    }
    return EngineParts(
        table=table,
        slots=slots,
        slot_bytes=slot_bytes,
        shapes=shapes,
        state=state,
        cache=cache,
        passes=passes,
        runner=runner,
        vocabulary=vocabulary,
        drafts=drafts_of_head,
        cost_key=cost_key,
    )


def shapes_of(
    options: EngineOptions, trees: Sequence[int], vocab_size: int, grown: int | None, roomy: bool = False
) -> list[RoundShape]:
    """Of chains and of trees of so many nodes, to choose among. grown: slots behind a state that a draft head drafts, in
    trees. roomy: may some tokens more cost next to nothing, as in rounds of one request on a GPU?"""
    windows = WINDOWS if options.windows is None else sorted(set(options.windows))
    chains = [
        RoundShape(window, chain_anchors(window) if options.anchors is None else options.anchors) for window in windows
    ]
    if roomy and options.windows is None and options.anchors is None:
        chains.append(RoundShape(*MORE_GROUPS))
    anchors = TREE_ANCHORS if options.anchors is None else options.anchors
    depth = options.depth if grown is None else min(options.depth, grown)
    branching = tree_branching(vocab_size)
    return chains + [RoundShape(nodes, anchors, depth + 1, branching, grown is not None) for nodes in trees]


def network_maker(
    denoiser: Callable[..., Tensor],
    device: torch.device,
    options: EngineOptions,
    budget: float,
    note: Callable[[str], None],
) -> Callable[[], Network]:
    """Makes what sessions decode with. On a GPU, the passes of a `Transformer` run in kernels, under graphs."""
    if (
        not isinstance(denoiser, Transformer)
        or device.type != "cuda"
        or denoiser.embed.weight.dtype not in _KERNEL_TYPES
    ):
        return lambda: Network(denoiser)
    check_current(device)
    try:
        from fef.engine.cached_network import CachedNetwork
        from fef.engine.cached_passes import CachedPasses
    except ImportError as error:
        note(f"passes of sessions run in plain torch: there is no Triton ({error})")
        return lambda: Network(denoiser)
    passes = CachedPasses(
        denoiser,
        budget=budget,
        seats=options.max_batch,
        longest=min(options.max_length or denoiser.config.max_length, denoiser.config.max_length),
        overlap=from_hopper_on(device),
        notes=note,
    )
    return lambda: CachedNetwork(denoiser, passes)


def prefix_store(denoiser: Callable[..., Tensor], budget: float) -> PrefixStore | None:
    """For blocks that requests share, within a part of the budget; None where keys depend on the whole canvas."""
    network = Network(denoiser)
    if not network.block_causal:
        return None
    model = network.transformer("prefix reuse")
    assert model.config.block_length is not None, "a block-causal config has one"
    block_bytes = bytes_per_place(model.config, model.embed.weight.dtype) * model.config.block_length
    return PrefixStore(model.config.block_length, block_bytes, room=int(budget * _PREFIX_SHARE // block_bytes))


def check_current(device: torch.device) -> None:
    """Kernels and graphs go to the current device, whatever their tensors are on."""
    current = torch.cuda.current_device()
    if device.index not in (None, current):
        raise OptionError(
            f"The network is on {device}, but the current CUDA device is {current}, which the engine runs on. Call "
            f"torch.cuda.set_device({device.index}) first."
        )


def cache_budget(options: EngineOptions, device: torch.device) -> float:
    """Bytes for caches."""
    if options.memory_gb is not None:
        return options.memory_gb * 1e9
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] * _GPU_SHARE
    return CPU_MEMORY_GB * 1e9


def affordable(most: int, slot_bytes: int, canvas_bytes: int, budget: float, note: Callable[[str], None]) -> int:
    """Slots within the budget, which leave the keys of one canvas to sessions unless there would be no slot then. Raises
    EngineError where the budget does not hold one."""
    fit = max(int((budget - canvas_bytes) // slot_bytes), min(int(budget // slot_bytes), 2)) - 1  # one is spare
    if fit < 1:
        raise EngineError(
            f"One request needs {slot_bytes / 1e9:.2f} GB of cache, and a spare one as much; the budget is "
            f"{budget / 1e9:.2f} GB. Lower max_length, max_new_tokens or windows, or raise memory_gb."
        )
    if fit < most:
        note(f"{fit} requests at once instead of {most}: the memory budget is {budget / 1e9:.2f} GB")
    return min(fit, most)
