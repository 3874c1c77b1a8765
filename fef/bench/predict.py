"""The speeds that the FeF-DLLM paper reports (arXiv 2605.14305) against a model of one parameter, the acceptance a.

A round is two calls, a draft and a verification of the window that costs one call whatever its width; the first draft is
free and there is no bonus token. With T denoising passes the speed-up over one token per call is
(1 + (1 - a^(W-1)) / (1 - a)) / (2 R(T)), R(T) = (T + 1) / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt

from fef.laws.speedup import speedup
from fef.measure.table import Sheet, sheet_of

__all__ = ["REPORTED", "Setting", "fitted_acceptance", "predicted", "prediction_sheet"]


@dataclass(frozen=True)
class Setting:
    """window: drafts per round, 0 for no speculation. steps: denoising passes. reported: speed-up over one token per call."""

    window: int
    steps: int
    reported: float


REPORTED = (
    Setting(4, 4, 0.78),
    Setting(8, 4, 1.42),
    Setting(16, 4, 2.33),
    Setting(16, 2, 3.86),
    Setting(0, 2, 0.67),
)


def predicted(setting: Setting, acceptance: float) -> float:
    """The model's speed-up; without speculation a token costs one call in each pass that predicts it."""
    if setting.window == 0:
        return speedup(0.0, 1, setting.steps, draft_cost=0.0, verify_cost=1.0, bonus=False, first_free=True)
    return speedup(
        acceptance, setting.window, setting.steps, draft_cost=1.0, verify_cost=1.0, bonus=False, first_free=True
    )


def deviation(acceptance: float) -> float:
    """Root mean square of log predicted - log reported over the settings with speculation."""
    errors = [log(predicted(s, acceptance) / s.reported) ** 2 for s in REPORTED if s.window]
    return sqrt(sum(errors) / len(errors))


def fitted_acceptance() -> float:
    """The acceptance of least `deviation`, to 0.001."""
    return min((i / 1000 for i in range(500, 1000)), key=deviation)


def prediction_sheet() -> Sheet:
    """Reported and predicted speed-ups with their deviation, and the fit."""
    acceptance = fitted_acceptance()
    columns: dict[str, Callable[[Setting], str]] = {
        "window": lambda s: str(s.window) if s.window else "no speculation",
        "denoising passes": lambda s: str(s.steps),
        "reported": lambda s: f"{s.reported:.2f}x",
        "predicted": lambda s: f"{predicted(s, acceptance):.2f}x",
        "deviation %": lambda s: f"{100 * (predicted(s, acceptance) / s.reported - 1):+.1f}",
    }
    caption = (
        f"Fitted acceptance a = {acceptance:.3f}; root mean square deviation {100 * (exp(deviation(acceptance)) - 1):.1f} % "
        "with speculation. The model counts calls: a verification of any window costs one."
    )
    return sheet_of(REPORTED, columns, caption=caption)
