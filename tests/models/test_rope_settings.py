"""Rotary settings of released configs: read wherever they are, refused where fef runs no such network, never defaulted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fef
from fef.models.config import TransformerConfig
from fef.models.families import Fields, family_of

DATA = Path(__file__).parents[1] / "golden" / "data"
FAMILIES = ("llada", "illada", "lladamoe", "dream", "sdar", "llada2-moe")
PLAIN = {"rope_type": "default"}


def values_of(family: str, **fields: object) -> dict[str, object]:
    """A config.json without the fields that are given as None."""
    values = json.loads((DATA / family / "checkpoint" / "config.json").read_text()) | {"mask_token_id": 5} | fields
    return {name: value for name, value in values.items() if value is not None}


def config(values: dict[str, object]) -> TransformerConfig:
    return family_of(values, "here").config(Fields("here", values))


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_are_read_wherever_they_are(family):
    plain = values_of(family)
    theta, partial = plain["rope_theta"], plain.get("partial_rotary_factor", 1)
    inside = {"rope_theta": theta, "partial_rotary_factor": partial}
    moved = {"rope_theta": None, "partial_rotary_factor": None}
    for given in (
        {"rope_scaling": PLAIN},
        {"rope_scaling": {"type": "default"}},
        {"rope_scaling": {}},
        {"rope_parameters": PLAIN},
        {"rope_parameters": inside | PLAIN},
        moved | {"rope_parameters": inside | PLAIN},
        moved | {"rope_parameters": inside},
        moved | {"rope_scaling": inside | PLAIN},
        moved | {"rope_parameters": {"full_attention": inside, "sliding_attention": inside | PLAIN}},
    ):
        assert config(values_of(family, **given)) == config(plain)
    other = config(values_of(family, rope_theta=None, rope_parameters={"rope_theta": 123.0}))
    assert other.rope_theta == 123.0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rope_theta": None}, "no rope_theta"),
        ({"rope_theta": None, "rope_parameters": PLAIN}, "no rope_theta"),
        ({"rope_theta": None, "rotary_emb_base": 500000}, "no rope_theta"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters = .*'default'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling = .*'default'"),
        (
            {"rope_parameters": {"full_attention": PLAIN, "sliding_attention": {"rope_type": "yarn"}}},
            "sliding_attention",
        ),
        ({"rope_parameters": PLAIN | {"rope_theta": 7.0}}, "rope_theta as .* and 7.0 in rope_parameters"),
        (
            {"rope_parameters": {"a": {"rope_theta": 7.0}, "b": {"rope_theta": 8.0}}},
            "one rotary embedding in all layers",
        ),
        ({"rope_parameters": PLAIN | {"mrope_section": [1, 2]}}, "mrope_section"),
        ({"rope_parameters": {"full_attention": PLAIN, "factor": 2.0}}, "full_attention"),
        ({"rope_parameters": 3}, "rope_parameters = 3"),
        ({"rope_parameters": PLAIN | {"rope_theta": "large"}}, "rope_theta = 'large'"),
        ({"rope_theta": -1.0}, "rope_theta = -1.0"),
        ({"rope_theta": True}, "rope_theta = True"),
        ({"rope_theta": float("inf")}, "rope_theta = inf"),
        ({"rope_parameters": PLAIN | {"partial_rotary_factor": 1.5}}, "partial_rotary_factor"),
    ],
)
def test_others_are_refused_by_name(family, given, words):
    with pytest.raises(fef.CheckpointError, match=words):
        config(values_of(family, **given))


def test_a_partial_rotation_is_read_or_refused():
    moved = {"partial_rotary_factor": None, "rope_parameters": PLAIN | {"partial_rotary_factor": 0.25}}
    assert config(values_of("llada2-moe", **moved)).rotary_dim == 4
    with pytest.raises(fef.CheckpointError, match="no partial_rotary_factor"):
        config(values_of("llada2-moe", partial_rotary_factor=None))
    for family in ("sdar", "dream", "lladamoe"):
        with pytest.raises(fef.CheckpointError, match=r"partial_rotary_factor = 0\.25"):
            config(values_of(family, **moved))


@pytest.mark.parametrize("family", ["dream", "sdar", "llada2-moe"])
def test_layers_that_see_a_window_are_refused(family):
    layers = ["full_attention"] * 3
    assert config(values_of(family, layer_types=layers)) == config(values_of(family))
    with pytest.raises(fef.CheckpointError, match="layer_types"):
        config(values_of(family, layer_types=[*layers[1:], "sliding_attention"]))
