"""Settings under which LLaDA, LLaDA-1.5 and Dream publish a figure, frozen, with that figure; what a user changes of them.

Sources: LLaDA's evaluation page (github.com/ML-GSAI/LLaDA, EVAL.md) with arXiv 2502.09992 and 2505.19223 for the two toolkits
that the authors ran, and Dream's evaluation scripts with arXiv 2508.15487. `steps` counts forward passes over the whole
canvas, as theirs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fef.errors import OptionError, nearest_hint
from fef.eval.settings import Settings
from fef.eval.tasks import TASKS

__all__ = ["PRESETS", "Preset", "Published", "differences", "preset_of", "settings_for"]


@dataclass(frozen=True)
class Published:
    """A published accuracy in %, and the toolkit that measured it."""

    accuracy: float
    toolkit: str


@dataclass(frozen=True)
class Preset:
    """One published row."""

    name: str
    model: str  # the checkpoint
    settings: Settings  # through its chat template
    published: tuple[Published, ...]  # figures
    source: str  # where they stand


FREE = {"after_eos": "free"}  # neither decoder knows an end: it fills the whole canvas


def llada(
    name: str,
    model: str,
    length: int,
    block: int,
    internal: float,
    opencompass: float,
    source: str,
    shots: int = 0,
    **flags: bool,
) -> Preset:
    """LLaDA's sampler: one token per step, blocks from left to right, temperature 0; two toolkits."""
    return Preset(
        name=name,
        model=model,
        settings=Settings(
            task=name.rpartition("/")[2].partition("-")[0],
            method="low-confidence",
            max_new_tokens=length,
            options=MappingProxyType({"steps": length, "block_length": block, **FREE, **flags}),
            shots=shots,
            chat=True,
        ),
        published=(Published(internal, "authors' toolkit"), Published(opencompass, "OpenCompass")),
        source=source,
    )


def dream(name: str, length: int, accuracy: float, shots: int = 0) -> Preset:
    """Dream's sampler: the positions of lowest entropy, one per step; temperature 0.1, top-p 0.9."""
    return Preset(
        name=name,
        model="Dream-org/Dream-v0-Instruct-7B",
        settings=Settings(
            task=name.rpartition("/")[2],
            method="entropy",
            max_new_tokens=length,
            options=MappingProxyType({"steps": length, "alg_temp": 0.0, **FREE}),
            temperature=0.1,
            top_p=0.9,
            shots=shots,
            chat=True,
        ),
        published=(Published(accuracy, "lm-evaluation-harness"),),
        source="Dream 7B, arXiv 2508.15487",
    )


INSTRUCT, V15 = "GSAI-ML/LLaDA-8B-Instruct", "GSAI-ML/LLaDA-1.5"
PAPER, PAPER15 = "LLaDA, arXiv 2502.09992", "LLaDA 1.5, arXiv 2505.19223"

# "-whole": the same task with one block as long as the canvas, which LLaDA calls pure diffusion.
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        llada("llada-8b-instruct/gsm8k", INSTRUCT, 256, 8, 78.6, 78.9, PAPER, shots=4),
        llada(
            "llada-8b-instruct/gsm8k-whole", INSTRUCT, 512, 512, 69.4, 68.8, PAPER, shots=4, confidence_eos_eot_inf=True
        ),
        llada("llada-8b-instruct/math", INSTRUCT, 512, 64, 42.2, 42.7, PAPER),
        llada("llada-8b-instruct/math-whole", INSTRUCT, 512, 512, 31.9, 29.6, PAPER, confidence_eos_eot_inf=True),
        llada("llada-8b-instruct/humaneval", INSTRUCT, 512, 512, 49.4, 47.0, PAPER, logits_eos_inf=True),
        llada("llada-8b-instruct/mbpp", INSTRUCT, 256, 256, 41.0, 39.6, PAPER, shots=3, confidence_eos_eot_inf=True),
        llada("llada-8b-instruct/mmlu", INSTRUCT, 3, 3, 65.5, 65.4, PAPER, shots=5),
        llada("llada-1.5/gsm8k", V15, 256, 16, 83.8, 83.6, PAPER15, shots=4, confidence_eos_eot_inf=True),
        llada("llada-1.5/math", V15, 1024, 128, 42.6, 42.3, PAPER15, confidence_eos_eot_inf=True),
        llada("llada-1.5/humaneval", V15, 512, 32, 52.4, 51.2, PAPER15, confidence_eos_eot_inf=True),
        llada("llada-1.5/mbpp", V15, 512, 32, 42.8, 42.6, PAPER15, shots=3, confidence_eos_eot_inf=True),
        dream("dream-7b-instruct/gsm8k", 256, 81.0),
        dream("dream-7b-instruct/math", 512, 39.2),
        dream("dream-7b-instruct/humaneval", 768, 55.5),
        dream("dream-7b-instruct/mbpp", 1024, 58.8, shots=3),
        dream("dream-7b-instruct/mmlu", 128, 67.0, shots=4),
    )
}


def preset_of(what: str) -> Preset | None:
    """The preset of this name; None for the name of a task. Raises OptionError for neither."""
    if what not in PRESETS and what not in TASKS:
        raise OptionError(f"There is no preset or task {what!r}.{nearest_hint(what, [*PRESETS, *TASKS])}")
    return PRESETS.get(what)


def settings_for(what: str, changes: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
    """The settings of a preset or a task with `changes` (those that are not None) and method options on top.

    Another method than the preset's starts from its own default options. Raises OptionError for an unknown name.
    """
    preset = preset_of(what)
    base = Settings(what, "fef", TASKS[what].max_new_tokens) if preset is None else preset.settings
    settings = replace(base, **{name: value for name, value in changes.items() if value is not None})
    inherited = base.options if settings.method == base.method else {}
    return replace(settings, options={**inherited, **options})


def differences(preset: Preset, settings: Settings, model: str) -> list[str]:
    """In words, where a run departs from the preset it is compared with."""
    published = facts(preset.settings) | {"model": preset.model}
    ours = facts(settings) | {"model": model}
    names = [name for name in published | ours if published.get(name) != ours.get(name)]
    return [f"{name} {ours.get(name)}, not {published.get(name)}" for name in names]


def facts(settings: Settings) -> dict[str, Any]:
    """What decides the answers, under its name. Batches and cut prompts do not, or are counted elsewhere."""
    names = ("method", "max_new_tokens", "temperature", "top_p", "shots", "chat")
    return {name: getattr(settings, name) for name in names} | dict(settings.options)
