"""A tiny untrained model, a folder of small task files, and the reference data where there is any."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fef import tasks
from fef.generation import Model, load
from fef.models.checkpoint import save_checkpoint
from fef.models.tokenizer import Tokenizer
from fef.training.run import NetworkOptions, new_network

REFERENCE = Path(os.environ.get("FEF_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    texts = [t for family in tasks.FAMILIES for p in tasks.generate(family, 50, 0) for t in (p.prompt, p.response)]
    tokenizer = Tokenizer.train(texts, 317)
    size = NetworkOptions(vocab_size=320, dim=32, layers=2, heads=2, mlp_dim=64, max_length=256)
    save_checkpoint(path, new_network(size, tokenizer, seed=0), tokenizer)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Model:
    return load(str(tiny_path), device="cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two to seven examples a task, with two worked ones where the task has them."""
    folder = tmp_path / "data"
    folder.mkdir()
    sums = [
        {"question": f"What is {a} plus {a}?", "answer": f"{a} + {a} = <<{a}+{a}={2 * a}>>{2 * a}\n#### {2 * a}"}
        for a in range(7)
    ]
    write(folder / "gsm8k_test.jsonl", sums)
    write(folder / "gsm8k_train.jsonl", sums[:2])
    write(folder / "svamp.jsonl", [{"question": f"what is {a} less 1?", "answer": str(a - 1)} for a in (3, 9)])
    write(folder / "math500.jsonl", [{"prompt": "Half of one? Put it in \\boxed{}.", "answer": "\\frac12"}] * 2)
    one = {"prompt": "def one():\n", "entry_point": "one", "test": "def check(f):\n    assert f() == 1\n"}
    write(folder / "humaneval.jsonl", [one | {"task_id": f"HumanEval/{i}"} for i in range(2)])
    two = {"text": "Write two.", "code": "def two():\r\n    return 2"}
    two |= {"test_setup_code": "", "test_list": ["assert two() == 2"]}
    write(folder / "mbpp.jsonl", [two | {"task_id": i} for i in (1, 2, 3, 10, 11, 510, 511)])
    ask = {"question": "Which is first?", "choices": ["A", "B", "C", "D"], "answer": 0}
    write(folder / "mmlu_test.jsonl", [ask | {"subject": subject} for subject in ("letters", "order")])
    write(folder / "mmlu_dev.jsonl", [ask | {"subject": subject, "answer": 1} for subject in ("order", "letters")])
    return folder


@pytest.fixture
def reference() -> Path:
    if not REFERENCE.is_dir():
        pytest.skip(f"the reference data is not at {REFERENCE}; set FEF_DATA")
    return REFERENCE


def write(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
