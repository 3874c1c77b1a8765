"""The engine on released checkpoints: every method gives the tokens, log p and counters of `fef.decode`, in mixed batches."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from all_methods import GREEDY, METHODS
from golden import families, network, read
from tiny_network import tiny_causal, tiny_joint_layer, tiny_order_block, tiny_policy

import fef
from fef.engine.engine import Engine
from fef.errors import OptionError
from fef.models.demask import DependencyHead
from fef.models.extras import Extras

DECODE = "decode.json"
EXACT_CACHE = [
    ("sequential", {"cache": "prefix"}),
    ("fef", {"cache": "prefix", "window": 5}),
    ("threshold", {"cache": "dual"}),
]
COUNTERS = ("calls", "rows", "rounds", "drafted", "accepted", "committed")


def prepared(family: str) -> Any:
    """In float64, where a batch of another shape changes a log-probability by 1e-13, and by 1e-8 where a router stays
    float32: in float32 a layer on hidden states makes 2e-5 of the last bits."""
    model = copy.deepcopy(network(family)).double()  # others share it
    torch.manual_seed(0)
    causal = tiny_causal(vocab_size=model.vocab_size, mask_id=model.mask_id)
    layer, joint = tiny_order_block(model), tiny_joint_layer(model)
    head, profile = DependencyHead(model.config.dim, rank=4), (3.0, 2.0, 1.0, 0.5, 0.2)
    model.extras = Extras(head, profile, layer, causal, unmask_policy=tiny_policy(), joint_layer=joint)
    return model


def asked(mask_id: int, method: str, dice: random.Random) -> dict[str, Any]:
    prompt = [dice.randrange(1, 200) for _ in range(dice.randint(2, 9))]
    return {
        "ids": prompt + [mask_id] * dice.randint(3, 12),
        "start": len(prompt),
        "temperature": 0.0 if method in GREEDY else dice.choice([0.0, 0.7, 1.0]),
        "top_p": dice.choice([1.0, 0.9]),
        "seed": dice.randrange(2**40),
    }


# in what an engine does with them: dream, but for its shift, and llada2-moe
LIKE_ANOTHER = ("illada", "llada", "lladamoe", "sdar")


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.slow if name in LIKE_ANOTHER else ()) for name in families(DECODE)],
)
def test_every_method_in_mixed_batches_of_sixteen(family):
    model, dice = prepared(family), random.Random(family)
    mask_id = read(family, DECODE)["special_ids"]["mask"]
    engine = Engine(model, max_batch=16)
    jobs, refused = [], []
    settings_of_all = [*METHODS, *EXACT_CACHE]
    dice.shuffle(settings_of_all)
    for method, options in settings_of_all:
        request = asked(mask_id, method, dice)
        settings = {name: request[name] for name in ("temperature", "top_p", "seed")}
        slots = range(request["start"], len(request["ids"]))
        try:
            job = engine.submit(request["ids"], slots, method=method, **settings, **options)
        except OptionError:
            refused.append((method, options))  # by decode for the same reason
            with pytest.raises(OptionError):
                fef.certify(model, method=method, temperature=request["temperature"], **options)
            continue
        jobs.append((job, request, settings, method, options))
        if len(jobs) % 4 == 0:
            engine.step()
    engine.run()
    assert len(jobs) >= 24
    assert {method for *_, method, _ in jobs} == set(fef.methods()) - {
        "eso",
        "eso-exact",
    }  # which ask for the packed law
    for job, request, settings, method, options in jobs:
        ids = torch.tensor([request["ids"]])
        open_ = torch.arange(ids.shape[1])[None] >= request["start"]
        out = fef.decode(model, ids, open=open_, method=method, **settings, **options)
        assert job.result().tokens == out.ids[0, request["start"] :].tolist(), (method, options)
        found = torch.tensor(job.result().logprobs, dtype=torch.float64)
        torch.testing.assert_close(found, out.logprobs[0, request["start"] :], rtol=0, atol=1e-6)
        assert {k: job.result().counters[k] for k in COUNTERS} == {k: out.stats[0][k] for k in COUNTERS}
        assert job.certificate == out.certificate
