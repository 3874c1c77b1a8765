"""The suite on a checkpoint: its network over a few tokens, and what it can say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import fef
from fef.errors import OptionError
from fef.models.demask import DependencyHead
from fef.models.extras import Extras
from fef.models.hidden_layer import save_layer
from fef.models.transformer import Transformer
from fef.verify.checkpoint import CHECKPOINT_EFFORT, FewTokens, on_checkpoint, restricted
from fef.verify.network_laws import packed_law
from fef.verify.setting import Setting
from fef.verify.suite import settings_of, verdict
from fef.verify.tables import tiny_joint_layer, tiny_network, tiny_order_block

PART = {"ssmd": "order_block", "adjust": "joint_layer"}


@pytest.fixture(scope="module")
def network() -> Transformer:
    return tiny_network(vocab_size=20, mask_id=19, eos_id=3, tied_embeddings=False)


@pytest.mark.parametrize("tied", [True, False])
def test_a_network_over_few_tokens_has_the_law_of_the_whole_one_given_them(tied):
    whole, kept = tiny_network(vocab_size=20, mask_id=19, tied_embeddings=tied), [4, 7, 11]
    part = restricted(whole, kept)
    ids_BL = torch.tensor([[0, 3, 1, 3], [2, 3, 3, 3]])
    whole_ids_BL = torch.tensor([*kept, 19])[ids_BL]
    assert_close(part(ids_BL)[..., :3].softmax(-1), whole(whole_ids_BL)[..., kept].softmax(-1))


def test_a_checkpoint_runs_what_its_network_can(network):
    networks = FewTokens.of(network, "here")
    assert 19 not in networks.ranked and 3 not in networks.ranked
    found = list(on_checkpoint(settings_of(["sequential", "low-confidence"], slow=False), networks))
    here = [one for one in found if isinstance(one, Setting)]
    left_out = {one[0].words: one[1] for one in found if isinstance(one, tuple)}
    assert len(here) >= 6 and all(one.subjects == ("network",) and not one.oracle for one in here)
    assert "not for a network network" in left_out["cache=prefix, T=1"] and "states no law" in left_out.values()


def test_its_certificates_hold_and_a_false_one_is_caught(network):
    networks = FewTokens.of(network, "here")
    packed, rows = (next(s for s in on_checkpoint([one], networks) if isinstance(s, Setting)) for one in (
        next(s for s in settings_of(["sequential"], slow=False) if s.law is packed_law),
        next(s for s in settings_of(["fef"], slow=False) if s.options.get("accept") == "rejection"),
    ))  # fmt: skip
    for setting in (packed, rows):
        found = verdict(setting, CHECKPOINT_EFFORT)
        assert found.passed and found.measured[0].subject == "here 4^3"
    false = Setting("sequential", {}, law=packed.law, subjects=("network",), networks=networks)
    assert not verdict(false, CHECKPOINT_EFFORT).passed


@pytest.mark.parametrize(("method", "tiny"), [("ssmd", tiny_order_block), ("adjust", tiny_joint_layer)])
def test_the_process_of_its_own_layer_holds_and_that_of_another_is_caught(method, tiny, tmp_path):
    network = tiny_network(vocab_size=20, mask_id=19, eos_id=3, packed=False)
    own, other, file = tiny(network).float(), tiny(network, seed=1), tmp_path / "other.safetensors"
    network.extras = Extras(**{PART[method]: own})
    networks = FewTokens.of(network, "here")
    found = (s for s in on_checkpoint(settings_of([method], slow=False), networks) if isinstance(s, Setting))
    setting = next(s for s in found if s.certificate().kind == "process" and s.temperature)
    assert verdict(setting, CHECKPOINT_EFFORT).passed
    save_layer(file, other, network)
    false = replace(setting, options=dict(setting.options) | {"layer": str(file)})
    assert not verdict(false, CHECKPOINT_EFFORT).passed


def test_windows_planned_by_its_own_dependency_head_hold():
    network = tiny_network(vocab_size=20, mask_id=19, eos_id=3, packed=False)
    network.extras = Extras(DependencyHead(network.config.dim, width=16, rank=4))  # in float32, as those of checkpoints
    networks = FewTokens.of(network, "here")
    found = (s for s in on_checkpoint(settings_of(["fef"], slow=False), networks) if isinstance(s, Setting))
    setting = next(s for s in found if s.options.get("planner") == "influence")
    assert verdict(setting, CHECKPOINT_EFFORT).passed


def test_a_quantized_network_is_refused():
    model = fef.load("demo", device="cpu", weights="int8").network
    with pytest.raises(OptionError, match="without --weights"):
        FewTokens.of(model, "demo")
