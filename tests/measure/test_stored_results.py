"""Pages in the docs are what the stored records say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "results"


def report(*arguments: object):
    return CliRunner().invoke(app, ["report", *map(str, arguments)], prog_name="fef")


def test_one_command_makes_every_page_and_every_picture_of_results(tmp_path: Path) -> None:
    for remarks in PAGES.glob("*-remarks.md"):
        shutil.copy(remarks, tmp_path)
    result = report(ROOT / "results", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    made, there = ({path.name: path for path in folder.iterdir()} for folder in (tmp_path, PAGES))
    assert sorted(made) == sorted(there.keys() - {"index.md"})
    for name, path in made.items():
        if path.suffix == ".md":
            assert path.read_text("utf-8") == there[name].read_text("utf-8"), name
    for name in made:
        assert not name.endswith("-remarks.md") or name.replace("-remarks", "") in made, "remarks of no page"


def test_the_index_has_a_line_per_page_and_no_figures() -> None:
    index = (PAGES / "index.md").read_text("utf-8")
    pages = {path.name for path in PAGES.glob("*.md") if not path.stem.endswith("-remarks")} - {"index.md"}
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == pages
    assert not re.findall(r"\d+[.,]\d", index), "figures are on pages that are made of records"


def test_the_figures_of_the_readme_are_those_of_the_real_language_page() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    page = (PAGES / "real-language.md").read_text("utf-8")
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    found = {cells[0]: (cells[8], cells[3], cells[5]) for cells in rows if len(cells) == 10 and cells[2] == "1319"}
    table = [line.replace("*", "") for line in readme.splitlines() if line.count("|") == 5 and line[2] in "`t"]
    blocks = "low-confidence:block_length=32,tokens_per_step="
    labels = ["`fef:window=16,verify=packed`", *(f"`{blocks}{count}`" for count in (1, 2, 4))]
    labels.append("`threshold:block_length=32,threshold=0.9`")
    assert len(table) == len(labels)
    for label, line in zip(labels, table, strict=True):
        assert tuple(cell.strip() for cell in line.split("|")[2:-1]) == found[label], label
    right = found["`given answers, one token per pass`"][1].replace(" (", " % (")
    assert f"one token per pass, has {right} right" in readme


def test_a_figure_that_was_changed_by_hand_is_seen(tmp_path: Path) -> None:
    results = shutil.copytree(ROOT / "results" / "real-language", tmp_path / "results" / "real-language")
    path = results / "gsm8k-fef.json"
    path.write_text(path.read_text().replace('"right": 2', '"right": 3'))
    assert report(results.parent, "--out", tmp_path).exit_code == 0
    shutil.copy(PAGES / "real-language-remarks.md", tmp_path)
    assert (tmp_path / "real-language.md").read_text() != (PAGES / "real-language.md").read_text()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            ["engine-released/2-llada.json", "real-language/gsm8k-fef.json"],
            "mixed.md is to be made of engine and eval; give results of one kind",
        ),
        ([], "mixed.md is to be made of no result; give results of one kind"),
    ],
)
def test_a_page_has_files_of_one_kind(tmp_path: Path, files: list[str], words: str) -> None:
    folder = tmp_path / "results" / "mixed"
    folder.mkdir(parents=True)
    for name in files:
        shutil.copy(ROOT / "results" / name, folder)
    result = report(folder.parent, "--out", tmp_path)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert report(folder.parent, "--out", tmp_path, "--notes", tmp_path / "x.md").exit_code == 2
