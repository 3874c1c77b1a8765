"""Official decoding functions as methods of ours, and what a decode of ours must have in common with a recorded one.

Compared is what is defined: tokens, the order in which they are committed, and the number of calls up to where the official
code stops. Among slots of equal score the official code has no fixed order, so ours is told to follow the recorded one; equal
are scores within `SAME`, as the order of larger differences is stable under the noise of float32. Where the official code
spends calls that commit nothing, ours does not: SDAR's prefill and store passes, and the pass over a finished block that
Fast-dLLM's caches run. Its known faults are reproduced by `official_faults=True`, but for one: a mask id in a prompt is text
here and no blank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import fef
from fef.decoding.session import Round
from fef.decoding.unmask import Candidates
from fef.laws.draws import KeyedNoise, Purpose, Site
from fef.laws.pipeline import Cut, Sampling, log_law
from fef.models.transformer import Transformer

SAME = 1e-6
Args = dict[str, Any]
Method = tuple[str, dict[str, Any]]


def llada(args: Args) -> Method:
    assert (args["temperature"], args["remasking"]) == (0.0, "low_confidence")
    names = ("steps", "block_length", "cfg_scale", "logits_eos_inf", "confidence_eos_eot_inf")
    return "low-confidence", {name: args[name] for name in names if name in args} | {"official_faults": True}


def fast_llada(cache: str) -> Callable[[Args], Method]:
    def method(args: Args) -> Method:
        assert (args["temperature"], args["remasking"]) == (0.0, "low_confidence")
        options = {"block_length": args["block_length"], "cache": cache}
        if args.get("factor") is not None:
            return "factor", options | {"factor": args["factor"], "official_faults": True}
        if args["threshold"] is not None:
            return "threshold", options | {"threshold": args["threshold"]}
        return "threshold", options | {"threshold": 1.0, "strict": True, "steps": args["steps"]}

    return method


def dream(args: Args) -> Method:
    if args["alg"] == "confidence_threshold":
        whole = {"block_length": args["max_new_tokens"]}
        return "threshold", whole | {"threshold": args["threshold"], "pace": args["steps"]}
    return args["alg"].replace("_", "-"), {"steps": args["steps"]}


def dream_blocks(args: Args) -> Method:
    """Every other rule than the threshold is the entropy here."""
    options = {"block_length": args["block_length"], "cache": "dual" if args["dual_cache"] else "prefix"}
    options |= {"first_slot_first": True}
    if args["alg"] == "confidence_threshold":
        return "threshold", options | {"threshold": args["threshold"]}
    return "entropy", options | {"steps": args["steps"]}


def llada2(args: Args) -> Method:
    steps = min(args["steps"], args["gen_length"] // args["minimal_topk"])
    options = {"block_length": args["block_length"], "block_steps": steps, "strict": True}
    return "threshold", options | {"threshold": args["threshold"]}


def sdar(args: Args) -> Method:
    length, steps, strategy = args["block_length"], args["denoising_steps"], args["remasking_strategy"]
    if strategy == "sequential":
        return "sequential", {"block_length": length, "block_steps": steps}
    threshold = 1.0 if strategy == "low_confidence_static" else args["confidence_threshold"]
    return "threshold", {"block_length": length, "block_steps": steps, "strict": True, "threshold": threshold}


METHODS: dict[str, Callable[[Args], Method]] = {
    "llada.generate": llada,
    "fast_dllm.llada.generate": fast_llada("none"),
    "fast_dllm.llada.generate_with_prefix_cache": fast_llada("prefix"),
    "fast_dllm.llada.generate_with_dual_cache": fast_llada("dual"),
    "dinfer.fastdllm.generate": fast_llada("none"),
    "dinfer.fastdllm.generate_with_prefix_cache": fast_llada("prefix"),
    "dinfer.fastdllm.generate_with_dual_cache": fast_llada("dual"),
    "dream.diffusion_generate": dream,
    "fast_dllm.dream.plain": dream,
    "fast_dllm.dream.block": dream_blocks,
    "llada2.generate": llada2,
    "sdar.block_diffusion_generate": sdar,
}
IDLE_CALLS = ("with_prefix_cache", "with_dual_cache", "sdar.")  # official functions with calls that commit nothing


def prompts_of(case: Args) -> list[list[int]]:
    """The prompts without their padding."""
    masks = case.get("attention_mask") or [[1] * len(ids) for ids in case["input_ids"]]
    return [
        [token for token, real in zip(ids, mask, strict=True) if real]
        for ids, mask in zip(case["input_ids"], masks, strict=True)
    ]


def canvases(case: Args, blocks: bool) -> tuple[Tensor, Tensor, list[int]]:
    """ids and open slots, [B, L], and lengths; block-causal networks fill whole blocks."""
    args, prompts = case["args"], prompts_of(case)
    lengths = [len(prompt) + (args.get("gen_length") or args["max_new_tokens"]) for prompt in prompts]
    if blocks:
        lengths = [-(-length // args["block_length"]) * args["block_length"] for length in lengths]
    ids = torch.zeros(len(prompts), max(lengths), dtype=torch.int64)
    open_ = torch.zeros_like(ids, dtype=torch.bool)
    for b, prompt in enumerate(prompts):
        ids[b, : len(prompt)] = torch.tensor(prompt)
        open_[b, len(prompt) : lengths[b]] = True
    return ids, open_, lengths


def filtered_law(case: Args) -> list[Tensor] | None:
    """temperature, top_p and top_k [1], where the official thresholds are compared with that law and not with the network's:
    SDAR, whose golden cases take its mode, and Fast-dLLM for Dream."""
    args = case["args"]
    if not args["temperature"] and not (case["api"].startswith("fast_dllm.dream") and (args["top_p"] or args["top_k"])):
        return None
    values = (args["temperature"] or 1.0, args["top_p"] or 1.0)
    return [torch.tensor([value], dtype=torch.float64) for value in values] + [torch.tensor([args["top_k"] or 0])]


@contextmanager
def as_called(model: Transformer, case: Args) -> Iterator[None]:
    """The network with the block length and the filtered law of the call."""
    before, logits, law = model.config, model.logits, filtered_law(case)
    if before.attention == "block-causal":
        model.config = dataclasses.replace(before, block_length=case["args"]["block_length"])
    if law is not None:
        first_cut: Cut = "top-p" if "dream" in case["api"] else "top-k"
        sampling = Sampling(*law, torch.tensor([before.mask_id]), None, first_cut)
        model.logits = lambda hidden: log_law(logits(hidden), sampling)  # type: ignore[method-assign]
    try:
        yield
    finally:
        model.config = before
        model.__dict__.pop("logits", None)


def recorded_noise(case: Args) -> type[KeyedNoise]:
    """Dream's `origin`: which of the masks each step reveals, from the recorded numbers and its times from 1 to eps."""
    steps, eps = case["args"]["steps"], case["args"]["eps"]
    times = torch.linspace(1, eps, steps + 1)

    class Recorded(KeyedNoise):
        def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
            assert purpose is Purpose.REMASK
            step = steps - int(site.step_B[0])
            shown = torch.zeros_like(site.active_BS)
            draws = torch.tensor(case["uniform_draws_per_step"][step])
            shown[site.active_BS] = draws < 1 - times[step + 1] / times[step]
            return shown

    return Recorded


def following(case: Args) -> Callable[[Candidates, Tensor, Tensor], Tensor]:
    """`Candidates.best` with equals in the order in which the official code committed them, and else from the left."""
    starts = [len(prompt) for prompt in prompts_of(case)]

    def place(row: int, position: int) -> tuple[bool, int, int]:
        calls, new = case["commit_call"][row], position - starts[row]
        call = calls[new] if 0 <= new < len(calls) else -1
        return call < 0, call, position

    def best(c: Candidates, score_BS: Tensor, count_B: Tensor) -> Tensor:
        take_BS = torch.zeros_like(c.real_BS)
        assert isinstance(c.noise, KeyedNoise)
        for b, row in enumerate(c.noise.seed_B.tolist()):  # row i has seed i
            ranked = sorted(c.real_BS[b].nonzero()[:, 0].tolist(), key=lambda s: -float(score_BS[b, s]))
            group, groups = 0, {}
            for before, slot in zip([None, *ranked], ranked, strict=False):
                group += before is not None and float(score_BS[b, before] - score_BS[b, slot]) > SAME
                groups[slot] = group
            ranked.sort(key=lambda s: (groups[s], place(row, int(c.slots_BS[b, s]))))
            take_BS[b, ranked[: int(count_B[b])]] = True
        return take_BS

    return best


def places(calls: dict[int, int]) -> dict[int, int]:
    """Each position's place among the calls that commit any of these positions."""
    distinct = sorted(set(calls.values()))
    return {position: distinct.index(call) for position, call in calls.items()}


def decided_by(case: Args) -> int | None:
    """How many positions behind the prompt had to be filled before the official code stopped at a stop token it was told of;
    None if it met none. Ours is not told, and goes on."""
    args, start = case["args"], len(case["input_ids"][0])
    stops = {
        "llada2.generate": [args.get("eos_id")],
        "sdar.block_diffusion_generate": args.get("stopping_criteria_idx"),
    }
    output = case["output_ids"][0][start:]
    first = next((p for p, token in enumerate(output) if token in (stops.get(case["api"]) or [])), None)
    if first is None or args.get("eos_early_stop"):
        return None if first is None else first + 1
    length = args["block_length"]  # it fills the block of the stop token, though it returns no more than that
    return ((start + first) // length + 1) * length - start


def compare(case: Args, model: Transformer, monkeypatch: pytest.MonkeyPatch, cache: str | None = None) -> None:
    """Decode as the case was decoded. Raises AssertionError where ours is another. cache: instead of the one of the call."""
    args, mask_id = case["args"], model.config.mask_id
    method, options = METHODS[case["api"]](args)
    options |= {} if cache is None else {"cache": cache}
    ids, open_, lengths = canvases(case, model.config.attention == "block-causal")
    if "uniform_draws_per_step" in case:
        monkeypatch.setattr("fef.decoding.requests.KeyedNoise", recorded_noise(case))
    monkeypatch.setattr(Candidates, "best", following(case))
    settings = {} if filtered_law(case) else {name: args[name] for name in ("top_p", "top_k") if args.get(name)}
    rounds: list[Round] = []
    with as_called(model, case):
        out = fef.decode(
            model, ids, method=method, open=open_, lengths=lengths, on_round=rounds.append, **settings, **options
        )
    when = torch.full_like(ids, -1)
    for i, round_ in enumerate(rounds):
        for row, slots, written in zip(round_.rows.tolist(), round_.slots, round_.written, strict=True):
            when[row, slots[written]] = i

    prompts = prompts_of(case)
    if any(mask_id in prompt for prompt in prompts):
        assert torch.equal(out.ids[~open_], ids[~open_])
        assert not bool((out.ids[open_] == mask_id).any())
        assert len(rounds) == case["nfe"] or case["api"] != "llada.generate"
        return
    official_calls: set[int] = set()
    for b, prompt in enumerate(prompts):
        wanted = case["output_ids"][b][len(case["input_ids"][b]) :]
        got = out.ids[b, len(prompt) : lengths[b]].tolist()
        calls = {p: call for p, call in enumerate(case["commit_call"][b]) if call >= 0}
        assert {p: got[p] for p in calls} == {p: wanted[p] for p in calls}
        assert places({p: int(when[b, len(prompt) + p]) for p in calls}) == places(calls)
        official_calls |= set(calls.values())
    decided = decided_by(case)
    start = len(prompts[0])
    calls_made = len(rounds) if decided is None else int(when[0, start : start + decided].max()) + 1
    idle = any(name in case["api"] for name in IDLE_CALLS)
    assert calls_made == (len(official_calls) if idle else case["nfe"])
    assert len(rounds) == out.stats[0]["calls"] or len(prompts) > 1  # a row of a batch counts the calls it needed
