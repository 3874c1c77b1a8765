"""The fused draw against `log_law` and `KeyedNoise.categorical`, slot by slot and token for token."""

from typing import Any

import numpy as np
import pytest
import torch

from fef.engine.advance import Drawn
from fef.engine.kernels.draw import AllowedTokens, draw
from fef.grammar.text import packed
from fef.laws.draws import KeyedNoise, Purpose, Site, gumbels
from fef.laws.pipeline import Sampling, log_law
from fef.laws.tree import TAU

EOS = 2
DTYPES = [torch.float32, torch.bfloat16]


def slots(V: int, dtype: torch.dtype, device: str, temperatures: list[float], seed: int = 0) -> dict[str, Any]:
    """Arguments of `draw` for one slot a temperature, without EOS rules and truncation."""
    generator = torch.Generator().manual_seed(seed + V)
    N = len(temperatures)
    banned_V = torch.zeros(V, dtype=torch.bool)
    banned_V[-1] = True
    arguments = {
        "logits_NV": (3 * torch.randn(N, V, generator=generator)).to(dtype),
        "seed_N": torch.randint(-(2**62), 2**62, (N,), generator=generator),
        "position_N": torch.randint(0, 5000, (N,), generator=generator),
        "step_N": torch.randint(0, 300, (N,), generator=generator),
        "temperature_N": torch.tensor(temperatures, dtype=torch.float64),
        "forced_N": torch.zeros(N, dtype=torch.bool),
        "forbidden_N": torch.zeros(N, dtype=torch.bool),
        "banned_V": banned_V,
        "cut_N": torch.full((N,), -torch.inf),
        "cut_id_N": torch.full((N,), V),
    }
    return {"eos_id": EOS, **{name: x.to(device) for name, x in arguments.items()}}


def run(arguments: dict[str, Any], rows: list[int] | None = None) -> Drawn:
    if rows is not None:
        arguments = {name: x[rows] if name.endswith(("_N", "_NV")) else x for name, x in arguments.items()}
    return draw(arguments["logits_NV"], **{name: x for name, x in arguments.items() if name != "logits_NV"})


def slow(arguments: dict[str, Any], n: int, top_k: int = 0) -> tuple[int, float, float, float]:
    """Token, its log probabilities under the sampled and the plain law, and the largest plain probability."""
    each = {name: x[n : n + 1].cpu() for name, x in arguments.items() if name.endswith(("_N", "_NV"))}
    banned = arguments["banned_V"].cpu().nonzero()[:, 0]
    ones = torch.ones(1, dtype=torch.float64)
    sampling = Sampling(each["temperature_N"], ones, torch.tensor([top_k]), banned, eos_id=EOS)
    plain = Sampling(ones, ones, torch.tensor([0]), banned, eos_id=EOS)
    logits_11V = each["logits_NV"][None]
    logp_11V = log_law(logits_11V, sampling, forced_eos_BS=each["forced_N"][None], no_eos_BS=each["forbidden_N"][None])
    plain_V = log_law(logits_11V, plain)[0, 0]
    zero = torch.zeros(1, dtype=torch.int64)
    site = Site(each["position_N"][None], each["step_N"], zero, torch.ones(1, 1, dtype=torch.bool))
    token = int(KeyedNoise(each["seed_N"]).categorical(logp_11V, site, Purpose.TOKEN))
    return token, float(logp_11V[0, 0, token]), float(plain_V[token]), float(plain_V.max().exp())


def check(arguments: dict[str, Any], top_k: int = 0) -> Drawn:
    drawn = run(arguments)
    for n in range(len(arguments["seed_N"])):
        token, logp, plain, top = slow(arguments, n, top_k)
        assert bool(drawn.valid[n])
        assert int(drawn.token[n]) == token
        assert float(drawn.logp[n]) == pytest.approx(logp, abs=1e-11)
        accuracy = 1e-11 if arguments["temperature_N"][n] > 0 else 3e-6
        assert float(drawn.plain[n]) == pytest.approx(plain, abs=accuracy)
        if arguments.get("branching", 1) == 1:
            assert float(drawn.holds[n, 0]) == pytest.approx(top, abs=accuracy)
    return drawn


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [4, 7, 100, 9001])
def test_like_the_laws(V: int, dtype: torch.dtype, device: str) -> None:
    check(slots(V, dtype, device, [0.0, 0.3, 1.0, 1.0, 1.7, 1e-9]))


def test_many_slots_token_for_token(device: str) -> None:
    drawn = check(slots(33, torch.float32, device, [1.0] * 60))
    assert len(set(drawn.token.tolist())) > 10


def test_ties_go_to_the_lowest_id(device: str) -> None:
    arguments = slots(5000, torch.bfloat16, device, [0.0, 0.0, 1.0])
    arguments["logits_NV"] = arguments["logits_NV"].clamp(max=2)
    check(arguments)


@pytest.mark.parametrize("dtype", DTYPES)
def test_truncation_by_a_cut(dtype: torch.dtype, device: str) -> None:
    top_k = 5
    arguments = slots(300, dtype, device, [0.0, 0.3, 1.0, 2.0, 1.0])
    logits_NV = arguments["logits_NV"].masked_fill(arguments["banned_V"], -torch.inf).float()
    logits_NV[4, :9] = logits_NV[4].max() + 1  # a tie over the cut
    arguments["logits_NV"] = logits_NV.to(dtype)
    value_NV, id_NV = arguments["logits_NV"].float().sort(dim=-1, descending=True, stable=True)
    arguments["cut_N"] = value_NV[:, top_k - 1].contiguous()
    arguments["cut_id_N"] = id_NV[:, top_k - 1].contiguous()
    check(arguments, top_k=top_k)


def test_rules_of_eos(device: str) -> None:
    arguments = slots(50, torch.float32, device, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    arguments["logits_NV"][:, EOS] = 20.0
    arguments["forced_N"][2:4] = True
    arguments["forbidden_N"][4:] = True
    tokens = check(arguments).token.tolist()
    assert tokens[:4] == [EOS] * 4 and EOS not in tokens[4:]


@pytest.mark.parametrize(("V", "branching"), [(7, 1), (100, 4), (2100, 1)])
def test_what_grammars_do_not_allow_is_as_if_banned(V: int, branching: int, device: str) -> None:
    """Three rows of four slots, two of which are states; the row between is under no grammar."""
    arguments = slots(V, torch.float32, device, [0.0, 1.0, 0.0, 0.7] * 3) | {"branching": branching}
    generator = torch.Generator().manual_seed(V)
    allowed_BXV = torch.rand(3, 2, V, generator=generator) < 0.4
    allowed_BXV[..., 1] = True
    words_BXW = torch.from_numpy(np.stack([[packed(state.numpy()) for state in row] for row in allowed_BXV]))
    under_B = torch.tensor([True, False, True])
    words_BXW = torch.cat([words_BXW, torch.zeros_like(words_BXW)], 1)  # those of more states lie behind
    words_BXW = words_BXW.pin_memory() if device == "cuda" else words_BXW
    allowed = AllowedTokens(words_BXW, under_B.to(device), slots=2)
    assert torch.equal(allowed.unpacked(V).cpu(), allowed_BXV)
    found = run(arguments | {"allowed": allowed})
    for n in range(12):
        row, state = n // 4, n % 4
        alone = {name: x[n : n + 1] if name.endswith(("_N", "_NV")) else x for name, x in arguments.items()}
        if bool(under_B[row]) and state < 2:
            alone["banned_V"] = alone["banned_V"] | ~allowed_BXV[row, state].to(device)
            assert allowed_BXV[row, state, found.token[n].cpu()]
        wanted = run(alone)
        for name, value in vars(wanted).items():  # another kernel, which may round otherwise
            assert value is None or torch.allclose(getattr(found, name)[n], value[0], rtol=1e-6, atol=0.0), name
        assert found.free is not None
        token, temperature = int(found.token[n]), float(arguments["temperature_N"][n])
        free_V = arguments["logits_NV"][n].masked_fill(arguments["banned_V"], -torch.inf).double().cpu()
        law_V = (
            (free_V / temperature).log_softmax(0)
            if temperature
            else torch.where(free_V == free_V.max(), 0.0, -torch.inf)
        )
        assert float(found.free[n]) == pytest.approx(float(law_V[token]), abs=1e-11)


def test_what_is_no_law_is_not_valid(device: str) -> None:
    arguments = slots(5000, torch.float32, device, [1.0, 0.0] * 5)
    logits_NV = arguments["logits_NV"]
    logits_NV[2:4, 4500] = torch.nan
    logits_NV[4:6, 17] = torch.inf
    logits_NV[6:8] = -torch.inf
    logits_NV[8:, -1] = torch.nan  # banned
    drawn = run(arguments)
    assert drawn.valid.tolist() == [True] * 2 + [False] * 6 + [True] * 2
    arguments["forced_N"][:] = True
    assert run(arguments).valid.all()
    # The EOS that a rule forbids may be anything, too, and is the only token left in the last slots.
    arguments["forced_N"][:] = False
    arguments["forbidden_N"][:2] = True
    logits_NV[:2, EOS] = torch.nan
    logits_NV[8:] = -torch.inf
    logits_NV[8:, EOS] = 1.0
    arguments["forbidden_N"][8:] = True
    assert run(arguments).valid.tolist() == [True] * 2 + [False] * 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_slot_does_not_see_the_others(dtype: torch.dtype, device: str) -> None:
    arguments = slots(9001, dtype, device, [0.0, 1.0, 0.7])
    arguments["branching"] = 3
    together = run(arguments)
    for n in range(3):
        alone = run(arguments, [n])
        for field in ("token", "logp", "plain", "draft", "holds"):
            assert torch.equal(getattr(alone, field)[0], getattr(together, field)[n])


def test_slots_that_nobody_wants_are_left_out(device: str) -> None:
    arguments = slots(9001, torch.bfloat16, device, [0.0, 1.0, 0.0, 1.0])
    arguments["logits_NV"][2:] = torch.nan
    wanted_N = torch.tensor([True, True, False, False], device=device)
    some = run(arguments | {"wanted_N": wanted_N})
    assert some.valid.all() and (some.token[2:] == 0).all() and (some.holds[2:] == 0).all()
    assert torch.equal(some.token[:2], run(arguments).token[:2])


def slow_drafts(arguments: dict[str, Any], n: int, top_k: int = 0) -> tuple[list[int], torch.Tensor]:
    """The best tokens by log p + noise, and for each its share of what the plain law gives to its own best."""
    count = arguments["branching"]
    each = {name: x[n : n + 1].cpu() for name, x in arguments.items() if name.endswith(("_N", "_NV"))}
    banned = arguments["banned_V"].cpu().nonzero()[:, 0]
    ones = torch.ones(1, dtype=torch.float64)
    forced = bool(each["forced_N"])
    greedy = forced or float(each["temperature_N"]) == 0
    sampling = Sampling(ones if greedy else each["temperature_N"], ones, torch.tensor([top_k]), banned, eos_id=EOS)
    plain = Sampling(ones, ones, torch.tensor([0]), banned, eos_id=EOS)
    logits_11V = each["logits_NV"][None]
    share = log_law(logits_11V, plain)[0, 0].exp().topk(count).values.sum()
    if forced:
        return [EOS], share * torch.tensor([1.0] + [0.0] * (count - 1))
    score_V = log_law(logits_11V, sampling, no_eos_BS=each["forbidden_N"][None])[0, 0]
    if not greedy:
        key = {"step_B": each["step_N"], "attempt_B": torch.zeros(1, dtype=torch.int64)}
        position_BS = each["position_N"][None]
        score_V = score_V + gumbels(each["seed_N"], position_BS, **key, purpose=Purpose.TOKEN, count=len(score_V))[0, 0]
    best = score_V.topk(count)
    return best.indices[best.values.isfinite()].tolist(), share * (best.values / (1.0 if greedy else TAU)).softmax(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [9, 100, 9001])
def test_drafts_are_the_best_of_law_and_noise(V: int, dtype: torch.dtype, device: str) -> None:
    """Ties aside: the logits are made different."""
    arguments = slots(V, torch.float32, device, [0.0, 0.3, 1.0, 1.7, 0.0, 1.0, 0.0, 1.0], seed=3)
    logits_NV = arguments["logits_NV"].clamp(max=2.5)
    top = torch.linspace(3, 9, min(V, 40), device=device)
    for n in range(len(logits_NV)):
        logits_NV[n, torch.randperm(V, generator=torch.Generator().manual_seed(n))[: len(top)].to(device)] = top
    arguments["logits_NV"] = logits_NV.to(dtype)
    arguments["forced_N"][4:6] = True
    arguments["forbidden_N"][6:] = True
    arguments["branching"] = 4
    drawn = check(arguments)
    for n in range(len(logits_NV)):
        tokens, holds = slow_drafts(arguments, n)
        assert drawn.draft[n, : len(tokens)].tolist() == tokens and drawn.draft[n, 0] == drawn.token[n]
        torch.testing.assert_close(drawn.holds[n].cpu(), holds.double(), rtol=0, atol=1e-5)


def test_fewer_tokens_than_drafts_leave_no_chance(device: str) -> None:
    arguments = slots(5, torch.float32, device, [0.0, 1.0]) | {"branching": 8}
    drawn = run(arguments)
    assert drawn.valid.all() and (drawn.holds[:, 4:] == 0).all()
    torch.testing.assert_close(drawn.holds.sum(1).cpu(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_a_large_vocabulary() -> None:
    check(slots(126464, torch.bfloat16, "cuda", [0.0, 0.5, 1.0]))
