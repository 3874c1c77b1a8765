"""Texts that a network wrote itself, token by token: JSONL, one text a line, with all that its draws depend on.

    {"prompt": [5, 9, 1023], "response": [7, 4, 1022], "canvas": 128, "temperature": 0.7, "seed": 3}

prompt: ids before the canvas, the answer mark among them. response: ids up to the first end token, that one included.
canvas: masked places behind the prompt. Ids and not words: words may be split into other tokens than those that were
drawn.

Shapes: B texts, L longest text with its canvas, R longest response.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.errors import InputError
from fef.models.config import TransformerConfig
from fef.readers import real, whole
from fef.training.data import read_lines

__all__ = ["OwnText", "OwnTexts", "batched", "own_text_line", "read_own_texts"]


@dataclass(frozen=True)
class OwnText:
    prompt: list[int]
    response: list[int]
    canvas: int
    temperature: float
    seed: int


def own_text_line(text: OwnText) -> str:
    return json.dumps(asdict(text)) + "\n"


def read_own_texts(path: Path, config: TransformerConfig) -> list[OwnText]:
    """The texts of a file that a network of this config wrote. Raises InputError that names the line which is broken, or
    does not fit the network, and for a file of none."""
    texts = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                texts.append(text_of(json.loads(line), config))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {number}: no text of this network ({str(error)[:120]}). Write such a file with "
                    "`python -m fef.corpus.own`."
                ) from error
    if not texts:
        raise InputError(f"{path} holds no texts. Write them with `python -m fef.corpus.own`.")
    return texts


def text_of(row: Any, config: TransformerConfig) -> OwnText:
    """Raises ValueError, KeyError or TypeError for what is no text of this network."""
    prompt, response = ([token_of(token, config) for token in row[name]] for name in ("prompt", "response"))
    canvas, seed, temperature = whole(row["canvas"]), whole(row["seed"]), real(row["temperature"])
    if canvas is None or not 0 < len(response) <= canvas:
        raise ValueError("its response must hold at least one token, and fit its canvas")
    if len(prompt) + canvas > config.max_length:
        raise ValueError(f"it has {len(prompt) + canvas} places, and the network allows {config.max_length}")
    if seed is None or temperature is None or not (temperature >= 0 and math.isfinite(temperature)):
        raise ValueError("it needs a seed, and a temperature of 0 or more")
    return OwnText(prompt, response, canvas, temperature, seed)


def token_of(value: Any, config: TransformerConfig) -> int:
    token = whole(value)
    if token is None or not 0 <= token < config.vocab_size or token == config.mask_id:
        raise ValueError(f"{value!r} is no token of its vocabulary of {config.vocab_size}")
    return token


@dataclass(frozen=True)
class OwnTexts:
    """Texts side by side. ids_BL: prompt and response, then end tokens. start_B, written_B, lengths_B: first slot, tokens
    of the response, and tokens with the whole canvas."""

    ids_BL: Tensor
    start_B: Tensor
    written_B: Tensor
    lengths_B: Tensor
    temperature_B: Tensor
    seed_B: Tensor


def batched(texts: Sequence[OwnText], end_id: int, device: torch.device) -> OwnTexts:
    length = max(len(text.prompt) + text.canvas for text in texts)
    ids_BL = torch.full((len(texts), length), end_id)
    for row, text in enumerate(texts):
        known = torch.tensor(text.prompt + text.response)
        ids_BL[row, : len(known)] = known

    def numbers(values: Sequence[float], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    return OwnTexts(
        ids_BL.to(device),
        numbers([len(text.prompt) for text in texts]),
        numbers([len(text.response) for text in texts]),
        numbers([len(text.prompt) + text.canvas for text in texts]),
        numbers([text.temperature for text in texts], torch.float64),
        numbers([text.seed for text in texts]),
    )
