"""How a task is run: a preset's settings or a task's own, under what the user changes; and what that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fef.errors import OptionError, nearest_hint
from fef.eval.presets import PRESETS, Preset
from fef.eval.tasks import TASKS

__all__ = ["LongPrompts", "Settings", "differences", "preset_of", "settings_for"]

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
    if preset is None:
        base = Settings(what, "fef", TASKS[what].max_new_tokens)
    else:
        base = Settings(
            task=preset.task,
            method=preset.method,
            max_new_tokens=preset.max_new_tokens,
            options=preset.options,
            temperature=preset.temperature,
            top_p=preset.top_p,
            shots=preset.shots,
            chat=True,
        )
    settings = replace(base, **{name: value for name, value in changes.items() if value is not None})
    inherited = base.options if settings.method == base.method else {}
    return replace(settings, options={**inherited, **options})


def differences(preset: Preset, settings: Settings, model: str) -> list[str]:
    """In words, where a run departs from the preset it is compared with."""
    published = facts(settings_for(preset.name, {}, {})) | {"model": preset.model}
    ours = facts(settings) | {"model": model}
    names = [name for name in published | ours if published.get(name) != ours.get(name)]
    return [f"{name} {ours.get(name)}, not {published.get(name)}" for name in names]


def facts(settings: Settings) -> dict[str, Any]:
    """What decides the answers, under its name. Batches and cut prompts do not, or are counted elsewhere."""
    names = ("method", "max_new_tokens", "temperature", "top_p", "shots", "chat")
    return {name: getattr(settings, name) for name in names} | dict(settings.options)
