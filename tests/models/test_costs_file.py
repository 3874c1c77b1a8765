"""The one format of costs files, whatever they hold."""

from __future__ import annotations

import json
import math

import pytest

from fef.errors import InputError
from fef.models.costs import Costs, PassCost, check_conditions, costs_json, read_costs
from fef.models.packed_pass import RoundShape

CONDITIONS = {"network": "n", "device": "d", "dtype": "float32"}
KINDS = ["rows", "rounds"]


def passes(kind):
    shape = None if kind == "rows" else RoundShape(8, 2, 3, 4, head=True)
    return [PassCost(1, 0.1, shape), PassCost(2, 1 / 3, shape), PassCost(16, math.inf, shape)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_what_was_written(tmp_path, kind):
    file, costs = tmp_path / "costs.json", Costs(kind, CONDITIONS, passes(kind))
    file.write_text(costs_json(costs))
    assert read_costs(file, kind) == costs
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property"),
        ("[" * 100_000, "recursion"),
        ("[]", "no object"),
        ("3", "no object"),
        ("null", "no object"),
        ("{}", "format"),
        (json.dumps({"cost_key": CONDITIONS, "rounds": [{"rows": 1, "window": 4, "seconds": 0.1}]}), "older versions"),
        (json.dumps(CONDITIONS | {"length": 4, "rows": [1], "milliseconds": [2.0]}), "older versions"),
        (json.dumps({"format": "fef costs", "version": 2}), "version 2 and this is 1"),
        (json.dumps({"format": "fef costs", "version": 1}), "no kind"),
        (json.dumps({"format": "fef costs", "version": 1, "kind": "other"}), "other"),
    ],
)
def test_a_file_of_another_format_is_refused_in_a_sentence_with_the_way_out(tmp_path, kind, text, words):
    file = tmp_path / "costs.json"
    file.write_text(text)
    with pytest.raises(
        InputError, match=rf"(?i)costs.json holds no {kind[:3]}.* costs \(.*{words}.*\)\. .*measures? anew"
    ) as info:
        read_costs(file, kind)
    assert "\n" not in str(info.value)


def test_conditions_are_those_asked_for_and_more():
    check_conditions(CONDITIONS | {"length": 4}, CONDITIONS, "rows", "They")
    with pytest.raises(
        InputError, match=r"They are of device 'd', dtype 'float32'; this is device 'e', dtype 'half'\. "
    ):
        check_conditions(CONDITIONS, CONDITIONS | {"device": "e", "dtype": "half"}, "rows", "They")
