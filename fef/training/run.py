"""A training run from start to end: data, tokenizer, a new or an existing network, the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fef.errors import InputError, OptionError
from fef.models.config import TransformerConfig
from fef.models.fingerprint import fingerprint
from fef.models.sources import load_source
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.training.certainty import certainty_objective
from fef.training.data import Examples, encode_pairs, read_pairs, task_examples, task_texts
from fef.training.limits import prompt_room
from fef.training.processes import ALONE, Processes
from fef.training.resume import RESUME
from fef.training.trainer import Progress, TrainOptions, check_rows, padded_objective, train

__all__ = ["DataOptions", "NetworkOptions", "longest_prompt", "run"]

SPECIAL_IDS = 3  # mask, end, answer


@dataclass(frozen=True)
class DataOptions:
    """Either `jsonl` (a file of {"prompt", "response"}) or generated `tasks` with their shares. Lengths in tokens."""

    jsonl: Path | None = None
    tasks: Mapping[str, float] | None = None
    count: int = 200_000
    max_prompt: int = 112


@dataclass(frozen=True)
class NetworkOptions:
    """Size of a new network; ignored when a checkpoint is given."""

    vocab_size: int = 1024
    dim: int = 288
    layers: int = 8
    heads: int = 6
    mlp_dim: int = 768
    max_length: int = 256


def run(
    out: Path,
    data: DataOptions,
    network: NetworkOptions,
    options: TrainOptions,
    processes: Processes = ALONE,
    *,
    init: Path | None = None,
    certain: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Transformer:
    """Train into `out`, from `init` (a model directory), from where `out` stopped, or from nothing. certain: by certainty
    forcing (`fef.training.certainty`), on a network that is there. stop: asked before each step; True ends the run, saved.
    processes: those that share the rows of each batch, and where they train. say: told how many examples of a file are too
    long to be trained on.

    Raises OptionError or InputError before anything is written when the arguments cannot work.
    """
    options = replace(options, pieces=processes.size)
    with processes.together():
        model, tokenizer, examples = prepared(out, data, network, options, processes, init, certain, say)
        base = None if init is None else fingerprint(init)
    processes.agree("examples", examples.digest())
    processes.agree("base weights", base)
    model.requires_grad_(True)
    here = examples.to(model.device)
    objective = certainty_objective(here, options, processes) if certain else padded_objective(here, options)
    facts = {"examples": examples.digest(), "certain": certain, "init": base}
    return train(model, tokenizer, objective, out, options, progress, stop, processes=processes, facts=facts)


def prepared(
    out: Path,
    data: DataOptions,
    network: NetworkOptions,
    options: TrainOptions,
    processes: Processes,
    init: Path | None,
    certain: bool,
    say: Callable[[str], None],
) -> tuple[Transformer, Tokenizer, Examples]:
    """The network that training starts or goes on with, its tokenizer, and the encoded examples."""
    if (data.jsonl is None) == (data.tasks is None):
        raise OptionError("Give either a JSONL file of examples or generated tasks.")
    check_rows(options.batch_size, processes.size)
    pairs = read_pairs(data.jsonl) if data.jsonl is not None else []
    source = out if (out / RESUME).is_dir() else init
    if certain and source is None:
        raise OptionError("Certainty forcing needs a network that answers already; give one with --init.")
    if source is not None:
        model, tokenizer = load_source(source, processes.device)
        model.config = replace(model.config, packed=not certain)  # which law its weights are trained for
    else:
        texts = pairs or task_texts(data.tasks or {}, min(data.count, 60_000), options.seed)
        tokenizer = Tokenizer.train((text for pair in texts for text in pair), network.vocab_size - SPECIAL_IDS)
        model = new_network(network, tokenizer, options.seed).to(processes.device)
    max_prompt = longest_prompt(model.config, options.canvas_length, data.max_prompt)
    if data.tasks is not None:
        examples = task_examples(data.tasks, data.count, options.seed, tokenizer, max_prompt, options.canvas_length)
    else:
        examples = encode_pairs(pairs, tokenizer, max_prompt, options.canvas_length)
        if dropped := len(pairs) - len(examples):
            say(f"{len(examples):,} examples, {dropped:,} left out as too long.")
    return model, tokenizer, examples


def longest_prompt(config: TransformerConfig, canvas_length: int, wanted: int, marked: bool = True) -> int:
    """`wanted`, or what fits beside the canvas, tokens. marked: a token stands between prompt and answer. Raises OptionError
    or InputError where training cannot work."""
    if config.eos_id is None or (marked and config.answer_id is None):
        raise InputError("This checkpoint has no end or answer token in its config, which training needs.")
    return min(wanted, prompt_room(config.max_length, canvas_length, marked))


def new_network(size: NetworkOptions, tokenizer: Tokenizer, seed: int) -> Transformer:
    """A fresh network whose special ids follow the tokenizer's vocabulary: mask, end, answer."""
    first = tokenizer.vocab_size
    config = TransformerConfig(
        vocab_size=first + SPECIAL_IDS,
        dim=size.dim,
        layers=size.layers,
        heads=size.heads,
        mlp_dim=size.mlp_dim,
        mask_id=first,
        eos_id=first + 1,
        answer_id=first + 2,
        max_length=size.max_length,
        packed=True,
        qk_norm=True,
    )
    model = Transformer(config)
    model.reset(seed)
    return model
