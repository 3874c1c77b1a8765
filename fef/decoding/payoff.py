"""Does speculation in the rows law pay on this device? Predicted from what passes of several sequences cost."""

from __future__ import annotations

from fef.decoding.plan import Plan, Speculation
from fef.errors import OptionError
from fef.laws.row_costs import RowCosts, RowsRound

__all__ = ["check_rows_pay"]


def check_rows_pay(plan: Plan, costs: RowCosts, requests: int, slots: int) -> None:
    """Raise OptionError where a plan would decode `requests` requests of `slots` open slots slower than one token per pass.

    Says nothing of plans whose passes the table does not price: the packed law, kept keys, and windows that are cut where
    drafts look unlikely. Small passes of the "stale" drafter and drafters in Python are counted as free, so that no plan
    is refused wrongly.
    """
    spec = plan.speculation
    if spec is None or plan.law != "rows" or plan.cache is not None or spec.survival:
        return
    room = min(slots, plan.block_length or slots)
    asked = rows_round(spec, spec.window, room, requests)
    if asked.speed(costs) >= 1:
        return
    one, many = (milliseconds(costs.of(rows)) for rows in (requests, asked.rows))
    raise OptionError(
        f'{plan.method} with window={spec.window} and verify="rows" would take {1 / asked.speed(costs):.2f} times as long as '
        f"one token per pass. On this device a pass of {sequences(requests)} takes {one}, of {sequences(asked.rows)} {many} "
        f"(measured at {costs.length} positions and up to {costs.rows[-1]} sequences). A round commits "
        f"{asked.tokens(costs.acceptance):.2f} tokens if drafts are accepted with probability {costs.acceptance:g}; were all "
        f"accepted, {asked.tokens(1.0):.0f}, and it would take {1 / asked.speed(costs, 1.0):.2f} times as long. "
        + ways_out(plan, spec, costs, room, requests)
    )


def rows_round(spec: Speculation, window: int, room: int, requests: int) -> RowsRound:
    """A round in which `window` drafts are wanted and `room` slots are open."""
    width = min(window, room)
    return RowsRound(width, spec.bonus and width < room, spec.draft in ("fresh", "stale"), requests)


def ways_out(plan: Plan, spec: Speculation, costs: RowCosts, room: int, requests: int) -> str:
    """A sentence with the fastest window if one pays, and what else there is."""
    windows = range(1, min(room, costs.rows[-1]) + 1)
    speeds = {window: rows_round(spec, window, room, requests).speed(costs) for window in windows}
    window = max(windows, key=lambda w: speeds[w])
    pays = speeds[window] > 1
    first = (
        f"Use window={window}, predicted to be {speeds[window]:.2f} times as fast" if pays else "No window pays: use"
    )
    others = ['verify="packed" on a network trained for it', "force=True (--force) to decode all the same"]
    if plan.steps == 1:
        others.insert(1, 'method="sequential"')
    return f"{first}{', or ' if pays else ' '}{', or '.join(others)}."


def sequences(count: int) -> str:
    return f"{count} sequence{'s' * (count != 1)}"


def milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"
