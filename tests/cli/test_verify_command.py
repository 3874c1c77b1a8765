import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from fef.errors import InputError
from fef.laws.tape import ReplayError
from fef.models.table import TableDenoiser
from fef.verify import checks, suite, twins
from fef.verify.setting import Setting
from fef.verify.suite import RANDOM

QUICK = (Setting("sequential", subjects=("inconsistent",)), Setting("sequential", temperature=0, subjects=("network",)))
FALSE = Setting("random", {"tokens_per_step": 2}, law=RANDOM, length=3, subjects=("inconsistent",), declared="chain")

SOUND = {fault: setting for fault, setting in twins.TWINS.items() if fault == "the chain of another order"}


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(suite, "SETTINGS", QUICK)
    monkeypatch.setattr(twins, "TWINS", SOUND)


@pytest.mark.usefixtures("_quick")
def test_a_row_a_setting(fef_cli):
    result = fef_cli("verify")
    assert result.exit_code == 0
    header, *rest = result.stdout.splitlines()
    rows, below = rest[:2], "\n".join(rest[2:])
    assert header.split() == ["method", "setting", "declared", "law", "measured", "verdict"]
    assert [row.split()[0] for row in rows] == ["sequential"] * 2
    assert all("left-to-right chain" in row and "holds" in row for row in rows)
    assert "total variation" in below
    assert "2 of 2 settings hold." in below


@pytest.mark.usefixtures("_quick")
def test_json_holds_every_measurement(fef_cli):
    chain, greedy = json.loads(fef_cli("verify", "sequential", "--json").stdout)
    assert chain["kind"] == "chain"
    assert greedy["kind"] == "greedy"
    assert chain["measured"][0]["distance"] < 1e-9
    assert {m["subject"] for m in chain["measured"]} == {"inconsistent 3^4", "network, mixed batch"}
    assert chain["passed"] is greedy["passed"] is True


def test_a_false_certificate_exits_with_1(fef_cli, monkeypatch):
    monkeypatch.setattr(suite, "SETTINGS", (FALSE,))
    result = fef_cli("verify", "random")
    assert result.exit_code == 1
    assert "FAILS" in result.stdout
    assert "0 of 1 settings hold." in result.stdout
    assert "failed: random (tokens_per_step=2, T=1), inconsistent 3^3: TV 0." in result.stdout


@pytest.mark.usefixtures("_quick")
def test_the_self_test(fef_cli):
    result = fef_cli("verify", "--self-test")
    assert result.exit_code == 0
    assert "the chain of another order" in result.stdout
    assert json.loads(fef_cli("verify", "--self-test", "--json").stdout)[0]["caught"] is True


def test_a_missed_twin_exits_with_1(fef_cli, monkeypatch):
    monkeypatch.setattr(twins, "TWINS", {"none at all": QUICK[0]})
    result = fef_cli("verify", "--self-test")
    assert result.exit_code == 1
    assert "MISSED" in result.stdout


def lines(result):
    return [line.rstrip() for line in result.stdout.splitlines()]


def breaks(error):
    """A context that raises, as a bug inside a check would."""

    @contextmanager
    def broken():
        raise error
        yield

    return broken


@pytest.mark.parametrize(
    "error",
    [RuntimeError("index 3 is out of bounds\nfor dimension 2"), ReplayError("run again"), InputError("[bold]no")],
    ids=lambda error: type(error).__name__,
)
def test_a_check_that_cannot_be_made_is_a_failed_row(fef_cli, monkeypatch, error):
    monkeypatch.setattr(suite, "SETTINGS", (QUICK[0], QUICK[1], QUICK[0]))
    greedy = checks.MEASURES["greedy"]

    def breaks_late(setting, effort):
        yield next(greedy(setting, effort))
        raise error

    monkeypatch.setitem(checks.MEASURES, "greedy", breaks_late)
    result = fef_cli("verify")
    words = f"could not be made: {type(error).__name__}: {' '.join(str(error).split())}"
    assert (result.exit_code, result.stderr) == (1, "")
    _, first, second, third, *rest = lines(result)
    assert [row.split()[-1] for row in (first, second, third)] == ["holds", "FAILS", "holds"]
    assert rest[-2:] == ["2 of 3 settings hold.", f"failed: sequential (T=0), check: {words}"]
    _, found, _ = json.loads(fef_cli("verify", "--json").stdout)
    assert [(m["passed"], m["made"]) for m in found["measured"]] == [(True, True), (False, False)]
    assert found["measured"][1]["note"] == words


def test_a_certificate_that_cannot_be_made_is_a_failed_row(fef_cli, monkeypatch):
    monkeypatch.setattr(suite, "SETTINGS", (Setting("sequential", {"order": "by-name"}), QUICK[0]))
    result = fef_cli("verify")
    assert result.exit_code == 1
    _, first, second, *_, failure = lines(result)
    assert "unknown" in first and "could not be made: OptionError" in first and first.endswith("FAILS")
    assert second.split()[-1] == "holds"
    assert failure.startswith("failed: sequential (order=by-name, T=1), check: could not be made: OptionError: ")
    assert json.loads(fef_cli("verify", "--json").stdout)[0]["kind"] is None


def test_an_order_by_the_last_bits_is_a_failed_row(fef_cli, monkeypatch):
    """A law that cannot be integrated is no crash, and no law."""
    generator, integrate = torch.Generator().manual_seed(0), Setting.integrated_law

    def tied(setting, on):
        flat = TableDenoiser(torch.full((3, 3, 3), 1 / 27, dtype=torch.float64))

        def moved(ids):
            logits = flat(ids)
            return logits + 1e-15 * torch.randn(logits.shape, generator=generator)

        moved.mask_id, moved.vocab_size = flat.mask_id, flat.vocab_size
        return integrate(setting, replace(on, denoiser=moved))

    monkeypatch.setattr(Setting, "integrated_law", tied)
    setting = Setting("entropy", {"tokens_per_step": 1}, length=3, subjects=("consistent",))
    monkeypatch.setattr(suite, "SETTINGS", (setting, QUICK[1]))
    result = fef_cli("verify")
    assert result.exit_code == 1
    assert "could not be made: ReplayError: A path of random decisions, run again, meets TOKEN at " in result.stdout


def test_a_twin_that_cannot_be_run_is_not_caught(fef_cli, monkeypatch):
    faults = {"a bug": (QUICK[0], ZeroDivisionError()), "two": (FALSE, KeyError(3))}
    broken = {fault: replace(setting, broken=breaks(error)) for fault, (setting, error) in faults.items()}
    monkeypatch.setattr(twins, "TWINS", broken | SOUND)
    result = fef_cli("verify", "--self-test")
    assert result.exit_code == 1
    _, first, second, third = lines(result)
    assert "check: could not be made: ZeroDivisionError" in first and first.endswith("NOT MADE")
    assert "check: could not be made: KeyError: 3" in second and second.endswith("NOT MADE")
    assert third.endswith("yes")
    assert [v["caught"] for v in json.loads(fef_cli("verify", "--self-test", "--json").stdout)] == [False, False, True]


@pytest.mark.parametrize("more", [[], ["--self-test"]])
def test_ctrl_c_ends_the_whole_suite(fef_cli, monkeypatch, more):
    def interrupted(_setting, _effort):
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "MEASURES", dict.fromkeys(checks.MEASURES, interrupted))
    result = fef_cli("verify", *more)
    assert (result.exit_code, result.stdout) == (130, "")


def test_bad_arguments(fef_cli):
    assert "Did you mean 'fef'" in fef_cli("verify", "fe").stderr
    result = fef_cli("verify", "fef", "--self-test")
    assert result.exit_code == 2
    assert "leave out fef" in result.stderr
