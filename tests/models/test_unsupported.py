"""Adapters and quantized checkpoints are named for what they are, with the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fef

DATA = Path(__file__).parents[1] / "golden" / "data"
WEIGHTS = "model.safetensors"
LORA = {"peft_type": "LORA", "base_model_name_or_path": "GSAI-ML/LLaDA-8B-Base", "r": 8}
WAY_OUT = 'release that is not quantized; weights="int8" or weights="fp8"'


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "sdar" / "checkpoint", tmp_path / "sdar"))


def refusal(path: Path) -> str:
    with pytest.raises(fef.CheckpointError) as caught:
        fef.load(str(path), device="cpu")
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], ["LORA adapter of 'GSAI-ML/LLaDA-8B-Base'"]),
        (
            ["adapter_config.json", "adapter_model.bin"],
            ["LORA adapter of 'GSAI-ML/LLaDA-8B-Base'", "adapter_model.bin"],
        ),
        (["adapter_config.json"], ["LORA adapter of 'GSAI-ML/LLaDA-8B-Base'"]),
        (["adapter_model.safetensors"], ["an adapter (adapter_model.safetensors)"]),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_adapters_are_refused_with_the_name_of_their_base(copied, tmp_path, files, words, alone):
    path = tmp_path / "adapter" if alone else copied
    path.mkdir(exist_ok=True)
    for name in files:
        (path / name).write_text(json.dumps(LORA))
    if alone:
        words = [word.replace("(", "alone, without the model that it changes (") for word in words]
    found = refusal(path)
    assert all(word in found for word in [*words, "merge_and_unload"])
    assert ("alone" in found) == alone


def test_an_adapter_that_names_no_base(copied):
    (copied / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": None, "peft_type": 3}))
    assert "holds an adapter (adapter_config.json)" in refusal(copied)


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "GPTQ"),
        ({"quantization_config": {"quant_method": "awq"}}, "AWQ"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "FP8"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "hqq"}}, "'hqq'"),
        ({"quantization_config": {"bits": 4}}, "a method that it does not name"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "'compressed-tensors'"),
    ],
)
def test_a_config_says_how_the_weights_are_quantized(copied, settings, method):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | settings))
    words = refusal(copied)
    assert f"is quantized with {method} (" in words
    assert WAY_OUT in words


def test_no_quantization_in_a_config_is_none(copied):
    config = json.loads((copied / "config.json").read_text())
    for nothing in (None, {}):
        (copied / "config.json").write_text(json.dumps(config | {"quantization_config": nothing}))
        fef.load(str(copied), device="cpu")


@pytest.mark.parametrize(("name", "method"), [("quantize_config.json", "GPTQ"), ("quant_config.json", "AWQ")])
def test_so_does_a_file_beside_it(copied, name, method):
    (copied / name).write_text("{}")
    assert f"is quantized with {method} ({name} beside it)" in refusal(copied)


KEY = "model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(
    ("parts", "method"),
    [
        ({"qweight": torch.int32, "qzeros": torch.int32, "scales": torch.float16}, "GPTQ or AWQ"),
        ({"weight": torch.float8_e4m3fn}, "FP8"),
        ({"weight": torch.float8_e5m2, "weight_scale_inv": torch.float32}, "FP8"),
        ({"weight_packed": torch.int32, "weight_scale": torch.float16}, "compressed-tensors"),
        ({"weight": torch.int8, "SCB": torch.float32}, "bitsandbytes"),
    ],
)
def test_and_so_do_the_weights_alone(copied, parts, method):
    weights = load_file(copied / WEIGHTS)
    shape = weights.pop(f"{KEY}.weight").shape
    weights |= {f"{KEY}.{name}": torch.zeros(shape).to(dtype) for name, dtype in parts.items()}
    save_file(weights, copied / WEIGHTS)
    words = refusal(copied)
    assert f"is quantized with {method} (" in words
    assert "is not a float" not in words
    assert WAY_OUT in words


def test_gguf_files_are_named_for_what_they_are(copied):
    (copied / WEIGHTS).rename(copied / "model-Q4_K_M.gguf")
    assert "GGUF files, which are for llama.cpp" in refusal(copied)
