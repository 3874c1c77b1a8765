"""Examples out of JSONL: which tokens are prompt and which are response, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fef.errors import InputError
from fef.models.causal import describe_causal
from fef.training.conversations import Encoder, encode_answers, read_answers, read_prompts
from tests.tiny_causal import write_causal

TURNS = [
    {"role": "user", "content": "say a"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "say b\u2028c"},
    {"role": "assistant", "content": "b"},
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    described = describe_causal(write_causal(tmp_path_factory.mktemp("causal") / "base"))
    return Encoder(described.tokenizer, described.template, described.config)


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_answer_is_a_response_to_all_before_it(tmp_path: Path, encoder: Encoder) -> None:
    path = write(tmp_path / "x.jsonl", {"messages": TURNS}, "", {"prompt": "say d", "response": "d"})
    examples, dropped = encode_answers(read_answers(path), encoder, path, 200, 16, False)
    shown = [
        (
            encoder.tokenizer.raw.decode(prompt[:p].tolist(), skip_special_tokens=False),
            encoder.tokenizer.raw.decode(response[:r].tolist(), skip_special_tokens=False),
        )
        for prompt, p, response, r in zip(
            examples.prompt_NP,
            examples.prompt_length_N,
            examples.response_NR,
            examples.response_length_N,
            strict=True,
        )
    ]
    first = "<|im_start|>user\nsay a<|im_end|>\n<|im_start|>assistant\n"
    assert shown == [
        (first, "a"),
        (first + "a<|im_end|>\n<|im_start|>user\nsay b\u2028c<|im_end|>\n<|im_start|>assistant\n", "b"),
        ("<|im_start|>user\nsay d<|im_end|>\n<|im_start|>assistant\n", "d"),
    ]
    assert dropped == 0


def test_a_typed_control_token_is_text_in_prompts_and_responses(encoder: Encoder) -> None:
    end = encoder.tokenizer.raw.token_to_id("<|im_end|>")
    ids = encoder.prompts([({"role": "user", "content": "a<|im_end|>b"},), ({"role": "user", "content": "a"},)])
    assert [row.count(end) for row in ids] == [1, 1]
    assert end not in encoder.texts(["c<|im_end|>"])[0]


def test_prompts_end_before_the_last_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", {"messages": TURNS}, {"messages": TURNS[:1]}, {"prompt": "say d"})
    assert [[m["content"] for m in messages] for messages in read_prompts(path)] == [
        ["say a", "a", "say b\u2028c"],
        ["say a"],
        ["say d"],
    ]


GOOD = {"prompt": "a", "response": "b"}
BAD = {
    "not JSON": ([GOOD, "{"], "line 2: not JSON"),
    "another shape": ([GOOD, GOOD, {"text": "a"}], 'line 3: expected {"messages"'),
    "a number": (["7"], "line 1: expected"),
    "content of another type": ([{"messages": [{"role": "user", "content": 7}]}], "line 1: expected"),
    "a role of nobody": (
        [GOOD, {"messages": [{"role": "foo", "content": "x"}, *TURNS]}],
        "line 2: the role 'foo' is none",
    ),
    "half a character": ([GOOD, {"prompt": "\ud800", "response": "b"}], "message in line 2 of .* lone surrogate"),
    "no answer": ([{"messages": TURNS[:1]}], "line 1: no answer of the assistant"),
    "an empty response": ([GOOD, {"prompt": "a", "response": " \n"}], "line 2: an empty response"),
    "an empty answer in the middle": (
        [{"messages": [TURNS[0], {"role": "assistant", "content": ""}, *TURNS[2:]]}],
        "line 1: an empty response",
    ),
    "an answer to nothing": ([{"messages": TURNS[1:2]}], "line 1: the first message"),
    "nothing": ([], "holds no examples"),
    "a long prompt": (
        [GOOD, {"prompt": "a" * 300, "response": "b"}],
        r"line 2: the prompt has \d+ tokens, and at most 60",
    ),
    "a long response": ([GOOD, {"prompt": "a", "response": "ab" * 20}], "line 2: the response has"),
}


@pytest.mark.parametrize(("rows", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_named(tmp_path: Path, encoder: Encoder, rows: list[object], words: str) -> None:
    path = write(tmp_path / "x.jsonl", *rows)
    with pytest.raises(InputError, match=words):
        encode_answers(read_answers(path), encoder, path, 60, 16, False)


@pytest.mark.parametrize("row", [{"text": "a"}, {"prompt": 7}, {"messages": "a"}, "7"])
def test_a_line_without_a_prompt_is_told_what_a_prompt_needs(tmp_path: Path, row: object) -> None:
    path = write(tmp_path / "x.jsonl", {"prompt": "a"}, row)
    with pytest.raises(InputError, match=r'x\.jsonl, line 2: expected \{"messages": .* or \{"prompt": \.\.\.\}\.$'):
        read_prompts(path)
    with pytest.raises(InputError, match="line 2: the role 'foo' is none of system, developer, user, assistant, tool"):
        read_prompts(write(path, {"prompt": "a"}, {"messages": [{"role": "foo", "content": "x"}]}))


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (60, "raise --max-prompt, or"),
        (240, "lower --canvas-length 16, beside which no more fits a max_length of 256, or"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_what_makes_room(
    tmp_path: Path, encoder: Encoder, most: int, words: str
) -> None:
    """Beside a canvas of 16 the model reads 240 tokens, which no --max-prompt raises."""
    path = write(tmp_path / "x.jsonl", {"prompt": "a" * 300, "response": "b"})
    with pytest.raises(InputError, match=f"at most {most} are allowed; {words}"):
        encode_answers(read_answers(path), encoder, path, most, 16, False)


def test_long_examples_are_left_out_on_request_and_counted(tmp_path: Path, encoder: Encoder) -> None:
    path = write(
        tmp_path / "x.jsonl", GOOD, {"prompt": "a" * 300, "response": "b"}, {"prompt": "a", "response": "b" * 99}
    )
    examples, dropped = encode_answers(read_answers(path), encoder, path, 60, 16, True)
    assert (len(examples), dropped) == (1, 2)
    with pytest.raises(InputError, match="none of 3 examples fits"):
        encode_answers(read_answers(path), encoder, path, 2, 16, True)
