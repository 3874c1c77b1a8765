"""The frozen presets, and what a user's changes do to them."""

from __future__ import annotations

import pytest

import fef
from fef.errors import OptionError
from fef.eval.presets import PRESETS, Preset, differences, settings_for
from fef.eval.tasks import TASKS
from fef.generation import Model

# task, canvas, block, flag -> published (authors' toolkit, OpenCompass): LLaDA's evaluation page
LLADA = {
    "llada-8b-instruct/gsm8k": (256, 8, None, 78.6, 78.9),
    "llada-8b-instruct/gsm8k-whole": (512, 512, "confidence_eos_eot_inf", 69.4, 68.8),
    "llada-8b-instruct/math": (512, 64, None, 42.2, 42.7),
    "llada-8b-instruct/math-whole": (512, 512, "confidence_eos_eot_inf", 31.9, 29.6),
    "llada-8b-instruct/humaneval": (512, 512, "logits_eos_inf", 49.4, 47.0),
    "llada-8b-instruct/mbpp": (256, 256, "confidence_eos_eot_inf", 41.0, 39.6),
    "llada-8b-instruct/mmlu": (3, 3, None, 65.5, 65.4),
    "llada-1.5/gsm8k": (256, 16, "confidence_eos_eot_inf", 83.8, 83.6),
    "llada-1.5/math": (1024, 128, "confidence_eos_eot_inf", 42.6, 42.3),
    "llada-1.5/humaneval": (512, 32, "confidence_eos_eot_inf", 52.4, 51.2),
    "llada-1.5/mbpp": (512, 32, "confidence_eos_eot_inf", 42.8, 42.6),
}
DREAM = {"gsm8k": (256, 81.0), "math": (512, 39.2), "humaneval": (768, 55.5), "mbpp": (1024, 58.8), "mmlu": (128, 67.0)}


def test_the_table_is_complete() -> None:
    assert set(PRESETS) == set(LLADA) | {f"dream-7b-instruct/{task}" for task in DREAM}


@pytest.mark.parametrize("name", LLADA)
def test_llada(name: str) -> None:
    length, block, flag, internal, opencompass = LLADA[name]
    preset = PRESETS[name]
    flags = {} if flag is None else {flag: True}
    assert dict(preset.settings.options) == {"steps": length, "block_length": block, "after_eos": "free", **flags}
    assert (preset.settings.method, preset.settings.max_new_tokens, preset.settings.temperature) == (
        "low-confidence",
        length,
        0.0,
    )
    assert [p.accuracy for p in preset.published] == [internal, opencompass]
    # LLaDA's own conditions
    assert length % block == 0
    assert preset.settings.options["steps"] % (length // block) == 0


@pytest.mark.parametrize("task", DREAM)
def test_dream(task: str) -> None:
    length, published = DREAM[task]
    preset = PRESETS[f"dream-7b-instruct/{task}"]
    assert (preset.settings.method, preset.settings.temperature, preset.settings.top_p) == ("entropy", 0.1, 0.9)
    assert preset.settings.max_new_tokens == preset.settings.options["steps"] == length
    assert preset.published[0].accuracy == published


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_can_be_decoded(tiny: Model, preset: Preset) -> None:
    assert preset.settings.shots == 0 or TASKS[preset.settings.task].shots_file
    law = {"temperature": preset.settings.temperature, "top_p": preset.settings.top_p}
    certificate = fef.certify(tiny.network, method=preset.settings.method, **law, **preset.settings.options)
    assert certificate.kind in ("greedy", "none")  # Dream samples, and chooses places by what it drew
    out = tiny.generate(
        "one",
        method=preset.settings.method,
        max_new_tokens=16,
        **law,
        **preset.settings.options | SMALL[preset.settings.method],
    )
    assert out.stats["calls"] <= 16


SMALL = {"low-confidence": {"steps": 16, "block_length": 8}, "entropy": {"steps": 16}}


def test_a_free_end_fills_the_canvas_and_still_ends_the_text(tiny: Model) -> None:
    """Of 24 texts of 100 tokens drawn from nearly flat laws over 320 ids, about six have an end token."""
    options = {"method": "random", "max_new_tokens": 100, "temperature": 5.0, "after_eos": "free"}
    texts = tiny.generate(["one"] * 24, **options)
    assert {out.stats["calls"] for out in texts} == {100}
    ended = [out for out in texts if out.finish_reason == "stop"]
    assert ended
    assert all(len(out.token_ids) < 100 for out in ended)
    assert all(tiny.network.config.eos_id not in out.token_ids for out in texts)


def test_changes_go_on_top_of_a_preset() -> None:
    name = "llada-8b-instruct/mbpp"
    plain = settings_for(name, {}, {})
    assert (plain.task, plain.shots, plain.chat, plain.options["steps"]) == ("mbpp", 3, True, 256)
    assert differences(PRESETS[name], plain, PRESETS[name].model) == []
    changed = settings_for(name, {"max_new_tokens": 64, "shots": None}, {"steps": 64})
    assert (changed.max_new_tokens, changed.shots, changed.options["steps"]) == (64, 3, 64)
    assert changed.options["confidence_eos_eot_inf"] is True
    assert differences(PRESETS[name], changed, "other") == [
        "max_new_tokens 64, not 256",
        "steps 64, not 256",
        "model other, not GSAI-ML/LLaDA-8B-Instruct",
    ]


def test_another_method_starts_from_its_own_options() -> None:
    settings = settings_for("llada-8b-instruct/gsm8k", {"method": "fef"}, {"window": 8})
    assert (settings.method, settings.options, settings.max_new_tokens) == ("fef", {"window": 8}, 256)


def test_a_task_has_settings_of_its_own_and_unknown_names_get_a_hint() -> None:
    settings = settings_for("humaneval", {}, {})
    assert (settings.method, settings.max_new_tokens, settings.shots, settings.chat) == ("fef", 512, 0, False)
    with pytest.raises(OptionError, match="Did you mean 'gsm8k'"):
        settings_for("gsm8", {}, {})
