"""Where is computed if nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fef
from fef.cli.options import check_device
from fef.errors import OptionError
from fef.models.device import default_device


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_the_default_where_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert default_device() == check_device(None) == device
    assert check_device("cpu") == "cpu"


def test_a_device_that_is_not_there_is_refused() -> None:
    for name in ("cuda:77", "meta", "gpu"):
        with pytest.raises(OptionError, match=r"cannot be used here .*Use --device cpu"):
            check_device(name)


@pytest.mark.parametrize("name", ["tpu", "cudax", "xla", ""])
def test_an_unknown_kind_of_device_is_told_the_known_ones_and_what_is_here(name: str, monkeypatch) -> None:
    for count, here in ((0, "no GPU"), (1, "cuda:0"), (4, "cuda:0 to cuda:3")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        with pytest.raises(OptionError) as told:
            check_device(name)
        assert str(told.value) == (
            f"The device {name!r} cannot be used here (it is none of cpu, cuda and cuda:N); this machine has {here}. Use "
            "--device cpu."
        )


def test_the_default_is_said_once() -> None:
    package = Path(fef.__file__).parent
    asking = [path.relative_to(package) for path in package.rglob("*.py") if '"cuda" if torch' in path.read_text()]
    assert asking == [Path("models/device.py")]
