"""The pages: links lead somewhere, code runs and prints what is shown, and commands are such as fef has."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import tomllib
from pathlib import Path
from typing import Any

import canvas_picture
import page_blocks
import pytest
import site_pages
import torch
import typer
import yaml
from page_blocks import ROOT, Block, anchors, blocks, commands, links, pages
from typer.testing import CliRunner

import fef
from fef.cli.app import app
from fef.cli.options import QUESTION

PAGES = pages()
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
CODE = [page for page in PAGES if any(block.kind == "python" and not block.quoted for block in blocks(page))]
SERVED = ROOT / "docs" / "clients.md"  # its blocks ask a server: tests/serve/test_clients.py
PACKAGES = {"docs/grammar.md": "llguidance", "docs/causal.md": "gguf"}
SECONDS = re.compile(r"\d+\.\d+ s$", re.MULTILINE)
COMMAND = typer.main.get_command(app)
# Quick enough to be run wherever they stand; whatever else there is, is run by tests of its own, or by `make`.
RUN = ("certify", "methods", "info", "generate")


# --- links and sizes ---


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not leads(page, link)]
    assert not broken


def leads(page: Path, link: str) -> bool:
    """Is there such a file, with such a heading? Addresses elsewhere are taken as they are."""
    if re.match(r"https?://", link):
        return True
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    made = target.name in page_blocks.MADE and target.parent.name == "docs"
    if made or not target.exists():
        return made
    return not anchor or anchor in anchors(target)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One heading\n\n[a](gone.md) [b](#one-heading) [c](page.md#two) `[d](code.md)`\n")
    assert links(page) == ["gone.md", "#one-heading", "page.md#two"]
    assert [leads(page, link) for link in links(page)] == [False, True, False]


def test_the_site_lists_each_page_once_and_the_front_page_all_of_them() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    listed = [name for entry in nav for value in entry.values() for name in names_in(value)]
    there = [str(p.relative_to(ROOT / "docs")) for p in PAGES if ROOT / "docs" in p.parents]
    assert sorted(listed) == sorted([p for p in there if not p.endswith("-remarks.md")] + list(page_blocks.MADE))
    front = set(links(ROOT / "docs" / "index.md"))
    assert {p for p in there if "/" not in p} - {"index.md"} <= front


def names_in(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [name for each in value for name in each.values()]


def test_the_docs_are_small_and_the_readme_short() -> None:
    files = [p for p in (ROOT / "docs").rglob("*") if p.is_file() and p.name not in page_blocks.MADE]
    assert sum(p.stat().st_size for p in files) < 600_000
    assert (ROOT / "docs" / "canvas.svg").stat().st_size < 300_000
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.split()) <= 900
    assert len(readme.splitlines()) <= 90
    assert max(map(len, readme.splitlines())) <= 120


# --- Python ---


@pytest.fixture(scope="module")
def demo() -> fef.Model:
    return fef.load("demo", device="cpu")


@pytest.mark.parametrize("page", CODE, ids=[str(page.relative_to(ROOT)) for page in CODE])
def test_python_runs_and_prints_what_is_shown(
    page: Path, demo: fef.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The blocks of a page in one namespace, which begins with `fef`, `torch` and `model`. Whatever they load is the shipped
    checkpoint."""
    if page == SERVED:
        pytest.skip("its blocks ask a server: tests/serve/test_clients.py")
    package = PACKAGES.get(str(page.relative_to(ROOT)))
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.setattr(fef, "load", lambda *_, **__: demo)
    monkeypatch.chdir(tmp_path)
    if page.name == "causal.md":  # a tiny network under the name of the base of smol
        monkeypatch.syspath_prepend(ROOT / "tests" / "models")
        importlib.import_module("gguf_files").write_gguf(tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf")
    space: dict[str, Any] = {"__name__": "page", "fef": fef, "torch": torch, "model": demo}
    for block in blocks(page):
        if block.kind == "python" and not block.quoted:
            printed = run(block, space)
            assert block.printed in (None, printed.strip()), f"{page.name}, line {block.line}"


def run(block: Block, space: dict[str, Any]) -> str:
    out = io.StringIO()
    code = compile(("\n" * block.line) + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(out):
        exec(code, space)
    return out.getvalue()


@pytest.mark.parametrize("decoder", canvas_picture.DECODERS, ids=["fef", "sequential", "low-confidence"])
def test_the_picture_shows_the_passes_that_its_decoders_take(
    decoder: tuple[str, int, dict[str, Any]], demo: fef.Model
) -> None:
    title = (ROOT / "docs" / "canvas.svg").read_text("utf-8").partition("</title>")[0].partition("<title>")[2]
    assert canvas_picture.description([canvas_picture.answer(demo, *decoder)]) in title.split("; ")


def test_quoted_code_stands_in_its_file() -> None:
    quoted = [block for page in PAGES for block in blocks(page) if block.quoted]
    assert quoted
    for block in quoted:
        source = [line.strip() for line in (ROOT / str(block.quoted)).read_text("utf-8").splitlines()]
        missing = [line for line in block.text.splitlines() if line.strip() not in source]
        assert not missing, f"{block.page.name}, line {block.line}"


def test_errors_in_the_questions_are_errors_that_fef_raises() -> None:
    text = (ROOT / "docs" / "faq.md").read_text("utf-8")
    pieces = [p.strip() for title in re.findall(r'^### "(.*)"$', text, re.MULTILINE) for p in title.split("…")]
    assert len(pieces) > 10
    sources = " ".join(path.read_text("utf-8") for path in Path(fef.__file__).parent.rglob("*.py"))
    known = re.sub(r"[\"']\s*\n\s*f?[\"']", "", sources)  # a text over several lines is one
    assert [piece for piece in pieces if piece not in known] == []


# --- commands ---


ALL = [
    (block, words) for page in PAGES for block in blocks(page) if block.kind == "bash" for words in commands(block.text)
]


def asked_of_fef(words: list[str]) -> list[str] | None:
    """The arguments of `fef` in a command, if it is one of fef's."""
    if words[0].removeprefix(".venv/bin/") == "fef":
        return words[1:]
    if "-m" in words and words[words.index("-m") + 1] == "fef":
        return words[words.index("-m") + 2 :]
    return None


def check(arguments: list[str]) -> None:
    """Raise a usage error for a command or an option that fef does not have."""
    context = COMMAND.make_context("fef", list(arguments), resilient_parsing=False)
    name, command, rest = COMMAND.resolve_command(context, list(context._protected_args) + context.args)
    with contextlib.suppress(typer.Exit):  # --help
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_is_one_that_there_is(page: Path) -> None:
    for block, words in ALL:
        if block.page == page:
            arguments = asked_of_fef(words)
            if arguments is None:
                assert known_command(words), f"{page.name}, line {block.line}: {' '.join(words)}"
            elif "..." not in arguments:
                check(arguments)


def known_command(words: list[str]) -> bool:
    """Of other commands: is there such a module, target, extra or test?"""
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    if words[0].endswith("python") or words[0] == "torchrun":
        if "-m" not in words:
            return (ROOT / words[1]).exists()
        module = words[words.index("-m") + 1]
        return not module.startswith("fef") or has_options(module, words)
    if words[0] == "make":
        return all(
            re.search(rf"^(\S+ )*{word}( \S+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            for word in words[1:]
            if "=" not in word
        )
    if words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        asked = {name for word in words for names in re.findall(r"\[(.*)\]", word) for name in names.split(",")}
        return asked <= project["optional-dependencies"].keys()
    if words[0].startswith("tests/"):
        return (ROOT / words[0]).exists()
    if words[0] in ("pytest", ".ci/run"):
        return all((ROOT / word).exists() for word in words if "/" in word)
    return words[0] in page_blocks.COMMANDS


def has_options(module: str, words: list[str]) -> bool:
    """Is there such a module, and do its options stand in its source?"""
    spec = importlib.util.find_spec(f"{module}.__main__") if is_package(module) else importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    source = "".join(
        p.read_text("utf-8") for p in [Path(spec.origin), Path(spec.origin).parent / "__main__.py"] if p.exists()
    )
    options = [word.partition("=")[0] for word in words[words.index("-m") :] if word.startswith("--")]
    return all(re.search(rf"\b{re.sub('^--(no-)?', '', option).replace('-', '[-_]')}\b", source) for option in options)


def is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@pytest.mark.parametrize(
    "words", ["generat x", "generate x --modle demo", "bench --n many", "certify fef --temperature hot"]
)
def test_a_command_that_there_is_not_is_found(words: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|should be a valid"):
        check(words.split())


QUICK = list(
    dict.fromkeys(
        tuple(arguments)
        for _, words in ALL
        if (arguments := asked_of_fef(words))
        and arguments[0] in RUN
        and not {"--model", "--watch", "--costs", "..."} & {*arguments}
        if not (arguments[0] == "info" and len(arguments) > 1 and "/" in arguments[1])
    )
)


@pytest.mark.parametrize("arguments", QUICK, ids=[" ".join(each)[:60] for each in QUICK])
def test_a_quick_command_runs_and_prints_what_is_shown(
    arguments: tuple[str, ...], demo: fef.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page shows behind it stands in what is printed; seconds differ."""
    if "--weights" not in arguments:
        monkeypatch.setattr(fef, "load", lambda *_, **__: demo)
    result = CliRunner().invoke(app, list(arguments), prog_name="fef")
    assert result.exit_code == 0, result.output
    out = SECONDS.sub("N s", f"{result.stdout}{result.stderr}")
    for block, words in ALL:
        if asked_of_fef(words) == list(arguments) and block.printed is not None:
            assert SECONDS.sub("N s", block.printed) in out, f"{block.page.name}, line {block.line}"


def test_every_question_to_the_demo_is_one_that_it_answers() -> None:
    asked = {a[1] for _, words in ALL if (a := asked_of_fef(words)) and a[0] == "generate" and "--model" not in a}
    assert asked - {"..."} == {QUESTION}


# --- what is made ---


def test_the_made_pages_name_everything_public() -> None:
    page = site_pages.api_page()
    assert sorted(" ".join(site_pages.SECTIONS.values()).split()) == sorted(site_pages.public_names())
    for name in site_pages.public_names():
        assert f"\n### {name.rpartition('.')[2]}\n" in page
    assert "# Model card: `smol`" in site_pages.cards_page()
