"""Rows of requests are made in one place, from ids, open positions and settings."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fef
from fef.decoders import make_plan
from fef.decoding.inputs import Settings
from fef.decoding.network import Network
from fef.decoding.requests import padded, request_rows
from fef.errors import OptionError
from fef.models.table import TableDenoiser
from tests.integrated_law import integrated_law

JOINT = torch.full((4, 4, 4), 1 / 64, dtype=torch.float64)
IDS = torch.tensor([[4, 1, 4], [2, 4, 0]])


def rows(plan=None, **options):
    network = Network(TableDenoiser(JOINT))
    plan = plan or make_plan("sequential", {}, network)
    return request_rows(network, plan, IDS, network.mask_id == IDS, Settings([0.5, 1.0], 1.0, 3), **options)


def test_a_row_has_its_canvas_its_settings_and_its_seed():
    requests = rows(seed=7, eos_id=1, banned=[0])
    assert torch.equal(requests.canvas.ids_BL, IDS)
    assert requests.canvas.pending_BL.tolist() == [[True, False, True], [False, True, False]]
    assert requests.canvas.rank_BL.tolist() == [[0, 1, 2]] * 2
    assert requests.sampling.temperature_B.tolist() == [0.5, 1.0]
    assert requests.sampling.top_k_B.tolist() == [3, 3]
    assert (requests.sampling.banned.tolist(), requests.sampling.eos_id) == ([0, 4], 1)
    assert requests.noise.seed_B.tolist() == [7, 8]
    assert requests.number_B.tolist() == [0, 1]
    assert [counts["calls"] for counts in requests.meter.counts()] == [0, 0]


def test_what_the_plan_says_of_the_vocabulary_holds():
    plan = make_plan("sequential", {}, Network(TableDenoiser(JOINT)))
    assert rows(replace(plan, banned=(2,)), banned=[0]).sampling.banned.tolist() == [0, 2, 4]
    assert rows(replace(plan, after_eos="free"), eos_id=1).sampling.eos_id is None
    assert rows(replace(plan, banned=(1,)), eos_id=1).sampling.eos_id is None
    with pytest.raises(OptionError, match="eos_id 1 is banned"):
        rows(plan, eos_id=1, banned=[1])


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("sequential", {"order": "random"}, "from left to right"),
        ("fef", {"steps": 2}, "one denoising pass"),
        ("sequential", {"order": "blocks", "block_length": 1}, "from left to right"),
    ],
)
def test_rows_under_a_grammar_are_refused_where_its_law_would_have_no_name(method, options, words):
    """Whoever makes them: those who decode, score and integrate alike."""
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    grammar = fef.compile_grammar({"regex": "a*"}, (b"a", b"b", b"c", b"", b""), 3)
    network = Network(TableDenoiser(torch.full((4, 4), 1 / 16, dtype=torch.float64)))
    ids, settings = torch.full((1, 2), network.mask_id), Settings(1.0, 1.0, 0)
    for given, refused in (({}, False), (options, True)):
        plan = make_plan(method, given, network)
        with pytest.raises(OptionError, match=words) if refused else nullcontext():
            request_rows(network, plan, ids, ids == network.mask_id, settings, eos_id=3, grammars=[grammar])
    with pytest.raises(OptionError, match=words):
        integrated_law(network.denoiser, 2, method=method, eos_id=3, grammar=grammar, **options)
    assert calls("check_grammar") == ["requests.py", "plans.py"], "where rows are made, and where an engine takes one"


def test_canvases_of_several_lengths_are_padded_on_the_right():
    ids, open_ = padded([([5, 6, 7], range(1, 3)), ([8], [0])], 4)
    assert ids.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0]]
    assert open_.tolist() == [[False, True, True, False], [True, False, False, False]]


def calls(name: str) -> list[str]:
    """The files in which a class method is called, once for each call."""
    found = []
    for path in sorted(Path(fef.__file__).parent.rglob("*.py")):
        if f"{name}(" in (source := path.read_text("utf-8")):
            nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
            found += [path.name for n in nodes if ast.unparse(n.func) == name]
    return found


@pytest.mark.parametrize("part", ["Canvas", "Requests", "Meter"])
def test_canvas_meter_and_requests_are_assembled_in_one_place(part):
    assert calls(f"{part}.start") == ["requests.py"]
