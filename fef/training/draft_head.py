"""Training of a draft head on a frozen network and its own texts.

At random states of a text the head reads a draft group and the true tokens, and predicts each slot of the window. The
teacher is the network itself: the law of which its token is a draw (cross-entropy), and its target law p, of which the
draft law q is accepted with probability sum min(p, q) (1 minus that is the loss; DistillSpec, 2310.08461, has it as total
variation). Slots that drafting seldom reaches count less.

Shapes: B texts, X groups of a text, N windows, K slots, C candidates, R longest response; D, V as in `transformer`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fef.errors import InputError, OptionError
from fef.models.draft_head import DraftHead, HeadSizes, top_candidates
from fef.models.draft_head_file import DRAFT_HEAD, load_draft_head, save_draft_head
from fef.models.sources import load_source
from fef.models.transformer import Transformer
from fef.training.draft_states import Windows, draft_states, windows_of
from fef.training.own_text import OwnText, OwnTexts, batched, read_own_texts
from fef.training.step_generator import step_generator
from fef.training.trainer import Progress, TrainOptions, descend, falling, learning_rate_scale, muon_and_adam

__all__ = ["HEAD_LOG", "Lesson", "fit_draft_head", "head_loss", "lesson_of", "train_draft_head"]

HEAD_LOG = "draft_head.losses.jsonl"
GROUPS = 16  # per text and step
SKIPS = 6  # members of a group before its window: a round may end behind the state of the nearest group
NO_SKIP = 0.6  # share of windows that begin with their group
REACH_POWER = 0.5  # slots weigh the chance that a chain of drafts reaches them, to this power: trees reach more


@dataclass(frozen=True)
class Lesson:
    """What a batch teaches: windows, candidates and marginals of their slots, the target's log p of the candidates [N, K,
    C] at the temperature of the text, and that temperature [N] (1 for greedy texts). teacher_NKC: the law of which the
    text's token is a draw: p, and in greedy texts that token."""

    windows: Windows
    ids_NKC: Tensor
    logits_NKC: Tensor
    log_p_NKC: Tensor
    teacher_NKC: Tensor
    temperature_N: Tensor


@torch.no_grad()
def lesson_of(network: Transformer, texts: OwnTexts, sizes: HeadSizes, generator: torch.Generator) -> Lesson:
    """Windows at random states."""
    B, device = len(texts.ids_BL), network.device
    score_BR = torch.rand((B, int(texts.written_B.max())), generator=generator, device=device)
    rank_R = torch.arange(score_BR.shape[1], device=device)
    # a window needs a slot behind its state
    score_BX, start_BX = score_BR.masked_fill(rank_R >= texts.written_B[:, None] - 1, -1.0).topk(
        min(GROUPS, score_BR.shape[1]), dim=1
    )
    start_BX = torch.where(score_BX >= 0, start_BX, -1)
    skipped_BX = torch.rand(start_BX.shape, generator=generator, device=device) >= NO_SKIP
    skip_BX = skipped_BX * torch.randint(1, SKIPS, start_BX.shape, generator=generator, device=device)
    states = draft_states(network, texts, start_BX, sizes.depths + 1)
    windows = windows_of(states, texts, skip_BX, sizes.depths)
    ids_NKC, logits_NKC = top_candidates(allowed(network, windows.hidden_NKD), sizes.candidates)
    temperature_B = torch.where(texts.temperature_B > 0, texts.temperature_B, 1.0)
    log_p_BRV = (allowed(network, states.target_BRD).float() / temperature_B[:, None, None].float()).log_softmax(-1)
    log_p_NKC = log_p_BRV[windows.text_N[:, None, None], windows.rank_NK[..., None], ids_NKC]
    greedy_N11 = (texts.temperature_B == 0)[windows.text_N, None, None]
    teacher_NKC = torch.where(greedy_N11, (ids_NKC == windows.true_NK[..., None]).float(), log_p_NKC.exp())
    return Lesson(windows, ids_NKC, logits_NKC, log_p_NKC, teacher_NKC, temperature_B[windows.text_N].float())


def allowed(network: Transformer, hidden: Tensor) -> Tensor:
    """Logits, -inf at the mask, which is never drawn."""
    return network.logits(hidden).index_fill(-1, torch.tensor(network.mask_id, device=hidden.device), -torch.inf)


def head_loss(head: DraftHead, network: Transformer, lesson: Lesson) -> tuple[Tensor, dict[str, Any]]:
    """The loss, and parts to be logged: "cross_entropy" (nats per slot), "accepted" (expected drafts of a chain that
    hold, per window), "marginals" (the same without the head), "covered" (how often the true token is a candidate)."""
    windows = lesson.windows
    window = head.window(windows.hidden_NKD, windows.lead_ND, lesson.ids_NKC, lesson.logits_NKC)
    logits_NKC = head.sequence(network, window, windows.token_NX[:, :-1])
    log_q_NKC = at_temperature(logits_NKC, lesson)
    accept_NK = acceptance(log_q_NKC, lesson)
    reach_NK = F.pad(accept_NK.detach().cumprod(1), (1, 0), value=1.0)[:, :-1]
    weight_NK = reach_NK.pow(REACH_POWER) * windows.there_NK
    covered_NK = (lesson.ids_NKC == windows.true_NK[..., None]).any(-1)
    surprise_NK = -torch.where(lesson.teacher_NKC > 0, lesson.teacher_NKC * log_q_NKC, 0.0).sum(-1)
    total = weight_NK.sum().clamp(min=1e-6)
    cross_entropy = (weight_NK * surprise_NK).sum() / total
    loss = cross_entropy + (weight_NK * (1 - accept_NK)).sum() / total
    plain_NK = acceptance(at_temperature(lesson.logits_NKC.float(), lesson), lesson)
    parts = {
        "loss": loss.detach(),
        "cross_entropy": cross_entropy.detach(),
        "accepted": chain_length(accept_NK.detach(), windows),
        "marginals": chain_length(plain_NK, windows),
        "covered": (covered_NK & windows.there_NK).sum() / windows.there_NK.sum().clamp(min=1),
    }
    return loss, parts


def at_temperature(logits_NKC: Tensor, lesson: Lesson) -> Tensor:
    return (logits_NKC / lesson.temperature_N[:, None, None]).log_softmax(-1)


def acceptance(log_q_NKC: Tensor, lesson: Lesson) -> Tensor:
    """sum min(p, q) of each slot, [N, K]."""
    return torch.minimum(log_q_NKC, lesson.log_p_NKC).exp().sum(-1)


def chain_length(accept_NK: Tensor, windows: Windows) -> Tensor:
    """Mean expected number of drafts that hold, of windows that have a slot."""
    held_N = (accept_NK * windows.there_NK).cumprod(1).sum(1)
    real_N = windows.there_NK.any(1)
    return (held_N * real_N).sum() / real_N.sum().clamp(min=1)


def fit_draft_head(
    network: Transformer,
    texts: Sequence[OwnText],
    sizes: HeadSizes,
    options: TrainOptions,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    first: DraftHead | None = None,
) -> tuple[DraftHead, list[dict[str, float]]]:
    """Train a head on a network, which stays as it is: the head, and the rows of its log. Of `options` it reads steps,
    batch_size (texts per step), learning rates, warmup, decay_share, seed, log_every and seconds. first: a head of the
    same network to go on from, which stays as it is; only its number of candidates may be another than that of `sizes`.

    Every batch is a function of (seed, step): texts of about one length, groups at random states of them. Where the time
    is up before the steps are, the learning rate has fallen by then all the same. The last row is of the last step, wherever
    that was. Raises OptionError where the loss stops being a number.
    """
    end_id, device = network.config.eos_id, network.device
    assert end_id is not None, "own texts have an end"
    head = DraftHead(sizes).to(device)
    if first is None:
        head.reset(options.seed)
    else:
        assert replace(first.sizes, candidates=sizes.candidates) == sizes, "of the same shape"
        head.load_state_dict(first.state_dict())
    named = dict(head.named_parameters())
    matrices = [p for name, p in named.items() if p.ndim == 2 and name != "depth"]
    others = [p for name, p in named.items() if p.ndim == 1 or name == "depth"]
    optimizers = muon_and_adam(matrices, others, options)
    by_length = sorted(texts, key=lambda text: len(text.prompt) + text.canvas + 2 * len(text.response))
    log: list[dict[str, float]] = []
    began = time.perf_counter()
    step, over = 0, stop() or options.seconds <= 0
    while step < options.steps and not over:
        spent = time.perf_counter() - began
        generator = step_generator(device, options.seed, step)
        at = int(torch.randint(max(1, len(texts) - options.batch_size + 1), (), generator=generator, device=device))
        batch = batched(by_length[at : at + options.batch_size], end_id, device)
        scale = min(learning_rate_scale(step, options), falling(spent / options.seconds * options.steps, options))
        lesson = lesson_of(network, batch, sizes, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss, parts = head_loss(head, network, lesson)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = descend(head, optimizers, scale)
        step += 1
        seconds = time.perf_counter() - began
        over = step == options.steps or stop() or seconds >= options.seconds
        if over or step % options.log_every == 0:
            row = {name: float(value) for name, value in parts.items()}
            row |= {"step": step, "norm": float(norm), "lr": scale, "seconds": seconds}
            if not math.isfinite(row["loss"]):
                raise OptionError(f"The loss became {row['loss']} at step {step}; lower the learning rate.")
            log.append({name: round(value, 5) for name, value in row.items()})
            if progress is not None:
                progress(step, row)
    return head.eval().requires_grad_(False), log


def train_draft_head(
    out: Path,
    data: Path,
    init: Path,
    options: TrainOptions,
    *,
    go_on: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[DraftHead, list[dict[str, float]]]:
    """Train the head of the network `init` on its own texts, and write it and its log into the directory `out`; returns both.
    go_on: from the head that `init` has, not from a new one.

    Raises InputError for texts of another network, OptionError for a network without the packed law, and CheckpointError
    where there is no head to go on from.
    """
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    network, _ = load_source(init, device, dtype)
    if not network.config.packed or network.config.eos_id is None:
        raise OptionError(
            f"{init} was not trained for the packed law, or has no end token, so it drafts no groups that a head could read; "
            "give --init a network that `fef train` or `fef adapt` made for it."
        )
    texts = [text for text in read_own_texts(data, network.config) if len(text.response) > 1]
    if not texts:
        raise InputError(f"{data} holds no text of two tokens or more; write some with `python -m fef.corpus.own`.")
    network.eval().requires_grad_(False)
    first, sizes = None, HeadSizes.of(network.config)
    if go_on:
        first = load_draft_head(init / DRAFT_HEAD, network)
        sizes = replace(first.sizes, candidates=sizes.candidates)
    head, log = fit_draft_head(network, texts, sizes, options, progress, stop, first)
    out.mkdir(parents=True, exist_ok=True)
    save_draft_head(out / DRAFT_HEAD, head, network)
    (out / HEAD_LOG).write_text("".join(json.dumps(row) + "\n" for row in log), encoding="utf-8")
    return head, log
