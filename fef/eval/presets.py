"""How a task is run: settings under which LLaDA, LLaDA-1.5 and Dream publish a figure, frozen, and what a user changes.

Sources: LLaDA's evaluation page (github.com/ML-GSAI/LLaDA, EVAL.md) with arXiv 2502.09992 and 2505.19223 for the two toolkits
that the authors ran, and Dream's evaluation scripts with arXiv 2508.15487. `steps` counts forward passes over the whole
canvas, as theirs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from fef.errors import OptionError, nearest_hint
from fef.eval.tasks import TASKS

__all__ = ["PRESETS", "LongPrompts", "Preset", "Published", "Settings", "differences", "preset_of", "settings_for"]


LongPrompts = Literal["refuse", "cut"]


@dataclass(frozen=True)
class Settings:
    """How a task is run."""

    task: str  # a name of `TASKS`
    method: str  # of decoding
    max_new_tokens: int  # length of the canvas
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # 1: off
    seed: int = 0  # of the first example
    shots: int = 0  # worked examples before the question
    chat: bool = False  # through the chat template
    batch_size: int = 8  # prompts at once
    long_prompts: LongPrompts = "refuse"  # what happens to one that leaves no room for the canvas
    engine: bool = False  # all prompts go to the engine at once, which decodes `batch_size` together

    @property
    def decoding(self) -> dict[str, Any]:
        """As `Model.generate` takes it."""
        names = ("method", "max_new_tokens", "temperature", "top_p")
        return {name: getattr(self, name) for name in names} | dict(self.options)


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
NO_END, NO_END_LOGIT = {"confidence_eos_eot_inf": True}, {"logits_eos_inf": True}

# Canvas, block, shots and flags of LLaDA's sampler, and the figures of the authors' toolkit and of OpenCompass. "-whole": the
# same task with one block as long as the canvas, which LLaDA calls pure diffusion.
LLADA: Mapping[str, tuple[int, int, int, Mapping[str, bool], float, float]] = {
    "llada-8b-instruct/gsm8k": (256, 8, 4, {}, 78.6, 78.9),
    "llada-8b-instruct/gsm8k-whole": (512, 512, 4, NO_END, 69.4, 68.8),
    "llada-8b-instruct/math": (512, 64, 0, {}, 42.2, 42.7),
    "llada-8b-instruct/math-whole": (512, 512, 0, NO_END, 31.9, 29.6),
    "llada-8b-instruct/humaneval": (512, 512, 0, NO_END_LOGIT, 49.4, 47.0),
    "llada-8b-instruct/mbpp": (256, 256, 3, NO_END, 41.0, 39.6),
    "llada-8b-instruct/mmlu": (3, 3, 5, {}, 65.5, 65.4),
    "llada-1.5/gsm8k": (256, 16, 4, NO_END, 83.8, 83.6),
    "llada-1.5/math": (1024, 128, 0, NO_END, 42.6, 42.3),
    "llada-1.5/humaneval": (512, 32, 0, NO_END, 52.4, 51.2),
    "llada-1.5/mbpp": (512, 32, 3, NO_END, 42.8, 42.6),
}
LLADA_OF = {
    "llada-8b-instruct": ("GSAI-ML/LLaDA-8B-Instruct", "LLaDA, arXiv 2502.09992"),
    "llada-1.5": ("GSAI-ML/LLaDA-1.5", "LLaDA 1.5, arXiv 2505.19223"),
}
# Canvas and shots of Dream's sampler, and the figure of lm-evaluation-harness.
DREAM = {
    "gsm8k": (256, 0, 81.0),
    "math": (512, 0, 39.2),
    "humaneval": (768, 0, 55.5),
    "mbpp": (1024, 3, 58.8),
    "mmlu": (128, 4, 67.0),
}


def llada(name: str) -> Preset:
    """LLaDA's sampler: one token per step, blocks from left to right, temperature 0; two toolkits."""
    length, block, shots, flags, internal, opencompass = LLADA[name]
    folder, _, task = name.partition("/")
    options = MappingProxyType({"steps": length, "block_length": block, **FREE, **flags})
    settings = Settings(task.partition("-")[0], "low-confidence", length, options, shots=shots, chat=True)
    published = Published(internal, "authors' toolkit"), Published(opencompass, "OpenCompass")
    model, source = LLADA_OF[folder]
    return Preset(name, model, settings, published, source)


def dream(task: str) -> Preset:
    """Dream's sampler: the positions of lowest entropy, one per step; temperature 0.1, top-p 0.9."""
    length, shots, accuracy = DREAM[task]
    options = MappingProxyType({"steps": length, "alg_temp": 0.0, **FREE})
    settings = Settings(task, "entropy", length, options, temperature=0.1, top_p=0.9, shots=shots, chat=True)
    published = (Published(accuracy, "lm-evaluation-harness"),)
    model, source = "Dream-org/Dream-v0-Instruct-7B", "Dream 7B, arXiv 2508.15487"
    return Preset(f"dream-7b-instruct/{task}", model, settings, published, source)


PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (*map(llada, LLADA), *map(dream, DREAM))}


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
    """In words, where a run departs from the preset it is compared with, in what decides the answers. Batches and cut prompts
    do not, or are counted elsewhere."""
    published, ours = (
        one.decoding | {"shots": one.shots, "chat": one.chat, "model": name}
        for one, name in ((preset.settings, preset.model), (settings, model))
    )
    names = [name for name in published | ours if published.get(name) != ours.get(name)]
    return [f"{name} {ours.get(name)}, not {published.get(name)}" for name in names]
