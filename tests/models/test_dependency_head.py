"""The dependency head: what it computes, and that a head is refused by every network but its own."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_network import MASK, tiny_network

from fef.errors import CheckpointError
from fef.models.checkpoint import demo_path, load_checkpoint
from fef.models.demask import DEMASK, DependencyHead, fingerprint, load_head, save_head

POSITIONS = torch.tensor([[2, 3, 5, 9], [1, 2, 40, 41]])


def random_head(dim: int = 16, **options) -> DependencyHead:
    head = DependencyHead(dim, width=12, rank=4, reach=8, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return head.requires_grad_(False)


def test_each_entry_is_a_sigmoid_of_query_key_and_distance():
    head, hidden = random_head(), torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1))
    found = head(hidden, POSITIONS)
    for b, i, j in ((0, 0, 3), (0, 3, 0), (1, 0, 2), (1, 3, 1)):
        first, second = (h / (1 + torch.exp(-h)) for h in hidden[b, [i, j]] @ head.feature.weight.T + head.feature.bias)
        query, key = head.query.weight @ first + head.query.bias, head.key.weight @ second + head.key.bias
        offset = max(-8, min(8, int(POSITIONS[b, j] - POSITIONS[b, i])))
        wanted = torch.sigmoid(query @ key / 4**0.5 + head.distance[8 + offset])
        torch.testing.assert_close(found[b, i, j], wanted)
    assert not found.diagonal(dim1=1, dim2=2).any()
    assert (found >= 0).all() and (found <= 1).all()
    assert (found - found.mT).abs().max() > 0.1


def test_permuting_the_slots_permutes_the_influence():
    head, hidden = random_head(), torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        head(hidden[:, order], POSITIONS[:, order]), head(hidden, POSITIONS)[:, order][:, :, order]
    )


@pytest.mark.parametrize("shift", [False, True])
def test_hidden_states_are_those_that_predict_the_slots(shift):
    model = tiny_network(packed=False, shift=shift)
    ids, slots = torch.tensor([[1, 3, MASK, MASK, 4, MASK]]), torch.tensor([[5, 2, 3]])
    hidden = model.hidden_at(ids, slots)
    torch.testing.assert_close(model.logits(hidden), model.logits_at(ids, slots))
    everywhere, _ = model.trunk(ids, torch.arange(6)[None], None)
    torch.testing.assert_close(hidden[0], everywhere[0, slots[0] - int(shift)])


def test_a_head_comes_back_as_it_was(tmp_path):
    model, head = tiny_network(), random_head(temperature=0.7)
    save_head(tmp_path / DEMASK, head, model)
    again = load_head(tmp_path / DEMASK, model)
    assert again.temperature == 0.7
    hidden = torch.randn(2, 4, 16)
    assert torch.equal(again(hidden, POSITIONS), head(hidden, POSITIONS))
    assert load_head(tmp_path / DEMASK, tiny_network().bfloat16()).reach == 8
    assert [p.name for p in tmp_path.iterdir()] == [DEMASK]


def test_a_head_of_another_network_is_refused(tmp_path):
    path, model = tmp_path / DEMASK, tiny_network()
    save_head(path, random_head(), model)
    for other in (tiny_network(seed=1), tiny_network(packed=False, shift=True)):
        with pytest.raises(CheckpointError, match=f"{fingerprint(model)}.*{fingerprint(other)}.*train-demask"):
            load_head(path, other)
    with pytest.raises(CheckpointError, match=r"width 16.*width 32"):
        load_head(path, tiny_network(dim=32))


@pytest.mark.parametrize("kind", ["missing", "truncated", "not a head", "width", "rank", "reach"])
def test_a_file_that_is_no_head_is_refused(tmp_path, kind):
    path, model = tmp_path / DEMASK, tiny_network()
    save_head(path, random_head(), model)
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif kind == "not a head":
        save_file({"weight": torch.zeros(2)}, path)
    else:
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, metadata | {kind: {"width": "9" * 30, "rank": "100000000", "reach": "-1"}[kind]})
    with pytest.raises(CheckpointError, match="train-demask") as error:
        load_head(path, model)
    assert "\n" not in str(error.value)


def test_a_head_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="Could not write"):
        save_head(tmp_path / "missing" / DEMASK, random_head(), tiny_network())


def test_the_fingerprint_ignores_dtype_and_sees_any_retrained_weight():
    model = tiny_network()
    assert fingerprint(model) == fingerprint(tiny_network().float()) == fingerprint(tiny_network().bfloat16())
    with torch.no_grad():
        model.blocks[1].mlp.down.weight.mul_(1.01)
    assert fingerprint(model) != fingerprint(tiny_network())


def test_the_shipped_head_fits_the_shipped_network():
    path = demo_path() / DEMASK
    if not path.is_file():
        pytest.skip("the shipped dependency head is not in this checkout")
    model, _ = load_checkpoint(demo_path())
    assert load_head(path, model).feature.in_features == model.config.dim
    assert path.stat().st_size <= 1 << 20


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_head_of_standardized_states_reads_plain_ones_alike(mean):
    head, hidden = random_head(), torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1))
    mean_D, deviation_D = mean + torch.arange(16.0), torch.linspace(0.5, 9.0, 16)
    wanted = head(hidden, POSITIONS)
    head.read_plain(mean_D, deviation_D)
    torch.testing.assert_close(head(hidden * deviation_D + mean_D, POSITIONS), wanted, rtol=0, atol=1e-4)
    assert (head(hidden, POSITIONS) - wanted).abs().max() > 0.1
