import gc
import os

import torch
from hypothesis import settings

if "OMP_NUM_THREADS" not in os.environ:
    torch.set_num_threads(1)  # the machine is shared, and many small ops gain nothing from two threads

if not torch.cuda.is_available():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # kernels run in Triton's interpreter; chosen before anything loads Triton

settings.register_profile("fixed", derandomize=True, deadline=None)  # the same examples in every run
settings.load_profile("fixed")


def pytest_collection_finish() -> None:
    """What is loaded by now stays, so that no collection in a test walks through it."""
    gc.collect()
    gc.freeze()
