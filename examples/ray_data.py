"""Many prompts through Ray Data: a replica of the model on each GPU, or on CPUs, answers batches of lines.

    pip install fef 'ray[data]' pandas
    python examples/ray_data.py requests.jsonl answers.jsonl --replicas 4 --gpus 1

A line is {"prompt": "...", ...} with options of `Model.generate` beside it; its seed is `seed`, or its number. A text depends
on its line and seed alone, so the answers are the same for any number of replicas and any size of batches, and stand in the
order of the lines. `fef batch` does the same without a cluster, in OpenAI's format.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import ray

import fef


class Answering:
    """One engine; Ray makes one on each replica."""

    def __init__(self, model: str, max_batch: int) -> None:
        self.engine = fef.load(model).engine(max_batch=max_batch)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = zip(batch["line"], batch["number"], strict=True)
        jobs = [self.submitted(json.loads(line), int(number)) for line, number in rows]
        self.engine.run()
        return {"number": batch["number"], "answer": [self.told(job) for job in jobs]}

    def submitted(self, line: dict[str, Any], number: int) -> Any:
        """A job, or the error of a line that is none."""
        try:
            return self.engine.submit(line.pop("prompt"), **{"seed": number, **line})
        except (fef.FefError, KeyError, TypeError) as error:
            return error

    def told(self, job: Any) -> str:
        try:
            if isinstance(job, Exception):
                raise job
            found = job.result()
        except (fef.FefError, KeyError, TypeError) as error:
            return json.dumps({"error": str(error)})
        return json.dumps({"text": found.text, "finish_reason": found.finish_reason, "logprob": sum(found.logprobs)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="of each replica")
    parser.add_argument("--max-batch", type=int, default=16)
    given = parser.parse_args()
    lines = [line for line in given.requests.read_text("utf-8").splitlines() if line.strip()]
    rows = ray.data.from_items([{"number": number, "line": line} for number, line in enumerate(lines)])
    answers = rows.map_batches(
        Answering,
        fn_constructor_args=(given.model, given.max_batch),
        batch_size=4 * given.max_batch,
        concurrency=given.replicas,
        num_gpus=given.gpus,
    )
    told = sorted(answers.take_all(), key=lambda row: row["number"])
    given.answers.write_text("".join(row["answer"] + "\n" for row in told), "utf-8")


if __name__ == "__main__":
    main()
