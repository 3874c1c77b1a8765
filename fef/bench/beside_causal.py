"""Texts of methods beside those of the causal model that a network came with: passes, seconds, and how likely they are.

    python -m fef.bench.beside_causal --model smol --prompts prompts.jsonl --temperature 0 --methods deer apd fef

writes a row per method and one of the causal model alone, which keeps its keys and takes a pass per token. Both run in plain
torch. `causal_nats`: mean -log p per token of the texts by the causal model; `chain_nats`: by the network itself, one token
per pass from left to right, of the first `--scored` texts. Low values alone say little: `token_entropy` is that of the tokens
of all texts together, and falls where texts repeat themselves. A checkpoint that came without a causal model, `demo` for one,
has neither its row nor its nats. `same`: texts that are those of the first row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import fef
from fef.bench.engine.drafts import prompts_of
from fef.bench.spec import MethodSpec, parse_specs
from fef.decoding.network import Network
from fef.errors import FefError
from fef.eval.likelihood import causal_nats, causal_of
from fef.generation import Model
from fef.measure.intervals import mean_per_token
from fef.measure.program import option, program, told
from fef.measure.timing import Stopwatch
from fef.models.continuation import continuations, up_to_end
from fef.text import Generation, Prompt

__all__ = ["measure"]

ALONE = "the causal model alone"
PER = 256  # tokens for which passes are told
AT_ONCE = 64  # prompts
LAYERS = ("ssmd", "adjust")
Ids = list[int]


@torch.inference_mode()
def measure(
    model: Model, spec: MethodSpec | None, prompts: Sequence[Prompt], given: Options
) -> tuple[dict[str, Any], list[Ids]]:
    """What a method wrote, and its texts. spec: None is the causal model alone. passes: of any model, per 256 tokens.
    causal_nats, chain_nats: per token, with standard errors."""
    write = alone if spec is None else partial(by_method, spec)
    write(model, prompts[:1], given)  # kernels are made, and memory is found
    watch = Stopwatch(model.network.device)
    texts, passes = write(model, prompts, given)
    seconds, tokens = watch.seconds, list(map(len, texts))
    row: dict[str, Any] = {
        "method": ALONE if spec is None else spec.label,
        "texts": len(texts),
        "tokens": sum(tokens),
        "passes": round(PER * passes / sum(tokens), 2),
        "tokens_per_second": round(sum(tokens) / seconds, 1),
        "token_entropy": token_entropy(texts),
    }
    pairs, nats = list(zip(prompts, texts, strict=True)), dict[str, list[float]](causal=[], chain=[])
    if has_causal(model):
        causal = causal_of(model)
        nats["causal"] = [causal_nats(causal, begin_of(model, prompt, given), text) for prompt, text in pairs]
    nats["chain"] = [chain_nats(model, prompt, text, given) for prompt, text in pairs[: given.scored]]
    for law, of_texts in nats.items():
        mean, error = mean_per_token(of_texts, tokens[: len(of_texts)]) if of_texts else (None, None)
        row |= {f"{law}_nats": mean, f"{law}_error": error}
    return row, texts


def has_causal(model: Model) -> bool:
    return Network(model.network).extra("causal_model") is not None


def by_method(spec: MethodSpec, model: Model, prompts: Sequence[Prompt], given: Options) -> tuple[list[Ids], float]:
    """The ids of a text for each prompt, with the end token if there is one, and passes of all."""
    asked = {"method": spec.name, "max_new_tokens": given.max_new_tokens, "temperature": given.temperature}
    asked |= spec.options
    if given.layers is not None and spec.name in LAYERS:
        asked["layer"] = str(given.layers / f"{spec.name}.safetensors")
    found = list[Generation]()
    for first in range(0, len(prompts), AT_ONCE):
        found += model.generate(prompts[first : first + AT_ONCE], seed=first, **asked)
    ids = [g.token_ids + end_of(model) if g.finish_reason == "stop" else g.token_ids for g in found]
    return ids, sum(g.stats["calls"] for g in found)


def alone(model: Model, prompts: Sequence[Prompt], given: Options) -> tuple[list[Ids], float]:
    """As `by_method`, by the causal model, of which a token takes a pass."""
    causal, texts = causal_of(model), list[Ids]()
    generator = torch.Generator(causal.device).manual_seed(0)
    drawn: dict[str, Any] = {"temperature": given.temperature, "top_p": 1.0, "banned": model.never_drawn(())}
    for first in range(0, len(prompts), AT_ONCE):
        begins = [begin_of(model, prompt, given) for prompt in prompts[first : first + AT_ONCE]]
        found = continuations(causal, begins, given.max_new_tokens, generator=generator, **drawn)
        texts += [up_to_end(text, end_of(model)) for text in found]
    return texts, sum(map(len, texts))


def end_of(model: Model) -> Ids:
    """The token that ends a text; none where there is none."""
    end = model.network.config.eos_id
    return [] if end is None else [end]


def begin_of(model: Model, prompt: Prompt, given: Options) -> Ids:
    ids, start, _ = model.canvas(prompt, given.max_new_tokens, "")
    return ids[:start]


def chain_nats(model: Model, prompt: Prompt, text: Ids, given: Options) -> float:
    """As `causal_nats`, by the network under plain passes, from left to right."""
    response = text[:-1] if text[-1:] == end_of(model) else text
    return -model.score(prompt, response, method="sequential", max_new_tokens=given.max_new_tokens).total


def token_entropy(texts: Sequence[Ids]) -> float:
    counts = Counter(token for text in texts for token in text)
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    prompts: Path = option(help="JSONL of prompts or messages")
    methods: Sequence[str] = option(("deer", "apd", "apd-exact", "fef", "sequential"), nargs="+")
    model: str = option("smol", "a checkpoint with its causal model")
    layers: Path | None = option(None, "a folder of ssmd.safetensors and adjust.safetensors")
    n: int = option(64, "prompts")
    max_new_tokens: int = option(128, "length of the canvas")
    temperature: float = option(1.0, "of all texts")
    scored: int = option(0, "texts whose log p under the network's own chain is told, too")
    device: str | None = option(None, "cpu or cuda; by default a GPU if there is one")


@program(Options, __doc__)
def main(given: Options) -> None:
    model = fef.load(given.model, device=given.device, dtype=torch.float32)
    prompts = prompts_of(model, given.n, given.prompts)
    first: list[Ids] | None = None
    specs = parse_specs(given.methods, ())
    for spec in (None, *specs) if has_causal(model) else specs:
        try:
            row, texts = measure(model, spec, prompts, given)
        except FefError as error:
            told(method=ALONE if spec is None else spec.label, error=str(error))
            continue
        first = texts if first is None else first
        told(**row, same=sum(map(list.__eq__, texts, first)), device=str(model.network.device))


if __name__ == "__main__":
    main()
