import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

KEYS = {"text", "token_ids", "logprobs", "finish_reason", "stats", "certificate", "method", "options", "seed"}


def generate_json(fef_cli, tiny, *arguments, stdin=None):
    result = fef_cli("generate", *arguments, "--model", tiny, "--max-new-tokens", 12, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_the_generation_and_what_made_it(fef_cli, tiny):
    settings = ["--temperature", 1, "--seed", 7, "--window", 4, "--set", "accept=rejection", "--set", "bonus=false"]
    out = generate_json(fef_cli, tiny, "Tom has 12 apples.", *settings)
    assert out.keys() == KEYS
    assert out["options"] == {"window": 4, "accept": "rejection", "bonus": False}
    assert (out["method"], out["seed"], out["certificate"]["kind"]) == ("fef", 7, "chain")
    assert len(out["token_ids"]) == len(out["logprobs"])
    assert out["stats"]["calls"] >= 1


def test_plain_output_is_the_text_and_on_stderr_the_law_and_the_cost(fef_cli, tiny):
    result = fef_cli("generate", "Tom", "--model", tiny, "--max-new-tokens", 12)
    wanted = generate_json(fef_cli, tiny, "Tom")
    assert result.stdout == wanted["text"] + "\n"
    law, cost = result.stderr.splitlines()
    assert law == "greedy: " + wanted["certificate"]["law"]
    assert f"{wanted['stats']['calls']} passes" in cost
    assert "tokens per pass" in cost


def test_file_standard_input_and_argument_give_the_same(fef_cli, tiny, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Zoë has 3 hats.\n", encoding="utf-8")
    sampled = ["--temperature", 1]
    ways = [
        generate_json(fef_cli, tiny, "Zoë has 3 hats.", *sampled),
        generate_json(fef_cli, tiny, "--file", path, *sampled),
        generate_json(fef_cli, tiny, *sampled, stdin="Zoë has 3 hats.\n"),
        generate_json(fef_cli, tiny, "-", *sampled, stdin="Zoë has 3 hats."),
    ]
    assert len({tuple(way["token_ids"]) for way in ways}) == 1


def test_empty_prompt_suffix_and_a_typed_mask_are_text(fef_cli, tiny):
    assert generate_json(fef_cli, tiny, "")["stats"]["committed"] >= 1
    assert generate_json(fef_cli, tiny, "a <mask> b", "--suffix", " the end <mask>")["stats"]["committed"] <= 12


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n", "\ufeff".encode()])
def test_standard_input_and_files_without_a_prompt_are_refused(fef_cli, tiny, tmp_path, raw):
    path = tmp_path / "prompt.txt"
    path.write_bytes(raw)
    for asked, source in ((["--file", path], path), ([], "standard input"), (["-"], "standard input")):
        result = fef_cli("generate", *asked, "--model", tiny, stdin=raw)
        assert result.exit_code == 2
        assert result.stderr.startswith(
            f"fef: error: There is no prompt in {source}. Put one there, or ask for the empty"
        )
    assert generate_json(fef_cli, tiny, stdin=" ")["text"] is not None  # a space is a prompt


BAD = {
    "unknown method": (["x", "--method", "feff"], "Did you mean 'fef'"),
    "unknown option": (["x", "--set", "windw=3"], "Did you mean 'window'"),
    "not an option": (["x", "--set", "window"], "name=value"),
    "option given twice": (["x", "--set", "window=3", "--window", "4"], "give one"),
    "option repeated": (["x", "--set", "window=3", "--set", "window=4"], "given twice"),
    "window": (["x", "--window", "0"], "at least 1"),
    "steps": (["x", "--steps", "-1"], "at least 1"),
    "fraction": (["x", "--set", "window=2.5"], "whole number"),
    "verify": (["x", "--verify", "row"], "Did you mean 'rows'"),
    "temperature": (["x", "--temperature", "-1"], "temperature"),
    "nan": (["x", "--temperature", "nan"], "temperature"),
    "top-p 0": (["x", "--top-p", "0"], "top_p"),
    "top-p": (["x", "--top-p", "1.5"], "top_p"),
    "top-k": (["x", "--top-k", "-1"], "top_k"),
    "seed": (["x", "--seed", "-1"], "seed"),
    "no room": (["x", "--max-new-tokens", "0"], "at least 1"),
    "long prompt": (["word " * 2000], "Shorten the prompt"),
    "long answer": (["x", "--max-new-tokens", "2000"], "Ask for at most"),
    "device": (["x", "--device", "gpu"], "--device cpu"),
    "no memory": (["x", "--device", "meta"], "--device cpu"),
    "two prompts": (["x", "--file", "y"], "give one"),
    "missing file": (["--file", "missing.txt"], "No such file"),
    "directory": (["--file", "."], "directory"),
    "lone bytes": (["caf\udce9"], "not UTF-8"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_exit_2(fef_cli, tiny, arguments, words):
    result = fef_cli("generate", *arguments, "--model", tiny)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("fef: error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_bytes_that_are_not_utf8_exit_2(fef_cli, tiny, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9")
    for result in (
        fef_cli("generate", "--file", path, "--model", tiny),
        fef_cli("generate", "--model", tiny, stdin=b"caf\xe9"),
    ):
        assert result.exit_code == 2
        assert "not UTF-8 (byte 3)" in result.stderr


@pytest.mark.parametrize("damage", ["missing", "truncated", "pickled", "config"])
def test_bad_model_directories_exit_2(fef_cli, tiny, tmp_path, damage):
    path = tmp_path / "model"
    if damage != "missing":
        path.mkdir()
        for file in tiny.iterdir():
            (path / file.name).write_bytes(file.read_bytes())
    weights = path / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    if damage == "pickled":
        weights.rename(path / "pytorch_model.bin")
    if damage == "config":
        (path / "config.json").write_text("{")
    for command in (["generate", "x", "--model", path], ["info", path], ["certify", "fef", "--model", path]):
        result = fef_cli(*command)
        assert result.exit_code == 2
        assert result.stderr.startswith("fef: error: ")
        assert result.stderr.count("\n") == 1


def test_watch_prints_nothing_extra_without_a_terminal(fef_cli, tiny):
    plain, watched = (
        fef_cli("generate", "Tom", "--model", tiny, "--max-new-tokens", 12, *flag) for flag in ([], ["--watch"])
    )
    assert watched.stdout == plain.stdout
    assert len(watched.stderr.splitlines()) == 2


def heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_while_watching_restores_the_terminal_and_exits_130(tiny):
    ours, theirs = pty.openpty()
    arguments = ["Tom", "--watch", "--model", str(tiny), "--max-new-tokens", "900", "--method", "low-confidence"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fef", "generate", *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "OMP_NUM_THREADS": "1"},
        # a test run in the background of a shell would pass on that it ignores the signal
        preexec_fn=heed_interrupts,
    )
    os.close(theirs)
    seen, sent = b"", False
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        seen += chunk
        if not chunk:
            break
        if not sent and b"round 3" in seen:
            process.send_signal(signal.SIGINT)
            sent = True
    out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert sent
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in seen
    assert b"still masked" in seen
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")  # the cursor is back


def test_python_m_fef_answers_from_a_pipe(tiny):
    done = subprocess.run(
        [sys.executable, "-m", "fef", "generate", "--model", str(tiny), "--max-new-tokens", "8", "--json"],
        input=b"Tom has 12 apples.\n",
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout).keys() == KEYS
    assert done.stderr == b""


@pytest.mark.parametrize("format", ["int8", "fp8"])
def test_quantized_weights_are_in_the_certificate(fef_cli, tiny, format):
    certificate = generate_json(fef_cli, tiny, "Tom", "--weights", format)["certificate"]
    assert f"tiny with {format} weights" in certificate["law"]
    assert any(reason.startswith(f"weights: {format}") for reason in certificate["reasons"])
    law = fef_cli("certify", "fef", "--model", tiny, "--weights", format).stdout.splitlines()[0]
    assert law == f"{certificate['kind']}: {certificate['law']}"


@pytest.mark.parametrize(
    "command", [["generate", "x"], ["chat"], ["bench", "--n", 1], ["certify", "fef"], ["info", "demo"]]
)
def test_an_unknown_weight_format_is_refused(fef_cli, command):
    result = fef_cli(*command, "--weights", "int4", stdin="x\n")
    assert result.exit_code == 2
    assert "Unknown weight format 'int4'. Did you mean 'int8'? Allowed: fp8, int8." in result.stderr


@pytest.mark.parametrize(
    "option", [("--top-k", 10**23), ("--seed", 10**23), ("--max-new-tokens", 10**23), ("--set", f"window={10**23}")]
)
def test_numbers_beyond_64_bits_are_refused_in_one_sentence(fef_cli, tiny, option):
    result = fef_cli("generate", "x", "--model", tiny, *option)
    assert result.exit_code == 2
    assert result.stderr.startswith("fef: error: ")
    assert len(result.stderr.splitlines()) == 1
