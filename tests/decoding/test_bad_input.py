"""Bad arguments give one sentence: what was given, what is allowed, how to fix it. Nothing runs before it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny_network import MASK, tiny_network, tiny_policy
from torch import Tensor

import fef
from tests.tiny_tables import empty_rows, inconsistent


class Plain:
    """A denoiser that offers nothing but a mask id, and returns what it is told to."""

    mask_id = 3

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def __call__(self, ids: Tensor) -> Any:
        return torch.zeros(*ids.shape, 4) if self.answer is None else self.answer(ids)


BAD_OPTIONS = [
    ({"method": "fefe"}, ["fefe", "Did you mean 'fef'", "sequential"]),
    ({"method": "low_confidence"}, ["low_confidence", "Did you mean 'low-confidence'"]),
    ({"method": ["fef"]}, ["Unknown method", "fef"]),
    ({"windw": 4}, ["windw", "Did you mean 'window'", "accept"]),
    ({"method": "random", "window": 4}, ["random has no option 'window'", "Allowed: after_eos, block_length"]),
    ({"window": 0}, ["window=0", "at least 1"]),
    ({"window": 2.0}, ["window=2.0", "whole number"]),
    ({"window": True}, ["window=True", "whole number"]),
    ({"window": "4"}, ["window='4'", "whole number"]),
    ({"anchors": -1}, ["anchors=-1", "at least 0"]),
    ({"tree": 65}, ["tree=65", "64"]),
    ({"tree": -1}, ["tree=-1", "at least 0"]),
    ({"tree": 8.0}, ["tree=8.0", "whole number"]),
    ({"depth": 0}, ["depth=0", "at least 1"]),
    ({"tree": 8}, ["tree=8", "packed", "tree=0"]),
    ({"tree": 8, "verify": "rows"}, ["tree=8", "packed", "tree=0"]),
    ({"steps": 0}, ["steps=0", "at least 1"]),
    ({"steps": -3}, ["steps=-3", "at least 1"]),
    ({"steps": None}, ["steps=None", "at least 1"]),
    ({"block_length": 0}, ["block_length=0", "at least 1"]),
    ({"method": "random", "tokens_per_step": 0}, ["tokens_per_step=0", "at least 1"]),
    ({"method": "random", "tokens_per_step": 2, "steps": 2}, ["not both"]),
    ({"accept": "greedy"}, ["accept='greedy'", "coupled, rejection"]),
    ({"remask": "lowconfidence"}, ["Did you mean 'low-confidence'"]),
    ({"draft": "reused"}, ["Did you mean 'reuse'"]),
    ({"verify": "row"}, ["Did you mean 'rows'"]),
    ({"order": "random-order"}, ["Did you mean 'random'"]),
    ({"order": "blocks"}, ["block_length", "block_length=32"]),
    ({"method": "sequential", "order": "blocks"}, ["block_length"]),
    ({"schedule": "cos"}, ["Did you mean 'cosine'"]),
    ({"bonus": 1}, ["bonus=1", "True or False"]),
    ({"verify": "packed"}, ["not trained for the packed", 'verify="rows"']),
    ({"method": "sequential", "verify": "auto"}, ["rows", "packed"]),
    ({"temperature": -0.1}, ["temperature=-0.1", ">= 0", "greedy"]),
    ({"temperature": math.nan}, ["temperature=nan", "finite"]),
    ({"temperature": math.inf}, ["temperature=inf", "finite"]),
    ({"temperature": [0.0, -1.0]}, ["temperature=-1.0"]),
    ({"top_p": 0.0}, ["top_p=0.0", "(0, 1]", "Use 1"]),
    ({"top_p": 1.01}, ["top_p=1.01", "(0, 1]"]),
    ({"top_p": math.nan}, ["top_p=nan", "(0, 1]"]),
    ({"top_k": -1}, ["top_k=-1", ">= 0", "Use 0"]),
    ({"top_k": 1.5}, ["top_k=1.5", "integer"]),
    ({"top_k": 2**63}, ["top_k=9223372036854775808", "below 2^63"]),
    ({"top_k": 10**5000}, ["top_k=", "one number"]),
    ({"top_k": True}, ["top_k=True", "one number"]),
    ({"temperature": True}, ["temperature=True", "one number"]),
    ({"temperature": [0.0, False]}, ["temperature=[0.0, False]", "one number"]),
    ({"temperature": 10**400}, ["temperature=1000", "one number"]),
    ({"top_p": np.True_}, ["top_p=", "one number"]),
    ({"window": torch.tensor(True)}, ["window=tensor(True)", "whole number"]),
    ({"window": 2**63}, ["window=9223372036854775808", "at most 2^63 - 1"]),
    ({"survival": True}, ["survival=True", "a number from 0 to 1"]),
    ({"accept": np.array(["coupled"])}, ["accept=array", "coupled, rejection"]),
]


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS)
def test_options_are_refused_by_decode_and_certify(options, words):
    def untouchable(_ids: Tensor) -> Tensor:
        raise AssertionError("ran before the arguments were checked")

    denoiser = Plain(untouchable)
    for call in (lambda: fef.decode(denoiser, empty_rows(2), **options), lambda: fef.certify(denoiser, **options)):
        with pytest.raises(fef.OptionError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert all(word in str(caught.value) for word in words)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, ["seed", "0 to 2^63 - 1", "-1"]),
        ({"seed": 2**63 - 1}, ["seed", "2^63 - 1"]),  # the second row would need one more
        ({"seed": 1.5}, ["seed", "1.5"]),
        ({"seed": True}, ["seed", "True"]),
        ({"seed": [4, np.False_]}, ["seed", "whole numbers", "False"]),
        ({"seed": "ab"}, ["seed", "'ab'"]),
        ({"seed": [1]}, ["seed has 1 values for 2 rows"]),
        ({"temperature": [1.0, 1.0, 1.0]}, ["temperature has 3 values for 2 rows", "one per row"]),
        ({"eos_id": -1}, ["eos_id must be a token id", "-1"]),
        ({"eos_id": "2"}, ["eos_id must be a token id", "'2'"]),
        ({"eos_id": 2**63}, ["eos_id must be a token id", "2^63 - 1"]),
        ({"eos_id": False}, ["eos_id must be a token id", "False"]),
        ({"banned": 1}, ["banned=1", "list of token ids"]),
        ({"banned": None}, ["banned=None", "list of token ids"]),
        ({"banned": "12"}, ["banned='12'", "list of token ids"]),
        ({"banned": [2**64]}, ["banned must be a token id", "2^63 - 1"]),
        ({"banned": [True]}, ["banned must be a token id", "True"]),
        ({"on_round": 3}, ["on_round=3", "give a function"]),
        ({"eos_id": 4}, ["eos_id 4", "vocabulary of 4"]),
        ({"eos_id": 3}, ["eos_id 3", "mask id"]),
        ({"eos_id": 1, "banned": [1]}, ["eos_id 1 is banned"]),
        ({"banned": [7]}, ["banned 7", "vocabulary of 4"]),
        ({"banned": [0, 1, 2], "temperature": 1.0}, ["No token is allowed", "Ban fewer"]),
    ],
)
def test_options_of_decode_are_refused(options, words):
    with pytest.raises(fef.FefError) as caught:
        fef.decode(inconsistent(), empty_rows(2), **options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("number", [np.int64, np.array, torch.tensor])
def test_numbers_of_any_library_do_what_those_of_python_do(number):
    plain = {"seed": 4, "top_k": 2, "eos_id": 0, "window": 3}
    rest = {"temperature": np.float32(0.5), "top_p": torch.tensor(0.75), "banned": np.array([1])}
    given = fef.decode(inconsistent(), empty_rows(2), **{k: number(v) for k, v in plain.items()}, **rest)
    same = fef.decode(inconsistent(), empty_rows(2), **plain, temperature=0.5, top_p=0.75, banned=[1])
    assert torch.equal(given.ids, same.ids)
    assert given.certificate == same.certificate


def test_values_a_row_of_any_library():
    seeds, temperatures = [5, 3], [0.5, 1.0]
    same = fef.decode(inconsistent(), empty_rows(2), seed=seeds, temperature=temperatures)
    for kind in (tuple, np.array, torch.tensor):
        given = fef.decode(inconsistent(), empty_rows(2), seed=kind(seeds), temperature=kind(temperatures))
        assert torch.equal(given.ids, same.ids)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": "hot"}, ["temperature='hot'", "one number"]),
        ({"temperature": None}, ["temperature=None", "one number"]),
        ({"temperature": []}, ["temperature=[]", "one per row"]),
        ({"top_p": None}, ["top_p=None", "one number"]),
        ({"top_k": "all"}, ["top_k='all'", "one number"]),
        ({"eos_id": 9}, ["9", "4 logits", "inside its vocabulary"]),
        ({"banned": [9]}, ["9", "4 logits", "inside its vocabulary"]),
        ({"draft": lambda _canvas, _slots: torch.zeros(1)}, ["drafter returned (1,)", "[B, L, V]"]),
        ({"draft": lambda _canvas, slots: torch.zeros(*slots.shape, 3)}, ["drafter returned 3 logits"]),
    ],
)
def test_values_of_a_wrong_type_are_refused(options, words):
    with pytest.raises(fef.FefError) as caught:
        fef.decode(Plain(), empty_rows(2), **options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([[3, 3, 3, 3]], ["shape [B, L]", "list"]),
        (torch.full((4,), 3), ["shape [B, L]", "(4,)", "ids[None]"]),
        (torch.full((1, 1, 4), 3), ["(1, 1, 4)"]),
        (torch.full((1, 4), 3.0), ["integers", "float32", "ids.long()"]),
        (torch.ones(1, 4, dtype=torch.bool), ["integers", "bool"]),
        (torch.tensor([[0, 1, 2, 4]]), ["4", "outside the vocabulary", "0 to 3"]),
        (torch.tensor([[0, -1, 2, 3]]), ["-1", "outside the vocabulary"]),
        (torch.zeros(0, 4).long(), ["no position", "at least one row"]),
        (torch.zeros(2, 0).long(), ["no position"]),
        (torch.full((1, 5), 3), ["[B, 4]"]),
        (torch.full((1, 4), 3).to_sparse(), ["dense", "sparse"]),
        (torch.full((1, 4), 3, device="meta"), ["dense", "meta"]),
        (torch.full((1, 4), 3 + 0j), ["integers", "complex64"]),
    ],
)
def test_wrong_ids_are_refused(ids, words):
    with pytest.raises(fef.InputError) as caught:
        fef.decode(inconsistent(), ids)
    assert all(word in str(caught.value) for word in words)


def test_nested_ids_are_refused():
    with pytest.warns(UserWarning, match="nested"):
        nested = torch.nested.nested_tensor([torch.tensor([3, 3]), torch.tensor([3])])
    with pytest.raises(fef.InputError, match="nested"):
        fef.decode(inconsistent(), nested)


def test_ids_beyond_the_logits_are_found_after_the_first_pass_and_only_then():
    ids = torch.tensor([[9, 3, 3, 3]])
    with pytest.raises(fef.InputError, match=r"ids hold 9.*0 to 3, by the denoiser's logits"):
        fef.decode(Plain(), ids)
    filled = torch.tensor([[9, 8, 7, 6]])
    assert torch.equal(fef.decode(Plain(), filled).ids, filled)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.int8, torch.uint16])
def test_other_integers_are_ids_too(dtype):
    out = fef.decode(inconsistent(), empty_rows(2).to(dtype))
    assert out.ids.dtype == torch.int64
    assert torch.equal(out.ids, fef.decode(inconsistent(), empty_rows(2)).ids)


@pytest.mark.parametrize(
    ("open_", "words"),
    [
        (torch.ones(1, 4), ["bool tensor of shape (2, 4)", "float32"]),
        (torch.ones(1, 4, dtype=torch.bool), ["(2, 4)", "(1, 4)"]),
        (torch.ones(2, 4, dtype=torch.bool).to_sparse(), ["bool tensor", "sparse"]),
        (torch.ones(2, 4, dtype=torch.bool, device="meta"), ["bool tensor", "meta"]),
        ([True], ["bool tensor", "list"]),
    ],
)
def test_wrong_open_is_refused(open_, words):
    with pytest.raises(fef.InputError) as caught:
        fef.decode(inconsistent(), empty_rows(2), open=open_)
    assert all(word in str(caught.value) for word in words)


def test_wrong_lengths_are_refused():
    network = tiny_network()
    ids = torch.full((2, 6), MASK)
    wrong = ([6], [0, 6], [6, 7], [[6, 6]], "66", [math.nan, 6], [2**63, 6], [5.5, 6], [True, 6], 6, torch.ones(2) * 6)
    for lengths in wrong:
        with pytest.raises(fef.InputError, match="2 numbers from 1 to 6"):
            fef.decode(network, ids, lengths=lengths)
    with pytest.raises(fef.InputError, match=r"behind the length.*shorten"):
        fef.decode(network, ids, lengths=[6, 3])
    with pytest.raises(fef.InputError, match=r"equal length.*one by one"):
        fef.decode(inconsistent(), empty_rows(2), lengths=[4, 3], open=torch.tensor([[True] * 3 + [False]] * 2))


def test_a_canvas_longer_than_the_network_allows():
    with pytest.raises(fef.InputError, match=r"9 positions.*allows 8.*[Ss]horten the prompt"):
        fef.decode(tiny_network(max_length=8), torch.full((1, 9), MASK))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda ids: torch.full((*ids.shape, 4), math.nan), ["nan", "finite or -inf"]),
        (lambda ids: torch.full((*ids.shape, 4), math.inf), ["+inf", "overflow"]),
        (lambda ids: torch.full((*ids.shape, 4), -math.inf), ["No token is allowed"]),
        (lambda ids: torch.zeros(*ids.shape), ["(1, 4)", "[B, L, V]"]),
        (lambda ids: torch.zeros(len(ids), 3, 4), ["(1, 3, 4)", "[B, L, V]"]),
        (lambda ids: torch.zeros(*ids.shape, 3), ["3 logits", "mask_id is 3", "-inf"]),
        (lambda ids: torch.zeros(*ids.shape, 4).long(), ["int64", "floating point"]),
        (lambda _ids: [0.0], ["list", "[B, L, V]"]),
        (lambda ids: torch.zeros(*ids.shape, 4).to(torch.float8_e4m3fn), ["float8", "16 bits", "logits.float()"]),
        (lambda ids: torch.zeros(*ids.shape, 4) + 0j, ["complex64", "floating point"]),
        (lambda ids: torch.zeros(*ids.shape, 4).to_sparse(), ["sparse", "dense"]),
        (lambda ids: torch.zeros(*ids.shape, 4, device="meta"), ["on meta", "on cpu", "logits.to(ids.device)"]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"method": "low-confidence"}, {"temperature": 1.0, "draft": "fresh"}])
def test_wrong_logits_are_refused(answer, words, options):
    with pytest.raises(fef.DenoiserError) as caught:
        fef.decode(Plain(answer), empty_rows(1), **options)
    assert all(word in str(caught.value) for word in words)


def test_nan_at_one_slot_of_one_row_is_found():
    def answer(ids: Tensor) -> Tensor:
        logits = torch.zeros(*ids.shape, 4)
        logits[-1, 2, 1] = math.nan
        return logits

    for temperature in (0.0, 1.0):
        with pytest.raises(fef.DenoiserError, match="nan"):
            fef.decode(Plain(answer), empty_rows(3), temperature=temperature, method="sequential")


@pytest.mark.parametrize("widths", [(4, 5), (5, 4)])
@pytest.mark.parametrize("method", ["fef", "sequential", "low-confidence"])
def test_a_vocabulary_that_changes_between_calls_is_refused(widths, method):
    given = iter([*widths, *widths])
    with pytest.raises(
        fef.DenoiserError, match=rf"{widths[1]} logits per position and the denoiser {widths[0]} before"
    ):
        fef.decode(Plain(lambda ids: torch.zeros(*ids.shape, next(given))), empty_rows(1), method=method)


@pytest.mark.parametrize(
    "network",
    [Plain(lambda ids: torch.zeros(*ids.shape, 4)), tiny_network(vocab_size=4, mask_id=3)],
    ids=["rows", "packed"],
)
def test_a_drafter_of_another_vocabulary_is_refused(network):
    with pytest.raises(fef.DenoiserError, match=r"drafter returned 5 logits per position and the denoiser 4"):
        fef.decode(network, empty_rows(1), draft=lambda _canvas, slots: torch.zeros(*slots.shape, 5))


def test_errors_of_the_denoiser_name_the_call_the_ids_and_the_cause():
    embedding = torch.nn.Embedding(4, 4)
    with pytest.raises(
        fef.DenoiserError, match=r"Plain failed at its call 1, on ids \[1, 4\] from 3 to 9: IndexError"
    ) as e:
        fef.decode(Plain(embedding), torch.tensor([[9, 9, 9, 3]]))
    assert isinstance(e.value.__cause__, IndexError)

    def second_call_fails(_ids: Tensor, calls: list[int] = []) -> Tensor:  # noqa: B006
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("layer 3")
        return torch.zeros(1, 4, 4)

    with pytest.raises(fef.DenoiserError, match=r"call 2, .* from 0 to 3: KeyError: 'layer 3'"):
        fef.decode(Plain(second_call_fails), empty_rows(1), method="sequential")
    with pytest.raises(fef.DenoiserError, match=r"drafter failed, .*ZeroDivisionError"):
        fef.decode(Plain(), empty_rows(1), draft=lambda _canvas, _slots: 1 / 0)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), MemoryError("full"), torch.OutOfMemoryError("full"), fef.InputError("own")]
)
def test_interrupts_missing_memory_and_errors_of_fef_pass_as_they_are(error):
    def fails(_ids: Tensor) -> Tensor:
        raise error

    with pytest.raises(type(error)) as caught:
        fef.decode(Plain(fails), empty_rows(1))
    assert caught.value is error


def test_what_on_round_raises_stays_what_it_is():
    error = ZeroDivisionError("mine")

    def observer(_round: Any) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        fef.decode(Plain(), empty_rows(1), on_round=observer)
    assert caught.value is error


@pytest.mark.parametrize("mask_id", [True, -1, 2**63, 3.0, "3"])
def test_a_mask_id_is_a_token_id(mask_id):
    denoiser = Plain()
    denoiser.mask_id = mask_id
    with pytest.raises(fef.InputError, match=r"not a denoiser.*mask_id"):
        fef.decode(denoiser, empty_rows(1))
    denoiser.mask_id = np.int64(3)  # type: ignore[assignment]
    assert torch.equal(fef.decode(denoiser, empty_rows(1)).ids, fef.decode(Plain(), empty_rows(1)).ids)


def test_things_that_are_no_denoiser():
    for thing in (object(), lambda ids: ids, 3):
        with pytest.raises(fef.InputError, match=r"not a denoiser.*mask_id"):
            fef.decode(thing, empty_rows(1))
    with pytest.raises(fef.OptionError, match="vocab_size"):
        fef.decode(Plain(), empty_rows(1), draft="random")


def test_uniform_noise_has_its_own_methods():
    noisy = fef.TableDenoiser(torch.full((2, 2), 0.25), noise=fef.UniformNoise(2))
    for method in ("random", "low-confidence"):
        with pytest.raises(fef.OptionError, match=r'absorbing noise.*method="fef"'):
            fef.decode(noisy, empty_rows(1, 2, 2), method=method)


def test_any_callable_with_a_mask_id_decodes():
    def denoiser(ids: Tensor) -> Tensor:
        return torch.zeros(*ids.shape, 4, dtype=torch.float16)

    denoiser.mask_id = 3  # type: ignore[attr-defined]
    denoiser.information_profile = (1.0, 0.5)  # type: ignore[attr-defined]
    denoiser.causal_model = denoiser  # type: ignore[attr-defined]
    denoiser.unmask_policy = tiny_policy()  # type: ignore[attr-defined]
    ids = empty_rows(2)
    ids[:, 0] = 1  # what a causal model begins with
    for method, info in fef.methods().items():
        temperature = 0.0 if method in ("ssd", "freedave") else 1.0
        if info.needs.startswith(("a fef Transformer", "a network trained for the packed pattern")):
            with pytest.raises(fef.OptionError, match=r"needs a fef Transformer|not trained for the packed"):
                fef.decode(denoiser, ids, method=method, temperature=temperature)
        else:
            out = fef.decode(denoiser, ids, method=method, temperature=temperature)
            assert bool((out.ids < 3).all())
