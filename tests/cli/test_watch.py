import io

import torch
from rich.console import Console

from fef.cli.watch import CanvasView, Kind, canvas_text
from fef.decoding.session import Round

MASK_ID, END_ID = 90, 91


def decode(ids):
    return "".join(chr(97 + i) for i in ids if i < 26)


def a_round(ids, pending, slots, written, accepted=None, drafts=2, step=0):
    """One round of one row whose canvas starts behind one prompt token."""
    row = lambda values, dtype=torch.int64: torch.tensor([values], dtype=dtype)  # noqa: E731
    return Round(
        step=torch.tensor([step]),
        block=torch.tensor([0]),
        rows=torch.tensor([0]),
        slots=row(slots),
        tokens=row([0] * len(slots)),
        written=row(written, torch.bool),
        drafts=None if accepted is None else row([0] * drafts),
        accepted=None if accepted is None else torch.tensor([accepted]),
        ids=row([25, *ids]),
        pending=row([False, *pending], torch.bool),
    )


def view(length=6):
    return CanvasView(1, 1 + length, END_ID, decode)


def test_masks_drafts_and_corrections_differ_without_colour():
    canvas = view()
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "······"
    pending = [False, False, False, True, True, True]
    canvas.update(a_round([0, 1, 2, *[MASK_ID] * 3], pending, [1, 2, 3], [1, 1, 1], accepted=2))
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "ab»c···"
    assert canvas.kinds[:4] == [Kind.ACCEPTED, Kind.ACCEPTED, Kind.CORRECTED, Kind.MASKED]
    assert canvas.counts == {"round": 1, "drafted": 2, "accepted": 2}


def test_a_rejected_draft_is_still_masked():
    canvas = view(3)
    canvas.update(a_round([0, MASK_ID, MASK_ID], [False, True, True], [1, 2, 3], [1, 0, 0], accepted=0))
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "»a··"


def test_positions_after_the_end_are_one_sign():
    canvas = view(4)
    ids = [0, END_ID, END_ID, END_ID]
    canvas.update(a_round(ids, [False] * 4, [1, 2, -1], [1, 1, 0], accepted=1))
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "a¶"
    assert canvas.filled == 4


def test_a_masked_again_position_is_masked_again():
    canvas = view(2)
    canvas.update(a_round([0, 1], [False, False], [1, 2], [1, 1], accepted=2))
    canvas.update(a_round([MASK_ID, 1], [True, False], [1, -1], [0, 0], accepted=0, step=1))
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "·b"


def test_without_speculation_tokens_are_plain():
    canvas = view(3)
    canvas.update(a_round([MASK_ID, 1, MASK_ID], [True, False, True], [1, 2, 3], [0, 1, 0]))
    assert canvas_text(canvas.ids, canvas.kinds, decode).plain == "·b·"
    assert canvas.counts["drafted"] == 0


def test_control_characters_cannot_steer_the_terminal():
    text = canvas_text([0], [Kind.ACCEPTED], lambda _: "\x1b[2J\n[bold]")
    assert text.plain == "\N{REPLACEMENT CHARACTER}[2J\n[bold]"


def test_the_view_has_counters_and_a_legend():
    console = Console(width=120, file=io.StringIO())
    console.print(view(20).render())
    text = console.file.getvalue()
    for words in (
        "········ ········ ····",
        "pass 1, round 0, drafted 0, accepted 0, filled 0, masked 20",
        "plain: accepted draft",
        "»bold: corrected or bonus token",
        "·: still masked",
    ):
        assert words in text
