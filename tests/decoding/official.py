"""Decoders that follow the released code of published methods, in plain loops over one request at temperature 0.

Written from the rules of that code, for comparison; nothing is batched, nothing is shared with the library's rules. The mask
id is never drawn. Each returns the text and the number of network calls.
"""

from __future__ import annotations

import math

import torch
from tiny_network import MASK
from torch import Tensor

from fef.models.stale import StaleCache
from fef.models.transformer import Transformer

Answer = tuple[list[int], int]


def best(logits_V: Tensor) -> tuple[int, float]:
    """The most probable token and its probability."""
    p_V = law(logits_V)
    return int(p_V.argmax()), float(p_V.max())


def law(logits_V: Tensor) -> Tensor:
    logits_V = logits_V.double().clone()
    logits_V[MASK] = -torch.inf
    return logits_V.softmax(-1)


def blocks_of(ids: list[int], block_length: int) -> list[list[int]]:
    slots = [i for i, token in enumerate(ids) if token == MASK]
    return [slots[n : n + block_length] for n in range(0, len(slots), block_length)]


def logits_of(network: Transformer, ids: list[int]) -> Tensor:
    return network(torch.tensor([ids]))[0].detach()


def delayed_cache(network: Transformer, ids: list[int], block_length: int, refresh: int) -> Answer:
    """dKV-Cache-Decode (github.com/horseee/dKV-Cache): one token per step; steps 0, 1 and every `refresh`-th of a block
    compute all positions, the others masks and the token revealed in the step before."""
    ids, calls = list(ids), 0
    whole_L = torch.arange(len(ids))[None]
    for block in blocks_of(ids, block_length):
        revealed_last: list[int] = []
        cache: StaleCache | None = None
        for step in range(len(block)):
            at = torch.tensor([ids])
            if cache is None or step <= 1 or step % refresh == 0:
                cache = StaleCache.empty(network, at)
                no_shadow_R0 = torch.empty(1, 0, dtype=torch.int64)
                logits_LV = cache.renew(torch.tensor([0]), at, whole_L, no_shadow_R0, None)[0][0]
            else:
                fresh = torch.tensor([[token == MASK or i in revealed_last for i, token in enumerate(ids)]])
                places = fresh.nonzero()[:, 1]
                logits_SV = cache.step(at, fresh, places[None], torch.tensor([0]), None)[0]
                cache.store(fresh, torch.tensor([0]))
                logits_LV = torch.full((len(ids), logits_SV.shape[-1]), torch.nan, dtype=logits_SV.dtype)
                logits_LV[places] = logits_SV
            calls += 1
            open_slots = [i for i in block if ids[i] == MASK]
            choices = {i: best(logits_LV[i]) for i in open_slots}
            slot = max(open_slots, key=lambda i: choices[i][1])
            ids[slot] = choices[slot][0]
            revealed_last = [slot]
    return ids, calls


def wino(network: Transformer, ids: list[int], block_length: int, threshold: float, keep: float) -> Answer:
    """WINO (github.com/Feng-Hong/WINO-DLLM, decoding_wino): the canvas is followed by one mask per position of the block.
    These see the canvas without their own position, and one another; the canvas does not see them."""
    ids, calls, L = list(ids), 0, len(ids)
    for block in blocks_of(ids, block_length):
        accepted_before = 30
        while open_slots := [i for i in block if ids[i] == MASK]:
            visible = torch.zeros(1, L + len(block), L + len(block), dtype=torch.bool)
            visible[0, :, :L] = True
            for n, i in enumerate(block):
                visible[0, L + n, L:] = True
                visible[0, L + n, i] = False
            tokens = torch.tensor([ids + [MASK] * len(block)])
            hidden, _ = network.trunk(tokens, torch.tensor([list(range(L)) + block]), visible)
            logits_NV = network.logits(hidden)[0]
            calls += 1
            most = min(max(int(0.7 * len(open_slots)), 5), 20)
            drawn = {i: best(logits_NV[i]) for i in open_slots}
            by_confidence = sorted(open_slots, key=lambda i: -drawn[i][1])
            accepted = [i for i in by_confidence if drawn[i][1] > threshold][:most] or by_confidence[:1]
            doubts = [(float(law(logits_NV[L + n])[ids[i]]), i) for n, i in enumerate(block) if ids[i] != MASK]
            for i in accepted:
                ids[i] = drawn[i][0]
            if len(accepted) > 1:
                failed = sorted(doubt for doubt in doubts if doubt[0] < keep)
                for _, i in failed if len(failed) < accepted_before else sorted(doubts)[: accepted_before - 1]:
                    ids[i] = MASK
            accepted_before = len(accepted)
    return ids, calls


def klass(
    network: Transformer,
    ids: list[int],
    block_length: int,
    threshold: float,
    epsilon: float,
    history: int,
    forget: bool = False,
) -> Answer:
    """KLASS (github.com/shkim0116/KLASS, stable_confident_decode with alg "klass"): one step for each slot, which falls
    back to one token. The divergences are kept for every position, over all blocks, unless told to forget."""
    ids, calls = list(ids), 0
    moved: list[list[float]] = [[torch.inf] for _ in ids]
    before_LV: Tensor | None = None
    for block in blocks_of(ids, block_length):
        step = 0
        if forget:
            moved, before_LV = [[torch.inf] for _ in ids], None
        while open_slots := [i for i in block if ids[i] == MASK]:
            logits_LV = logits_of(network, ids)
            calls += 1
            p_LV = torch.stack([law(logits_V) for logits_V in logits_LV])
            if before_LV is not None:
                for i in range(len(ids)):
                    terms = [(float(p), float(q)) for p, q in zip(p_LV[i], before_LV[i], strict=True) if p > 0]
                    moved[i].append(sum(p * (math.log(p) - math.log(q)) for p, q in terms))
            before_LV = p_LV
            stable = [i for i in open_slots if step >= history - 1 and max(moved[i][-history:]) < epsilon]
            ready = [i for i in stable if float(p_LV[i].max()) > threshold]
            for i in ready or [max(open_slots, key=lambda i: float(p_LV[i].max()))]:
                ids[i] = int(p_LV[i].argmax())
            step += 1
    return ids, calls


def saber(network: Transformer, ids: list[int], block_length: int, n: int) -> Answer:
    """Saber (github.com/zhaoyMa/Saber, generate_with_saber). Where fewer than n slots are open, that code fills its n with
    arbitrary other positions; here it takes those that are open."""
    ids, calls = list(ids), 0
    blocks = blocks_of(ids, block_length)
    response = [i for block in blocks for i in block]
    last: dict[int, float] = dict.fromkeys(response, 0.0)
    revealed: dict[int, float] = {}
    region: list[int] = []
    for block in blocks:
        region += block
        while any(ids[i] == MASK for i in region):
            logits_LV = logits_of(network, ids)
            calls += 1
            found = {i: best(logits_LV[i]) for i in region}
            delta = {i: found[i][1] - last[i] for i in region}
            last = {i: found[i][1] if i in region else -math.inf for i in response}
            threshold = sum(revealed.values()) / len(revealed) if revealed else 1.0
            open_slots = [i for i in region if ids[i] == MASK]
            chosen = [i for i in open_slots if found[i][1] > threshold]
            if len(chosen) < n:
                chosen = sorted(open_slots, key=lambda i: -found[i][1])[:n]
            for i in chosen:
                ids[i], revealed[i] = found[i]
            if all(ids[i] != MASK for i in region):
                break
            many = max(n, len(chosen))
            count = min(max(n // 2, math.ceil(many / 8)), many - 1)
            committed = [i for i in region if ids[i] != MASK]
            for i in sorted(committed, key=lambda i: delta[i])[:count]:
                ids[i] = MASK
    return ids, calls


def low_confidence(network: Transformer, ids: list[int], block_length: int) -> Answer:
    """LLaDA (github.com/ML-GSAI/LLaDA, generate.py), one token per step: it knows no end token."""
    ids, calls = list(ids), 0
    for block in blocks_of(ids, block_length):
        while open_slots := [i for i in block if ids[i] == MASK]:
            logits_LV = logits_of(network, ids)
            calls += 1
            slot = max(open_slots, key=lambda i: best(logits_LV[i])[1])
            ids[slot] = best(logits_LV[slot])[0]
    return ids, calls
