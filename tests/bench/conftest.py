from collections.abc import Callable
from typing import Any

import pytest

from fef import tasks
from fef.bench.summary import Row
from fef.generation import Model
from fef.models.tokenizer import Tokenizer
from fef.training.run import NetworkOptions, new_network


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    texts = [t for p in tasks.generate("joint", 100, 0) for t in (p.prompt, p.response)]
    tokenizer = Tokenizer.train(texts, 317)
    size = NetworkOptions(vocab_size=320, dim=32, layers=2, heads=2, mlp_dim=64)
    return Model(new_network(size, tokenizer, seed=0).eval().requires_grad_(False), tokenizer, "tiny")


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    """A row of 10 problems that is `sequential` itself but for what is given."""

    numbers = {"accuracy": 90.0, "low": 70.0, "high": 100.0, "calls": 100, "rows": 100, "token_forwards": 2000}
    numbers |= {"seconds": 5.0, "tokens_per_call": 1.0, "pass_speedup": 1.0, "predicted_pass_speedup": None}
    numbers |= dict.fromkeys(("difference", "difference_low", "difference_high"), 0.0)
    numbers |= dict.fromkeys(("calls_ratio", "rows_ratio", "token_forwards_ratio", "seconds_ratio"), 1.0)
    words = {"family": "joint", "method": "sequential", "problems": 10, "certificate": "greedy"}

    def make(**given: Any) -> Row:
        return Row(**(words | numbers | given))

    return make
