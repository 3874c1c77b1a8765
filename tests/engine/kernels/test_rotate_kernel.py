"""Rotation, norm and storage of queries, keys and values against the network's own functions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fef.engine.kernels.rotate import rotate_and_store
from fef.models.reserved import reserved_zeros
from fef.models.rotation import rope_table, rotate

N, SLOTS, PLACES = 5, 3, 11


def expected_heads(x_NHE: Tensor, positions_N: Tensor, rotary: int, theta: float, weight_E: Tensor | None) -> Tensor:
    """In float32, rounded once by the caller."""
    x_NHE = x_NHE.float()
    if weight_E is not None:
        x_NHE = F.rms_norm(x_NHE, weight_E.shape, weight_E.float(), 1e-6)
    rotation = rope_table(positions_N[None], rotary, theta, torch.float32)
    return rotate(x_NHE.transpose(0, 1)[None], rotation)[0].transpose(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "size", "rotary"), [(4, 4, 48, 48), (14, 2, 64, 64), (3, 1, 128, 32), (2, 2, 16, 12)]
)
def test_like_the_network(
    heads: int, kv_heads: int, size: int, rotary: int, norm: bool, dtype: torch.dtype, device: str
) -> None:
    torch.manual_seed(heads)
    theta = 500000.0
    width = (heads + 2 * kv_heads) * size
    qkv_NX = torch.randn(N, width).to(device, dtype)
    positions_N = torch.tensor([0, 1, 17, 4095, 300], device=device)
    slot_N = torch.tensor([2, 2, 0, 1, 1], device=device, dtype=torch.int32)
    place_N = torch.tensor([3, 4, 0, 10, 9], device=device, dtype=torch.int32)
    keys, values = torch.zeros(2, SLOTS, kv_heads, PLACES, size, device=device, dtype=dtype).unbind(0)
    q_weight_E, k_weight_E = (torch.randn(size, device=device).to(dtype) if norm else None for _ in range(2))

    q_NHE, k_NGE, v_NGE = qkv_NX.view(N, -1, size).clone().split([heads, kv_heads, kv_heads], dim=1)
    rotate_and_store(
        qkv_NX,
        positions_N,
        slot_N,
        place_N,
        keys,
        values,
        heads=heads,
        kv_heads=kv_heads,
        head_size=size,
        rotary_size=rotary,
        theta=theta,
        q_weight_E=q_weight_E,
        k_weight_E=k_weight_E,
        eps=1e-6,
    )
    tolerance = {"atol": 1e-5 if dtype == torch.float32 else 4e-2, "rtol": 1e-2}
    actual_NHE = qkv_NX.view(N, -1, size)[:, :heads].float()
    torch.testing.assert_close(actual_NHE, expected_heads(q_NHE, positions_N, rotary, theta, q_weight_E), **tolerance)
    stored_NGE = keys[slot_N.long(), :, place_N.long()]
    expected_NGE = expected_heads(k_NGE, positions_N, rotary, theta, k_weight_E)
    torch.testing.assert_close(stored_NGE.float(), expected_NGE, **tolerance)
    assert torch.equal(values[slot_N.long(), :, place_N.long()], v_NGE)
    untouched = torch.ones(SLOTS, PLACES, dtype=torch.bool, device=device)
    untouched[slot_N.long(), place_N.long()] = False
    assert (keys.transpose(1, 2)[untouched] == 0).all() and (values.transpose(1, 2)[untouched] == 0).all()


def test_heads_further_apart_than_32_bits_count(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a slot with very many places, of whose memory hardly any is touched. With 32 bits the process ends here."""
    if device != "cpu":
        pytest.skip("it would take 11 GB of a GPU")
    from triton.runtime.interpreter import GridExecutor

    monkeypatch.setattr(GridExecutor, "_restore_args_dev", lambda *_: None)  # all are there: no copy onto themselves
    heads, size, places = 5, 16, (1 << 25) + 4
    keys, values = (reserved_zeros((1, heads, places, size), torch.bfloat16) for _ in range(2))
    assert (heads - 1) * keys.stride(1) > 2**31
    qkv_NX = torch.randn(1, 3 * heads * size).bfloat16()
    k_HE, v_HE = qkv_NX.view(3, heads, size)[1:].clone()
    place_N = torch.tensor([places - 2], dtype=torch.int32)
    rotate_and_store(
        qkv_NX,
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, dtype=torch.int32),
        place_N,
        keys,
        values,
        heads=heads,
        kv_heads=heads,
        head_size=size,
        rotary_size=size,
        theta=10_000.0,
    )
    assert torch.equal(keys[0, :, places - 2], k_HE) and torch.equal(values[0, :, places - 2], v_HE)
