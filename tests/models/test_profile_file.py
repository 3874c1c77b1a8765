"""Files of information profiles: the round trip, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import tiny_network

from fef.errors import CheckpointError
from fef.laws.information import Profile
from fef.models.extras import load_extras
from fef.models.profile import PROFILE, load_profile, profile_json

nats = st.lists(st.floats(0.0, 20.0), min_size=1, max_size=30).map(lambda f: tuple(sorted(f, reverse=True)))


@given(nats)
def test_a_profile_comes_back(tmp_path_factory: pytest.TempPathFactory, f: tuple[float, ...]) -> None:
    file = tmp_path_factory.getbasetemp() / PROFILE
    file.write_text(profile_json(Profile(f, f, 7)))
    found = load_profile(file)
    assert found == pytest.approx(f, abs=1e-5)
    assert list(found) == sorted(found, reverse=True)


def test_it_comes_with_the_weights_beside_it(tmp_path: Path) -> None:
    assert load_extras(tmp_path, tiny_network()).information_profile is None
    (tmp_path / PROFILE).write_text(profile_json(Profile((2.0, 1.5), (0.1, 0.1), 9)))
    assert load_extras(tmp_path, tiny_network()).information_profile == (2.0, 1.5)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"nats_per_token_by_revealed": 3}',
        '{"nats_per_token_by_revealed": []}',
        '{"nats_per_token_by_revealed": ["much"]}',
        '{"nats_per_token_by_revealed": [NaN]}',
        '{"nats_per_token_by_revealed": [1.0, -0.1]}',
        '{"nats_per_token_by_revealed": [Infinity, 1.0]}',
        b"\xff\xfe",
        '{"nats_per_token_by_revealed": [1' + "0" * 400 + "]}",
        "[" * 100_000,
    ],
)
def test_other_files_are_refused_with_the_fix(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / PROFILE
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match="fef profile") as caught:
        load_profile(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no information profile .*nowhere"):
        load_profile(tmp_path / "nowhere")
