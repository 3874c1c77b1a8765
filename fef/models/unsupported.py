"""Model directories that fef can name but not run: adapters without their base, and weights that are quantized already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fef.errors import CheckpointError
from fef.models.tokenizer_files import read_json
from fef.readers import shown

__all__ = ["quantized_parts", "refuse_adapter", "refuse_prequantized"]

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model"
SETTINGS = ("quantization_config", "compression_config")  # fields of config.json
FILES = {"quantize_config.json": "GPTQ", "quant_config.json": "AWQ", "hf_quant_config.json": "ModelOpt"}
NAMES = {"gptq": "GPTQ", "awq": "AWQ", "fp8": "FP8", "fbgemm_fp8": "FP8", "bitsandbytes": "bitsandbytes"}
PARTS = {  # last part of a stored key: what stores it
    "qweight": "GPTQ or AWQ",
    "qzeros": "GPTQ or AWQ",
    "g_idx": "GPTQ",
    "weight_packed": "compressed-tensors",
    "weight_scale_inv": "FP8",
    "weight_scale": "FP8 or int8",
    "absmax": "bitsandbytes",
    "quant_map": "bitsandbytes",
    "SCB": "bitsandbytes",
}


def refuse_adapter(path: Path) -> None:
    """Raise CheckpointError for a directory with an adapter, beside weights or alone: it is no model."""
    weights = sorted(file.name for file in path.glob(f"{ADAPTER_WEIGHTS}*") if file.is_file())
    if not (path / ADAPTER).is_file() and not weights:
        return
    settings = read_json(path / ADAPTER)
    base, kind = settings.get("base_model_name_or_path"), settings.get("peft_type")
    of = f" of {shown(base, 200)}" if isinstance(base, str) and base else ""
    named = f"a {kind} adapter" if isinstance(kind, str) and kind.isalnum() else "an adapter"
    files = ", ".join([ADAPTER] * (path / ADAPTER).is_file() + weights)
    alone = "" if (path / "config.json").is_file() else " alone, without the model that it changes"
    raise CheckpointError(
        f"{path} holds {named}{of}{alone} ({files}), which is no model by itself. Load its base with it: "
        "fef.load(base, adapter=...); or merge it into its base (`fef export`, or in peft: merge_and_unload, then "
        "save_pretrained) and load the result; or, for the model without it, load the base in a directory of its own."
    )


def refuse_prequantized(path: Path, values: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a checkpoint whose small files say that its weights are quantized. values: config.json."""
    for name in SETTINGS:
        settings = values.get(name)
        if settings:
            method = settings.get("quant_method") if isinstance(settings, Mapping) else None
            known = NAMES.get(str(method).lower(), shown(method)) if method else "a method that it does not name"
            raise prequantized(path, known, f"{name} in config.json")
    for name, method in FILES.items():
        if (path / name).is_file():
            raise prequantized(path, method, f"{name} beside it")


def quantized_parts(path: Path, tensors: Iterable[tuple[str, str]]) -> CheckpointError | None:
    """The error for stored tensors, (key, dtype) each, of quantized weights; None if there are none."""
    for key, dtype in tensors:
        last = key.rpartition(".")[2]
        if last in PARTS:
            return prequantized(path, PARTS[last], f"its {key}")
        if dtype.startswith("F8_"):
            return prequantized(path, "FP8", f"{key} is {dtype}")
    return None


def prequantized(path: Path, method: str, evidence: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is quantized with {method} ({evidence}), and fef reads only weights in floats of 16 bits and more. Take the "
        'release that is not quantized; weights="int8" or weights="fp8" (--weights) rounds it while it is loaded.'
    )
