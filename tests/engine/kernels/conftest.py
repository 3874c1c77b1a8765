"""Kernels run on the GPU where there is one, else in Triton's interpreter (chosen in `tests/conftest.py`)."""

import importlib.util

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    collect_ignore_glob = ["test_*_kernel*.py"]  # `test_triton_is_there.py` says so
elif not torch.cuda.is_available():
    from interpreter_repairs import repair_interpreter

    repair_interpreter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The interpreter computes with NumPy, which warns where a GPU does not.
    for item in items:
        if "engine/kernels" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))


@pytest.fixture
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
