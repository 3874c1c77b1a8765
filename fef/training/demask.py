"""Training of a dependency head (DEMASK, arXiv 2604.02560): measure influences on a frozen network, then fit them.

Shapes: B states, S slots, X sources, as in `influence_targets`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from fef.errors import InputError, OptionError
from fef.models.chat import ChatTemplate
from fef.models.config import TransformerConfig
from fef.models.demask import DependencyHead
from fef.models.tokenizer import Tokenizer
from fef.tasks import Split
from fef.training.conversations import Answer, Encoder, encode_answers, read_answers
from fef.training.data import Examples, encode_pairs, read_pairs, task_texts
from fef.training.influence_targets import Targets, Teacher, draw_states, sampled_influence
from fef.training.limits import check_counts
from fef.training.run import DataOptions, longest_prompt
from fef.training.step_generator import step_generator

__all__ = ["HeadOptions", "asymmetric_error", "fit_head", "measure", "split_examples"]

Item = TypeVar("Item")
BATCH = 64  # states measured together
WARM = 0.1  # share of the steps in which the learning rate rises


@dataclass(frozen=True)
class HeadOptions:
    """Settings of a fit."""

    states: int = 1920  # measured for the fit
    sources: int = 6  # probed slots per state
    draws: int = 2  # values per probed slot
    slots: int = 64  # targets per state
    canvas_length: int = 128  # tokens
    steps: int = 600  # of the optimizer
    batch_size: int = 32  # states per step
    lr: float = 3e-3  # per step
    weight_decay: float = 0.01  # of AdamW
    under_weight: float = 4.0  # of squared under-predictions, which break the bound, relative to over-predictions
    width: int = 256  # of the head
    rank: int = 64  # of its products
    seed: int = 0  # draws states, values and batches

    def __post_init__(self) -> None:
        counts = ("states", "sources", "draws", "slots", "canvas_length", "steps", "batch_size", "width", "rank")
        check_counts(self, counts)
        if self.slots < 2:
            raise OptionError("slots must be at least 2, a source and a target; got 1. Raise it.")
        if self.under_weight <= 0:
            raise OptionError(f"under-weight must be positive; got {self.under_weight}. 1 weighs both sides alike.")


def split_examples(
    data: DataOptions,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    canvas_length: int,
    seed: int,
    split: Split,
    template: ChatTemplate | None = None,
) -> Examples:
    """Encoded examples to train on, or held out: prompts of the tasks' own split, or the last tenth of a JSONL file.

    template: a network without a mark between prompt and answer is asked in it. Every answer of a file's conversations is
    then an example, behind all that was said before it, and longer ones are left out. Raises InputError for a file of fewer
    than two examples or when none fits.
    """
    talks = template is not None and config.answer_id is None
    longest = longest_prompt(config, canvas_length, data.max_prompt, marked=not talks)
    if not talks:
        return encode_pairs(pairs_of(data, seed, split), tokenizer, longest, canvas_length)
    if data.jsonl is None:
        answers = [
            Answer(line, ({"role": "user", "content": prompt},), answer)
            for line, (prompt, answer) in enumerate(pairs_of(data, seed, split), start=1)
        ]
    else:
        answers = part_of(read_answers(data.jsonl), data.jsonl, split)
    encoder, source = Encoder(tokenizer, template, config), data.jsonl or Path("tasks")
    return encode_answers(answers, encoder, source, longest, canvas_length, drop_long=True)[0]


def pairs_of(data: DataOptions, seed: int, split: Split) -> list[tuple[str, str]]:
    if data.jsonl is not None:
        return part_of(read_pairs(data.jsonl), data.jsonl, split)
    assert data.tasks is not None, "tasks or a file"
    return task_texts(data.tasks, data.count, seed, split)


def part_of(items: list[Item], path: Path, split: Split) -> list[Item]:
    if len(items) < 2:
        raise InputError(f"{path} holds one example; give at least two, one to train on and one held out.")
    cut = len(items) - max(1, len(items) // 10)
    return items[:cut] if split == "train" else items[cut:]


def measure(
    teacher: Teacher, examples: Examples, options: HeadOptions, progress: Callable[[int], None] | None = None
) -> Targets:
    """Stage 1: targets of `options.states` random states; the first n are the same for every larger number in
    multiples of 64."""
    parts = []
    for done in range(0, options.states, BATCH):
        size = min(BATCH, options.states - done)
        generator = step_generator(teacher.model.device, options.seed, done)
        states = draw_states(examples, teacher, size, options.canvas_length, options.slots, generator)
        parts.append(sampled_influence(teacher, states, options.sources, options.draws, generator))
        if progress is not None:
            progress(done + size)
    return Targets.cat(parts)


def fit_head(
    targets: Targets, temperature: float, options: HeadOptions, progress: Callable[[int, float], None] | None = None
) -> DependencyHead:
    """Stage 2: AdamW on the asymmetric squared error, learning rate rising, then falling. A function of its arguments.

    It learns on standardized hidden states, and the head that comes back reads plain ones. Those of pretrained networks have
    a few dimensions far from zero (massive activations, arXiv 2402.17762): through such a mean each step would move all
    pairs at once, until the sigmoid is 0 everywhere and has no gradient that leads back.
    """
    device, (mean_D, deviation_D) = targets.hidden_BSD.device, targets.hidden_moments()
    head = DependencyHead(targets.hidden_BSD.shape[-1], options.width, options.rank, temperature=temperature).to(device)
    head.reset(options.seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, options.steps))
    generator = torch.Generator(device).manual_seed(options.seed)
    weight_NXS, X = targets.weight_BXS(), targets.influence_BXS.shape[1]
    for step in range(1, options.steps + 1):
        row_B = torch.randint(len(weight_NXS), (options.batch_size,), generator=generator, device=device)
        standard_BSD = (targets.hidden_BSD[row_B] - mean_D) / deviation_D
        predicted_BXS = head(standard_BSD, targets.slots_BS[row_B])[:, :X]
        error_BXS = asymmetric_error(predicted_BXS, targets.influence_BXS[row_B], options.under_weight)
        loss = (error_BXS * weight_NXS[row_B]).sum() / weight_NXS[row_B].sum().clamp(min=1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if progress is not None and (step % 50 == 0 or step == options.steps):
            progress(step, float(loss.detach()))
    head.eval().requires_grad_(False).read_plain(mean_D, deviation_D)
    return head


def rate(step: int, steps: int) -> float:
    """Learning rate of step 0, 1, ... of `steps`, relative to the given one."""
    return min(1.0, (step + 1) / (WARM * steps)) * (1 - step / steps)


def asymmetric_error(predicted: Tensor, true: Tensor, under_weight: float) -> Tensor:
    """Squared error, times `under_weight` where the prediction is too small."""
    error = predicted - true
    return error.square() * torch.where(error < 0, under_weight, 1.0)
