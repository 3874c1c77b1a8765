"""Requests of a block-causal network that begin alike compute that once, and each gets what it gets alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from asking import Ask
from tiny_network import MASK, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.engine.arena import Arena
from fef.engine.engine import Engine, Job
from fef.engine.session_rounds import cache_bytes_of
from fef.errors import EngineError
from fef.models.config import MixtureConfig
from fef.models.prefixes import PrefixStore, blocks_before
from fef.models.transformer import KeyValues

BLOCK = 4
NETWORKS = {
    "plain": tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=BLOCK),
    "float32": tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=BLOCK).float(),
    "shifted": tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=BLOCK, shift=True),
    "mixture": tiny_network(
        scale=0.3, packed=False, attention="block-causal", block_length=BLOCK, mixture=MixtureConfig(4, 2, 8)
    ),
}
NETWORK = NETWORKS["plain"]
CACHED: list[tuple[str, dict[str, Any]]] = [
    ("sequential", {"cache": "prefix"}),
    ("fef", {"cache": "prefix", "window": 3}),
    ("fef", {"cache": "prefix", "window": 2, "steps": 2}),
    ("threshold", {"cache": "prefix", "threshold": 0.4}),
    ("entropy", {"cache": "prefix", "steps": 3}),
]
PROMPT = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5]
BLOCK_BYTES = cache_bytes_of(NETWORK, make_plan("sequential", {"cache": "prefix"}, Network(NETWORK)), BLOCK)


def ask(prompt: list[int], answer: int = 6, seed: int = 0, temperature: float = 1.0, behind: int = 0) -> Ask:
    ids = prompt + [MASK] * answer + [1] * behind
    return Ask(ids, list(range(len(prompt), len(prompt) + answer)), {"temperature": temperature, "seed": seed})


def submitted(engine: Engine, asked: Ask, method: str, options: dict[str, Any]) -> Job:
    return engine.submit(asked.ids, asked.open, method=method, **asked.settings, **options)


def check(job: Job, asked: Ask, method: str, options: dict[str, Any], network=NETWORK) -> int:
    """Against the request alone; returns how many tokens fewer were computed for it."""
    ids = torch.tensor([asked.ids])
    open_ = torch.zeros_like(ids, dtype=torch.bool)
    open_[0, asked.open] = True
    out, found = fef.decode(network, ids, open=open_, method=method, **asked.settings, **options), job.result()
    assert found.tokens == out.ids[0, asked.open].tolist(), (asked, method)
    told, expected = torch.tensor(found.logprobs, dtype=torch.float64), out.logprobs[0, asked.open]
    torch.testing.assert_close(told, expected, rtol=0, atol=1e-5)
    return int(out.stats[0]["token_forwards"]) - found.counters["token_forwards"]


# --- what is shared ---


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("method", "options"), CACHED, ids=str)
def test_a_second_request_computes_no_whole_block_of_its_prompt(name, method, options):
    network = NETWORKS[name]
    engine = Engine(network)
    first = submitted(engine, ask(PROMPT), method, options)
    assert check(first, ask(PROMPT), method, options, network) == 0
    assert engine.stats["prefix_tokens_reused"] == 0
    again = ask(PROMPT, answer=9, seed=5)
    saved = check(submitted(engine, again, method, options), again, method, options, network)
    assert saved == 2 * BLOCK - network.config.shift  # which reads the first slot from the token before its block
    assert engine.stats["prefix_tokens_reused"] == 2 * BLOCK
    assert engine.stats["prefix_bytes"] == 2 * BLOCK_BYTES * network.embed.weight.itemsize // 8


@pytest.mark.parametrize("length", [3, 4, 5, 8, 11])
def test_only_whole_blocks_of_the_prompt_are_shared(length):
    engine, settings = Engine(NETWORK), CACHED[0]
    for seed in range(2):
        asked = ask(PROMPT[:length], seed=seed)
        saved = check(submitted(engine, asked, *settings), asked, *settings)
        assert saved == seed * (length // BLOCK * BLOCK)


def test_a_prompt_that_leaves_another_on_the_way_shares_up_to_there():
    engine, settings = Engine(NETWORK), CACHED[0]
    for changed, shared in ((None, 0), (9, 8), (6, 4), (2, 0), (None, 8), (6, 8)):
        prompt = [7 - token if place == changed else token for place, token in enumerate(PROMPT)]
        asked = ask(prompt, seed=1)
        assert check(submitted(engine, asked, *settings), asked, *settings) == shared


def test_the_same_tokens_behind_other_ones_are_not_the_same_block():
    engine, settings = Engine(NETWORK), CACHED[0]
    for prompt in (PROMPT[4:8] * 2, PROMPT[:4] + PROMPT[4:8], PROMPT[4:8] + PROMPT[:4]):
        asked = ask(prompt)
        check(submitted(engine, asked, *settings), asked, *settings)
    assert engine.stats["prefix_tokens_reused"] == BLOCK  # the third begins as the first


def test_requests_that_come_at_once_compute_their_prompt_once():
    """Of several methods; the others begin one round later."""
    engine, asked = Engine(NETWORK), [(ask(PROMPT, seed=seed), *CACHED[seed % len(CACHED)]) for seed in range(10)]
    jobs = [submitted(engine, *each) for each in asked]
    engine.step()
    assert [job.status for job in jobs] == ["running"] + ["waiting"] * 9
    engine.step()
    assert "waiting" not in [job.status for job in jobs]
    engine.run()
    assert [check(job, *each) for job, each in zip(jobs, asked, strict=True)] == [0] + [2 * BLOCK] * 9


def test_requests_that_share_nothing_do_not_wait_for_one_another():
    engine = Engine(NETWORK)
    jobs = [submitted(engine, ask([token] * 5), *CACHED[0]) for token in range(4)]
    jobs += [submitted(engine, ask([1, 2]), *CACHED[0]) for _ in range(3)]
    jobs += [submitted(engine, ask(PROMPT), "sequential", {}) for _ in range(3)]  # without a cache
    engine.step()
    assert {job.status for job in jobs} == {"running"}


def test_open_slots_in_the_prompt_end_what_is_shared():
    engine, settings = Engine(NETWORK), CACHED[0]
    for seed in range(2):
        asked = ask(PROMPT, seed=seed)
        asked.ids[5], asked.open = MASK, [5, *asked.open]
        assert check(submitted(engine, asked, *settings), asked, *settings) == seed * BLOCK


def test_requests_of_all_lengths_and_methods_that_come_and_go():
    """Prompts of a tree of three tokens, some of them cancelled."""
    dice, engine = random.Random(3), Engine(NETWORK, max_batch=5)
    asked = []
    for seed in range(70):
        prompt = [dice.randrange(2) if place % 3 == 0 else 4 for place in range(dice.randint(1, 17))]
        made = ask(prompt, dice.randint(1, 9), seed, dice.choice([0.0, 1.0]), dice.choice([0, 0, 5]))
        asked.append((made, *dice.choice(CACHED)))
    jobs = []
    for each in asked:
        jobs.append(submitted(engine, *each))
        if dice.random() < 0.4:
            engine.step()
        if dice.random() < 0.1:
            dice.choice(jobs[-4:]).cancel()
    engine.run()
    saved = [check(job, *each) for job, each in zip(jobs, asked, strict=True) if job.status != "cancelled"]
    assert min(saved) == 0 and sum(saved) > 30 * BLOCK
    assert engine.stats["prefix_tokens_reused"] >= sum(saved)


# --- what is not ---


def test_with_full_attention_nothing_is_shared():
    engine = Engine(tiny_network(scale=0.3))
    for seed in range(2):
        for method, options in (("threshold", {"cache": "prefix", "block_length": 4}), ("fef", {})):
            asked = ask(PROMPT, 3, seed=seed)
            submitted(engine, asked, method, options).result()
    assert engine.stats == {"prefix_tokens_reused": 0, "prefix_bytes": 0}


def test_what_may_take_tokens_back_or_keeps_other_keys_shares_nothing():
    engine = Engine(NETWORK)
    for seed in range(2):
        for method, options in (
            ("sequential", {}),
            ("threshold", {"cache": "dual", "block_length": 4}),
            ("delayed-cache", {}),
            ("wino", {}),
        ):
            submitted(engine, ask(PROMPT, seed=seed), method, options).result()
    assert engine.stats["prefix_tokens_reused"] == 0


def test_wrong_keys_are_noticed():
    """What the other tests compare is the work of these keys."""
    engine, settings = Engine(NETWORK), CACHED[0]
    check(submitted(engine, ask(PROMPT), *settings), ask(PROMPT), *settings)
    for node in engine.sessions.prefixes.nodes.values():
        node.past.values_YBGPE.neg_()
    with pytest.raises(AssertionError):
        check(submitted(engine, ask(PROMPT), *settings), ask(PROMPT), *settings)


def test_a_network_that_was_changed_takes_the_kept_blocks_with_it():
    network = tiny_network(scale=0.3, packed=False, attention="block-causal", block_length=BLOCK)
    engine = Engine(network)
    submitted(engine, ask(PROMPT), *CACHED[0]).result()
    assert engine.stats["prefix_bytes"] > 0
    with torch.no_grad():
        network.embed.weight.mul_(1.1)
    with pytest.raises(EngineError, match="after this engine was made"):
        submitted(engine, ask(PROMPT), *CACHED[0])
    assert engine.stats["prefix_bytes"] == 0


# --- memory ---


def gigabytes(blocks: float) -> float:
    return blocks * BLOCK_BYTES / 1e9


def test_kept_blocks_and_running_requests_stay_within_the_budget():
    """A canvas of up to 64 tokens takes 16 blocks: of 44 a quarter is kept, and two canvases are in the rest."""
    engine, dice = Engine(NETWORK, memory_gb=gigabytes(44.5)), random.Random(5)
    asked = [ask([dice.randrange(7), *PROMPT], 3, seed) for seed in range(40)]
    jobs = [submitted(engine, each, *CACHED[0]) for each in asked]
    kept, running = 0, 0
    while engine.busy:
        engine.step()
        kept, running = max(kept, engine.stats["prefix_bytes"]), max(running, len(engine.sessions.running))
    assert (kept, running) == (11 * BLOCK_BYTES, 2)
    for job, each in zip(jobs, asked, strict=True):
        check(job, each, *CACHED[0])
    assert 0 < engine.stats["prefix_tokens_reused"] < 40 * 3 * BLOCK


def test_where_a_prompt_is_longer_than_what_may_be_kept_nobody_waits_for_it():
    long = [*PROMPT, *PROMPT] * 4  # 22 blocks
    cramped = Engine(NETWORK, memory_gb=gigabytes(80))
    jobs = [submitted(cramped, ask(long, seed=seed), *CACHED[0]) for seed in range(3)]
    cramped.step()
    assert [job.status for job in jobs] == ["running", "waiting", "waiting"]  # two canvases of 32 blocks do not fit
    for seed, job in enumerate(jobs):
        check(job, ask(long, seed=seed), *CACHED[0])
    assert cramped.stats["prefix_bytes"] == 20 * BLOCK_BYTES
    wide = Engine(NETWORK, memory_gb=gigabytes(85))
    assert wide.sessions.prefixes.room == 21
    jobs = [submitted(wide, ask(long, seed=seed), *CACHED[0]) for seed in range(2)]
    wide.step()
    assert [job.status for job in jobs] == ["running", "running"]


def keys_of(tokens: int, value: float) -> KeyValues:
    """Keys and values that say which position they are of."""
    at_P = value + torch.arange(tokens, dtype=torch.float64)
    past = at_P[None, None, None, :, None].expand(1, 1, 1, tokens, 2)
    return KeyValues(past, -past)


def stored(store: PrefixStore, text: str, value: float = 0.0) -> None:
    store.keep(blocks_before(len(text), [ord(letter) for letter in text], 2), keys_of(len(text), value))


def found(store: PrefixStore, text: str) -> list[float]:
    past = store.find(blocks_before(len(text), [ord(letter) for letter in text], 2))
    if past is None:
        return []
    assert torch.equal(past.keys_YBGPE, -past.values_YBGPE)
    return past.keys_YBGPE[0, 0, 0, :, 0].tolist()


def test_the_block_that_was_used_longest_ago_goes_first_and_never_one_that_others_follow():
    store = PrefixStore(2, 10, room=4)
    stored(store, "aabb")
    stored(store, "aacc", 10.0)
    assert found(store, "aabb") == [0, 1, 2, 3]
    assert found(store, "aacc") == [0, 1, 12, 13]
    found(store, "aabb")
    stored(store, "ddee", 20.0)  # no room for five
    assert store.bytes == 40
    assert found(store, "ddee") == [20, 21, 22, 23]
    assert found(store, "aacc") == [0, 1]
    assert found(store, "aabb") == [0, 1, 2, 3]
    store.clear()
    assert store.bytes == 0 and not found(store, "aa")


def test_a_prefix_that_is_longer_than_the_room_is_kept_as_far_as_it_goes():
    store = PrefixStore(2, 10, room=2)
    stored(store, "xxyy")
    stored(store, "aabbcc")
    assert found(store, "aabbcc") == [0, 1, 2, 3]
    assert found(store, "xxyy") == []
    stored(store, "aabbcc", 50.0)  # what is there stays
    assert found(store, "aabbcc") == [0, 1, 2, 3]


def test_without_room_nothing_is_kept():
    store = PrefixStore(2, 10, room=0)
    stored(store, "aabb")
    assert store.bytes == 0 and found(store, "aabb") == []


def test_a_block_that_comes_back_behind_another_parent_brings_no_old_children():
    store = PrefixStore(2, 10, room=2)
    stored(store, "aabb")
    stored(store, "ccdd", 10.0)
    stored(store, "aa", 20.0)
    assert found(store, "aabb") == [20, 21]


def test_an_arena_gives_back_what_was_written_to_places_side_by_side():
    config = NETWORK.config
    arena = Arena(config, 40, torch.device("cpu"), torch.float64)
    first, second = arena.take(16), arena.take(16)
    shape = (config.layers, 1, config.kv_head_count, 12, config.head_size)
    past = KeyValues(torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64))
    arena.write(second + torch.arange(12)[None], past)
    arena.write(first + torch.arange(12)[None], KeyValues(-past.values_YBGPE, -past.keys_YBGPE))
    found = arena.read(second, 8)
    assert torch.equal(found.keys_YBGPE, past.cut(0, 8).keys_YBGPE)
    assert torch.equal(found.values_YBGPE, past.cut(0, 8).values_YBGPE)
