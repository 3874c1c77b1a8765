"""Simulated rounds against the rounds of the decoder itself, and what the report says of a good head and of none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_network import EOS, MASK, tiny_network
from torch import Tensor

import fef
from fef.bench.draft_rounds import States, chain_held, chain_rounds, rounds_of, states_of, tree_rounds
from fef.bench.drafts import Shapes, drafts_report
from fef.decoding.session import Round
from fef.errors import OptionError
from fef.models.continuation import up_to_end
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.transformer import Transformer
from fef.training.own_text import OwnText

CANVAS, COUNT, SLOTS = 20, 12, 5


def small_network() -> Transformer:
    network = tiny_network(scale=0.5, eos_id=EOS, max_length=64)
    with torch.no_grad():
        network.embed.weight[EOS] *= 0.2  # longer texts
    return network


def decoded(temperature: float, window: int) -> tuple[list[OwnText], list[list[tuple[int, bool]]]]:
    """Texts that fef wrote with a draft group at every place of the window; of each round how many tokens it committed, and
    whether it drafted an end token, behind which the decoder drafts nothing ahead."""
    network, prompts = small_network(), torch.randint(3, MASK, (COUNT, 3), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([prompts, torch.full((COUNT, CANVAS), MASK)], 1)
    rounds: list[Round] = []
    out = fef.decode(
        network,
        ids,
        method="fef",
        window=window,
        anchors=window,
        survival=0.0,
        temperature=temperature,
        seed=list(range(COUNT)),
        eos_id=EOS,
        on_round=rounds.append,
    )
    commits: list[list[tuple[int, bool]]] = [[] for _ in range(COUNT)]
    for one in rounds:
        end_B = torch.zeros_like(one.rows).bool() if one.drafts is None else (one.drafts == EOS).any(1)
        for row, count, end in zip(one.rows.tolist(), one.written.sum(1).tolist(), end_B.tolist(), strict=True):
            commits[row].append((count, end))
    responses = [up_to_end(row, [EOS]) for row in out.ids[:, 3:].tolist()]
    texts = [
        OwnText(p, r, CANVAS, temperature, b) for b, (p, r) in enumerate(zip(prompts.tolist(), responses, strict=True))
    ]
    return texts, commits


def plain_states(texts: list[OwnText], slots: int = SLOTS) -> States:
    return states_of(small_network(), texts, slots, candidates=8, banned=())


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("window", [2, 4])
def test_chains_commit_what_the_decoder_commits(temperature: float, window: int) -> None:
    texts, commits = decoded(temperature, window)
    kept = [b for b, text in enumerate(texts) if len(text.response) > 1]
    states = plain_states([texts[b] for b in kept], window)
    run_N = chain_held(small_network(), None, states).long().cumprod(1).sum(1)
    compared = 0
    for number, b in enumerate(kept):
        done, had_groups = 0, True
        for commit, drafted_end in commits[b]:
            left = len(texts[b].response) - done
            if done and 0 < commit <= left and had_groups:
                state = int(states.first_B[number]) + done - 1
                assert commit == min(int(run_N[state]) + 1, left), (b, done)
                compared += 1
            done, had_groups = done + commit, not drafted_end
    assert compared > 30


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_tree_of_one_branch_is_the_chain(temperature: float) -> None:
    texts = [text for text in decoded(temperature, 2)[0] if len(text.response) > 1]
    states, network = plain_states(texts), small_network()
    held_NK = chain_held(network, None, states)
    for drafts in (1, 3, 5):
        chain = chain_rounds(states, held_NK, drafts)
        tree = tree_rounds(network, None, states, drafts, SLOTS, frontier=1, branching=1)
        assert torch.equal(chain.rounds_B, tree.rounds_B)


def test_a_tree_of_everything_holds_every_draft() -> None:
    texts = [text for text in decoded(0.7, 2)[0] if len(text.response) > 1]
    states, slots = plain_states(texts, 2), 2
    everything = tree_rounds(small_network(), None, states, MASK + MASK**2, slots, frontier=MASK, branching=MASK)
    assert torch.equal(everything.rounds_B, (states.count_B + slots) // (slots + 1))
    few = tree_rounds(small_network(), None, states, 8, slots, frontier=8, branching=MASK)
    one = chain_rounds(states, chain_held(small_network(), None, states), 2)
    assert everything.rounds_B.sum() < few.rounds_B.sum() < one.rounds_B.sum()


def test_the_noise_of_another_seed_drafts_worse() -> None:
    """Drafts share the noise of the target's draw."""
    texts = [text for text in decoded(0.7, 2)[0] if len(text.response) > 1]
    wrong = [OwnText(t.prompt, t.response, t.canvas, t.temperature, t.seed + 100) for t in texts]
    right, other = (
        chain_held(small_network(), None, plain_states(some))[:, 0].float().mean() for some in (texts, wrong)
    )
    assert right > other + 0.1


def test_rounds_end_with_their_texts() -> None:
    states = plain_states([OwnText([3, 4], [5, 6, 5, 6, EOS], 8, 0.0, 0), OwnText([3], [5, EOS], 8, 0.0, 1)])
    rounds = rounds_of(states, lambda _, left_B: torch.full_like(left_B, 9))
    assert rounds.rounds_B.tolist() == [1, 1] and rounds.tokens_B.tolist() == [4, 1]
    rounds = rounds_of(states, lambda _, left_B: torch.zeros_like(left_B))
    assert rounds.rounds_B.tolist() == [4, 1] and rounds.tokens_per_round == 1.0 and rounds.error == 0.0


class Oracle(DraftHead):
    """A head that knows the text: what follows each token of it, where no token comes twice."""

    def __init__(self, network: Transformer, after: Tensor) -> None:
        super().__init__(HeadSizes.of(network.config, depths=SLOTS))
        self.double().reset(0)
        self.after = after

    def told(self, ids: Tensor, last: Tensor) -> Tensor:
        return 50.0 * (ids == self.after[last][..., None]).float()

    def sequence(self, network, window, token_BX):
        return self.told(window.ids_BKC, token_BX[:, 1:])

    def step(self, network, window, path, parent_BF, token_BF):
        slot = path.keys_BFTGE.shape[2]
        _, behind = super().step(network, window, path, parent_BF, token_BF)
        return self.told(window.ids_BKC[:, slot, None], token_BF), behind


def test_a_head_that_knows_the_text_drafts_all_of_it() -> None:
    network = small_network()
    text = OwnText([3, 4], [0, 1, 3, 5, 4, 6, EOS], 9, 0.7, 0)
    after = torch.zeros(8, dtype=torch.int64)
    after[text.response[:-1]] = torch.tensor(text.response[1:])
    report = drafts_report(network, Oracle(network, after), [text], Shapes((3, SLOTS), (3, 7), SLOTS, 4, 4))
    found = report["temperatures"]["0.7"]["drafters"]
    assert found["head"]["by_depth"] == [1.0] * SLOTS
    assert found["head"]["chains"][str(SLOTS)]["tokens_per_round"] == 6.0
    assert found["head"]["trees"]["3"]["tokens_per_round"] == found["head"]["chains"]["3"]["tokens_per_round"] == 3.0
    assert found["marginals"]["chains"]["3"]["tokens_per_round"] < 3.0


def test_the_report_says_how_often_the_true_token_is_a_candidate(tmp_path: Path) -> None:
    texts = [text for text in decoded(0.0, 2)[0] if len(text.response) > 1]
    report = drafts_report(small_network(), None, texts, Shapes((2,), (4,), 3), most=4)
    found = report["temperatures"]["0"]
    assert set(found["covered"].values()) == {1.0} and found["texts"] == 4 and set(found["drafters"]) == {"marginals"}
    (tmp_path / "r.json").write_text(json.dumps(report))


@pytest.mark.parametrize(
    "shapes", [{"chains": (0,)}, {"trees": (4, -1)}, {"slots": 0}, {"frontier": 0}, {"branching": 1.5}]
)
def test_shapes_below_one_are_refused(shapes: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        Shapes(**shapes)  # type: ignore[arg-type]


def test_a_head_that_drafts_fewer_slots_is_refused() -> None:
    network = small_network()
    head = DraftHead(HeadSizes.of(network.config, depths=2))
    with pytest.raises(OptionError, match="drafts 2 slots, and 8"):
        drafts_report(network, head, [OwnText([3], [5, EOS], 8, 0.0, 1)], Shapes())
