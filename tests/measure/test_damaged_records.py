"""Records that were changed by hand: `fef report` makes a page, or says in one sentence what is wrong, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fef.cli.app import app
from fef.cli.report import page_of
from fef.errors import InputError

RESULTS = Path(__file__).parents[2] / "results"
STORED = {
    "methods": "demo-one-at-a-time.json",
    "engine": "engine/1-demo.json",
    "drafts": "drafts/1-smol.json",
    "likelihood": "dialogues/2-packed-1.json",
    "eval": "every-method/dual-block-length-32.json",
}
GONE = object()
DAMAGES = [GONE, None, 0, -1, 2**70, 10**400, float("nan"), "x", "\ud800", [], [1], {}, {"a": 1}]


def small(name: str) -> dict[str, Any]:
    """A stored record with two rows of each table."""
    value: dict[str, Any] = json.loads((RESULTS / STORED[name]).read_text())
    value["failures"] = [{"task": ["a", "b"], "reason": "No."}]
    for table in {"results", "answers", "passes", "served"} & value.keys():
        value[table] = value[table][:2]
    for result in value.get("results", []):
        result["answers"] = {column: cells[:3] for column, cells in result["answers"].items()}
    return value


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else []
    for name, one in inner:
        yield from places(one, (*at, name))


def damaged(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    name, *inner = place
    if new is GONE and not inner:
        kept = [(key, one) for key, one in value.items() if key != name] if isinstance(value, dict) else value[1:]
        return dict(kept) if isinstance(value, dict) else kept
    changed = value.copy()
    changed[name] = damaged(value[name], tuple(inner), new)
    return changed


def one_sentence(error: InputError, file: Path) -> None:
    words = str(error)
    assert str(file) in words or "page.md" in words, words
    assert not {*"[]{}()"} & {*words.replace(str(file), "")}, f"what Python shows of values: {words}"


@pytest.mark.parametrize("name", STORED)
def test_a_record_that_was_changed_anywhere_makes_a_page_or_is_refused_in_plain_words(
    tmp_path: Path, name: str
) -> None:
    value, file, made = small(name), tmp_path / "record.json", 0
    for place in places(value):
        for new in DAMAGES:
            if new is not GONE or place:
                file.write_text(json.dumps(damaged(value, place, new)))
                try:
                    page_of([file], tmp_path / "page.md", None).text.encode()
                    made += 1
                except InputError as error:
                    one_sentence(error, file)
    assert made


def report(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)], prog_name="fef")


LACKS = {
    "methods": "setup lacks model, settings, environment",
    "engine": "setup lacks environment",
    "drafts": "setup lacks environment",
    "likelihood": "setup lacks model, law, data, file, max_new_tokens, environment",
}


@pytest.mark.parametrize("name", LACKS)
def test_an_emptied_setup_is_refused_with_what_it_lacks(tmp_path: Path, name: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(small(name) | {"setup": {}}))
    found = report(file, "--out", tmp_path / "page.md")
    assert found.exit_code == 2, found.output
    assert f"{LACKS[name]}. Run it again, or give another file." in " ".join(found.stderr.split())


ROWS = {
    "a row that is no object": (("served", 0), 7, "entry 1 of served must be an object"),
    "seconds that are none": (("served", 0, "seconds"), 0, "seconds of entry 1 of served must be above 0"),
    "a name of later": (
        ("served", 0, "later"),
        1,
        "entry 1 of served has later, which this version of fef does not know",
    ),
    "a part of a row": (
        ("served", 0, "shapes", 0, "rows"),
        "x",
        "rows of entry 1 of shapes of entry 1 of served must be",
    ),
    "long names": (("served", 0, "a\n" * 999), 1, r"entry 1 of served has a a .{,60}, which this"),
    "a long kind": (("kind",), "a\n" * 999, r"its kind is a a .{,60}\. Run it again"),
    "a task of numbers": (("failures", 0, "task", 0), 1, "entry 1 of task of entry 1 of failures must be text"),
    "a command of words": (("command",), ["fef", "bench"], "command must be text"),
}


@pytest.mark.parametrize(("place", "new", "words"), ROWS.values(), ids=ROWS.keys())
def test_a_row_is_named_by_its_place(tmp_path: Path, place: tuple[Any, ...], new: Any, words: str) -> None:
    file, value = tmp_path / "record.json", small("drafts")
    *outer, name = place
    inner = value
    for part in outer:
        inner = inner[part]
    inner[name] = new
    file.write_text(json.dumps(value))
    with pytest.raises(InputError, match=words):
        page_of([file], tmp_path / "page.md", None)


def test_a_run_that_has_no_results_yet_makes_no_page(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(small("methods") | {"results": []}))
    with pytest.raises(InputError, match=r"page\.md is to be made of a run without results"):
        page_of([file], tmp_path / "page.md", None)


CLASHES = {
    "a file and a folder": (["a.json", "a/1.json"], "out/a.md would be written twice; give the page, or one of"),
    "remarks and a page": (["a.json", "a-remarks.json"], "out/a-remarks.md is to be read, and would be written over"),
    "a folder for a page": (["a.json", "b.json"], "out/b.md is a directory; give the name of a file."),
}


@pytest.mark.parametrize(("files", "words"), CLASHES.values(), ids=CLASHES.keys())
def test_nothing_is_written_where_pages_clash_with_each_other_or_with_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        (file := Path("results", name)).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(small("methods")))
    Path("out/b.md").mkdir(parents=True)
    Path("out/a-remarks.md").write_text("Mine.")
    found = report("results", "--out", "out")
    assert found.exit_code == 2 and words in " ".join(found.stderr.split()), found.output
    assert "Wrote" not in found.output and not Path("out/a.md").exists()
    assert Path("out/a-remarks.md").read_text() == "Mine."


def test_folders_of_versions_have_pages_of_their_own(tmp_path: Path) -> None:
    for name in ("v1.2", "v1.3"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "1.json").write_text(json.dumps(small("methods")))
    assert report(tmp_path / "results", "--out", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["v1.2.md", "v1.3.md"]


def test_files_of_one_name_do_not_stand_for_each_other(tmp_path: Path) -> None:
    files = [tmp_path / folder / "run.json" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(json.dumps(small("eval")))
    with pytest.raises(InputError, match=r"page\.md is to be made of several files of one name"):
        page_of(files, tmp_path / "page.md", None)


def test_a_page_that_is_called_like_its_picture_is_refused(tmp_path: Path) -> None:
    found = report(*(RESULTS / "every-method").glob("*.json"), "--out", tmp_path / "page.png")
    assert found.exit_code == 2 and "page.png would be written twice" in " ".join(found.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_record_that_an_editor_began_with_a_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(small("methods")), encoding="utf-8-sig")
    assert page_of([file], tmp_path / "page.md", None).text


def test_nothing_is_written_where_a_later_page_cannot_be_made(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    (results / "b").mkdir(parents=True)
    (results / "a.json").write_text(json.dumps(small("methods")))
    (results / "b" / "1.json").write_text(json.dumps(small("engine")))
    (results / "b" / "2.json").write_text(json.dumps(small("engine") | {"finished": "x"}))
    found = report(results, "--out", out)
    assert found.exit_code == 2 and "finished must be true or false" in " ".join(found.stderr.split())
    assert not out.exists() and "Wrote" not in found.output
    (results / "b" / "2.json").unlink()
    found = report(results, "--out", out)
    assert found.exit_code == 0 and found.output.count("Wrote") == 2
    assert sorted(path.name for path in out.iterdir()) == ["a.md", "b.md"]
