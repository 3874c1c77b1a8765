"""A planner of the window, "confidence" or "influence", changes how many drafts are verified and no token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.models.demask import DependencyHead
from fef.models.table import TableDenoiser
from fef.verify.reference import denoised, table_of
from fef.verify.texts import distance, sharpened
from tests.integrated_law import integrated_law

NETWORK = tiny_network(scale=0.3)
torch.manual_seed(0)
NETWORK.dependency_head = DependencyHead(NETWORK.config.dim, rank=4)
PLANNERS: list[dict[str, Any]] = [
    {"verify": "packed"},
    {"verify": "packed", "draft": "fresh", "anchors": 0},
    {"verify": "rows"},
    {"verify": "rows", "draft": "random"},
    {"verify": "rows", "draft": "fresh", "bonus": False},
    {"verify": "rows", "draft": "fresh", "planner": "influence"},
    {"verify": "rows", "cfg_scale": 0.5},
]


def canvas(rows: int = 6) -> torch.Tensor:
    ids = torch.full((rows, 10), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    return ids


@pytest.mark.parametrize("options", PLANNERS)
@pytest.mark.parametrize("eos_id", [None, EOS])
def test_the_text_stays_and_fewer_are_drafted(options, eos_id):
    shared = {"temperature": [0.0, 0.7, 1.0, 0.0, 1.5, 1.0], "window": 8, "eos_id": eos_id, "seed": 7, **options}
    base = fef.decode(NETWORK, canvas(), survival=0.0, **shared)
    drafted = []
    for survival in (0.0, 0.1, 0.5, 0.9, 1.0):
        out = fef.decode(NETWORK, canvas(), survival=survival, **shared)
        assert torch.equal(out.ids, base.ids)
        torch.testing.assert_close(out.logprobs, base.logprobs, rtol=0, atol=1e-9, equal_nan=True)
        drafted.append(sum(s["drafted"] for s in out.stats))
    assert drafted[0] > drafted[-1]
    assert drafted == sorted(drafted, reverse=True)


@pytest.mark.parametrize("accept", ["rejection", "block"])
@pytest.mark.parametrize("survival", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("draft", ["fresh", "reuse"])
def test_the_law_stays(accept, survival, draft):
    denoiser = TableDenoiser.inconsistent(3, 3, seed=0)
    law = integrated_law(denoiser, 3, accept=accept, survival=survival, draft=draft, window=3)
    expected = denoised(table_of(denoiser, 3, 3), (3, 3, 3), [range(3)], 1, sharpened())
    assert distance(law, expected) < 1e-9


def test_contradictions_are_refused():
    with pytest.raises(fef.OptionError, match=r"Give survival=0.2 with it"):
        fef.decode(NETWORK, canvas(), planner="influence", draft="fresh", verify="rows")
    for options in ({"verify": "packed", "draft": "fresh"}, {"verify": "rows", "draft": "reuse"}, {"verify": "rows"}):
        with pytest.raises(fef.OptionError, match=r'verify="rows", draft="fresh"'):
            fef.decode(NETWORK, canvas(), planner="influence", **options)
    for guidance in ({"cfg_scale": 0.5}, {"contrast": 0.5}):
        with pytest.raises(fef.OptionError, match=r'do not go with planner="influence".*planner="confidence"'):
            fef.decode(NETWORK, canvas(), planner="influence", draft="fresh", **guidance)
