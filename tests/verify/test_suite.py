"""The suite passes what is declared truly and catches every decoder that is broken on purpose."""

from __future__ import annotations

import pytest

from fef.decoders import METHODS
from fef.errors import OptionError
from fef.verify.decode import laws_by_order
from fef.verify.reference import chain_law, table_of
from fef.verify.setting import Effort
from fef.verify.suite import SETTINGS, settings_of, verdict
from fef.verify.texts import distance, sharpened
from fef.verify.twins import TWINS, caught
from tests.tiny_tables import inconsistent

SMALL = Effort(samples=4_000, oracle_texts=200, denoisers=1)
FIRST = {s.method: s for s in reversed(SETTINGS) if not s.slow}  # the others take a minute; `fef verify` runs them, too
MARKED = [
    pytest.param(s, marks=[] if s is FIRST[s.method] else [pytest.mark.slow], id=f"{s.method}: {s.words}")
    for s in SETTINGS
]


@pytest.mark.parametrize("setting", MARKED)
def test_every_certificate_holds(setting):
    found = verdict(setting, SMALL)
    assert found.passed, found.failures


@pytest.mark.parametrize("fault", TWINS)
def test_every_broken_decoder_is_caught(fault: str):
    assert caught(verdict(TWINS[fault], SMALL))


def test_every_method_has_settings():
    assert {s.method for s in SETTINGS} == set(METHODS)
    assert settings_of(["random"]) == [s for s in SETTINGS if s.method == "random"]
    assert {s.slow for s in settings_of([])} == {False}
    assert any(s.slow for s in settings_of([], slow=True))


def test_an_unknown_method_is_refused():
    with pytest.raises(OptionError, match="Did you mean 'fef'"):
        settings_of(["fe"])


def test_an_order_can_be_given_in_place_of_the_drawn_one():
    """Otherwise the mixture over orders would hold whatever the decoder does with its order."""
    table = table_of(inconsistent(), 3, 4)
    backwards = chain_law(table, table.empty, sharpened(), select=lambda _p: lambda _s, _l, slots: [max(slots)])
    laws = laws_by_order(inconsistent(), table.empty, "sequential", {"order": "random"})
    assert len(laws) == 24
    assert distance(laws[-1], backwards) < 1e-9
