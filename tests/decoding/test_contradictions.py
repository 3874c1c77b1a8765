"""Options that contradict each other or the network are refused before anything runs, with the way out."""

from __future__ import annotations

from itertools import chain
from typing import Any, get_args

import pytest
import torch
from tiny_network import MASK, complete_network, tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.decoding.plan import Accept, AfterEos, CacheKind, Draft, Order, Planner, Remask
from fef.models.demask import DependencyHead, save_head

NETWORK = tiny_network()


def refused(words: str, method: str, network: Any = NETWORK, temperature: float = 0.0, **options: Any) -> None:
    with pytest.raises(fef.FefError, match=words):
        fef.decode(network, torch.full((1, 6), MASK), method=method, temperature=temperature, **options)
    with pytest.raises(fef.FefError, match=words):
        fef.certify(network, method=method, temperature=temperature, **options)


@pytest.mark.parametrize("method", fef.methods())
def test_unknown_options_name_the_known_ones(method):
    refused(r"has no option 'nonsense'.*[Aa]llowed", method, nonsense=1)


@pytest.mark.parametrize(
    "method", ["low-confidence", "random", "threshold", "entropy", "maskgit-plus", "delayed-cache"]
)
def test_steps_and_tokens_per_step(method):
    refused("steps or tokens_per_step, not both", method, steps=2, tokens_per_step=2)


@pytest.mark.parametrize("guidance", [{"cfg_scale": 0.5}, {"contrast": 0.5}])
def test_guidance(guidance):
    for method in ("threshold", "factor", "klass", "entropy-bounded"):
        refused(r'do not go with a cache.*cache="none"', method, cache="dual", **guidance)
    refused("delayed-cache has no option", "delayed-cache", **guidance)
    for method in ("fef", "sequential"):
        refused(r'verify="rows"', method, verify="packed", **guidance)
        blocks = tiny_network(attention="block-causal", block_length=4, packed=False)
        refused("Leave cache out", method, network=blocks, cache="prefix", **guidance)


def test_packed_verification():
    plain = tiny_network(packed=False)
    for method in ("fef", "sequential", "dual-exact"):
        refused("not trained for the packed", method, network=plain, verify="packed")
    refused("exact caches of its own", "fef", verify="packed", cache="prefix")


def test_blocks_without_a_length():
    for method in ("fef", "sequential", "dual-exact"):
        refused(r"needs block_length", method, order="blocks")


def test_parts_that_are_missing(tmp_path):
    refused("fef profile", "schedule")
    refused("fef train-demask", "demask", influence="head")
    refused("There is no dependency head", "demask", head=str(tmp_path / "none.safetensors"))
    refused(r"give one", "demask", head="some.safetensors", influence="probe")
    refused("names no EOS id", "low-confidence", logits_eos_inf=True)


def test_the_head_of_another_network(tmp_path):
    path = tmp_path / "demask.safetensors"
    save_head(path, DependencyHead(NETWORK.config.dim, rank=4), tiny_network(seed=9))
    refused(r"trained on the network.*fef train-demask", "demask", head=str(path))
    planned = {"planner": "influence", "draft": "fresh", "verify": "rows", "survival": 0.2}
    refused(r"trained on the network", "fef", head=str(path), window=2, **planned)
    save_head(path, DependencyHead(2 * NETWORK.config.dim, rank=4), tiny_network(dim=2 * NETWORK.config.dim))
    refused(r"width 32.*width 16", "demask", head=str(path))


def test_sampling_from_a_greedy_method():
    for method in ("ssd", "freedave"):
        refused("temperature 0", method, temperature=0.5)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("threshold", {"threshold": 1.1}, r"threshold=1.1 must be a number from 0 to 1"),
        ("factor", {"factor": -1.0}, r"factor=-1.0"),
        ("entropy-bounded", {"gamma": float("nan")}, r"gamma=nan"),
        ("klass", {"history": 0}, r"history=0"),
        ("demask", {"tau": float("inf")}, r"tau=inf"),
        ("dual", {"keep": "all"}, r"keep='all' is not known"),
        ("dual", {"cache": "none"}, r"cache='none' is not known"),
        ("wino", {"keep": 2.0}, r"keep=2.0"),
        ("ssd", {"drafts": 2**31}, r"drafts=2147483648 must be .* at most 4096"),
        ("entropy", {"steps": 2**31}, r"steps=2147483648 must be .* at most 65535"),
        ("saber", {"rate": 0.5}, r"rate=0.5 must be a number of at least 1"),
        ("remdm", {"eta": 1.5}, r"eta=1.5"),
        ("fef", {"survival": 1.5}, r"survival=1.5"),
        ("fef", {"draft": "stale"}, r"draft='stale' is not known"),
        ("ssd", {"drafts": 0}, r"drafts=0"),
    ],
)
def test_values_out_of_range(method, options, words):
    refused(words, method, **options)


VALUES = [
    0.3,
    3,
    True,
    *chain.from_iterable(map(get_args, (Accept, AfterEos, CacheKind, Draft, Order, Planner, Remask))),
]
UNSAID = {
    ("fef", "verify"),  # "auto" takes one of the two
    ("dual-exact", "verify"),
    ("demask", "influence"),  # likewise
    ("fef", "survival"),  # None has a value of its own
    ("low-confidence", "official_faults"),  # those that it stands for may not show
}
"""Options of which another value than the default may say what happens anyway."""


@pytest.mark.parametrize(
    "network",
    [
        complete_network(),
        complete_network(packed=False),
        complete_network(packed=False, attention="block-causal", block_length=4),
    ],
    ids=["packed", "bidirectional", "block-causal"],
)
@pytest.mark.parametrize("method", fef.methods())
def test_no_option_is_taken_and_left_unused(method, network):
    """Whatever its value, it changes the plan or is refused."""
    network = Network(network)
    try:
        plain = make_plan(method, {}, network)
    except fef.FefError:
        assert method in ("eso", "eso-exact") and network.packed is None
        return
    tried = 0
    for name, default in fef.methods()[method].options.items():
        if (method, name) in UNSAID or (network.block_causal and name == "block_length"):
            continue
        for value in VALUES:
            if value == default and type(value) is type(default):
                continue
            try:
                assert make_plan(method, {name: value}, network) != plain, (name, value)
            except fef.FefError:
                continue
            tried += 1
    assert tried


def test_what_would_be_ignored():
    refused("depth in place of a window. Give depth=4", "fef", tree=8, window=4)
    refused("depth is that of a tree", "fef", depth=3)
    rows = complete_network(packed=False)
    refused("draft ahead of anchors", "fef", network=rows, anchors=2)
    refused("draft ahead of anchors", "fef", anchors=2, draft="fresh")
    refused("Give survival=0.2", "fef", network=rows, planner="influence", draft="fresh")
    refused("leave strict out", "threshold", pace=2, strict=True)
    refused("block_steps are the rounds of one block", "threshold", block_steps=2, tokens_per_step=2)
    refused('Give influence="probe" with it', "demask", network=rows, probe_values=2)
    fef.certify(rows, method="demask", probe_values=2, influence="probe")
    fef.certify(NETWORK, method="demask", probe_values=2)  # it has no head
    refused('read by planner="influence" only', "fef", head="missing.safetensors")
    refused('eta is the rate of remask="remdm"', "fef", eta=0.3, steps=2)
    refused("at most 65535", "fef", steps=70_000)
    noisy = fef.TableDenoiser(torch.full((2, 2), 0.25), noise=fef.UniformNoise(2))
    for options in ({"remask": "remdm"}, {"remask": "low-confidence"}):
        refused('use remask="random"', "fef", network=noisy, steps=2, **options)
    refused("leave them out under uniform noise", "fef", network=noisy, contrast=0.5)
