"""Pages of the site that are made from the package: `python tools/site_pages.py docs` writes them into docs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from dataclasses import is_dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import fef

# What the names of `fef.__all__` give back, or take.
RETURNED = (
    "fef.generation.Score",
    "fef.engine.text.TextEngine",
    "fef.engine.text.TextJob",
    "fef.engine.job.Job",
    "fef.engine.requests.EngineResult",
    "fef.engine.build.EngineOptions",
    "fef.engine.costs.CostTable",
    "fef.engine.watched.CanvasRound",
    "fef.engine.watched.Filled",
    "fef.decoding.session.Round",
)
SECTIONS = {
    "Decode": "decode Decoded certify Certificate methods MethodInfo",
    "Load and generate": "load Model Generation fef.generation.Score",
    "The engine": "Engine fef.engine.build.EngineOptions fef.engine.job.Job fef.engine.requests.EngineResult "
    "fef.engine.text.TextEngine fef.engine.text.TextJob fef.engine.costs.CostTable",
    "Watching": "fef.decoding.session.Round fef.engine.watched.CanvasRound fef.engine.watched.Filled",
    "Grammars": "compile_grammar TokenGrammar",
    "Tables and noise": "TableDenoiser AbsorbingNoise UniformNoise",
    "Profiles and costs": "information_profile Profile measure_row_costs RowCosts load_row_costs save_row_costs",
    "Errors": "FefError OptionError InputError GrammarError DenoiserError CheckpointError EngineError",
}
WIDTH = 100  # of a signature in one line


def public_names() -> list[str]:
    """The names of `fef.__all__`, and the full names of what belongs to them."""
    return [name for name in fef.__all__ if name != "__version__"] + list(RETURNED)


def find(name: str) -> Any:
    """The object of a name of `public_names`."""
    if "." not in name:
        return getattr(fef, name)
    module, _, own = name.rpartition(".")
    return getattr(importlib.import_module(module), own)


def members(cls: type) -> dict[str, Any]:
    """The public methods and properties that a class brings, in reading order."""
    return {name: each for name, each in vars(cls).items() if is_member(name, each)}


def is_member(name: str, value: Any) -> bool:
    described = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
    return described and not name.startswith("_")


def documented(value: Any) -> str:
    """The docstring, without its indentation."""
    return inspect.getdoc(value) or ""


def signature(name: str, value: Any) -> str:
    """The call as in the source, a parameter per line where it is long."""
    given = inspect.signature(value)
    kept = [each for each in given.parameters.values() if each.name not in ("self", "cls")]
    words = [parameter_words(each) for each in kept]
    kinds = [each.kind for each in kept]
    if inspect.Parameter.VAR_POSITIONAL not in kinds and inspect.Parameter.KEYWORD_ONLY in kinds:
        words.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    end = "" if given.return_annotation is given.empty else f" -> {given.return_annotation}"
    short = f"{name}({', '.join(words)}){end}"
    return short if len(short) <= WIDTH else name + "(\n    " + ",\n    ".join(words) + ",\n)" + end


def parameter_words(given: inspect.Parameter) -> str:
    stars = {given.VAR_POSITIONAL: "*", given.VAR_KEYWORD: "**"}.get(given.kind, "")
    kind = "" if given.annotation is given.empty else f": {given.annotation}"
    default = "" if given.default is given.empty else f" = {given.default!r}"
    return f"{stars}{given.name}{kind}{default}"


def field_lines(cls: type) -> str:
    """The public fields of a record as its source has them, with the comment of each."""
    lines = inspect.getsource(cls).splitlines()
    [tree] = ast.parse(dedent("\n".join(lines))).body
    assert isinstance(tree, ast.ClassDef), "the source of a class"
    kept = []
    for node in tree.body if is_dataclass(cls) else ():
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
            kept += [line.removeprefix("    ") for line in lines[node.lineno - 1 : node.end_lineno]]
    return "\n".join(kept)


def entry(name: str) -> str:
    """One name of the page."""
    value, own = find(name), name.rpartition(".")[2]
    where = name if "." in name else f"fef.{name}"
    lines = [f"### {own}", f"`{where}`"]
    if inspect.isclass(value) and not issubclass(value, Exception):
        listed = field_lines(value)
        lines += [documented(value), code(listed) if listed else code(signature(own, value))]
        for member, each in members(value).items():
            inner = each.__func__ if isinstance(each, classmethod | staticmethod) else each
            title = code(signature(f"{own}.{member}", inner)) if inspect.isfunction(inner) else f"**`{own}.{member}`**"
            lines += [title, documented(inner)]
    elif inspect.isclass(value):
        lines += [documented(value)]
    else:
        lines += [code(signature(own, value)), documented(value)]
    return "\n\n".join(line for line in lines if line)


def code(text: str) -> str:
    return f"```python\n{text}\n```"


def api_page() -> str:
    """All public names, with signatures and docstrings."""
    head = (
        "# API\n\nAll public names, from their docstrings. Tensors are named with their shape behind an underscore: "
        "`logits_BSV` is [B, S, V], B rows (requests), S slots, V vocabulary; L is the length of a canvas. Log-probabilities "
        "are in nats. Whatever is wrong with what you give is raised as one of the [errors](#errors), whose sentence says "
        "what to give instead."
    )
    body = [f"## {title}\n\n" + "\n\n".join(map(entry, names.split())) for title, names in SECTIONS.items()]
    return "\n\n".join([head, *body]) + "\n"


def cards_page() -> str:
    """The model cards that lie beside the weights, one below the other."""
    folder = Path(fef.__file__).parent / "models"
    cards = [(folder / name / "README.md").read_text(encoding="utf-8") for name in ("demo", "smol")]
    lower = [re.sub(r"^#", "##", card, flags=re.MULTILINE) for card in cards]
    return "# Model cards\n\nThe two checkpoints that come with fef.\n\n" + "\n".join(lower)


PAGES = {"api.md": api_page, "model-cards.md": cards_page}


def main(folder: str) -> None:
    for name, made in PAGES.items():
        (Path(folder) / name).write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
