import pytest


def test_triton_is_there() -> None:
    pytest.importorskip("triton", reason="Triton is not installed: its kernels are not tested")
