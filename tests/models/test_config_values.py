"""Configs with values of a wrong type, sign or size: a CheckpointError that names the field, at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_network import tiny_network

import fef
from fef.models.causal import load_causal
from fef.models.checkpoint import describe
from fef.models.config import TransformerConfig

DATA = Path(__file__).parents[1] / "golden" / "data"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *((name, value) for name in ("rope_theta", "norm_eps") for value in ("1", -1.0, 0, None, True, float("nan"))),
        *((name, value) for name in ("mask_id", "answer_id", "eos_id") for value in ("1", -1, True, 1.5, [1], 10**30)),
        *((name, value) for name in ("kv_heads", "head_dim", "rotary_dim") for value in ("1", -2, True, 1.5)),
        *((name, value) for name in ("layers", "heads", "max_length") for value in ("1", 0, True, 1.5, None, 10**10)),
        *((name, 10**400) for name in ("rope_theta", "norm_eps")),
        ("mixture", {"experts": 4, "per_token": 1, "expert_dim": 2, "scale": 10**400}),
        ("mask_id", None),
        ("max_length", "long"),
        ("block_length", "4"),
        ("stop_ids", 3),
        ("stop_ids", ["a"]),
        ("attention", ["causal"]),
        ("shift", 1),
        ("tied_embeddings", "false"),
        ("mixture", [1]),
        ("mixture", {"experts": "4", "per_token": 1, "expert_dim": 2}),
        ("mixture", {"experts": 4, "per_token": 1, "expert_dim": 2, "scale": "1"}),
        ("mixture", {"experts": 4, "per_token": 1, "expert_dim": 2, "dense_layers": 1}),
        ("mixture", {"experts": 10**9, "per_token": 1, "expert_dim": 2}),
    ],
)
def test_own_configs_with_wrong_values_are_refused_by_name(field, wrong):
    values = tiny_network(0).config.to_dict()
    TransformerConfig.from_dict(dict(values))
    name = next((key for key in wrong if key in ("scale", "dense_layers")), "experts") if field == "mixture" else field
    word = {"stop_ids": "stop_id", "mixture": "mixture" if isinstance(wrong, list) else name}.get(field, field)
    with pytest.raises(fef.CheckpointError, match=word):
        TransformerConfig.from_dict(values | {field: wrong})


@pytest.mark.parametrize(
    ("family", "field", "wrong"),
    [
        ("sdar", "max_position_embeddings", "long"),
        ("dream", "max_position_embeddings", None),
        ("llada", "max_sequence_length", True),
        ("llada", "n_layers", 10**9),
        ("llada2-moe", "num_hidden_layers", 10**9),
        ("llada2-moe", "first_k_dense_replace", 10**9),
        ("llada2-moe", "num_experts", 10**9),
        ("sdar", "num_attention_heads", 0),
        ("sdar", "num_key_value_heads", -2),
        ("dream", "rms_norm_eps", -1e-6),
        ("dream", "mask_token_id", True),
        ("sdar", "architectures", 5),
        ("llada", "mlp_ratio", float("inf")),
        ("llada", "mlp_ratio", 1e308),
        ("sdar", "rope_theta", 10**400),
        ("dream", "rms_norm_eps", 10**400),
        ("llada2-moe", "routed_scaling_factor", -(10**400)),
    ],
)
def test_released_configs_with_wrong_values_are_refused_by_name(tmp_path, family, field, wrong):
    values = json.loads((DATA / family / "checkpoint" / "config.json").read_text())
    if field == "mlp_ratio":
        del values["mlp_hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(values | {field: wrong}))
    began = time.monotonic()
    word = "experts" if field == "num_experts" else field
    with pytest.raises(fef.CheckpointError, match=word):
        describe(tmp_path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"layers": 1' + "0" * 5000 + "}"])
def test_absurd_json_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(fef.CheckpointError, match="not valid JSON"):
        fef.load(str(tmp_path))


@pytest.mark.parametrize("name", [3, None, [1], b"demo", "", True, "x" * 5000, "a/" + "b" * 5000, "a\0", "a\ud83d"])
def test_what_can_be_no_name_of_a_model_is_refused(name):
    with pytest.raises(fef.CheckpointError, match="name of a model"):
        fef.load(name)


def test_a_path_object_is_a_name():
    assert fef.load(DATA / "llada" / "checkpoint", device="cpu").name == "checkpoint"


SDAR = str(DATA / "sdar" / "checkpoint")


@pytest.mark.parametrize("dtype", ["float32", "x", torch.int8, torch.complex64, torch.float8_e4m3fn, np.float32])
def test_what_is_no_dtype_of_weights_is_refused(dtype):
    with pytest.raises(fef.OptionError, match=r"dtype=.* is not allowed: give torch.float32, torch.bfloat16"):
        fef.load(SDAR, device="cpu", dtype=dtype)
    with pytest.raises(fef.OptionError, match=r"dtype=.* is not allowed"):
        load_causal(SDAR, dtype=dtype)


@pytest.mark.parametrize("number", [np.int64, torch.tensor])
def test_a_mask_and_blocks_of_any_library(number):
    config = fef.load(SDAR, device="cpu", mask_id=number(5), block_length=number(8)).network.config
    assert (config.mask_id, config.block_length) == (5, 8)
    assert type(config.mask_id) is type(config.block_length) is int


@pytest.mark.parametrize(
    "wrong", [{"mask_id": 4.0}, {"mask_id": "4"}, {"mask_id": -1}, {"block_length": True}, {"block_length": 0}]
)
def test_what_is_no_mask_and_no_block_is_an_option_and_not_said_of_the_config(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(fef.OptionError, match=f"^{name}={value!r} must be a whole number"):
        fef.load(SDAR, device="cpu", **wrong)


@pytest.mark.parametrize("name", [3, [1], b"demo", "", "x" * 5000, "a\0"])
def test_what_can_be_no_name_of_an_adapter_or_of_a_causal_model_is_refused(name):
    for load in (lambda: fef.load(SDAR, device="cpu", adapter=name), lambda: load_causal(name)):
        with pytest.raises(fef.CheckpointError, match="name of a model"):
            load()
