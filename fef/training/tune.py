"""A diffusion model learns from examples of a user: the same attention, its own chat template, and what it was released in.

Released checkpoints (full attention, logits shifted by one, blocks, mixtures of experts) train with the masked-diffusion
objective or FeF's position-conditioned form of it; with full attention also for the packed law. All weights are trained, and
written in the layout of the release, or low-rank factors, and written as an adapter that PEFT reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from fef.errors import OptionError
from fef.models.adapter import base_digest, write_adapter
from fef.models.checkpoint import Description, load_network, require_tokenizer, write_checkpoint, write_released
from fef.models.config import TransformerConfig
from fef.models.families import NATIVE
from fef.models.hub import download_weights, is_repository, locate
from fef.models.sources import Merged, describe_source, network_of, template_of
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.models.weights import stored_sample
from fef.training.adapt import AdaptOptions, both_encoded, flat_objective, measured, run_facts, write_template
from fef.training.certainty import certainty_objective
from fef.training.conversations import Encoder
from fef.training.data import Examples
from fef.training.lora import TARGETS, adapt_, draw_factors_, factors_of, is_factor
from fef.training.processes import ALONE, Processes, whole
from fef.training.sharding import held_rows, in_shards, mesh_of
from fef.training.trainer import Progress, TrainOptions, check_pieces, check_rows, train

__all__ = ["TuneOptions", "tune"]


@dataclass(frozen=True)
class TuneOptions:
    """How a diffusion model is fine-tuned. Lengths in tokens; as in `AdaptOptions`.

    packed: train the packed law, too; None: where the model has it already. certain: by certainty forcing
    (`fef.training.certainty`) on `TrainOptions.batch_size` canvases, which trains no packed law and has no held-out losses.
    mask_id, block_length: as in `fef.load`.
    """

    packed: bool | None = None
    certain: bool = False
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = TARGETS
    batch_tokens: int = 65_536
    row_tokens: int | None = 8192
    max_prompt: int = 1024
    drop_long: bool = False
    mask_id: int | None = None
    block_length: int | None = None
    held_out: Path | None = None
    eval_every: int = 100

    def kept(self, config: TransformerConfig) -> AdaptOptions:
        """The training of a network of this config that stays what it is. Raises OptionError where it cannot have the packed
        law."""
        if self.certain and (self.packed or self.held_out is not None):
            raise OptionError(
                "Certainty forcing trains no packed law and looks at no --held-out; leave these options out."
            )
        packed = config.packed and not self.certain if self.packed is None else self.packed
        if packed and config.shift:
            raise OptionError(
                "The packed law predicts a token at its own place, and this checkpoint at the place before; leave --packed "
                "out."
            )
        return AdaptOptions(
            kind=config.attention,
            block_length=config.block_length,
            packed=packed,
            lora_rank=self.lora_rank,
            lora_targets=self.lora_targets,
            batch_tokens=self.batch_tokens,
            row_tokens=self.row_tokens,
            max_prompt=self.max_prompt,
            drop_long=self.drop_long,
            held_out=self.held_out,
            eval_every=self.eval_every,
        )


@dataclass(frozen=True)
class Prepared:
    """All that training needs."""

    path: Path
    described: Description
    kept: AdaptOptions
    tokenizer: Tokenizer
    examples: Examples
    apart: Examples | None


def tune(
    source: str,
    data: Path,
    out: Path,
    tuning: TuneOptions,
    options: TrainOptions,
    processes: Processes = ALONE,
    *,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Transformer:
    """Fine-tune the diffusion model `source` (a name as in `fef.load`) on the examples in `data` into `out`, or go on from
    where `out` stopped. processes: those that share the flat rows of each step.

    Raises CheckpointError, InputError or OptionError in all processes, before anything is written.
    """
    with processes.together():
        if processes.leads:
            fetch(source)
    with processes.together():
        ready = prepared(source, data, tuning, options, processes, say)
    path, described = ready.path, ready.described
    processes.agree("examples", ready.examples.digest())
    model = base_of(ready, tuning, options, processes)
    model.name = source
    stored = [(name, p) for name, p in model.named_parameters() if not is_factor(name)]
    digest = base_digest(stored, held_rows, processes.summed if isinstance(model, FSDPModule) else as_it_is)
    processes.agree("base weights", digest)
    options = replace(options, pieces=pieces_of(tuning, ready.kept, processes))

    def write(directory: Path) -> None:
        if tuning.lora_rank:
            factors = {name: (whole(a), whole(b)) for name, (a, b) in factors_of(model).items()}
            if processes.leads:
                write_adapter(directory, model, factors, described.family, source, digest, model.config.packed)
        elif described.family is NATIVE:
            write_checkpoint(directory, model, ready.tokenizer, gather=whole, writes=processes.leads)
            if processes.leads:
                write_template(directory, template_of(path, described))
        else:
            write_released(directory, model, path, described.family, whole, processes.leads)

    examples, apart, kept = ready.examples.to(processes.device), ready.apart, ready.kept
    certain = certainty_objective(examples, options, processes) if tuning.certain else None
    objective = certain or flat_objective(examples, model.config, kept, options)
    held_out = None if apart is None else measured(apart.to(processes.device), model.config, kept, options)
    return train(
        model,
        ready.tokenizer,
        objective,
        out,
        options,
        progress,
        stop,
        say=say,
        processes=processes,
        write=write,
        facts=run_facts(digest, model.config, ready.examples, apart, kept) | {"certain": tuning.certain},
        held_out=held_out,
    )


def pieces_of(tuning: TuneOptions, kept: AdaptOptions, processes: Processes) -> int:
    """Parts of a step's work: flat rows, or of padded canvases one for each process."""
    return processes.size if tuning.certain else kept.pieces


def fetch(source: str) -> None:
    """The files of a repository into the cache of the user."""
    path = locate(source)
    if is_repository(source):
        describe_source(path)  # before gigabytes are downloaded in vain
        download_weights(source, path)


def prepared(
    source: str,
    data: Path,
    tuning: TuneOptions,
    options: TrainOptions,
    processes: Processes,
    say: Callable[[str], None],
) -> Prepared:
    path = locate(source)
    described = describe_source(path, tuning.mask_id, tuning.block_length)
    tokenizer = require_tokenizer(path, described)
    kept = tuning.kept(described.config)
    check_pieces(pieces_of(tuning, kept, processes), processes.size)
    if tuning.certain:
        check_rows(options.batch_size, processes.size)
    encoder = Encoder(tokenizer, template_of(path, described), described.config)
    examples, apart = both_encoded(data, encoder, source, kept, options, say)
    return Prepared(path, described, kept, tokenizer, examples, apart)


def base_of(ready: Prepared, tuning: TuneOptions, options: TrainOptions, processes: Processes) -> Transformer:
    """The network that is trained, with what is trained of it, whole or in shards, on the device of each process."""
    on_gpu = processes.device != "cpu"
    # frozen weights are as the GPU multiplies them; what is trained has float32 to change in small steps
    dtype = torch.bfloat16 if on_gpu and tuning.lora_rank else torch.float32
    sharded = processes.size > 1 and options.shard

    def trainable(network: Transformer) -> Transformer:
        network.config = replace(ready.described.config, packed=ready.kept.packed)
        if tuning.lora_rank:
            adapt_(network, tuning.lora_rank, tuning.lora_targets, options.seed)
            return network
        return network.requires_grad_(True)

    if sharded and not isinstance(ready.described, Merged):
        placement = in_shards(trainable, mesh_of(processes))
        with processes.together():
            sample = stored_sample(ready.path)
        processes.agree("base weights", sample)
        with processes.together():
            model = load_network(ready.path, ready.described, dtype=dtype, placement=placement)
            draw_factors_(model, options.seed, held_rows)
        return model
    with processes.together():  # a delta is merged as a whole; the trainer shares it out
        device = "cpu" if sharded else processes.device
        return trainable(network_of(ready.path, ready.described, device, dtype))


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor
