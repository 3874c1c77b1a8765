"""`eso` and `eso-exact`: a share of the slots in a random order, the others from left to right behind it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from integrated_law import integrated_law
from tiny_network import MASK, tiny_network

import fef
from fef.models.packed import PackedTokens, Stream, context_tokens, packed_visible, slot_tokens
from fef.models.transformer import Transformer
from fef.verify.texts import Law, State, distance, drawn_at, onward


def order_of(seed: int, share: float, length: int = 24) -> list[int]:
    """The order in which a decode fills its slots, one per round."""
    ids = torch.full((1, length), MASK)
    ids[0, 0] = 1
    found: list[int] = []
    fef.decode(
        tiny_network(),
        ids,
        method="eso-exact",
        share=share,
        window=1,
        seed=seed,
        on_round=lambda r: found.extend(r.slots[r.written].tolist()),
    )
    return found


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_about_a_share_comes_first_in_a_drawn_order_and_the_others_from_left_to_right(share):
    drawn = []
    for seed in range(5):
        order = order_of(seed, share)
        assert sorted(order) == list(range(1, 24))
        sorted_from = next(n for n in range(24) if order[n:] == sorted(order[n:]))
        drawn.append(sorted_from)
    assert abs(sum(drawn) / 5 - share * 23) <= 4
    assert len({tuple(order_of(seed, share)) for seed in range(2)}) == (1 if share == 0 else 2)


def test_without_a_random_share_it_is_the_text_of_sequential_and_with_one_it_is_not():
    network = tiny_network()
    ids = torch.full((12, 9), MASK)
    ids[:, 0] = torch.arange(12) % 6
    texts = {s: fef.decode(network, ids, method="eso-exact", share=s, temperature=1.0).ids for s in (0.0, 0.5)}
    alone = fef.decode(network, ids, method="sequential", verify="packed", temperature=1.0).ids
    assert torch.equal(texts[0.0], alone)
    assert not torch.equal(texts[0.5], alone)


def test_demo_decodes_in_decode_and_in_the_engine_alike():
    model = fef.load("demo")
    asked: dict[str, Any] = {"method": "eso-exact", "share": 0.3, "max_new_tokens": 12, "temperature": 1.0}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert "of each slot with probability 0.3, then left-to-right" in text.certificate.law
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text


@pytest.mark.parametrize("method", ["eso", "eso-exact"])
def test_a_network_of_another_pattern_is_refused_and_what_the_refusal_advises_goes(method):
    network, ids = tiny_network(packed=False), torch.full((1, 4), MASK)
    with pytest.raises(fef.OptionError, match=r'was not trained for the packed.*method="fef" with order="random"'):
        fef.decode(network, ids, method=method)
    assert bool((fef.decode(network, ids, method="fef", order="random").ids != MASK).all())


@pytest.mark.parametrize(("rank", "together"), [((-1, -3, 0, -2), 2), ((-2, 0, -1, 1), 4), ((1, -1, -2, 0), 1)])
def test_eso_draws_the_slots_of_a_pass_independently_given_all_before_it(rank, together):
    network = tiny_network(vocab_size=4, mask_id=3)
    found = integrated_law(network, 4, method="eso", rank=rank, tokens_per_step=together)
    wanted = phased_law(network, rank, together)
    assert distance(found, wanted) < 1e-6
    blind = phased_law(
        network, rank, together, forgets=True
    )  # a twin: the second pass does not see what the first drew
    assert distance(found, blind) > 0.01


def phased_law(network: Transformer, rank: Sequence[int], together: int, *, forgets: bool = False) -> Law:
    """By recursion over dense passes: the slots ranked below 0 in groups, the others one by one."""
    order = sorted(range(len(rank)), key=rank.__getitem__)
    drawn, law = sum(r < 0 for r in rank), {(network.mask_id,) * len(rank): 1.0}
    groups = [order[i : min(i + together, drawn)] for i in range(0, drawn, together)] + [[i] for i in order[drawn:]]

    def behind(text: State, group: Sequence[int]) -> Law:
        laws_SV = group_laws(network, text, order, [] if forgets else order[: order.index(group[0])], group)
        found: Law = {text: 1.0}
        for slot, law_V in zip(group, laws_SV.numpy(), strict=True):
            found = onward(found, partial(drawn_at, slot=slot, p=law_V))
        return found

    for group in groups:
        law = onward(law, partial(behind, group=group))
    return law


def group_laws(
    network: Transformer, text: State, order: Sequence[int], before: Sequence[int], group: Sequence[int]
) -> torch.Tensor:
    """The laws [S, V] of a draft group behind the tokens at `before`, in one uncached pass."""
    rank_1L = torch.tensor([[order.index(i) for i in range(len(order))]])
    start = torch.tensor([list(group)])
    limit = rank_1L.gather(1, start)[:, :1].expand_as(start)
    references = torch.tensor([list(before)], dtype=torch.long)
    tokens = PackedTokens.cat(
        [
            context_tokens(rank_1L, None),
            slot_tokens(Stream.REFERENCE, references, rank_1L),
            slot_tokens(Stream.DRAFT, start, rank_1L, limit),
        ]
    )
    masks, known = [network.mask_id], [text[i] for i in before]
    ids = torch.tensor([masks * len(order) + known + masks * len(group)])
    hidden_1ND, _ = network.trunk(ids, tokens.index_BN, packed_visible(tokens, tokens))
    return network.logits(hidden_1ND[0, -len(group) :])[:, : network.mask_id].double().softmax(-1)


def test_eso_at_one_token_per_step_is_the_text_of_eso_exact_and_in_the_engine_it_is_the_same():
    model = fef.load("demo")
    asked: dict[str, Any] = {"share": 0.5, "max_new_tokens": 10, "temperature": 1.0, "seed": 3}
    one = model.generate("What is 2 + 3?", method="eso", tokens_per_step=1, **asked)
    assert one.text == model.generate("What is 2 + 3?", method="eso-exact", **asked).text
    assert one.certificate.kind == "chain"
    several = model.generate("What is 2 + 3?", method="eso", tokens_per_step=4, **asked)
    assert several.certificate.kind == "none"
    assert several.stats["calls"] < one.stats["calls"]
    assert (
        model.engine(threads=1).submit("What is 2 + 3?", method="eso", tokens_per_step=4, **asked).result().text
        == several.text
    )
