"""Keys that go from places to places of a slot, against plain indexing."""

import pytest
import torch

from fef.engine.kernels.move import move
from fef.models.slot_cache import SlotCache


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("layers", "heads", "size"), [(1, 1, 16), (3, 3, 48), (2, 8, 64)])
def test_only_the_named_places_change(layers: int, heads: int, size: int, dtype: torch.dtype, device: str) -> None:
    generator = torch.Generator().manual_seed(layers)
    keys, values = torch.randn(2, layers, 4, heads, 12, size, generator=generator).to(device, dtype).unbind(0)
    cache = SlotCache(keys.clone(), values.clone())
    nowhere = 11
    from_BT = torch.tensor([[nowhere, 8, 9, nowhere], [nowhere, nowhere, 10, 8], [nowhere] * 4], device=device)
    to_BT = torch.tensor([[nowhere, 2, 3, nowhere], [nowhere, nowhere, 5, 6], [nowhere] * 4], device=device)
    slot_B = torch.tensor([3, 0, 1], device=device)
    move(cache, slot_B, torch.stack([from_BT, to_BT]).int(), nowhere)
    for slot, source, target in [(3, 8, 2), (3, 9, 3), (0, 10, 5), (0, 8, 6)]:
        for kept in (keys, values):
            kept[:, slot, :, target] = kept[:, slot, :, source].clone()
    assert torch.equal(cache.keys_YSGCE, keys) and torch.equal(cache.values_YSGCE, values)
