"""Logits, hidden states, routers and caches of released architectures equal those of their official code, in float32."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from golden import BUG, GOLDEN, TOLERANCE, case_of, case_tensors, cases, description, families, network, tensors
from torch import Tensor

from fef.models.checkpoint import describe, load_network
from fef.models.config import TransformerConfig
from fef.models.mlp import Router
from fef.models.transformer import KeyValues, Transformer, plain_visible

FORWARD = "forward.json"
INPUTS = {"input_ids", "attention_mask", "position_ids", "mask_allowed"}


def is_cached(family: str, name: str) -> bool:
    return "prefix_len" in case_of(family, FORWARD, name)


PLAIN = [case for case in cases(FORWARD) if not is_cached(*case)]
CACHED = [case for case in cases(FORWARD) if is_cached(*case)]


@contextmanager
def configured(model: Transformer, config: TransformerConfig) -> Iterator[None]:
    """The network under another attention pattern."""
    before, model.config = model.config, config
    try:
        yield
    finally:
        model.config = before


def attention_config(config: TransformerConfig, case: dict[str, Tensor]) -> TransformerConfig:
    """What the official code attended to: an explicit pattern, or what its defaults make of a block-causal network."""
    if "mask_allowed" in case:
        length = case["input_ids"].shape[1]
        block = int(case["mask_allowed"].reshape(-1, length, length)[0, 0].sum())
        return dataclasses.replace(config, attention="block-causal", block_length=block)
    if config.attention == "block-causal":  # no pattern: bidirectional; a padding mask: causal
        attention = "causal" if "attention_mask" in case else "bidirectional"
        return dataclasses.replace(config, attention=attention, block_length=None)
    return config


def real_rows(case: dict[str, Tensor]) -> Tensor:
    """Where logits are compared: the official code leaves anything on padding."""
    return case.get("attention_mask", torch.ones_like(case["input_ids"])).bool()


def trunk(model: Transformer, case: dict[str, Tensor]) -> Tensor:
    """Final hidden states with the inputs exactly as the official code got them."""
    ids = case["input_ids"]
    length = ids.shape[1]
    visible = plain_visible(model.config, length, None, ids.device)
    if "attention_mask" in case:
        keys = case["attention_mask"].bool()[:, None, :]
        visible = keys.expand(-1, length, -1) if visible is None else keys & visible
    positions = case.get("position_ids", torch.arange(length).expand_as(ids))
    return model.trunk(ids, positions, visible)[0]


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE)


def test_there_is_golden_data():
    assert PLAIN, f"no family with {FORWARD} in {GOLDEN}"
    assert {family for family, _ in PLAIN} == {path.parent.name for path in GOLDEN.glob("*/checkpoint")}


@pytest.mark.parametrize(("family", "name"), PLAIN)
def test_every_stored_tensor_is_equal(family, name):
    model, case = network(family), case_tensors(family, name)
    rows = real_rows(case)
    seen: dict[str, Tensor] = {}
    hooks = []
    for i, block in enumerate(model.blocks):
        hooks.append(block.register_forward_pre_hook(lambda _, inputs, i=i: seen.update({f"hidden.{i}": inputs[0]})))
    routers = [module for module in model.modules() if isinstance(module, Router)]
    for i, router in enumerate(routers):

        def watch(module: Router, inputs: tuple[Tensor], output: tuple[Tensor, Tensor], i: int = i) -> None:
            shape = (*case["input_ids"].shape, -1)
            seen[f"router.{i}.logits"] = module.logits(inputs[0]).view(shape)
            seen[f"router.{i}.topk_idx"] = output[0].sort(-1).values.view(shape)

        hooks.append(router.register_forward_hook(watch))
    try:
        with configured(model, attention_config(model.config, case)):
            hidden = trunk(model, case)
    finally:
        for hook in hooks:
            hook.remove()
    seen |= {f"hidden.{len(model.blocks)}": hidden, "logits": model.logits(hidden)}
    assert case.keys() <= seen.keys() | INPUTS
    for key in case.keys() - INPUTS:
        close(seen[key][rows], case[key][rows])


@pytest.mark.parametrize(("family", "name"), PLAIN)
def test_the_public_forward_is_equal(family, name):
    """`network(ids, lengths)`: padding moved to the right, the pattern from the config, shifted logits in place."""
    model, case = network(family), case_tensors(family, name)
    rows, ids = real_rows(case), case["input_ids"]
    config = attention_config(model.config, case)
    if "mask_allowed" in case:
        visible = plain_visible(config, ids.shape[1], None, ids.device)
        allowed = case["mask_allowed"].reshape(-1, *ids.shape[1:], ids.shape[1])
        assert torch.equal(torch.ones_like(allowed) if visible is None else visible.expand_as(allowed), allowed)
    lengths = rows.sum(1)
    packed = torch.zeros_like(ids)
    for b, n in enumerate(lengths.tolist()):
        packed[b, :n] = ids[b, rows[b]]
    with configured(model, config):
        logits = model(packed, lengths)
    for b, n in enumerate(lengths.tolist()):
        wanted = case["logits"][b, rows[b]]
        close(logits[b, :n], wanted[(torch.arange(n) - int(config.shift)).clamp(min=0)])


@pytest.mark.parametrize(("family", "name"), CACHED)
def test_a_cached_prefix_is_equal(family, name):
    model, facts, case = network(family), case_of(family, FORWARD, name), case_tensors(family, name)
    ids, cut = case["input_ids"], facts["prefix_len"]
    before, after = ids[:, :cut], ids[:, cut:]
    blocks = {"block_length": facts["block"]} if "block" in facts else {}
    with configured(model, dataclasses.replace(model.config, **blocks)):
        pattern = plain_visible(model.config, cut, None, ids.device)
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    first, new = model.trunk(before, positions[:, :cut], pattern)
    past = KeyValues(torch.stack([k for k, _ in new]), torch.stack([v for _, v in new]))
    second, newer = model.trunk(after, positions[:, cut:], None, past)
    seen = {
        "prefill_logits": model.logits(first),
        "prefix_logits": model.logits(first),
        "block_logits": model.logits(second),
        "suffix_logits": model.logits(second),
        "layer0_key_cache": torch.cat([new[0][0], newer[0][0]], 2),
        "layer0_value_cache": torch.cat([new[0][1], newer[0][1]], 2),
    }
    assert case.keys() <= seen.keys() | INPUTS
    for key in case.keys() - INPUTS:
        close(seen[key], case[key])


@pytest.mark.parametrize("checkpoint", sorted(GOLDEN.glob("*/checkpoint-*")), ids=lambda path: path.name)
def test_shards_hold_the_same_weights(checkpoint):
    family = checkpoint.parent.name
    sharded = load_network(checkpoint, description(family)).state_dict()
    whole = network(family).state_dict()
    assert sharded.keys() == whole.keys()
    assert all(torch.equal(sharded[key], whole[key]) for key in whole)


@pytest.mark.parametrize("family", families(FORWARD))
def test_the_comparison_sees_a_wrong_switch(family):
    """The twins that must fail: a slightly other network is far outside the tolerance."""
    model = network(family)
    name = next(name for of, name in PLAIN if of == family)
    case = case_tensors(family, name)
    right = attention_config(model.config, case)
    wrong = [dataclasses.replace(right, rope_theta=right.rope_theta / 2)]
    if right.attention == "block-causal":
        wrong.append(dataclasses.replace(right, attention="causal"))
    for config in wrong:
        with configured(model, config):
            rows = real_rows(case)
            error = (model.logits(trunk(model, case)) - case["logits"])[rows].abs().max()
        assert error > BUG


def test_no_case_is_left_out():
    for family in families(FORWARD):
        named = {key.split(".")[0] for key in tensors(family)}
        assert named == {name for of, name in cases(FORWARD) if of == family}


MOVED = ("rope_theta", "partial_rotary_factor")
STYLES = {
    "once": lambda rope: rope | {"rope_type": "default"},
    "by type of layer": lambda rope: {
        "full_attention": rope | {"rope_type": "default"},
        "sliding_attention": rope | {"rope_type": "default"},
    },
}


def in_the_style_of_transformers_5(values: dict[str, object], style: str) -> dict[str, object]:
    """A config.json with its rotary settings inside of `rope_parameters`, and `dtype` for `torch_dtype`."""
    rope = {name: values[name] for name in MOVED if name in values}
    kept = {name: value for name, value in values.items() if name not in (*MOVED, "rope_scaling", "torch_dtype")}
    return kept | {"rope_parameters": STYLES[style](rope), "dtype": "bfloat16", "transformers_version": "5.0.0"}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", families(FORWARD))
def test_a_config_of_transformers_5_is_the_same_network(family, style, tmp_path):
    for file in (GOLDEN / family / "checkpoint").iterdir():
        (tmp_path / file.name).symlink_to(file)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(in_the_style_of_transformers_5(values, style)))
    described = describe(tmp_path, description(family).config.mask_id)
    assert described.config == description(family).config
    model = load_network(tmp_path, described)
    case = case_tensors(family, next(name for of, name in PLAIN if of == family))
    with configured(model, attention_config(model.config, case)):
        logits = model.logits(trunk(model, case))
    close(logits[real_rows(case)], case["logits"][real_rows(case)])
