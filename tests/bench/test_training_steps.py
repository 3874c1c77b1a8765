"""The measure of training steps on tiny networks of random weights, and what it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fef.bench.engine.shapes import shape_config
from fef.bench.training import measure
from fef.errors import OptionError
from fef.models.config import MixtureConfig
from fef.models.transformer import Transformer
from fef.training.adapt import AdaptOptions
from fef.training.lora import LowRankLinear, adapt_
from fef.training.processes import ALONE, Processes
from fef.training.speed import step_flops
from fef.training.trainer import TrainOptions
from tests.several import run_on

CONFIG = replace(shape_config("tiny"), eos_id=2)
TRAINING = AdaptOptions(batch_tokens=1024, row_tokens=512)
OPTIONS = TrainOptions(canvas_length=32, packed_count=16, optimizer="adamw", recompute=True, pieces=2)


@pytest.mark.parametrize("lora", [0, 2])
def test_two_processes_measure_the_step_of_one(lora: int) -> None:
    training = replace(TRAINING, lora_rank=lora)

    def measured(processes: Processes) -> tuple[float, float]:
        found = measure(CONFIG, training, OPTIONS, processes, 1)
        assert found["seconds"] > 0 and found["tokens_per_second"] == pytest.approx(found["tokens"] / found["seconds"])
        return found["tokens"], found["rows"]

    alone = measured(ALONE)
    assert 0 < alone[0] <= TRAINING.batch_tokens
    assert run_on(2, measured) == [alone, alone]


def test_pieces_that_processes_cannot_share_are_refused() -> None:
    with pytest.raises(OptionError, match="3 processes cannot share"):
        measure(CONFIG, TRAINING, OPTIONS, Processes(size=3), 1)


def counted(model: Transformer, tokens: int = 0, trained: int = 0, pairs: int = 0) -> float:
    return float(step_flops(model, torch.tensor(tokens), trained, torch.tensor(pairs)))


def test_a_step_counts_six_operations_a_parameter_and_four_of_a_frozen_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transformer(CONFIG).requires_grad_(True)
    matrices = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    assert counted(model, tokens=10) == 60 * matrices
    assert counted(model, trained=10) == 60 * CONFIG.vocab_size * CONFIG.dim
    assert counted(model, pairs=10) == 120 * CONFIG.layers * CONFIG.dim
    adapt_(model, 2, ("q",), 0)
    assert counted(model, trained=1) == 4 * CONFIG.vocab_size * CONFIG.dim
    q, layers = CONFIG.dim**2, CONFIG.layers
    assert counted(model, tokens=1) == 4 * matrices + 2 * q * layers  # the sum has a gradient
    monkeypatch.setattr(LowRankLinear, "adds_up", False)
    assert counted(model, tokens=1) == 4 * matrices + 6 * 2 * 2 * CONFIG.dim * layers


def test_of_a_mixture_only_the_experts_that_a_token_runs_through_count() -> None:
    mixture = MixtureConfig(experts=4, per_token=1, expert_dim=8)
    model = Transformer(replace(CONFIG, mixture=mixture)).requires_grad_(True)
    attention = 4 * CONFIG.dim**2 + 4 * CONFIG.dim  # with the router
    assert counted(model, tokens=1) == 6 * CONFIG.layers * (attention + 3 * 8 * CONFIG.dim)
