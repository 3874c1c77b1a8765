"""A tiny untrained model directory, and a runner of the command line in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef import tasks
from fef.cli.app import app
from fef.models.checkpoint import demo_path, save_checkpoint
from fef.models.tokenizer import Tokenizer
from fef.training.run import NetworkOptions, new_network

Run = Callable[..., object]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    texts = [t for family in tasks.FAMILIES for p in tasks.generate(family, 100, 0) for t in (p.prompt, p.response)]
    tokenizer = Tokenizer.train(texts, 397)
    size = NetworkOptions(vocab_size=400, dim=32, layers=2, heads=2, mlp_dim=64, max_length=1024)
    save_checkpoint(path, new_network(size, tokenizer, seed=0), tokenizer)
    return path


@pytest.fixture
def fef_cli() -> Run:
    def run(*arguments: object, stdin: bytes | str | None = None) -> object:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="fef")

    return run


@pytest.fixture
def shipped() -> str:
    if not demo_path().is_dir():
        pytest.skip("the shipped checkpoint is not in this checkout")
    return "demo"
