"""Loading streams: peak memory is that of the weights, in the stored dtype and in a wider one.

Sized by FEF_STREAM_GB, for example: FEF_STREAM_GB=16 python -m pytest -m slow tests/models/test_streaming.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from released import peak_bytes, shape, write
from safetensors import safe_open
from safetensors.torch import save_file

from fef.errors import CheckpointError
from fef.models.byte_planes import PLANES, joined, parted, write_planes
from fef.models.checkpoint import describe, load_network
from fef.models.weights import MAPPED_BYTES, read_header
from fef.training.processes import Processes
from fef.training.sharding import held_rows, in_shards, mesh_of
from tests.several import run_on

BOUND = 1.1
GIGABYTES = float(os.environ.get("FEF_STREAM_GB", "0.4"))
SMALL = 100 * 10**6
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc")


def measured(how: str, path: Path, dtype: str) -> tuple[int, int]:
    program = str(Path(__file__).with_name("released.py"))
    run = subprocess.run([sys.executable, program, how, str(path), dtype], capture_output=True, text=True, check=True)
    weights, peak = json.loads(run.stdout)
    return weights, peak


@needs_proc
def test_the_small_checkpoint_streams_and_its_twin_does_not(tmp_path):
    """50 MB in one shard: a loader that holds the shard beside the network needs twice the weights."""
    write(tmp_path, SMALL // 2)
    weights, peak = measured("stream", tmp_path, "bfloat16")
    assert weights > 0.45 * SMALL
    assert weights <= peak <= weights + MAPPED_BYTES + 4 * 2**20
    assert measured("copy", tmp_path, "bfloat16")[1] > 1.5 * weights


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_peak_memory_of_a_large_checkpoint(tmp_path, dtype):
    size = GIGABYTES * 10**9 / (1 if dtype == "bfloat16" else 2)
    write(tmp_path, int(size), shard_bytes=max(1 << 28, int(size / 4)))
    weights, peak = measured("stream", tmp_path, dtype)
    assert weights > 0.8 * GIGABYTES * 10**9
    assert weights <= peak <= BOUND * weights


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("mapped", [1, 4096, 1 << 30])
def test_what_is_streamed_is_what_is_stored(tmp_path, monkeypatch, mapped, planes):
    """At any size of the window: one row at a time, a few, everything; and where bytes lie in planes."""
    monkeypatch.setattr(
        "released.shape", lambda _: shape(1) | {"d_model": 32, "mlp_hidden_size": 48, "embedding_size": 60}
    )
    monkeypatch.setattr("fef.models.weights.MAPPED_BYTES", mapped)
    write(tmp_path, 1, shard_bytes=6000)
    stored = {}
    for file in tmp_path.glob("*.safetensors"):
        with safe_open(file, framework="pt") as shard:
            stored |= {key: shard.get_tensor(key) for key in shard.keys()}  # noqa: SIM118
        if planes:
            write_planes(file, file)
    described = describe(tmp_path)
    network = load_network(tmp_path, described, dtype=torch.bfloat16)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, stored[described.family.stored_name(name)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_planes_hold_every_bit_of_a_number_and_in_another_order_they_do_not(dtype, shape):
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    planes = parted(weights)
    assert planes.shape == (dtype.itemsize, *shape)
    assert torch.equal(joined(planes, dtype), weights)
    assert not torch.equal(joined(planes.flip(0), dtype), weights)


def test_weights_that_are_no_bfloat16_are_not_written_in_planes(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="bfloat16 only"):
        write_planes(tmp_path / "w.safetensors", tmp_path / "planes.safetensors")


@pytest.mark.parametrize(
    ("planes", "dtype"),
    [
        (torch.ones(2, 4), "BF16"),
        (torch.ones(3, 4, dtype=torch.uint8), "BF16"),
        (torch.ones((), dtype=torch.uint8), "BF16"),
        (torch.ones(2, 4, dtype=torch.uint8), "F8"),
    ],
)
def test_what_only_says_that_it_is_in_planes_is_refused_by_name(tmp_path, planes, dtype):
    good = parted(torch.ones(4, dtype=torch.bfloat16))
    save_file({"w": good}, tmp_path / "good.safetensors", {PLANES: "BF16"})
    assert [stored.shape for stored in read_header(tmp_path / "good.safetensors")] == [(4,)]
    save_file({"good": good, "w": planes}, tmp_path / "model.safetensors", {PLANES: dtype})
    with pytest.raises(CheckpointError, match=f"byte planes of {dtype}"):
        read_header(tmp_path / "model.safetensors")


def peak_of_loading(path: Path, processes: Processes | None) -> tuple[int, int]:
    """Bytes of the network's rows in this process, and the most memory above what there was before."""
    described = describe(path)
    placement = None if processes is None else in_shards(lambda network: network, mesh_of(processes))
    load_network(path, described, "meta")  # libraries behind the first network are not the loader's
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_bytes()
    network = load_network(path, described, placement=placement)
    return sum(held_rows(p)[1].nbytes for p in network.parameters()), peak_bytes() - before


@needs_proc
@pytest.mark.slow
def test_each_of_two_processes_needs_memory_for_its_half_only(tmp_path):
    write(tmp_path, SMALL)
    whole, peak_alone = run_on(1, lambda _: peak_of_loading(tmp_path, None))[0]
    assert peak_alone >= whole
    for held, peak in run_on(2, lambda processes: peak_of_loading(tmp_path, processes)):
        assert held == pytest.approx(whole / 2, rel=0.01)
        print(f"\n{held / 2**20:.0f} MiB are held, {peak / 2**20:.0f} MiB at most were needed")
        assert held <= peak <= held + MAPPED_BYTES + 16 * 2**20
