"""`fef generate --costs`, and `Model.costs` behind it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import fef
from fef.models.row_costs import check_row_costs

ARGUMENTS = ["Tom", "--max-new-tokens", 12, "--verify", "rows", "--window", 4]


@pytest.fixture
def table(tiny, tmp_path):
    """A file in which 2 sequences take ten times as long as one."""
    model, file = fef.load(str(tiny), device="cpu"), tmp_path / "costs.json"
    measured = fef.measure_row_costs(model.network, 8, rows=(1, 2), repeats=1)
    fef.save_row_costs(replace(measured, milliseconds=(1.0, 10.0)), file)
    return file


def run(fef_cli, tiny, *more):
    return fef_cli("generate", *ARGUMENTS, "--model", tiny, "--device", "cpu", *more)


def test_a_missing_file_is_measured_and_written(fef_cli, tiny, tmp_path):
    file = tmp_path / "new.json"
    result = run(fef_cli, tiny, "--costs", file, "--force")
    assert result.exit_code == 0
    assert f"wrote {file}" in result.stderr
    found = json.loads(file.read_text())
    asked = found["conditions"]
    assert (asked["network"], asked["dtype"], found["passes"][0]["rows"]) == ("tiny", "float32", 1)
    assert asked["length"] == len(fef.load(str(tiny), device="cpu").canvas("Tom", 12, "")[0])
    again = run(fef_cli, tiny, "--costs", file, "--force")
    assert again.stdout == result.stdout
    assert "wrote" not in again.stderr


def test_slow_drafts_exit_2_unless_forced(fef_cli, tiny, table):
    refused = run(fef_cli, tiny, "--costs", table)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "times as long as one token per pass" in refused.stderr
    assert "--force" in refused.stderr
    forced, plain = run(fef_cli, tiny, "--costs", table, "--force"), run(fef_cli, tiny)
    assert forced.exit_code == 0
    assert forced.stdout == plain.stdout


@pytest.mark.parametrize(
    ("damage", "words"), [("{", "holds no row costs"), (None, "are of network 'LLaDA'"), ("directory", "directory")]
)
def test_a_wrong_file_exits_2(fef_cli, tiny, table, damage, words):
    if damage == "directory":
        table = table.parent
    else:
        found = json.loads(table.read_text())
        found["conditions"]["network"] = "LLaDA"
        table.write_text(damage or json.dumps(found))
    result = run(fef_cli, tiny, "--costs", table)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert words in result.stderr


def test_a_place_where_nothing_can_be_written_and_force_alone_exit_2(fef_cli, tiny, tmp_path):
    assert "Cannot write" in run(fef_cli, tiny, "--costs", tmp_path / "none" / "costs.json").stderr
    alone = run(fef_cli, tiny, "--force")
    assert alone.exit_code == 2
    assert "--costs" in alone.stderr


def test_a_model_with_costs_refuses_unless_forced(tiny, table):
    model = fef.load(str(tiny), device="cpu")
    options = {"max_new_tokens": 12, "verify": "rows", "window": 4}
    plain = model.generate("Tom", **options)
    model.costs = fef.load_row_costs(table, model.network)
    with pytest.raises(fef.OptionError, match="one token per pass"):
        model.generate("Tom", **options)
    assert model.generate("Tom", **options, force=True).token_ids == plain.token_ids
    assert model.generate("Tom", max_new_tokens=12, method="sequential").token_ids
    assert model.generate("Tom", max_new_tokens=12, verify="packed").token_ids
    model.costs = replace(model.costs, milliseconds=(1.0, 1.0))
    assert model.generate("Tom", **options | {"window": 1}).token_ids == plain.token_ids
    with pytest.raises(fef.OptionError, match="4 sequences"):  # of two prompts, which the table does not reach
        model.generate(["Tom", "Ann"], **options | {"window": 1})
    model.costs = replace(model.costs, device="another")
    with pytest.raises(fef.InputError, match="another"):
        model.generate("Tom", **options)
    with pytest.raises(fef.InputError, match="The row costs are of"):
        check_row_costs(model.costs, model.network)
