"""The suite on the engine: it holds, and an engine broken on purpose is caught."""

from __future__ import annotations

import pytest

from fef.engine.requests import Request
from fef.engine.session_rounds import SessionRounds
from fef.verify.engine import engine_check, in_engine
from fef.verify.network_laws import packed_law
from fef.verify.setting import Effort, Setting
from fef.verify.suite import CONFIDENCE, SETTINGS, Verdict, verdict

SMALL = Effort(samples=600, oracle_texts=40, denoisers=1)
QUICK = [
    Setting("sequential", length=3, subjects=("inconsistent",)),
    Setting("fef", {"verify": "packed"}, law=packed_law, subjects=("network",)),
    Setting("ssd", temperature=0, law=CONFIDENCE, length=3, subjects=("inconsistent",)),
]


def found(setting: Setting) -> Verdict:
    return verdict(in_engine(setting), SMALL, engine_check)


@pytest.mark.parametrize("setting", QUICK, ids=lambda s: f"{s.method} {s.words}")
def test_what_certificates_of_the_engine_say_holds(setting):
    assert found(setting).failures == []


def test_every_certificate_of_the_engine_can_be_made():
    for setting in SETTINGS:
        assert in_engine(setting).certificate().kind == setting.certificate().kind


def warmer(rows):
    """Rows of requests whose temperature is not the one they asked for."""

    def changed(self, jobs, numbers, network, plan):
        for job in jobs:
            job.request = Request(**{**vars(job.request), "temperature": 2 * job.request.temperature})
        return rows(self, jobs, numbers, network, plan)

    return changed


def test_an_engine_of_another_law_is_caught(monkeypatch):
    setting = QUICK[0]
    monkeypatch.setattr(SessionRounds, "rows", warmer(SessionRounds.rows))
    failures = found(setting).failures
    assert any(m.how.endswith("samples") for m in failures)
    assert any("differ from those of fef.decode" in m.note for m in failures)
