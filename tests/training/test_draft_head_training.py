"""Training of a draft head: what a clean pass harvests, and that training raises the acceptance of a network's own texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

from fef.errors import InputError
from fef.models.continuation import up_to_end
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.packed import packed_target_logits
from fef.models.transformer import Transformer
from fef.training.draft_head import Lesson, fit_draft_head, head_loss, lesson_of
from fef.training.draft_states import draft_states, windows_of
from fef.training.own_text import OwnText, batched, own_text_line, read_own_texts
from fef.training.trainer import TrainOptions

CANVAS = 12
OPTIONS = TrainOptions(steps=120, batch_size=8, warmup=5, log_every=20, muon_lr=0.05, adam_lr=3e-2)


def small_network() -> Transformer:
    return tiny_network(scale=0.5, eos_id=EOS, max_length=64)


@pytest.fixture
def network() -> Transformer:
    return small_network()


def own_texts(network: Transformer, count: int, length: int) -> list[OwnText]:
    """Drawn from the packed law token by token, each from a pass of its own over the whole texts so far."""
    generator = torch.Generator().manual_seed(length)
    prompt = torch.randint(3, MASK, (count, length), generator=generator)
    canvas = torch.cat([prompt, torch.full((count, CANVAS), MASK)], 1)
    rank = torch.tensor([-1] * length + list(range(CANVAS))).expand(count, -1)
    clean = canvas.masked_fill(canvas == MASK, 0)
    for at in range(length, length + CANVAS):
        law = packed_target_logits(network, canvas, clean, rank)[:, at, :MASK].softmax(-1)
        clean[:, at] = torch.multinomial(law, 1, generator=generator)[:, 0]
    responses = (up_to_end(row, [EOS]) for row in clean[:, length:].tolist())
    return [
        OwnText(p, r, CANVAS, 1.0, i)
        for i, (p, r) in enumerate(zip(prompt.tolist(), responses, strict=True))
        if len(r) > 1
    ]


@pytest.fixture(scope="module")
def many_texts() -> list[OwnText]:
    return own_texts(small_network(), 240, 3)


@pytest.fixture(scope="module")
def texts() -> list[OwnText]:
    """Prompts of two lengths."""
    return [text for length in (2, 4) for text in own_texts(small_network(), 10, length)]


# --- the pass ---


def test_targets_are_those_of_one_pass_per_text(network: Transformer, texts: list[OwnText]) -> None:
    together = batched(texts, EOS, network.device)
    states = draft_states(network, together, torch.zeros(len(texts), 1, dtype=torch.int64), 2)
    for row, text in enumerate(texts):
        length, written = len(text.prompt), len(text.response)
        canvas = torch.tensor([text.prompt + [MASK] * CANVAS])
        clean = torch.tensor([text.prompt + text.response + [EOS] * (CANVAS - written)])
        rank = torch.tensor([[-1] * length + list(range(CANVAS))])
        alone = packed_target_logits(network, canvas, clean, rank)[0, length : length + written]
        torch.testing.assert_close(network.logits(states.target_BRD[row, :written]), alone)


def test_a_group_sees_what_is_before_it_and_no_token_behind(network: Transformer, texts: list[OwnText]) -> None:
    """And its first member is the target query of its state."""
    text = max(texts, key=lambda text: len(text.response))
    start = torch.tensor([[0, 1, 3]])
    whole = batched([text], EOS, network.device)
    states = draft_states(network, whole, start, 4)
    torch.testing.assert_close(states.member_BXJD[0, :, 0], states.target_BRD[0, start[0]])
    for changed in range(len(text.response)):
        other = replace(text, response=[*text.response])
        other.response[changed] = 3 if text.response[changed] != 3 else 4
        moved = (
            draft_states(network, batched([other], EOS, network.device), start, 4).member_BXJD - states.member_BXJD
        ).abs().amax((0, 2, 3)) > 1e-9
        assert moved.tolist() == [changed < first for first in start[0].tolist()]


def test_windows_hold_the_tokens_of_the_text(network: Transformer, texts: list[OwnText]) -> None:
    together = batched(texts, EOS, network.device)
    start = torch.tensor([0, 2]).expand(len(texts), -1)
    states = draft_states(network, together, start, 5)
    windows = windows_of(states, together, torch.tensor([0, 1]).expand_as(start), 3)
    for n in range(len(windows.text_N)):
        text, (begin, skip) = texts[n // 2], ((0, 0), (2, 1))[n % 2]
        whole, lead = text.prompt + text.response, begin + skip
        for slot in range(3):
            rank = lead + 1 + slot
            assert bool(windows.there_NK[n, slot]) == (rank < len(text.response))
            if windows.there_NK[n, slot]:
                assert int(windows.true_NK[n, slot]) == text.response[rank]
                torch.testing.assert_close(
                    windows.hidden_NKD[n, slot], states.member_BXJD[n // 2, n % 2, skip + 1 + slot]
                )
        if lead < len(text.response):
            at = len(text.prompt) + lead
            assert windows.token_NX[n, :2].tolist() == whole[at - 1 : at + 1]
            torch.testing.assert_close(windows.lead_ND[n], states.target_BRD[n // 2, lead])


# --- the loss ---


def new_head(network: Transformer) -> DraftHead:
    head = DraftHead(HeadSizes.of(network.config, depths=4)).double()
    head.reset(0)
    return head


def loss_parts(network: Transformer, texts: list[OwnText], heat: float) -> dict[str, Any]:
    """What is logged of a new head, and the lesson."""
    head = new_head(network)
    same = [replace(text, temperature=heat) for text in texts]
    lesson = lesson_of(network, batched(same, EOS, network.device), head.sizes, torch.Generator().manual_seed(0))
    return head_loss(head, network, lesson)[1] | {"lesson": lesson}


def test_a_new_head_is_worth_what_the_marginals_are(network: Transformer, texts: list[OwnText]) -> None:
    parts = loss_parts(network, texts, 1.0)
    assert parts["accepted"] == pytest.approx(float(parts["marginals"]))
    assert float(parts["covered"]) == 1.0
    assert float(parts["loss"]) > float(parts["cross_entropy"])


@pytest.mark.parametrize("heat", [0.0, 0.5, 1.0])
def test_expected_acceptance_is_the_overlap_of_two_laws_at_the_texts_temperature(
    network: Transformer, texts: list[OwnText], heat: float
) -> None:
    parts = loss_parts(network, texts, heat)
    lesson, total, count = parts["lesson"], 0.0, 0
    for n in range(len(lesson.ids_NKC)):
        windows, text = lesson.windows, texts[int(lesson.windows.text_N[n])]
        product, held = 1.0, 0.0
        for k in range(4):
            if not windows.there_NK[n, k]:
                break
            q = (network.logits(windows.hidden_NKD[n, k])[:MASK] / (heat or 1.0)).softmax(-1)
            rank = int(windows.rank_NK[n, k])
            clean = text.prompt + text.response + [EOS] * (CANVAS - len(text.response))
            ranks = torch.tensor([[-1] * len(text.prompt) + list(range(CANVAS))])
            canvas = torch.tensor([text.prompt + [MASK] * CANVAS])
            target = packed_target_logits(network, canvas, torch.tensor([clean]), ranks)[0, len(text.prompt) + rank]
            product *= float(torch.minimum((target[:MASK] / (heat or 1.0)).softmax(-1), q).sum())
            held += product
        total += held
        count += bool(windows.there_NK[n].any())
        if n == 20:
            break
    some = lesson.windows.there_NK[:21].any(1)
    assert count == int(some.sum())
    first = first_windows(lesson, 21)
    assert float(head_loss(new_head(network), network, first)[1]["accepted"]) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("heat", [0.0, 0.5, 1.0])
def test_the_teacher_is_the_law_of_which_the_texts_token_is_a_draw(
    network: Transformer, texts: list[OwnText], heat: float
) -> None:
    """By a pass per text; of greedy texts that is one token, and not the law at any temperature."""
    lesson = loss_parts(network, texts, heat)["lesson"]
    windows, checked = lesson.windows, 0
    for n in windows.there_NK[:, 0].nonzero()[:12, 0].tolist():
        text, rank = texts[int(windows.text_N[n])], int(windows.rank_NK[n, 0])
        clean = text.prompt + text.response + [EOS] * (CANVAS - len(text.response))
        ranks = torch.tensor([[-1] * len(text.prompt) + list(range(CANVAS))])
        canvas = torch.tensor([text.prompt + [MASK] * CANVAS])
        target_V = packed_target_logits(network, canvas, torch.tensor([clean]), ranks)[0, len(text.prompt) + rank]
        law_V = (target_V.index_fill(0, torch.tensor([MASK]), -torch.inf) / (heat or 1.0)).softmax(-1)
        own_V = torch.zeros_like(law_V).index_fill(0, torch.tensor([text.response[rank]]), 1.0)
        found = lesson.teacher_NKC[n, 0].double()
        for expected_V, same in ((law_V, heat > 0), (own_V, heat == 0)):
            assert torch.allclose(found, expected_V.double()[lesson.ids_NKC[n, 0]], atol=1e-5) == same
        checked += 1
    assert checked == 12


def first_windows(lesson: Lesson, count: int) -> Lesson:
    windows = replace(lesson.windows, **{name: value[:count] for name, value in vars(lesson.windows).items()})
    return replace(
        lesson, windows=windows, **{name: value[:count] for name, value in vars(lesson).items() if name != "windows"}
    )


# --- training ---


def test_training_raises_acceptance_and_no_training_does_not(network: Transformer, many_texts: list[OwnText]) -> None:
    sizes, network = HeadSizes.of(network.config, depths=4), network.float()
    held_out = batched(many_texts[:60], EOS, network.device)
    lesson = lesson_of(network, held_out, sizes, torch.Generator().manual_seed(1))
    before = [parameter.clone() for parameter in network.parameters()]
    control, _ = fit_draft_head(network, many_texts[60:], sizes, replace(OPTIONS, steps=1, warmup=1000))
    head, log = fit_draft_head(network, many_texts[60:], sizes, OPTIONS)
    new, trained = (head_loss(one, network, lesson)[1] for one in (control, head))
    assert float(trained["loss"]) < float(new["loss"]) - 0.3
    assert float(trained["accepted"]) > float(trained["marginals"]) + 0.05
    assert float(new["accepted"]) == pytest.approx(float(new["marginals"]), abs=0.01)
    assert len(log) == OPTIONS.steps // OPTIONS.log_every
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_run_is_a_function_of_its_seed(network: Transformer, texts: list[OwnText]) -> None:
    sizes, network = HeadSizes.of(network.config, depths=4), network.float()
    first, again, other = (
        fit_draft_head(network, texts, sizes, replace(OPTIONS, steps=3, seed=seed))[0].down.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_stopped_run_keeps_what_it_learned(network: Transformer, texts: list[OwnText]) -> None:
    asked = iter([False, False, True])
    sizes = HeadSizes.of(network.config, depths=4)
    head, log = fit_draft_head(network.float(), texts, sizes, replace(OPTIONS, log_every=1), stop=lambda: next(asked))
    assert [row["step"] for row in log] == [1, 2] and not head.training


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 3]), (3, [3]), (50, [3])])
def test_the_log_ends_with_the_step_at_which_a_run_was_stopped(
    network: Transformer, texts: list[OwnText], every: int, steps: list[int]
) -> None:
    sizes = HeadSizes.of(network.config, depths=4)
    _, log = fit_draft_head(network.float(), texts, sizes, replace(OPTIONS, log_every=every), stop=after(3))
    assert [row["step"] for row in log] == steps


def test_a_run_that_goes_on_begins_with_the_head_that_it_was_given(network: Transformer, texts: list[OwnText]) -> None:
    """At a learning rate of 0 they are the same; it may weigh more candidates, and the given one stays as it is."""
    network = network.float()
    sizes = HeadSizes.of(network.config, depths=4, candidates=5)
    first, _ = fit_draft_head(network, texts, sizes, replace(OPTIONS, steps=5))
    before = {name: weight.clone() for name, weight in first.state_dict().items()}
    still = replace(OPTIONS, steps=2, muon_lr=0.0, adam_lr=0.0)
    found, _ = fit_draft_head(network, texts, replace(sizes, candidates=6), still, first=first)
    moved, _ = fit_draft_head(network, texts, sizes, replace(OPTIONS, steps=2, warmup=0), first=first)
    fresh, _ = fit_draft_head(network, texts, sizes, still)
    assert found.sizes.candidates == 6 and moved.sizes == sizes
    for name, weight in before.items():
        assert torch.equal(found.state_dict()[name], weight) and torch.equal(first.state_dict()[name], weight)
    assert not torch.equal(moved.down.weight, first.down.weight)
    assert not torch.equal(fresh.down.weight, first.down.weight)


def test_the_learning_rate_has_fallen_when_the_time_is_up(
    network: Transformer, texts: list[OwnText], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second of ten; without a limit of time, as many steps leave it at its height."""
    clock = iter(float(second) for second in range(10_000))
    monkeypatch.setattr("fef.training.draft_head.time.perf_counter", lambda: next(clock) // 2)
    sizes, options = HeadSizes.of(network.config, depths=4), replace(OPTIONS, steps=500, warmup=2, log_every=1)
    _, hurried = fit_draft_head(network.float(), texts, sizes, replace(options, seconds=10.0))
    rates = [row["lr"] for row in hurried]
    assert 8 <= len(rates) <= 11 and max(rates) == 1.0
    assert rates[-1] < 0.2 and rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    _, leisurely = fit_draft_head(network, texts, sizes, replace(options, decay_share=0.1), stop=after(len(rates)))
    assert leisurely[-1]["lr"] == 1.0


def after(steps: int) -> Callable[[], bool]:
    asked = iter([False] * steps)
    return lambda: next(asked, True)


# --- the file of own texts ---


def test_own_texts_come_back(network: Transformer, texts: list[OwnText], tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(map(own_text_line, texts)))
    assert read_own_texts(path, network.config) == texts


GOOD = {"prompt": [3, 4], "response": [5, EOS], "canvas": 4, "temperature": 0.7, "seed": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": "say"},
        {"prompt": [3, 99]},
        {"prompt": [3, MASK]},
        {"prompt": [3, True]},
        {"response": []},
        {"response": [3] * 5},
        {"canvas": None},
        {"canvas": 63},
        {"temperature": -1},
        {"temperature": "warm"},
        {"seed": 0.5},
        None,
        [],
    ],
)
def test_a_line_that_is_no_own_text_is_named(network: Transformer, wrong: object, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    line = json.dumps(GOOD | wrong) if isinstance(wrong, dict) else json.dumps(wrong)
    path.write_text(json.dumps(GOOD) + "\n\n" + line + "\n")
    with pytest.raises(InputError, match=r"line 3: .*fef\.corpus\.own"):
        read_own_texts(path, network.config)


def test_a_file_of_nothing_is_refused(network: Transformer, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no texts"):
        read_own_texts(tmp_path / "own.jsonl", network.config)
