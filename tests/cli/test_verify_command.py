import json

import pytest

from fef.verify import suite, twins
from fef.verify.reference import Chain
from fef.verify.setting import Setting

QUICK = (Setting("sequential", subjects=("inconsistent",)), Setting("sequential", temperature=0, subjects=("network",)))
FALSE = Setting(
    "random", {"tokens_per_step": 2}, chain=Chain(drawn=True), length=3, subjects=("inconsistent",), declared="chain"
)


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(suite, "SETTINGS", QUICK)
    monkeypatch.setattr(twins, "TWINS", [t for t in twins.TWINS if t.fault == "the chain of another order"])


@pytest.mark.usefixtures("_quick")
def test_a_row_a_setting(fef_cli):
    result = fef_cli("verify")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["method", "setting", "declared", "law", "TV", "by", "p", "verdict"]
    assert [row.split()[0] for row in rows] == ["sequential"] * 2
    assert all("left-to-right chain" in row and "holds" in row for row in rows)


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
    assert "failed: random (tokens_per_step=2, T=1), inconsistent 3^3: TV 0." in result.stdout


@pytest.mark.usefixtures("_quick")
def test_the_self_test(fef_cli):
    result = fef_cli("verify", "--self-test")
    assert result.exit_code == 0
    assert "the chain of another order" in result.stdout
    assert json.loads(fef_cli("verify", "--self-test", "--json").stdout)[0]["caught"] is True


def test_a_missed_twin_exits_with_1(fef_cli, monkeypatch):
    monkeypatch.setattr(twins, "TWINS", [twins.Twin("none at all", QUICK[0])])
    result = fef_cli("verify", "--self-test")
    assert result.exit_code == 1
    assert "MISSED" in result.stdout


def test_bad_arguments(fef_cli):
    assert "Did you mean 'fef'" in fef_cli("verify", "fe").stderr
    result = fef_cli("verify", "fef", "--self-test")
    assert result.exit_code == 2
    assert "leave out fef" in result.stderr
