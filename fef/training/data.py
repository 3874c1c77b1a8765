"""Prompt and response texts -> padded id tensors, and the batches that training steps draw from them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fef.errors import InputError, OptionError
from fef.models.config import TransformerConfig
from fef.models.tokenizer import Tokenizer
from fef.readers import decode_text, read_file
from fef.tasks import Split, generate
from fef.training.patterns import Canvases

__all__ = ["Examples", "batch", "encode_pairs", "padded", "read_lines", "read_pairs", "task_examples", "task_texts"]

Pair = tuple[str, str]
CHUNK = 4096  # examples that a process makes at once


@dataclass
class Examples:
    """Encoded examples: prompt and response ids [N, P], [N, R] (padded with 0) and their lengths [N]; tokens."""

    prompt_NP: Tensor
    prompt_length_N: Tensor
    response_NR: Tensor
    response_length_N: Tensor

    def __len__(self) -> int:
        return len(self.prompt_length_N)

    def digest(self) -> str:
        """A sha256 that tells these examples, in this order, from others."""
        digest = sha256()
        for tensor in vars(self).values():
            digest.update(tensor.cpu().long().contiguous().numpy().data)
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> Examples:
        return Examples(
            self.prompt_NP.to(device),
            self.prompt_length_N.to(device),
            self.response_NR.to(device),
            self.response_length_N.to(device),
        )


def batch(
    examples: Examples,
    config: TransformerConfig,
    size: int,
    canvas_length: int,
    full_share: float,
    infill_share: float,
    generator: torch.Generator,
) -> Canvases:
    """`size` random canvases: prompt, answer mark if there is one, response, end tokens (and for `infill_share` of them a
    suffix).

    The response region takes `canvas_length` positions for `full_share` of the rows, else a random length that holds
    the response and at least one end token. An infill row gives the tail of its response as a visible suffix.
    """
    assert config.eos_id is not None
    device = examples.prompt_NP.device
    mark = 0 if config.answer_id is None else 1

    def uniform() -> Tensor:
        return torch.rand(size, generator=generator, device=device)

    row_B = torch.randint(len(examples), (size,), generator=generator, device=device)
    prompt_BP, response_BR = examples.prompt_NP[row_B].long(), examples.response_NR[row_B].long()
    start_B = examples.prompt_length_N[row_B] + mark
    text_B = examples.response_length_N[row_B]
    infill_B = uniform() < infill_share
    suffix_B = torch.where(infill_B, (uniform() * text_B).long(), 0)
    head_B = text_B - suffix_B
    slack_B = (canvas_length - text_B).clamp(min=1)
    region_B = torch.where(uniform() < full_share, canvas_length - suffix_B, head_B + 1 + (uniform() * slack_B).long())
    stop_B = start_B + region_B
    length = -(-(prompt_BP.shape[1] + mark + canvas_length) // 8) * 8  # attention kernels want multiples of 8
    index_BL = torch.arange(length, device=device).expand(size, -1)
    offset_BL = index_BL - start_B[:, None]
    ids_BL = torch.full((size, length), config.eos_id, device=device)
    ids_BL = torch.where(offset_BL < 0, pick(prompt_BP, index_BL), ids_BL)
    if config.answer_id is not None:
        ids_BL = torch.where(offset_BL == -1, config.answer_id, ids_BL)
    ids_BL = torch.where((offset_BL >= 0) & (offset_BL < head_B[:, None]), pick(response_BR, offset_BL), ids_BL)
    from_stop_BL = index_BL - stop_B[:, None]
    in_suffix_BL = (from_stop_BL >= 0) & (from_stop_BL < suffix_B[:, None])
    ids_BL = torch.where(in_suffix_BL, pick(response_BR, head_B[:, None] + from_stop_BL), ids_BL)
    return Canvases(ids_BL, start_B, stop_B, stop_B + suffix_B)


def pick(source_BX: Tensor, index_BL: Tensor) -> Tensor:
    return source_BX.gather(1, index_BL.clamp(0, source_BX.shape[1] - 1))


def encode_pairs(pairs: list[Pair], tokenizer: Tokenizer, max_prompt: int, max_response: int) -> Examples:
    """Ids of pairs that fit; longer ones are dropped (count them by comparing lengths). Raises InputError if none fits."""
    kept = fitting(pairs, tokenizer, max_prompt, max_response)
    if not kept:
        raise none_fits(len(pairs), max_prompt, max_response)
    return examples_of(kept)


def fitting(
    pairs: list[Pair], tokenizer: Tokenizer, max_prompt: int, max_response: int
) -> list[tuple[list[int], list[int]]]:
    prompts = tokenizer.encode_batch([p for p, _ in pairs])
    responses = tokenizer.encode_batch([r for _, r in pairs])
    return [(p, r) for p, r in zip(prompts, responses, strict=True) if len(p) <= max_prompt and len(r) < max_response]


def none_fits(count: int, max_prompt: int, max_response: int) -> InputError:
    return InputError(
        f"None of {count} examples fits {max_prompt} prompt and {max_response} response tokens; for longer prompts raise "
        "--max-prompt as far as the model reads more beside a canvas, for longer responses --canvas-length."
    )


def examples_of(encoded: list[tuple[list[int], list[int]]]) -> Examples:
    return Examples(*padded([p for p, _ in encoded]), *padded([r for _, r in encoded]))


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = np.array([len(r) for r in rows])
    out = np.zeros((len(rows), max(1, int(lengths.max()))), dtype=np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out), torch.from_numpy(lengths)


def concat(parts: list[Examples]) -> Examples:
    def stack(tensors: list[Tensor]) -> Tensor:
        width = max(t.shape[1] for t in tensors)
        return torch.cat([torch.nn.functional.pad(t, (0, width - t.shape[1])) for t in tensors])

    return Examples(
        stack([p.prompt_NP for p in parts]),
        torch.cat([p.prompt_length_N for p in parts]),
        stack([p.response_NR for p in parts]),
        torch.cat([p.response_length_N for p in parts]),
    )


def task_texts(shares: Mapping[str, float], count: int, seed: int, split: Split = "train") -> list[Pair]:
    """About `count` pairs of the task families in these proportions, made in this process."""
    return [
        (p.prompt, p.response)
        for family, share in shares.items()
        for p in generate(family, round(share * count), seed, split=split)
    ]


def task_examples(
    shares: Mapping[str, float], count: int, seed: int, tokenizer: Tokenizer, max_prompt: int, max_response: int
) -> Examples:
    """`count` encoded training examples of the task families in these proportions, less those that are too long, made by one
    process per core from disjoint seeds."""
    workers = os.cpu_count() or 1
    jobs = [
        ({family: 1.0}, size, seed + 1 + i, tokenizer, max_prompt, max_response)
        for family, share in shares.items()
        for i, size in enumerate(chunks(max(round(share * count), share > 0)))
    ]
    # forking a process that runs tokenizer or CUDA threads can hang its children
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent alone
    with ProcessPoolExecutor(min(workers, len(jobs)), context, signal.signal, ignore) as pool:
        parts = [part for part in pool.map(encode_task_chunk, jobs) if part is not None]
    if not parts:
        raise none_fits(sum(job[1] for job in jobs), max_prompt, max_response)
    return concat(parts)


def chunks(total: int) -> list[int]:
    """Sizes of as few parts as there can be, of at most `CHUNK`, that differ by one at most."""
    parts = -(-total // CHUNK)
    return [(total + part) // parts for part in range(parts)]


def encode_task_chunk(job: tuple[dict[str, float], int, int, Tokenizer, int, int]) -> Examples | None:
    """None where none fits: a family may have a few alone."""
    shares, count, seed, tokenizer, max_prompt, max_response = job
    kept = fitting(task_texts(shares, count, seed), tokenizer, max_prompt, max_response)
    return examples_of(kept) if kept else None


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a JSONL file of {"prompt", "response"}. Raises InputError with the line number of a broken line."""
    return list(parse_pairs(read_lines(path), path))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Raises InputError for one that cannot be read or is not UTF-8."""
    text = decode_text(read_file(path), str(path)).replace("\r\n", "\n")
    return text.split("\n")  # JSON may hold the other characters that end lines


def parse_pairs(lines: Iterable[str], path: Path) -> Iterable[Pair]:
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            prompt, response = row["prompt"], row["response"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f'{path}, line {number}: expected {{"prompt": ..., "response": ...}} ({error}).'
            ) from error
        if not isinstance(prompt, str) or not isinstance(response, str):
            raise InputError(f'{path}, line {number}: "prompt" and "response" must be strings.')
        if not response.strip():
            raise InputError(f"{path}, line {number}: an empty response teaches nothing; leave the line out.")
        count += 1
        yield prompt, response
    if count == 0:
        raise InputError(f'{path} holds no examples. It needs lines of {{"prompt": ..., "response": ...}}.')


def parse_shares(text: str) -> dict[str, float]:
    """`"word-problems:0.5,joint:0.5"` -> shares that sum to one. Raises OptionError."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        family, _, share = part.partition(":")
        try:
            shares[family.strip()] = float(share or 1.0)
        except ValueError:
            raise OptionError(f"--tasks got {part!r}; write family:share, for example word-problems:0.5.") from None
    total = sum(shares.values())
    if not total > 0 or min(shares.values()) < 0:
        raise OptionError(f"--tasks needs positive shares; got {text!r}.")
    return {family: share / total for family, share in shares.items()}
