"""`fef chat`, `fef generate --chat` and `fef info` on released checkpoints and on our own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch

import fef

DATA = Path(__file__).parents[1] / "golden" / "data"
LLADA = DATA / "llada" / "checkpoint"
SHORT = ("--max-new-tokens", 8, "--dtype", "float32", "--device", "cpu")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The prompts that the model was given."""
    seen: list[object] = []
    generate = fef.Model.generate
    monkeypatch.setattr(
        fef.Model, "generate", lambda self, prompt, **options: seen.append(prompt) or generate(self, prompt, **options)
    )
    return seen


def test_a_conversation_is_remembered(fef_cli, asked):
    result = fef_cli("chat", "--model", LLADA, "--system", "Be brief.", *SHORT, stdin="Hi\nAdd 1 and 2\n")
    assert result.exit_code == 0
    first, second = asked
    assert first == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert second[:2] == first
    assert second[2]["role"] == "assistant"
    assert second[2]["content"] in result.stdout
    assert second[3] == {"role": "user", "content": "Add 1 and 2"}


def test_a_terminal_is_told_what_can_be_asked_and_how_to_leave(shipped, tiny):
    from fef.cli.chat import greeting
    from fef.cli.options import QUESTION

    words = {name: greeting(fef.load(str(name), device="cpu", dtype=torch.float32)) for name in (shipped, tiny, LLADA)}
    assert all(text.endswith("An empty line or Ctrl-D ends the talk.") for text in words.values())
    assert QUESTION in words[shipped]
    assert "word problems" in words[shipped]
    assert "each line is a prompt of its own" in words[tiny]
    assert "hears all that was said before" in words[LLADA]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_greeting_is_for_terminals_and_not_for_pipes(tiny, monkeypatch, capsys, terminal):
    from fef.cli import chat

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
    chat.chat(model=str(tiny), device="cpu")
    printed = capsys.readouterr()
    assert ("Ctrl-D" in printed.err) == terminal
    assert "Ctrl-D" not in printed.out


def test_without_a_template_each_line_is_a_prompt(fef_cli, tiny, asked):
    assert fef_cli("chat", "--model", tiny, *SHORT, stdin="one\r\ntwo\n\nthree\n").exit_code == 0
    assert asked == ["one", "two"]  # an empty line ends the talk
    refused = fef_cli("chat", "--model", tiny, "--system", "Be brief.", stdin="one\n")
    assert refused.exit_code == 2
    assert "no chat template" in refused.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--temperature", "nan"], "temperature=nan is not allowed"),
        (["--set", "foo=1"], "fef has no option 'foo'"),
        (["--set", "temperature=1"], "fef has no option 'temperature'"),
        (["--method", "fefe"], "Unknown method 'fefe'"),
        (["--top-p", "0"], "top_p=0.0 is not allowed"),
        (["--seed", "-1"], "seed must be whole numbers"),
        (["--max-new-tokens", "0"], "max_new_tokens=0 must be a whole number of at least 1"),
    ],
)
@pytest.mark.parametrize("command", [["chat"], ["generate", "x"]], ids=" ".join)
def test_settings_are_refused_before_a_model_is_loaded(fef_cli, command, given, words):
    result = fef_cli(*command, "--model", "no such model", *given, stdin="")
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_settings_of_other_commands_are_refused_before_a_model_is_loaded(fef_cli, tmp_path):
    for command, words in (
        (["certify", "fef", "--set", "foo=1"], "fef has no option 'foo'"),
        (["eval", "gsm8k", "--data", tmp_path, "--temperature", "inf"], "temperature=inf is not allowed"),
        (["bench", "--temperature", "-1"], "temperature=-1.0 is not allowed"),
    ):
        result = fef_cli(*command, "--model", "no such model")
        assert result.exit_code == 2
        assert words in result.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--set", "verify=packed"], "was not trained for the packed attention pattern"),
        (["--max-new-tokens", "5000"], "Ask for at most"),
        (["--method", "ssd", "--temperature", "1"], "is defined at temperature 0"),
    ],
)
def test_what_a_model_cannot_do_is_said_before_the_talk_begins(fef_cli, given, words):
    result = fef_cli("chat", "--model", LLADA, "--device", "cpu", *given, stdin="")
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_talk_that_grows_too_long_goes_on(fef_cli, asked):
    long = "word " * 5000
    result = fef_cli("chat", "--model", LLADA, *SHORT, stdin=f"Hi\n{long}\nHi again\n")
    assert result.exit_code == 0
    assert "Shorten the prompt" in result.stderr
    assert [m["content"] for m in asked[2]][::2] == ["Hi", "Hi again"]


def test_generate_through_the_template(fef_cli, asked):
    plain = fef_cli("generate", "Hi", "--model", LLADA, *SHORT)
    chat = fef_cli("generate", "Hi", "--model", LLADA, "--chat", *SHORT)
    assert (plain.exit_code, chat.exit_code) == (0, 0)
    assert asked == ["Hi", [{"role": "user", "content": "Hi"}]]
    assert "--chat gives it one" in plain.stderr
    assert "--chat" not in chat.stderr


def test_unknown_dtypes_are_refused(fef_cli, tiny):
    result = fef_cli("generate", "Hi", "--model", tiny, "--dtype", "bfloat32")
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr


def test_info_on_released_checkpoints(fef_cli, tmp_path):
    known = {
        "llada": ("LLaDA", "bidirectional", False, False, None),
        "illada": ("LLaDA", "bidirectional", False, False, None),
        "dream": ("Dream", "bidirectional", True, False, None),
        "sdar": ("SDAR", "block-causal", False, True, None),
        "llada2-moe": ("LLaDA2", "block-causal", False, True, 16),
    }
    for name, facts in known.items():
        found = json.loads(fef_cli("info", DATA / name / "checkpoint", "--json").stdout)
        assert tuple(found[key] for key in ("family", "attention", "shift", "block_cache", "experts")) == facts
        assert found["laws"]
    (tmp_path / "config.json").write_text((LLADA / "config.json").read_text())  # no weights at all
    table = fef_cli("info", tmp_path).stdout
    assert "225,728" in table
    assert "no tokenizer" in table
    sdar = fef_cli("info", DATA / "sdar" / "checkpoint").stdout
    assert "blocks of 4" in sdar
    assert "exact cache of finished blocks" in sdar


@pytest.mark.parametrize("line", [b"caf\xe9\n", b"\xff\xfeH\x00i\x00\n", b"one \xed\xa0\xbd\n"])
def test_lines_that_are_not_utf_8_are_named(fef_cli, tiny, asked, line):
    result = fef_cli("chat", "--model", tiny, *SHORT, stdin=b"one\n" + line)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "standard input is not UTF-8 (byte" in result.stderr
    assert asked == ["one"]
    assert fef_cli("chat", "--model", tiny, *SHORT, stdin="café 漢字\n".encode()).exit_code == 0
    assert asked[1:] == ["café 漢字"]


def test_a_system_message_that_is_not_utf_8_is_named(fef_cli):
    result = fef_cli("chat", "--model", LLADA, "--system", "caf\udce9", *SHORT, stdin="Hi\n")
    assert result.exit_code == 2
    assert "The system message" in result.stderr and "is not UTF-8" in result.stderr


def test_a_broken_template_ends_a_chat_with_one_error(fef_cli, tmp_path):
    for file in LLADA.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    result = fef_cli("chat", "--model", tmp_path, *SHORT, stdin="Hi\nHi again\n")
    assert result.exit_code == 2
    assert result.stderr.count("chat template of the checkpoint is broken") == 1
    assert fef_cli("generate", "Hi", "--model", tmp_path, *SHORT).exit_code == 0
