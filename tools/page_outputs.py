"""What the pages show as output, written anew: `python tools/page_outputs.py README.md docs/tutorial.md`.

Runs the Python blocks of each page in one namespace, and the commands of fef that are followed by their output.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from page_blocks import Block, blocks, commands

import fef


def printed(block: Block, space: dict[str, Any]) -> str:
    """What a block prints."""
    if block.kind == "python":
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.text, str(block.page), "exec"), space)
        return out.getvalue()
    [words] = commands(block.text)
    run = [sys.executable, "-m", "fef", *words[1:]]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"})
    shown = block.printed or ""
    return done.stdout + (done.stderr if re.search(r"\d s$", shown) else "")


def main(*pages: str) -> None:
    for name in pages:
        page = Path(name)
        space: dict[str, Any] = {"fef": fef, "model": fef.load("demo", device="cpu")}
        text = page.read_text("utf-8")
        for block in blocks(page):
            if block.kind == "python" or block.printed is not None:
                found = printed(block, space).rstrip("\n")
                if block.printed is not None:
                    before = f"{block.text}\n```\n\n```text\n"
                    text = text.replace(f"{before}{block.printed}\n```", f"{before}{found}\n```")
        page.write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
