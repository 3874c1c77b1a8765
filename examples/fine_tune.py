"""Fine-tuning: teach the shipped checkpoint another form of answer, and ask it.

    python examples/fine_tune.py

Six minutes on two busy CPU cores. A released checkpoint is tuned by the same command, `fef train --init NAME
--lora 16`, on one GPU or many: docs/training.md.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import fef

NAMES = ("Tom", "Ben", "Kate", "Lily", "Anna", "Max")


def pair(a: int, b: int, name: str) -> dict[str, str]:
    return {"prompt": f"{name} has {a} pens and gets {b} more. Total?", "response": f"{name}: {a} + {b} = {a + b}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("."), help="for the data and the model")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    data, tuned = given.folder / "pairs.jsonl", given.folder / "tuned"
    draw = random.Random(0)
    pairs = [pair(draw.randint(2, 60), draw.randint(2, 40), draw.choice(NAMES)) for _ in range(2000)]
    data.write_text("".join(json.dumps(each) + "\n" for each in pairs), encoding="utf-8")
    command = ["train", "--init", "demo", "--data", str(data), "--out", str(tuned)]
    sizes = [
        "--steps",
        str(given.steps),
        "--batch-size",
        str(given.batch_size),
        "--canvas-length",
        "32",
        "--muon-lr",
        "0.002",
        "--adam-lr",
        "0.0005",
    ]
    subprocess.run([sys.executable, "-m", "fef", *command, *sizes], check=True)
    model = fef.load(tuned)
    for a, b in ((21, 14), (35, 9)):
        asked = pair(a, b, "Tom")
        out = model.generate(asked["prompt"], max_new_tokens=32)
        print(f"{out.text!r}, wanted {asked['response']!r}; {int(out.stats['calls'])} passes")


if __name__ == "__main__":
    main()
