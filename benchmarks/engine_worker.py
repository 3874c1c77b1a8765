"""Answers prompts with the engine of whichever `fef` is found first, also that of an older commit: for `engine_before.py`.

Reads a line of JSON at a time and answers it with one. An object says what engine to make and to warm up; null lets it
answer the prompts once more, against the clock. Nothing is called that came with draft heads, trees or later.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

import fef
from fef.engine.text import TextEngine


def ready(asked: dict[str, Any]) -> TextEngine:
    """An engine that knows its costs and has captured its graphs: it answered all prompts before."""
    model = fef.load(asked["model"], device=asked["device"], dtype=getattr(torch, asked["dtype"]))
    longest = max(len(model.prompt_ids(prompt)) for prompt in asked["prompts"]) + 1 + asked["max_new_tokens"]
    engine = model.engine(max_batch=asked["batch"], max_length=longest, max_new_tokens=asked["max_new_tokens"])
    for _ in range(asked["warm_ups"]):
        answered(engine, asked)
    return engine


def answered(engine: TextEngine, asked: dict[str, Any]) -> dict[str, Any]:
    settings = {"max_new_tokens": asked["max_new_tokens"], "temperature": asked["temperature"]}
    began, computed = time.perf_counter(), time.process_time()
    outs = engine.generate(asked["prompts"], seed=0, **settings)
    seconds, processor = time.perf_counter() - began, time.process_time() - computed
    passes = sum(int(out.stats["calls"]) for out in outs)
    texts = [list(out.token_ids) for out in outs]
    return {"seconds": seconds, "processor": processor, "passes": passes, "texts": texts}


def main() -> None:
    asked: dict[str, Any] = {}
    engine: TextEngine | None = None
    for line in sys.stdin:
        given = json.loads(line)
        if given is None:
            assert engine is not None, "an engine is made first"
            print(json.dumps(answered(engine, asked)), flush=True)
        else:
            asked, engine = given, None  # the engine before gives its memory back first
            engine = ready(asked)
            print(json.dumps(str(fef.__file__)), flush=True)


if __name__ == "__main__":
    main()
