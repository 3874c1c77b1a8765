"""A network on several devices: whole on each (data parallel), or every block's parameters in shards (FSDP2).

FSDP2 is `fully_shard` (ZeRO-3, 1910.02054; PyTorch FSDP, 2304.11277): a block's parameters come together before it runs,
in bfloat16 on a GPU, and its gradients are summed in float32. The float32 shards are what the optimizers update.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.utils.checkpoint import checkpoint

from fef.models.homes import Placement
from fef.models.mlp import Router
from fef.models.transformer import Transformer
from fef.training.processes import Processes

__all__ = ["held_rows", "in_shards", "mean_gradients", "mesh_of", "prepare_blocks", "settle", "shard_"]

RUN_BY = ("trunk", "hidden_at", "logits")  # methods of a network that training calls
BUCKET_BYTES = 1 << 28  # of gradients that travel in one piece


def prepare_blocks(model: Transformer, compiled: bool, recompute: bool) -> None:
    """Compile the blocks, and let the backward pass compute anew what happens inside of them (1604.06174)."""
    for block in model.blocks:
        if compiled:
            block.forward = torch.compile(block.forward, options=compile_options())
        if recompute:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_options() -> dict[str, Any]:
    """Options of the compiler, of those that it knows: each gradient of a joined product is written into its part of the
    whole. One kernel for all parts, which torch prefers for up to eight, asks of each number which part it is in; for
    queries, keys and values that took more than three times as long on an H200."""
    known = torch._inductor.list_options()
    return {name: 0 for name in ("max_pointwise_cat_inputs", "max_complex_pointwise_cat_inputs") if name in known}


def mesh_of(processes: Processes) -> DeviceMesh:
    """The devices of all processes, each of which must call this."""
    return init_device_mesh("cpu" if processes.device == "cpu" else "cuda", (processes.size,))


def shard_(model: Transformer, mesh: DeviceMesh) -> None:
    """Split all parameters among the processes, block by block, in place, on their devices."""
    on_gpu = mesh.device_type != "cpu"
    half = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if on_gpu else MixedPrecisionPolicy()
    for module in model.modules():
        if isinstance(module, Router):  # a rounded score chooses another expert
            fully_shard(module, mesh=mesh)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=half)
    # the head runs outside of the trunk, which so leaves it whole
    fully_shard(model, mesh=mesh, mp_policy=half, reshard_after_forward=False)
    for name in RUN_BY:
        register_fsdp_forward_method(model, name)


def in_shards(prepare: Callable[[Transformer], object], mesh: DeviceMesh) -> Placement:
    """Memory of a blank network that is prepared for training first: for each process, of its shards on its device."""

    def allocate(network: Transformer) -> None:
        prepare(network)
        shard_(network, mesh)
        network.to_empty(device=mesh.device_type)

    return Placement(allocate, held_rows)


def held_rows(parameter: Tensor) -> tuple[int, Tensor]:
    """The number of the first row that this process has of a parameter in shards, and its rows; all of another parameter."""
    if not isinstance(parameter, DTensor):
        return 0, parameter
    _, offsets = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    return offsets[0], parameter.to_local()


def settle(model: Transformer) -> None:
    """Back to shards alone, where a pass without a backward pass left parameters whole."""
    if isinstance(model, FSDPModule):
        model.reshard()


def mean_gradients(model: nn.Module, processes: Processes) -> None:
    """The mean over the processes of the gradients of a network that each of them holds whole; sharded ones have it."""
    if processes.size == 1 or isinstance(model, FSDPModule):
        return
    bucket: list[Tensor] = []
    for gradient in [p.grad for p in model.parameters() if p.requires_grad]:
        if gradient is not None:
            bucket.append(gradient)
            if sum(g.nbytes for g in bucket) >= BUCKET_BYTES:
                mean_together(bucket, processes.size)
                bucket = []
    if bucket:
        mean_together(bucket, processes.size)


def mean_together(gradients: list[Tensor], size: int) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= size
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
