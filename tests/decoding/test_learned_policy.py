"""`policy`: which slots a small network draws from confidences, and how it learns that from right and wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_network import EOS, MASK, tiny_network, tiny_policy
from torch import Tensor

import fef
import fef.tasks
from fef.engine.engine import Engine
from fef.errors import DenoiserError
from fef.models.extras import Extras
from fef.models.unmask_policy import UnmaskPolicy, load_policy, save_policy
from fef.training.policy import Decided, Played, PolicyTraining, advantages, fit_policy, policy_loss

NETWORK = tiny_network(packed=False, scale=0.8)


def canvases(rows: int = 6, length: int = 13) -> Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    return ids


def constant(value: float) -> Callable[..., Tensor]:
    return lambda confidence, *_: torch.full(confidence.shape, value)


def fresh() -> UnmaskPolicy:
    policy = UnmaskPolicy()
    policy.reset(0)
    return policy.requires_grad_(False)


def test_all_at_once_and_one_by_one_are_its_ends():
    for value, calls in ((50.0, 1), (-50.0, 12)):
        out = fef.decode(NETWORK, canvases(), method="policy", policy=constant(value), temperature=1.0)
        assert {stats["calls"] for stats in out.stats} == {calls}
        assert out.certificate.kind == "none"


@pytest.mark.parametrize("block_length", [4, 32])
def test_a_fresh_policy_without_noise_gives_the_text_of_threshold(block_length):
    asked: dict[str, Any] = {"eos_id": EOS, "block_length": block_length}
    out = fef.decode(NETWORK, canvases(), method="policy", policy=fresh(), policy_temperature=0.0, **asked)
    same = fef.decode(NETWORK, canvases(), method="threshold", threshold=0.9, **asked)
    assert torch.equal(out.ids, same.ids)
    assert [s["calls"] for s in out.stats] == [s["calls"] for s in same.stats]
    other = fef.decode(NETWORK, canvases(), method="threshold", threshold=0.4, **asked)
    assert [s["calls"] for s in out.stats] != [s["calls"] for s in other.stats]


def test_slots_are_committed_as_often_as_the_policy_says():
    chance, first = 0.3, []
    fef.decode(
        NETWORK,
        canvases(400, 9),
        method="policy",
        policy=lambda confidence, *_: torch.full(confidence.shape, chance).logit(),
        temperature=1.0,
        on_round=lambda r: first.append(r.written.double().sum(1)),
    )
    none = (1 - chance) ** 8  # where no slot is drawn, one is taken all the same
    assert float(first[0].mean()) == pytest.approx(8 * chance + none, abs=4 * (8 * chance * (1 - chance) / 400) ** 0.5)


def test_it_knows_slots_by_their_features_alone():
    policy = tiny_policy()
    confidence, place, open_ = torch.rand(3, 6), torch.rand(3, 6), torch.rand(3)
    real = torch.ones(3, 6, dtype=torch.bool)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    logits = policy(confidence, place, open_, real)
    torch.testing.assert_close(policy(confidence[:, order], place[:, order], open_, real), logits[:, order])
    real[:, 4:] = False
    short = policy(confidence[:, :4], place[:, :4], open_, real[:, :4])
    torch.testing.assert_close(policy(confidence, place, open_, real)[:, :4], short)
    assert not torch.allclose(logits[:, :4], short)  # the others did count


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (lambda confidence, *_: confidence[0] / 0 + [], "The unmasking policy failed: TypeError"),
        (lambda *_: None, "returned NoneType; it must return logits"),
        (lambda confidence, *_: confidence[:, :1], r"returned torch.float64 \(1, 1\); it must"),
        (lambda _confidence, _place, _left, real: real, "returned torch.bool"),
        (lambda confidence, *_: confidence * torch.nan, "nan for a slot"),
    ],
)
def test_a_policy_that_fails_ends_its_own_request_and_no_other(policy, words):
    network, ids = tiny_network(scale=0.3), [3] + [MASK] * 6
    with pytest.raises(DenoiserError, match=words):
        fef.decode(network, torch.tensor([ids]), method="policy", policy=policy)
    engine = Engine(network)
    broken = engine.submit(ids, range(1, 7), method="policy", policy=policy)
    other = engine.submit(ids, range(1, 7), method="threshold")
    with pytest.raises(DenoiserError, match=words):
        broken.result()
    assert len(other.result().tokens) == 6


def test_groups_that_agree_teach_nothing_and_a_right_answer_in_fewer_passes_is_better():
    right = torch.tensor([[True, True], [True, False], [False, False], [True, True]])
    passes = torch.tensor([[8, 16], [16, 4], [4, 8], [8, 8]])
    found = advantages(Played([], right, passes), alpha=1.0, longest=32)
    assert (found[:2].sign() == torch.tensor([[1.0, -1.0], [1.0, -1.0]])).all()
    assert (found[2:] == 0).all()


def test_the_loss_is_minus_advantage_times_log_probability():
    policy, rows = tiny_policy(), torch.tensor([1, 0])
    read = (torch.rand(2, 4), torch.rand(2, 4), torch.rand(2), torch.ones(2, 4).bool())
    taken = torch.tensor([[True, False, False, True], [False, True, False, False]])
    played = Played([Decided(read, taken, rows)], torch.ones(1, 2).bool(), torch.ones(1, 2).long())
    advantage = torch.tensor([[0.5, -2.0]])
    chance = policy(*read).sigmoid()
    logp = torch.where(taken, chance, 1 - chance).log().mean(1)
    assert float(policy_loss(policy, played, advantage)) == pytest.approx(
        float(-(advantage[0, rows] * logp).mean()), rel=1e-5
    )


def test_what_stands_where_no_slot_is_reaches_neither_its_decisions_nor_its_gradient():
    """Of answers that end at different times, some rows have nothing to decide."""
    policy = fresh().requires_grad_(True)
    real = torch.tensor([[True, True], [False, False]])
    nowhere = torch.tensor([[0.5, 0.9], [float("nan"), -torch.inf]])
    read = (nowhere, nowhere.clone(), torch.tensor([1.0, float("nan")]), real)
    one_alone = policy(nowhere[:1], nowhere[:1], torch.ones(1), real[:1])
    torch.testing.assert_close(policy(*read)[:1], one_alone)
    decided = Decided(read, real, torch.tensor([0, 1]))
    policy_loss(policy, Played([decided], torch.ones(1, 2), torch.ones(1, 2)), torch.ones(1, 2)).backward()
    assert all(bool(p.grad.isfinite().all()) for p in policy.parameters())


def test_a_complete_row_beside_one_that_goes_on_has_a_finite_place():
    read = []

    def noted(_: Tensor, place: Tensor, *__: Tensor) -> Tensor:
        read.append(place)
        return torch.where(torch.arange(len(place))[:, None] < len(place) - 1, -50.0, 50.0).expand_as(place)

    fef.decode(NETWORK, canvases(8), method="policy", policy=noted)  # the last row is complete at once
    assert len(read[1]) == 8, "it stays for a while"
    assert all(bool(place.isfinite().all()) for place in read)


def test_it_learns_to_be_bolder_where_that_costs_no_answer():
    policy, generator = fresh().requires_grad_(True), torch.Generator().manual_seed(0)
    read = (torch.full((8, 4), 0.8), torch.zeros(8, 4), torch.ones(8), torch.ones(8, 4).bool())

    def play(policy: UnmaskPolicy, _step: int) -> Played:
        chance = policy(*read).sigmoid().detach()
        taken = torch.rand(8, 4, generator=generator) < chance
        return Played([Decided(read, taken, torch.arange(8))], torch.ones(1, 8).bool(), 8 - taken.sum(1)[None])

    before = float(policy(*read).detach().mean())
    fit_policy(policy, play, PolicyTraining(steps=25, lr=1e-2, longest=8))
    assert float(policy(*read).detach().mean()) > before + 1


def test_it_is_read_again_and_a_model_without_one_is_told(tmp_path):
    policy, file = tiny_policy(), tmp_path / "policy.safetensors"
    save_policy(file, policy, "a network")
    again = load_policy(file)
    for name, weight in policy.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight.bfloat16().float(), rtol=0, atol=0)
    fef.decode(NETWORK, canvases(1), method="policy", policy=str(file))
    with pytest.raises(fef.OptionError, match="comes without an unmasking policy"):
        fef.decode(NETWORK, canvases(1), method="policy")


@pytest.mark.parametrize("changed", [{}, {"heads": "0"}, {"heads": "3"}, {"width": "100000000"}, {"width": "9" * 30}])
def test_a_file_that_is_damaged_is_refused_in_a_sentence_and_takes_no_memory(tmp_path, changed):
    file = tmp_path / "policy.safetensors"
    save_policy(file, tiny_policy(), "a network")
    if changed:
        with safe_open(file, "pt") as whole:
            metadata, tensors = whole.metadata(), {name: whole.get_tensor(name) for name in whole.keys()}  # noqa: SIM118
        save_file(tensors, file, metadata | changed)
    else:
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(fef.CheckpointError, match="missing, damaged") as error:
        load_policy(file)
    assert "\n" not in str(error.value)


def test_demo_decodes_in_decode_and_in_the_engine_alike():
    model = fef.load("demo")
    model.network.extras = Extras(unmask_policy=tiny_policy())
    asked: dict[str, Any] = {"method": "policy", "max_new_tokens": 12, "temperature": 1.0}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text


def test_demo_comes_with_a_policy_that_needs_fewer_passes_than_the_threshold_it_began_as() -> None:
    model = fef.load("demo", device="cpu")
    prompts = [problem.prompt for problem in fef.tasks.generate("word-problems", 3, 3, "held-out")]
    asked: dict[str, Any] = {"max_new_tokens": 40, "block_length": 32}

    def passes(**method: Any) -> int:
        return sum(int(found.stats["calls"]) for found in model.generate(prompts, **method, **asked))

    by_threshold = passes(method="threshold", threshold=0.9)
    assert passes(method="policy", policy_temperature=0.0) < by_threshold
    assert passes(method="policy", policy_temperature=0.0, policy=fresh()) == by_threshold
