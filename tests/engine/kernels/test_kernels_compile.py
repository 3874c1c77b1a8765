"""The kernels are compiled for a GPU of the kind that they were written for, where there is none.

python -m pytest -q -m slow tests/engine/kernels/test_kernels_compile.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the kernels need Triton")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_passes_of_chains_and_trees_compile_for_hopper(tmp_path):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    script = Path(__file__).with_name("compile_passes.py")
    done = subprocess.run(
        [sys.executable, script, "90"], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = {line for line in done.stdout.splitlines() if line.endswith("_kernel")}
    assert {"_compose_kernel", "_attention_kernel", "_sampled_kernel", "_advance_kernel", "_move_kernel"} <= names
    assert "_join_kernel" in names
    assert {"_choose_kernel", "_assign_kernel", "_gated_kernel", "_down_kernel"} <= names
    assert {"_rotation_kernel", "_gate_kernel"} <= names
