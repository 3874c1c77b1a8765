"""The page as files: what is served, to whom, and under which policy."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import product

import pytest
from serving import Client, running

import fef
from fef.generation import Model

STATIC = {each.name: each.read_text() for each in (files("fef.serve") / "static").iterdir()}


def test_the_page_and_its_parts_are_served(client: Client) -> None:
    assert client.get("/").raw.decode() == STATIC["index.html"]
    for name, content in STATIC.items():
        reply = client.get(f"/playground/{name}")
        assert (reply.status, reply.raw.decode()) == (200, content)
    for path in ("/playground/", "/playground/nosuch.js", "/playground/..%2fapp.py", "/playground/a/b"):
        assert client.get(path).status == 404


def test_what_the_page_names_is_served(client: Client) -> None:
    named = re.findall(r'(?:src|href)="([^"#]+)"', STATIC["index.html"])
    imported = [f"playground/{name}" for text in STATIC.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert len(named) == 3 and len(imported) > 5
    for path in named + imported:
        assert client.get(f"/{path}").status == 200


def test_the_policy_allows_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/", "/playground/main.js"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert set(policy.values()) <= {"'none'", "'self'"}
        assert headers["x-content-type-options"] == "nosniff"
    page = STATIC["index.html"]
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|<style", page), "the policy would refuse it"


def test_no_file_names_another_host() -> None:
    for name, text in STATIC.items():
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert hosts <= {"http://www.w3.org/2000/svg"}, name


def test_no_file_holds_pictures_among_its_letters() -> None:
    for name, text in STATIC.items():
        assert not [c for c in text if ord(c) >= 0x1F000 or 0x2600 <= ord(c) <= 0x27BF or ord(c) == 0xFE0F], name


def test_the_page_needs_no_key_and_all_else_does(model: Model) -> None:
    with running(model, {"max_batch": 2}, api_key="secret") as client:
        assert client.get("/").status == client.get("/playground/main.js").status == 200
        for path in ("/v1/methods", "/v1/models", "/playground", "/playgroundx", "//"):
            assert client.get(path).status == 401


def test_the_methods_are_told_with_their_options(client: Client) -> None:
    told = {one["name"]: one for one in client.get("/v1/methods").body["data"]}
    assert told.keys() == fef.methods().keys()
    assert told["fef"]["options"] == dict(fef.methods()["fef"].options)


# --- colours ---


def schemes() -> list[dict[str, str]]:
    """The colours of light and dark."""
    blocks = re.findall(r":root \{(.*?)\}", STATIC["page.css"], re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert light.keys() == dark.keys()
    return [light, dark]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", schemes(), ids=["light", "dark"])
def test_text_has_the_contrast_that_readers_need(scheme: dict[str, str]) -> None:
    """At least 4.5 to 1 (WCAG 2.2, AA)."""
    words, grounds = ("text", "muted", "corrected", "rejected"), ("page", "surface")
    pairs = [*product(words, grounds), ("text", "fresh"), ("text", "soft"), ("corrected", "fresh"), ("good", "surface")]
    pairs += [("accent-text", "accent"), ("text", "good-soft"), ("text", "bad-soft")]
    for word, ground in pairs:
        assert contrast(scheme[word], scheme[ground]) >= 4.5, (word, ground)
    assert contrast(scheme["strong-line"], scheme["surface"]) >= 3, "borders of fields"
