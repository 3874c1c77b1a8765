"""A file of requests, without a server: OpenAI's batch format in, answers with their certificates out.

    pip install 'fef[serve]'
    python examples/batch.py

On several GPUs the same file is shared out: `torchrun --nproc-per-node 4 -m fef batch --input ... --output ...`. The texts
do not depend on how many there are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

QUESTIONS = [
    f"Tom has {n} apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?" for n in (12, 15, 20)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("."), help="for the two files")
    folder = parser.parse_args().folder
    requests, answers = folder / "requests.jsonl", folder / "answers.jsonl"
    lines = [
        {
            "custom_id": f"question-{i}",
            "method": "POST",
            "url": "/v1/completions",
            "body": {"prompt": question, "max_tokens": 64, "temperature": 0.0},
        }
        for i, question in enumerate(QUESTIONS)
    ]
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["batch", "--model", "demo", "--input", str(requests), "--output", str(answers)]
    subprocess.run([sys.executable, "-m", "fef", *command], check=True)
    for line in answers.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        body = answer["response"]["body"]
        print(answer["custom_id"], body["choices"][0]["text"].splitlines()[-1], body["fef"]["certificate"]["kind"])


if __name__ == "__main__":
    main()
