"""Own texts, the training of a draft head, and its place beside the weights: the commands in turn."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import fef
from fef.corpus.own import app as own_app
from fef.corpus.own import example_lines, fitting
from fef.errors import CheckpointError, OptionError
from fef.models.checkpoint import save_checkpoint
from fef.models.draft_head_file import DRAFT_HEAD
from fef.training.own_text import OwnText, read_own_texts

LLADA = Path(__file__).parents[1] / "golden" / "data" / "llada" / "checkpoint"
TRAIN = ["--batch-size", 4, "--steps", 2, "--log-every", 1, "--device", "cpu"]


def own(*arguments):
    return CliRunner().invoke(own_app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def texts(tiny, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "own.jsonl"
    made = own(
        "--model", tiny, "--tasks", "joint", "--count", 4, "--max-new-tokens", 12, "--device", "cpu", "--out", path
    )
    assert made.exit_code == 0, made.output
    return path


@pytest.fixture(scope="module")
def with_head(tiny, texts, tmp_path_factory) -> Path:
    """A model directory with a head beside its weights."""
    from fef.cli.app import app

    path = tmp_path_factory.mktemp("models") / "with-head"
    shutil.copytree(tiny, path)
    arguments = ["train", "--objective", "draft-head", "--init", tiny, "--data", texts, "--out", path, *TRAIN, "--json"]
    result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="fef")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["losses"]["step"] == 2
    return path


def test_own_texts_as_examples_are_those_that_end_and_say_something(tiny):
    model = fef.load(tiny, device="cpu")
    end, words = model.network.config.eos_id, model.tokenizer.encode("It is 7.")

    def said(prompt, response):
        return prompt, OwnText([5], response, 12, 0.0, 0)

    talk = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}]
    lines = example_lines(
        model, [said("a", [*words, end]), said("a", words), said("a", [end]), said(talk, [*words, end])]
    )
    answer = {"role": "assistant", "content": "It is 7."}
    assert [json.loads(line)["messages"] for line in lines] == [
        [{"role": "user", "content": "a"}, answer],
        [*talk, answer],
    ]


def test_prompts_of_own_texts_take_the_form_that_a_checkpoint_is_asked_in(tiny):
    alone, templated = fef.load(tiny, device="cpu"), fef.load(LLADA, device="cpu")
    message = {"role": "user", "content": "a"}
    assert [fitting(prompt, alone) for prompt in ("a", [message])] == ["a", "a"]
    assert [fitting(prompt, templated) for prompt in ("a", [message])] == [[message], [message]]


def test_own_texts_are_those_of_generate(tiny, texts):
    model = fef.load(tiny, device="cpu")
    found = read_own_texts(texts, model.network.config)
    assert [text.temperature for text in found] == [0.0, 0.7] * 4
    assert [text.seed for text in found] == list(range(8))
    for text in found[:4]:
        prompt = model.tokenizer.decode(text.prompt[:-1])
        said = model.generate(prompt, max_new_tokens=12, temperature=text.temperature, seed=text.seed)
        assert text.response[: len(said.token_ids)] == said.token_ids
        assert len(text.response) - len(said.token_ids) == (said.finish_reason == "stop")


def test_a_head_lies_beside_the_weights_and_leaves_them_alone(tiny, with_head):
    assert {p.name for p in with_head.iterdir()} - {p.name for p in tiny.iterdir()} == {
        DRAFT_HEAD,
        "draft_head.losses.jsonl",
    }
    for file in tiny.iterdir():
        assert (with_head / file.name).read_bytes() == file.read_bytes()
    rows = [json.loads(line) for line in (with_head / "draft_head.losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2] and {"loss", "accepted", "marginals", "seconds"} <= rows[0].keys()


def test_a_head_is_loaded_unless_it_is_switched_off(tiny, with_head):
    assert fef.load(tiny, device="cpu").network.extras.draft_head is None
    assert fef.load(with_head, device="cpu").network.extras.draft_head is not None
    assert fef.load(with_head, device="cpu", head="none").network.extras.draft_head is None
    assert fef.load(with_head, device="cpu", weights="int8").network.extras.draft_head is None
    half = fef.load(with_head, device="cpu", dtype=torch.bfloat16).network.extras.draft_head
    assert half.q.weight.dtype is torch.bfloat16
    with pytest.raises(OptionError, match=r"head='no' is not allowed.*auto, none"):
        fef.load(with_head, head="no")


@pytest.mark.parametrize("kind", ["another network", "cut short"])
def test_a_wrong_head_is_refused_and_can_be_left_out(with_head, kind, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(with_head, path)
    if kind == "another network":
        model = fef.load(with_head, device="cpu", head="none")
        model.network.blocks[0].mlp.up.weight.mul_(2), model.network.blocks[1].attn.q.weight.mul_(2)
        save_checkpoint(path, model.network, model.tokenizer)
    shutil.copy(with_head / DRAFT_HEAD, path)
    if kind == "cut short":
        (path / DRAFT_HEAD).write_bytes((path / DRAFT_HEAD).read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="head='none'"):
        fef.load(path, device="cpu")
    assert fef.load(path, device="cpu", head="none").network.extras.draft_head is None


def test_texts_are_the_same_with_and_without_a_head(tiny, with_head):
    answers = [
        fef.load(path, device="cpu", head=head).generate("What is 2 + 3?", max_new_tokens=12, temperature=0.7, seed=1)
        for path, head in ((tiny, "auto"), (with_head, "auto"), (with_head, "none"))
    ]
    assert len({tuple(answer.token_ids) for answer in answers}) == 1
    assert len({answer.certificate.kind for answer in answers}) == 1


def test_training_goes_on_from_the_head_that_is_there(fef_cli, with_head, tiny, texts, tmp_path):
    """At a learning rate of 0 it writes that head again, and a new one is another."""
    command = ["train", "--objective", "draft-head", "--data", texts, *TRAIN, "--muon-lr", 0, "--adam-lr", 0]
    for name, more in (("again", ["--from-head"]), ("new", ["--seed", 1])):
        result = fef_cli(*command, "--init", with_head, "--out", tmp_path / name, *more)
        assert result.exit_code == 0, result.output
    one, again, new = (
        fef.load(with_model(path, tiny, tmp_path / f"whole-{i}"), device="cpu").network.extras.draft_head.down.weight
        for i, path in enumerate((with_head, tmp_path / "again", tmp_path / "new"))
    )
    torch.testing.assert_close(one, again, atol=1e-6, rtol=0)
    assert not torch.allclose(one, new, atol=1e-3)


def with_model(head, tiny, path):
    """A directory of the network with this head."""
    shutil.copytree(tiny, path)
    shutil.copy(head / DRAFT_HEAD, path)
    return path


def test_what_cannot_go_on_from_a_head_says_so(fef_cli, tiny, texts, tmp_path):
    of_head = ["--objective", "draft-head", "--init", tiny, "--data", texts, *TRAIN]
    for arguments, words in ((["--tasks", "joint"], "--objective draft-head"), (of_head, "There is no draft head")):
        result = fef_cli("train", "--from-head", "--out", tmp_path / "out", *arguments)
        assert result.exit_code == 2 and words in result.stderr
        assert not (tmp_path / "out").exists()


BAD_TRAIN = {
    "no data": (["--init", "demo"], "--data FILE"),
    "no init": (["--data", "own.jsonl"], "--init MODEL"),
    "tasks": (["--init", "demo", "--tasks", "joint"], "no --tasks"),
    "missing data": (["--init", "demo", "--data", "missing.jsonl"], "Cannot read"),
    "missing init": (["--init", "missing", "--data", "own.jsonl"], "not a model directory"),
    "no own texts": (["--init", "demo", "--data", "pairs.jsonl"], "python -m fef.corpus.own"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_TRAIN.values(), ids=BAD_TRAIN.keys())
def test_what_cannot_train_a_head_exits_2_and_writes_nothing(fef_cli, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("pairs.jsonl").write_text('{"prompt": "1 + 1", "response": "2"}\n')
    result = fef_cli("train", "--objective", "draft-head", "--out", "head", "--device", "cpu", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not Path("head").exists()


def test_a_head_is_not_overwritten(fef_cli, with_head, tiny, texts):
    before = (with_head / DRAFT_HEAD).read_bytes()
    result = fef_cli("train", "--objective", "draft-head", "--init", tiny, "--data", texts, "--out", with_head, *TRAIN)
    assert result.exit_code == 2 and "is there already" in result.stderr
    assert (with_head / DRAFT_HEAD).read_bytes() == before


BAD_OWN = {
    "temperatures": (["--tasks", "joint", "--temperatures", "warm"], "0,0.7"),
    "temperature": (["--tasks", "joint", "--temperatures", "-1"], "finite number"),
    "split": (["--tasks", "joint", "--split", "heldout"], "held-out"),
    "count": (["--tasks", "joint", "--count", "0"], "at least 1"),
    "nothing": ([], "--tasks"),
    "canvas": (["--tasks", "joint", "--max-new-tokens", "999999"], "at most"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_OWN.values(), ids=BAD_OWN.keys())
def test_what_gives_no_own_texts_exits_2(tiny, tmp_path, arguments, words):
    result = own("--model", tiny, "--out", tmp_path / "own.jsonl", "--device", "cpu", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr and not (tmp_path / "own.jsonl").exists()
