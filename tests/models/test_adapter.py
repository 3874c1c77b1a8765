"""Adapters in the files of PEFT: what their settings say is heeded or refused, and broken ones are refused in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import fef
from fef.models.adapter import apply_adapter
from fef.models.checkpoint import describe, load_network, write_released
from fef.models.transformer import Transformer

BASE = Path(__file__).parents[1] / "golden" / "data" / "llada" / "checkpoint"
LAYER, RANK = "model.transformer.blocks.{}.q_proj", 4
Change = Callable[[dict[str, Tensor]], None]


def adapted(path: Path, change: Change = lambda _: None, **settings: Any) -> Transformer:
    """The base with factors of all its matrices of queries, as PEFT would have written them with these settings."""
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for key, weight in load_file(BASE / "model.safetensors").items():
        if key.endswith("q_proj.weight"):
            stem = f"base_model.model.{key.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(RANK, weight.shape[1], generator=draw)
            tensors[f"{stem}.lora_B.weight"] = torch.randn(weight.shape[0], RANK, generator=draw)
    change(tensors)
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / "adapter_model.safetensors")
    plain = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "rank_pattern": {}, "alpha_pattern": {}}
    (path / "adapter_config.json").write_text(json.dumps(plain | settings))
    return apply_adapter(load_network(BASE), describe(BASE).family, path)


def scales(network: Transformer, like: Transformer) -> list[float]:
    """How many times as large as in `like` the change of each layer's queries is."""
    base = load_network(BASE)
    changes = (
        tuple((block.attn.q.weight - first.attn.q.weight).norm() for block in (here, there))
        for first, here, there in zip(base.blocks, network.blocks, like.blocks, strict=True)
    )
    return [round(float(one / other), 3) for one, other in changes]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [1, 1, 1]),
        ({"rank_pattern": None, "alpha_pattern": None, "init_lora_weights": True}, [1, 1, 1]),
        ({"lora_alpha": 8, "use_rslora": True}, [4, 4, 4]),
        ({"alpha_pattern": {"q_proj": 40}}, [10, 10, 10]),
        ({"alpha_pattern": {LAYER.format(1): 40}}, [1, 10, 1]),
        ({"alpha_pattern": {"^" + LAYER.format(1): 40}}, [1, 10, 1]),
        ({"alpha_pattern": {r"blocks\.[12]\.q_proj": 40, "q_proj": 8}}, [2, 10, 10]),
        ({"alpha_pattern": {"proj": 40}}, [1, 1, 1]),  # whole parts of a name
        ({"r": 8, "lora_alpha": 8, "rank_pattern": {r"blocks\.\d+\.q_proj": RANK}}, [2, 2, 2]),
    ],
    ids=str,
)
def test_patterns_of_names_say_how_much_is_added(tmp_path, settings, wanted):
    assert scales(adapted(tmp_path / "a", **settings), adapted(tmp_path / "plain")) == wanted


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        *(
            ({"init_lora_weights": start}, start)
            for start in ("pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga")
        ),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora"),
        ({"kasa_config": {"beta": 1e-4}}, "kasa_config"),
        ({"use_dora": True}, "use_dora"),
    ],
)
def test_what_is_more_than_the_product_of_two_factors_is_refused(tmp_path, settings, words):
    with pytest.raises(fef.CheckpointError, match=rf"with .*{words}.*plain LoRA"):
        adapted(tmp_path / "a", **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"r": 8}, r"of rank 4, and its adapter_config.json says 8"),
        ({"rank_pattern": {"q_proj": 2}}, "says 2"),
        ({"rank_pattern": {"q_proj": 0}}, "0 as r of"),
        ({"lora_alpha": None}, "None as lora_alpha of"),
        ({"lora_alpha": True}, "True as lora_alpha of"),
        ({"alpha_pattern": {"q_proj": "much"}}, "'much' as lora_alpha of"),
        ({"alpha_pattern": ["q_proj"]}, "no patterns of names"),
        ({"alpha_pattern": {"(": 3}}, "no patterns of names"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_the_factors_are_refused(tmp_path, settings, words):
    with pytest.raises(fef.CheckpointError, match=words):
        adapted(tmp_path / "a", **settings)


def without_outs(tensors: dict[str, Tensor]) -> None:
    for key in [key for key in tensors if "lora_B" in key]:
        del tensors[key]


def flat(part: str) -> Change:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors.update({key: tensor.flatten()[:1] for key, tensor in tensors.items() if part in key})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_outs, "only one of the two factors"),
        (flat("lora_A"), "whose product"),
        (flat("lora_B"), "whose product"),
    ],
    ids=["one", "flat in", "flat out"],
)
def test_factors_that_are_not_whole_are_refused(tmp_path, change, words):
    with pytest.raises(fef.CheckpointError, match=words):
        adapted(tmp_path / "a", change)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_written_says_whether_it_has_the_packed_law(tmp_path, packed, before):
    base, merged = tmp_path / "base", tmp_path / "merged"
    shutil.copytree(BASE, base)
    config = json.loads((base / "config.json").read_text()) | ({"fef_packed": True} if before else {})
    (base / "config.json").write_text(json.dumps(config))
    network = load_network(base)
    assert network.config.packed == before
    network.config = replace(network.config, packed=packed)  # as an adapter does
    merged.mkdir()
    write_released(merged, network, base, describe(base).family)
    assert describe(merged).config.packed == packed
