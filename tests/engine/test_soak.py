"""Very many requests of every kind through one engine: none is lost, none depends on the others, and memory stays as it is.

    make soak        (FEF_SOAK=10000 python -m pytest -s -m slow tests/engine/test_soak.py)

sends that many requests through an engine on the demo checkpoint, on a GPU in bfloat16 where there is one (two to three
minutes), and as many of all methods through engines on tiny networks of every family (on a CPU a quarter of an hour), and
prints its figures. Without `FEF_SOAK` they are 300 on a CPU.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
import torch
from all_methods import EXACT_CACHE, GREEDY, METHODS
from asking import Ask
from soaking import STATM, Report, Soak
from tiny_network import EOS, complete_network, tiny_network

import fef
from fef.engine.engine import Engine, Job
from fef.engine.runner import TorchPasses
from fef.errors import OptionError
from fef.models.checkpoint import demo_path, load_checkpoint
from fef.models.config import MixtureConfig

FLAT = 1.01
needs_proc = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def nothing_is_left(engine: Engine) -> bool:
    packed = engine.packed
    no_slot_is_taken = packed is None or sorted(packed.free) == list(range(packed.built.slots))
    return no_slot_is_taken and not engine.busy and not engine.unfinished and engine.lost is None


@pytest.fixture(scope="module")
def tiny() -> Soak:
    network = tiny_network(scale=0.3)
    return Soak(network, 24, exact=False, eos_id=EOS, max_batch=5, windows=(2, 6), threads=2)


@needs_proc
def test_hundreds_of_requests(tiny):
    count = 160
    engine = tiny.engine()
    report = tiny.run(engine, range(count), cancel=True)
    assert nothing_is_left(engine)
    assert len(report.digests) + report.refused == count
    assert report.refused > 0 and report.cancelled > 0
    kept = [number for number, digest in report.digests.items() if digest is not None]
    alone = tiny.alone(kept)
    assert alone == {number: report.digests[number] for number in kept}
    assert report.growth < FLAT, report.memory
    assert len(set(alone.values())) > count / 2


@needs_proc
def test_a_leak_is_noticed(tiny, monkeypatch):
    """Of 300 kB a request."""
    kept = []
    end = Job.end

    def leaking_end(*args):
        kept.append(os.urandom(300_000))
        end(*args)

    monkeypatch.setattr(Job, "end", leaking_end)
    assert tiny.run(tiny.engine(), range(160), cancel=False).growth > FLAT


def test_a_result_that_depends_on_its_neighbours_is_noticed(tiny, monkeypatch):
    """As if seeds belonged to slots."""
    right = TorchPasses.load

    def with_seeds_of_slots(self, slots, packed_BJ):
        right(self, slots, packed_BJ)
        self.state.seed_S[slots] = torch.tensor(slots)

    monkeypatch.setattr(TorchPasses, "load", with_seeds_of_slots)
    report = tiny.run(tiny.engine(), range(40), cancel=False)
    assert tiny.alone(report.digests) != report.digests


# --- every method on every family ---

MIXTURE = MixtureConfig(
    experts=4,
    per_token=2,
    expert_dim=8,
    shared_dim=8,
    dense_layers=(0,),
    scores="sigmoid",
    selection_bias=True,
    groups=2,
    normalize=True,
    scale=2.5,
)
BLOCKS: dict[str, Any] = {
    "packed": False,
    "attention": "block-causal",
    "block_length": 4,
    "qk_norm": True,
    "kv_heads": 1,
}
PROMPT = [3, 1, 4, 1, 5, 0, 6, 5, 3]
FAMILIES: dict[str, dict[str, Any]] = {
    "LLaDA": {"packed": False, "tied_embeddings": False},
    "Dream": {"packed": False, "shift": True, "qkv_bias": True, "kv_heads": 1},
    "SDAR": BLOCKS,
    "LLaDA2": BLOCKS | {"mixture": MIXTURE, "rotary_dim": 4},
    "demo": {},
}


class FamilySoak(Soak):
    """Requests of all methods that the network runs, some behind the same prompt."""

    def __init__(self, family: str) -> None:
        network = complete_network(**FAMILIES[family])
        self.methods = [each for each in METHODS + EXACT_CACHE if runs(network, *each)]
        super().__init__(network, 40, exact=False, method=self.draw, eos_id=EOS, max_batch=16, windows=(2, 6))

    def draw(self, dice: random.Random) -> dict[str, Any]:
        method, options = dice.choice(self.methods)
        return {"method": method, **options, **({"temperature": 0.0} if method in GREEDY else {})}

    def ask(self, number: int) -> Ask:
        """Behind given tokens: slots that see nothing but masks, or nothing but one token over and over, would tie."""
        made, given = super().ask(number), random.Random(number).choice([1, 1, 4, 9])
        ids = PROMPT[:given] + made.ids[given:]
        open_ = [p for p in made.open if p >= given] or [len(ids) - 1 if len(ids) > given else given]
        ids += PROMPT[: given + 1 - len(ids)]
        for p in open_:
            ids[p] = self.network.mask_id
        return Ask(ids, open_, made.settings)

    def differs(self, number: int, job: Job) -> bool:
        """From `fef.decode` on that request alone."""
        asked, filled = self.ask(number), job.result()
        ids = torch.tensor([asked.ids])
        open_ = torch.zeros_like(ids, dtype=torch.bool)
        open_[0, asked.open] = True
        out = fef.decode(self.network, ids, open=open_, eos_id=EOS, **asked.settings)
        told, expected = torch.tensor(filled.logprobs, dtype=torch.float64), out.logprobs[0, asked.open]
        return filled.tokens != out.ids[0, asked.open].tolist() or not torch.allclose(
            told, expected, rtol=0, atol=1e-5
        )  # routers count in float32


def runs(network, method: str, options: dict[str, Any]) -> bool:
    try:
        fef.certify(network, method=method, temperature=0.0 if method in GREEDY else 1.0, **options)
    except OptionError:
        return False
    return True


def soaked(family: str, count: int) -> Report:
    """Requests of all methods, each compared with itself alone."""
    soak, different = FamilySoak(family), []
    engine = soak.engine()

    def look(number: int, job: Job) -> None:
        if soak.differs(number, job):
            different.append((number, soak.ask(number)))

    report = soak.run(engine, range(count), cancel=True, look=look)
    print(
        f"\n{family}: {count} requests of {len(soak.methods)} settings, {in_words(report)}; {len(different)} of "
        f"{report.done} differ from fef.decode of the request alone (in the same seconds); {engine.stats}"
    )
    assert nothing_is_left(engine)
    assert len(report.digests) + report.refused == count
    assert different == []
    assert {method for method, _ in soak.methods} == set(fef.methods()) - (
        set() if family == "demo" else {"eso", "eso-exact"}
    )
    return report


def in_words(report: Report) -> str:
    mega = {name: f"{a / 1e6:.1f} MB -> {b / 1e6:.1f} MB" for name, (a, b) in report.memory.items()}
    return (
        f"{report.done} done, {report.cancelled} cancelled, {report.refused} refused; {report.tokens} tokens in "
        f"{report.seconds:.1f} s = {report.tokens / report.seconds:.0f} tokens/s; memory after the first tenth -> at the "
        f"end: {mega}"
    )


@needs_proc
@pytest.mark.parametrize("family", FAMILIES)
def test_requests_of_every_method_are_each_as_alone(family):
    soaked(family, 12)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@needs_proc
@pytest.mark.parametrize("family", FAMILIES)
def test_very_many_requests_of_every_method(family):
    """A fifth of `FEF_SOAK` on each family."""
    report = soaked(family, int(os.environ.get("FEF_SOAK", "300")) // len(FAMILIES))
    if report.done >= 1000:  # plans and what was asked for are remembered, and fewer requests do not reach all
        assert report.growth < FLAT, report.memory


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_proc
def test_very_many_requests_on_the_demo_checkpoint():
    on_cuda = torch.cuda.is_available()
    count = int(os.environ.get("FEF_SOAK", "10000" if on_cuda else "300"))
    dtype = torch.bfloat16 if on_cuda else torch.float32
    network, _ = load_checkpoint(demo_path(), "cuda" if on_cuda else "cpu", dtype)
    demo = Soak(network, 128, exact=on_cuda, max_batch=32 if on_cuda else 8, windows=(8,))
    engine = demo.engine()
    report = demo.run(engine, range(count), cancel=True)
    kept = [number for number, digest in report.digests.items() if digest is not None]
    # all again beside other neighbours, and some of them alone
    other = demo.run(demo.engine(max_batch=24 if on_cuda else 5), reversed(kept), cancel=False, waves=1)
    some = kept[:: max(1, len(kept) // 400)]
    alone = demo.alone(some, max_batch=1)
    moved = sum(other.digests[number] != report.digests[number] for number in kept)
    lonely = sum(alone[number] != report.digests[number] for number in some)
    print(
        f"\n{count} requests ({network.device}, {dtype}): {in_words(report)}; mismatches beside other neighbours: {moved} of "
        f"{len(kept)} in {other.seconds:.1f} s; alone: {lonely} of {len(some)}"
    )
    assert nothing_is_left(engine)
    assert len(report.digests) + report.refused == count
    assert (moved, lonely) == (0, 0)
    assert report.growth < FLAT, report.memory
