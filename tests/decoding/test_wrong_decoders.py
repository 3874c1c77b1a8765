"""Decoders that are known to sample a wrong law are caught by the tools that pass the right ones."""

from __future__ import annotations

import pytest
import torch

import fef
from fef.verify.reference import denoised, filled, first_of, table_of
from fef.verify.statistics import g_test
from fef.verify.tables import random_joint
from fef.verify.texts import distance, law_of_joint, sharpened
from fef.verify.twins import ArgmaxDrafts
from tests.integrated_law import integrated_law
from tests.tiny_tables import EMPTY, TABLES, K, L, consistent, empty_rows, low_confidence_law

CAUGHT = 0.05
JOINT = law_of_joint(random_joint())


def test_low_confidence_remasking_is_caught():
    law = integrated_law(consistent(), L, steps=2, remask="low-confidence", accept="rejection", window=2)
    assert distance(law, JOINT) > CAUGHT
    assert distance(integrated_law(consistent(), L, steps=2, accept="rejection", window=2), JOINT) < 1e-9


def test_ranking_by_the_drawn_token_is_caught():
    law = integrated_law(consistent(), L, method="low-confidence")
    assert distance(law, JOINT) > CAUGHT
    published = low_confidence_law(table_of(consistent(), K, L), EMPTY, sharpened())
    assert distance(law, published) < 1e-9  # it is wrong in the way that LLaDA is


@pytest.mark.parametrize("accept", ["rejection", "block"])
def test_argmax_drafts_with_soft_probabilities_are_caught(accept):
    def options() -> dict[str, object]:
        return {"accept": accept, "window": 2, "draft": "fresh"}

    assert distance(integrated_law(consistent(), L, wrap=ArgmaxDrafts, **options()), JOINT) > CAUGHT
    assert distance(integrated_law(consistent(), L, **options()), JOINT) < 1e-9


@pytest.mark.parametrize("options", [{"tokens_per_step": 2}, {"steps": 2}])
def test_two_tokens_a_step_are_caught(options):
    law = integrated_law(consistent(), L, method="random", **options)
    assert distance(law, JOINT) > CAUGHT
    table = table_of(consistent(), K, L)
    first = filled(table, {EMPTY: 1.0}, [0], first_of([0]), sharpened())
    assert (
        distance(
            integrated_law(consistent(), L, method="random"),
            filled(table, first, [1, 2, 3], first_of([1, 2, 3]), sharpened()),
        )
        < 1e-9
    )


@pytest.mark.parametrize(
    "options",
    [
        {"method": "low-confidence"},
        {"method": "random", "tokens_per_step": 2},
        {"method": "fef", "steps": 2, "remask": "low-confidence"},
    ],
)
def test_samples_catch_them_too(options):
    out = fef.decode(consistent(), empty_rows(20_000), temperature=1.0, **options)
    assert out.certificate.kind == "none"
    assert g_test(out.ids, JOINT) < 1e-6


def test_samples_of_the_wrong_order_or_step_count_are_caught():
    """The power of the G-test: an inconsistent table has another law for each order and number of steps."""
    table = table_of(TABLES["inconsistent"](), K, L)
    out = fef.decode(TABLES["inconsistent"](), empty_rows(20_000), temperature=1.0, window=2)
    assert g_test(out.ids, denoised(table, EMPTY, [range(L)], 1, sharpened())) > 1e-4
    assert g_test(out.ids, denoised(table, EMPTY, [range(L)], 2, sharpened())) < 1e-6
    assert g_test(out.ids, denoised(table, EMPTY, [[3, 2, 1, 0]], 1, sharpened())) < 1e-6


def test_the_reference_of_a_consistent_table_is_its_joint():
    table = table_of(consistent(), K, L)
    for steps in (1, 2, 3):
        assert distance(denoised(table, EMPTY, [[2, 0], [3, 1]], steps, sharpened()), JOINT) < 1e-12
    assert torch.tensor(list(JOINT.values())).sum() == pytest.approx(1)
