"""Requests under grammars in passes of kernels, part by part, get what they get of passes in plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="the kernels need Triton")
pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

from drafting_networks import drafting
from small_grammars import small
from tiny_network import tiny_network

import fef
from fef.engine.engine import Engine
from fef.engine.kernel_passes import KernelPasses
from fef.engine.kernel_texts import KernelTexts
from fef.engine.packed_texts import PackedText
from fef.engine.runner import PassKind
from fef.engine.slots import SlotState
from fef.models.joined import join_weights
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import SlotTable

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="on a GPU, tests/engine/test_grammars_on_gpu.py compares whole engines"
)

TOKENS = (b"a", b"b", b"ab", b"", b"[", b"]", b",", b"1", b"23", b"")  # the last is the mask
END, MASK, SLOTS = 3, 9, 5
GRAMMARS: list[Any] = [
    {"regex": "(ab)*b"},
    None,
    {"grammar": 'start: "[" (start | "1" | "23") ("," start)* "]"'},
    {"choice": ["abba", "ab", "b1"]},
]


class EagerRunner:
    """Runs passes of kernels part by part, as graphs would."""

    def __init__(self, passes: KernelPasses) -> None:
        self.passes, self.parted = passes, 0

    def run(self, kind: PassKind, slots: list[int]) -> None:
        if not kind.grammars:
            self.passes.pass_(kind, torch.tensor(slots))
            return
        self.parted += 1
        for part in self.passes.parted(kind, torch.tensor(slots)).parts:
            part.host(slots)
            if part.work is not None:
                part.work()


def engine_of_kernels(kernels: bool, head: bool = False, **shape: Any) -> Engine:
    size = {"dim": 32, "heads": 2, "head_dim": 16, "mlp_dim": 48, "layers": 1, "max_length": 16}
    network = tiny_network(vocab_size=10, mask_id=MASK, eos_id=END, scale=0.3, **size).float()
    if head:
        drafting(network, depths=4)
    engine = Engine(network, threads=1, max_batch=3, max_length=16, eos_id=END, **shape)
    assert engine.packed is not None
    if kernels:
        built = engine.packed.built
        passes = KernelPasses(
            network, join_weights(network), built.state, built.cache, built.vocabulary, overlap=False,
            drafts=built.drafts,
        )  # fmt: skip
        built.passes = passes
        built.runner = EagerRunner(passes)
    return engine


def answered(kernels: bool, asked: list[dict[str, Any]], head: bool = False, **shape: Any) -> list[Any]:
    engine = engine_of_kernels(kernels, head, **shape)
    assert engine.packed is not None
    canvas = [0, *[MASK] * SLOTS]
    jobs = []
    for settings in asked:
        given = settings | ({"grammar": small(settings["grammar"], TOKENS, END)} if settings["grammar"] else {})
        jobs.append(engine.submit(canvas, range(1, SLOTS + 1), **given))
    engine.run()
    assert not engine.packed.texts
    if kernels:
        assert engine.packed.built.runner.parted > 0
    return [job.result() for job in jobs]


CUT = {"top_p": 0.8, "top_k": 4}


@pytest.mark.parametrize(
    ("shape", "cut", "count", "temperature"),
    [
        ({"windows": (2,)}, {}, 1, 1.0),
        *(
            pytest.param(*each, temperature, marks=pytest.mark.slow)
            for temperature in (0.0, 1.0)
            for each in (
                ({"windows": (4,)}, {}, 4),
                ({"windows": (3,), "anchors": 1}, CUT, 4),
                ({"tree": [6], "windows": ()}, {}, 4),
                ({"tree": [4], "windows": (), "head": True}, {}, 4),
                ({"tree": [4], "windows": (3,), "head": True}, {}, 2),
            )
        ),
    ],
    ids=str,
)
def test_texts_and_their_mass_are_those_of_plain_torch(
    shape: dict[str, Any], cut: dict[str, Any], count: int, temperature: float
) -> None:
    asked = [{"grammar": grammar, "seed": 7, "temperature": temperature, **cut} for grammar in GRAMMARS[:count]]
    expected, found = answered(False, asked, **shape), answered(True, asked, **shape)
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for one, wanted in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
        assert one.log_mass == (None if wanted.log_mass is None else pytest.approx(wanted.log_mass, abs=1e-3))
    assert count == 1 or sum(one.counters["accepted"] for one in found) > 0


def test_masks_of_a_pass_leave_none_of_the_pass_before() -> None:
    """Behind a draft that is not allowed anything may be drawn, whatever was allowed there a pass ago."""
    table = SlotTable(slots=2, context=8, ranks=6, drafts=4, scratch_places=4)
    text = PackedText(small({"regex": "(ab)*b"}, TOKENS, END).text(SLOTS, []))
    text.begin(SLOTS)
    under = KernelTexts({0: text}, SlotState.empty(table, torch.device("cpu")), END, torch.zeros(10, dtype=torch.bool))
    everything, a_or_ab_or_b, b_alone = [-1], [0b111], [0b010]
    for drafts, wanted in (
        ([0, 1, 0], [a_or_ab_or_b, b_alone, a_or_ab_or_b, b_alone, everything]),
        ([0, 0, 0], [a_or_ab_or_b, b_alone, everything, everything, everything]),
        ([], [a_or_ab_or_b, everything, everything, everything, everything]),
        ([0], [a_or_ab_or_b, b_alone, everything, everything, everything]),
    ):
        text.drafts = drafts
        under.mask([0])
        assert under.words_SXW[0].tolist() == wanted
        assert text.masks().tolist() == wanted[: len(drafts) + 1]


def test_masks_that_do_not_come_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelTexts, "mask", lambda texts, *_: texts.words_SXW.fill_(-1))
    with pytest.raises(fef.GrammarError):
        answered(True, [{"grammar": {"regex": "b(ab)*b"}, "seed": 7, "temperature": 1.0}], windows=(0,))


@pytest.mark.parametrize("seated", [[0], [2, 1]])
def test_a_pass_that_is_captured_leaves_the_drafts_of_texts_alone(
    seated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capture runs its parts without what the host does before them, whichever rows the pass before had."""
    engine = engine_of_kernels(True, tree=[4], windows=())
    assert engine.packed is not None
    passes, [shape] = engine.packed.built.passes, engine.packed.built.shapes
    under, state = passes.under, passes.state
    passes.texts.update(dict.fromkeys(seated, PackedText(small({"regex": "(ab)*b"}, TOKENS, END).text(SLOTS, []))))
    under.seat(seated)
    under.drafts_SJ[: len(seated), 0] = 2  # as the pass before left them
    state.drafted_S[seated] = 1
    monkeypatch.setattr(passes, "look", lambda *_: None)

    kind = PassKind(shape, Bounds(8, 6), grammars=True)
    captured = passes.parted(kind, torch.full((len(seated),), under.spare)).parts[0]
    assert captured.work is not None
    captured.work()
    assert (state.drafted_S[seated] == 1).all()

    captured.host(seated)  # twin: with its host, the pass writes there
    captured.work()
    assert (state.drafted_S[seated] == 0).all()
