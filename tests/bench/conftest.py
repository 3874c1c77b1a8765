import pytest

from fef import tasks
from fef.generation import Model
from fef.models.tokenizer import Tokenizer
from fef.training.run import NetworkOptions, new_network


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    texts = [t for p in tasks.generate("joint", 100, 0) for t in (p.prompt, p.response)]
    tokenizer = Tokenizer.train(texts, 317)
    size = NetworkOptions(vocab_size=320, dim=32, layers=2, heads=2, mlp_dim=64)
    return Model(new_network(size, tokenizer, seed=0).eval().requires_grad_(False), tokenizer, "tiny")
