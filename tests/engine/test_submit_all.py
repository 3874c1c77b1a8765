"""Many prompts at once: on a GPU the first of them are worked at while the others are submitted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import fef
from fef.engine.packed_rounds import PackedRounds
from fef.engine.text import TextEngine
from fef.errors import InputError, OptionError

PROMPTS = [f"Tom has {n} apples. He buys 3 more. How many apples does Tom have now?" for n in range(2, 8)]
ASKED = {"max_new_tokens": 24, "temperature": 0.7}


@pytest.fixture(scope="module")
def demo() -> fef.Model:
    return fef.load("demo")


def engine_of(model: fef.Model) -> TextEngine:
    return model.engine(max_batch=2, windows=(8,))


def test_a_gpu_works_meanwhile(demo: fef.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = engine_of(demo).generate(PROMPTS, seed=3, **ASKED)
    monkeypatch.setattr(
        PackedRounds, "could_work", property(lambda rounds: len(rounds.running) + len(rounds.waiting) > 1)
    )
    engine = engine_of(demo)
    jobs = engine.submit_all(PROMPTS, seed=3, **ASKED)
    assert jobs[0].status in ("running", "done") and jobs[-1].status == "waiting"
    engine.run()
    assert [job.result().token_ids for job in jobs] == [out.token_ids for out in expected]


@pytest.mark.parametrize(
    ("running", "waiting", "under_way", "could"),
    [
        (0, 15, 0, False),  # a quarter of the slots, so that a round is worth its time
        (0, 16, 0, True),
        (60, 3, 0, False),
        (60, 4, 0, True),  # all free slots
        (64, 0, 1, True),
        (64, 9, 2, False),  # the device has enough to do
    ],
)
def test_a_round_is_begun_where_enough_requests_wait(running: int, waiting: int, under_way: int, could: bool) -> None:
    rounds = SimpleNamespace(
        on_cuda=True,
        built=SimpleNamespace(slots=64),
        free=[0] * (64 - running),
        waiting=[0] * waiting,
        progress=SimpleNamespace(under_way=under_way),
    )
    asked = PackedRounds.could_work.fget
    assert asked is not None
    assert asked(rounds) is could  # type: ignore[arg-type]
    rounds.on_cuda = False
    assert not asked(rounds)  # type: ignore[arg-type]


def test_it_is_asked_between_the_rounds_of_other_threads(demo: fef.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies are counted that are under way, and a round of another thread would change their number meanwhile."""
    engine, free = engine_of(demo), []

    def is_free() -> bool:
        found = engine.engine.lock.acquire(blocking=False)
        if found:
            engine.engine.lock.release()
        return found

    def could_work(_: PackedRounds) -> bool:
        with ThreadPoolExecutor(1) as other:
            free.append(other.submit(is_free).result())
        return False

    monkeypatch.setattr(PackedRounds, "could_work", property(could_work))
    engine.submit_all(PROMPTS, **ASKED)
    assert free == [False] * len(PROMPTS)


def test_what_a_round_calls_may_submit_and_no_round_begins_within(
    demo: fef.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(demo)
    runner, jobs = engine.engine.packed_rounds().built.runner, []
    monkeypatch.setattr(PackedRounds, "could_work", property(lambda _: True))
    run = runner.run

    def submits(*given: object) -> None:
        monkeypatch.setattr(runner, "run", run)
        jobs.extend(engine.submit_all(PROMPTS[1:3], **ASKED))
        run(*given)

    monkeypatch.setattr(runner, "run", submits)
    first = engine.submit(PROMPTS[0], **ASKED)
    engine.run()
    assert [job.status for job in (first, *jobs)] == ["done"] * 3


def test_a_cpu_waits_for_nothing_and_begins_when_all_are_there(demo: fef.Model) -> None:
    jobs = engine_of(demo).submit_all(PROMPTS, **ASKED)
    assert {job.status for job in jobs} == {"waiting"}


def test_a_prompt_that_is_refused_ends_those_before_it(demo: fef.Model) -> None:
    engine = engine_of(demo)
    with pytest.raises(InputError):
        engine.submit_all([*PROMPTS, "apples " * 4000], **ASKED)
    assert not engine.engine.busy


def test_many_prompts_are_queued_as_each_of_them_alone(demo: fef.Model) -> None:
    prompts = [f"{n} apples{'!' * (n % 7)}" for n in range(100)]
    seeds = [7 * n % 31 for n in range(100)]
    together = engine_of(demo).submit_all(prompts, seed=seeds, **ASKED)
    engine = engine_of(demo)
    singly = [engine.submit(prompt, seed=seed, **ASKED) for prompt, seed in zip(prompts, seeds, strict=True)]
    for one, other in zip(together, singly, strict=True):
        found, expected = one.job.request, other.job.request
        assert (found.ids.tolist(), found.open.tolist()) == (expected.ids.tolist(), expected.open.tolist())
        assert found.seed == expected.seed
        assert one.job.certificate == other.job.certificate


@pytest.mark.parametrize("place", [0, 40, 99])
def test_a_bad_prompt_among_many_ends_those_before_it(demo: fef.Model, place: int) -> None:
    engine, prompts = engine_of(demo), [f"{n} apples" for n in range(100)]
    prompts[place] = "half \ud800"
    with pytest.raises(InputError, match="prompt holds half a character"):
        engine.submit_all(prompts, **ASKED)
    assert not engine.engine.busy


def test_of_two_bad_prompts_the_first_is_told(demo: fef.Model) -> None:
    engine, prompts = engine_of(demo), [f"{n} apples" for n in range(100)]
    prompts[3], prompts[5] = "apples " * 4000, "half \ud800"  # the one fits no canvas, the other no tokenizer
    with pytest.raises(InputError, match="Shorten the prompt"):
        engine.submit_all(prompts, **ASKED)
    assert not engine.engine.busy


@pytest.mark.parametrize("seed", [[1, 2], [1.5] * len(PROMPTS), -1])
def test_seeds_that_are_none_leave_nothing_behind(demo: fef.Model, seed: object) -> None:
    engine = engine_of(demo)
    with pytest.raises(OptionError, match="seed"):
        engine.submit_all(PROMPTS, seed=seed, **ASKED)
    assert not engine.engine.busy
