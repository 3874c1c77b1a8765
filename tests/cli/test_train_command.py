import json
import os
import signal

import pytest

import fef
from fef.models.checkpoint import save_checkpoint
from fef.training.limits import canvas_for
from fef.training.run import NetworkOptions, new_network

SMALL = ["--batch-size", 4, "--canvas-length", 16, "--log-every", 1, "--save-every", 2, "--device", "cpu"]
NEW = ["--dim", 16, "--layers", 1, "--heads", 2, "--mlp-dim", 16, "--vocab-size", 300, "--max-length", 64]


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"prompt": "1 + 1", "response": "2"}\n' * 8)
    return path


def test_train_writes_a_model_and_goes_on_with_it(fef_cli, tmp_path, examples):
    out = tmp_path / "model"
    first = fef_cli("train", "--out", out, "--data", examples, "--steps", 2, *SMALL, *NEW, "--json")
    assert first.exit_code == 0, first.output
    summary = json.loads(first.stdout)
    assert (summary["step"], summary["resumed"]) == (2, False)
    assert summary["losses"]["loss"] > 0
    second = fef_cli("train", "--out", out, "--data", examples, "--steps", 3, *SMALL)
    assert second.exit_code == 0, second.output
    assert "stopped run at step 2" in second.stderr
    assert f"Wrote {out}: step 3 of 3, loss" in second.stdout
    facts = json.loads(fef_cli("info", out, "--json").stdout)
    assert facts["last_losses"]["step"] == 3
    assert fef_cli("generate", "1 + 1", "--model", out, "--max-new-tokens", 8).exit_code == 0


def test_a_run_that_stops_before_its_first_row_of_losses_tells_none(fef_cli, tmp_path, examples):
    result = fef_cli("train", "--out", tmp_path / "model", "--data", examples, "--seconds", 0, *SMALL, *NEW)
    assert result.exit_code == 0, result.output
    assert "step 0 of 1000, 6,016 parameters" in result.stdout


def test_a_run_that_cannot_go_on_is_told_to_start_elsewhere(fef_cli, tmp_path, examples):
    """Its directory holds a model, so without the resume part nothing may start there."""
    out, command = tmp_path / "model", ["train", "--data", examples, *SMALL, *NEW]
    assert fef_cli(*command, "--out", out, "--steps", 1).exit_code == 0
    (out / "resume" / "run.json").write_text("{")
    result = fef_cli(*command, "--out", out, "--steps", 2)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "has a stopped run; going on" in said
    assert f"Give --out another directory to start again; the weights that were saved stay in {out}." in said
    assert fef_cli(*command, "--out", tmp_path / "other", "--steps", 1).exit_code == 0


def test_examples_that_are_too_long_are_counted(fef_cli, tmp_path, examples):
    with examples.open("a") as file:
        file.write(json.dumps({"prompt": "1 + 1", "response": "2 " * 99}) + "\n")
    result = fef_cli("train", "--out", tmp_path / "model", "--data", examples, "--steps", 1, *SMALL, *NEW)
    assert result.exit_code == 0, result.output
    assert "8 examples, 1 left out as too long." in result.stderr


def test_train_starts_from_a_checkpoint(fef_cli, tmp_path, examples, tiny):
    out = tmp_path / "tuned"
    result = fef_cli("train", "--out", out, "--init", tiny, "--data", examples, "--steps", 1, *SMALL)
    assert result.exit_code == 0, result.output
    assert "33,504 parameters" in result.stdout


NO_CANVAS = ["--steps", 1, "--device", "cpu"]
WITHOUT_A_CANVAS = {
    "an adapter": ["--init", "{short}", "--lora", 1, "--batch-tokens", 256, "--row-tokens", 256, "--warmup", 1],
    "a new network": ["--max-length", 100, *NEW, "--batch-size", 2, "--warmup", 1],
    "a layer": ["--objective", "ssmd", "--init", "{short}", "--batch-size", 2],
    "a network that is there": ["--init", "{short}", "--batch-size", 2, "--warmup", 1],
}


@pytest.mark.parametrize("arguments", WITHOUT_A_CANVAS.values(), ids=WITHOUT_A_CANVAS.keys())
def test_where_no_canvas_is_given_it_leaves_room_for_a_prompt(fef_cli, tmp_path, examples, arguments):
    short = fef.load("demo", device="cpu")
    size = NetworkOptions(dim=32, layers=1, heads=1, mlp_dim=32, max_length=100)
    save_checkpoint(tmp_path / "short", new_network(size, short.tokenizer, seed=0), short.tokenizer)
    given = [str(a).replace("{short}", str(tmp_path / "short")) for a in arguments]
    result = fef_cli("train", "--out", tmp_path / "out", "--data", examples, *NO_CANVAS, *given)
    assert result.exit_code == 0, result.output


def test_the_usual_canvas_is_at_most_half_of_what_is_read():
    assert [canvas_for(None, reads, 512) for reads in (256, 1024, 4096, 3)] == [128, 512, 512, 1]
    assert canvas_for(512, 256, 128) == 512  # given, and refused where it is read


def test_a_stopped_run_goes_on_with_its_canvas_where_none_is_given(fef_cli, tmp_path, examples):
    command = ["train", "--out", tmp_path / "out", "--data", examples, "--device", "cpu", "--batch-size", 2]
    assert fef_cli(*command, *NEW, "--steps", 1).exit_code == 0
    again = fef_cli(*command, "--steps", 2)
    assert again.exit_code == 0, again.output


BAD = {
    "no data": ([], "--tasks"),
    "unknown family": (["--tasks", "word-problem:1"], "Did you mean 'word-problems'"),
    "bad share": (["--tasks", "joint:x"], "family:share"),
    "missing data": (["--data", "missing.jsonl"], "No such file or directory. Give a text file that you can read."),
    "data that is a folder": (["--data", "."], "Is a directory. Give a text file that you can read."),
    "missing init": (["--tasks", "joint", "--init", "missing"], "not a model directory"),
    "steps": (["--tasks", "joint", "--steps", "0"], "steps must be at least 1; got 0. Raise it, or leave it out"),
    "batch": (["--tasks", "joint", "--batch-size", "0"], "batch-size must be at least 1; got 0. Raise it, or leave"),
    "saves": (["--tasks", "joint", "--save-every", "-1"], "save-every must be at least 1; got -1. Raise it"),
    "policy": (
        ["--objective", "policy", "--init", "demo", "--tasks", "joint", "--steps", "0"],
        "steps must be at least 1; got 0. Raise it",
    ),
    "layer": (
        ["--objective", "ssmd", "--init", "demo", "--tasks", "joint", "--canvas-length", "0"],
        "canvas-length must be at least 1; got 0. Raise it",
    ),
    "no room": (
        ["--tasks", "joint", "--count", "8", "--max-length", "100", "--canvas-length", "100"],
        "--canvas-length 100 leaves no room for a prompt in a max_length of 100; give 98 or less.",
    ),
    "canvas": (["--tasks", "joint", "--canvas-length", "0"], "at least 1"),
    "heads": (["--tasks", "joint", "--dim", "20", "--heads", "3"], "for example 18"),
    "device": (["--tasks", "joint", "--device", "gpu"], "--device cpu"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_exits_2_before_anything_is_written(fef_cli, tmp_path, arguments, words):
    result = fef_cli("train", "--out", tmp_path / "model", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_train_never_replaces_other_files(fef_cli, tmp_path, tiny, examples):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("all of it")
    for out, words in ((tmp_path / "work", "other files"), (tiny, "finished model"), (examples, "is a file")):
        result = fef_cli("train", "--out", out, "--data", examples)
        assert result.exit_code == 2
        assert words in result.stderr
    assert (tmp_path / "work" / "thesis.txt").read_text() == "all of it"
    below_a_file = fef_cli("train", "--out", examples / "model", "--data", examples)
    assert below_a_file.exit_code == 2


@pytest.mark.parametrize(("save_every", "words"), [(2, "whole checkpoint of step 2"), (9, "nothing was written")])
def test_ctrl_c_says_what_is_saved_and_how_to_go_on(fef_cli, tmp_path, examples, monkeypatch, save_every, words):
    from fef.cli import train

    def shows(_bar):
        def show(step, _row):
            if step == 3:
                raise KeyboardInterrupt

        return show

    monkeypatch.setattr(train, "shows", shows)
    out = tmp_path / "model"
    settings = [*SMALL, *NEW, "--save-every", save_every]
    result = fef_cli("train", "--out", out, "--data", examples, "--steps", 4, *settings)
    assert result.exit_code == 130
    assert words in result.stderr
    assert out.exists() == (save_every == 2)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_the_same_command_goes_on(fef_cli, tmp_path, examples, monkeypatch, which):
    from fef.cli import train

    signals = [which]

    def shows(_bar):
        return lambda step, _row: signal.raise_signal(signals.pop()) if step == 3 and signals else None

    monkeypatch.setattr(train, "shows", shows)
    before = signal.getsignal(which)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = ["--data", examples, "--steps", 5, *SMALL, *NEW, "--save-every", 100]
    stopped = fef_cli("train", "--out", cut, *command)
    assert stopped.exit_code == 128 + which
    assert "Saving after this step" in stopped.stderr
    assert "whole checkpoint of step 3" in stopped.stderr
    assert signal.getsignal(which) is before
    assert fef_cli("train", "--out", cut, *command).exit_code == 0
    assert fef_cli("train", "--out", whole, *command).exit_code == 0
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()


def test_a_second_signal_ends_it_at_once(fef_cli, tmp_path, examples, monkeypatch):
    from fef.cli import train

    def shows(_bar):
        return lambda _step, _row: [signal.raise_signal(signal.SIGINT) for _ in range(2)]

    monkeypatch.setattr(train, "shows", shows)
    result = fef_cli("train", "--out", tmp_path / "cut", "--data", examples, "--steps", 5, *SMALL, *NEW)
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr
    assert not (tmp_path / "cut").exists()


def test_a_checkpoint_also_comes_by_time(fef_cli, tmp_path, examples, monkeypatch):
    from fef.cli import train
    from fef.cli.training import reached

    seen = []

    def shows(_bar):
        return lambda _step, _row: seen.append(reached(tmp_path / "model"))

    monkeypatch.setattr(train, "shows", shows)
    command = [
        "train",
        "--out",
        tmp_path / "model",
        "--data",
        examples,
        "--steps",
        3,
        *SMALL,
        *NEW,
        "--save-every",
        100,
    ]
    assert fef_cli(*command, "--save-minutes", 0).exit_code == 0
    assert seen == [None, 1, 2]


def test_two_writers_to_one_directory_are_refused(fef_cli, tmp_path, examples):
    from fef.cli.lock import sole_writer

    command = ["--data", examples, "--steps", 1, *SMALL, *NEW]
    with sole_writer(tmp_path / "model"):
        (tmp_path / "link").symlink_to(tmp_path / "model")
        for name in ("model", "other/../model", "link"):
            refused = fef_cli("train", "--out", tmp_path / name, *command)
            assert refused.exit_code == 2
            assert f"Process {os.getpid()} is writing" in refused.stderr
        assert fef_cli("train", "--out", tmp_path / "another", *command).exit_code == 0
    assert fef_cli("train", "--out", tmp_path / "model", *command).exit_code == 0


@pytest.mark.parametrize("objective", ["denoise", "dparallel", "ssmd"])
def test_training_starts_from_a_repository_of_the_hub(fef_cli, tmp_path, examples, tiny, monkeypatch, objective):
    asked = []
    monkeypatch.setattr(
        "fef.models.hub.download", lambda name, _revision, _token, what: asked.append((name, *what)) or tiny
    )
    command = [
        "train",
        "--init",
        "somebody/model",
        "--objective",
        objective,
        "--data",
        examples,
        "--out",
        tmp_path / "m",
    ]
    result = fef_cli(*command, "--steps", 1, "--batch-size", 2, "--canvas-length", 16, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert ("somebody/model", "*.safetensors") in asked


UNREAD = {
    "sizes": ["--dim", 64],
    "fine-tuning": ["--lora", 1, "--adam-lr", 1e-4],
    "batches": ["--lora", 1, "--batch-size", 4],
    "certain": ["--objective", "dparallel", "--patterns", "0,1,0"],
    "certain factors": ["--objective", "dparallel", "--lora", 1, "--muon-lr", 1e-4],
    "certain rows": ["--objective", "dparallel", "--lora", 1, "--batch-tokens", 512],
    "certain looks": ["--objective", "dparallel", "--lora", 1, "--eval-every", 5],
    "a layer": ["--objective", "ssmd", "--warmup", 5],
    "another layer": ["--objective", "adjust", "--seconds", 5],
    "a head": ["--objective", "draft-head", "--canvas-length", 16],
    "a policy": ["--objective", "policy", "--adam-lr", 1e-4],
}


@pytest.mark.parametrize("given", UNREAD.values(), ids=UNREAD.keys())
def test_options_that_would_be_passed_over_are_refused(fef_cli, tmp_path, examples, tiny, given):
    data = ["--tasks", "joint"] if "policy" in given else ["--data", examples]
    asked = ["train", "--init", tiny, "--out", tmp_path / "m", *data, "--steps", 1, "--device", "cpu", "--log-every", 1]
    if {"policy", "ssmd", "adjust"} & {str(value) for value in given}:
        asked = asked[:-2]
    result = fef_cli(*asked, *given)
    assert result.exit_code == 2, result.output
    assert f"{given[-2]} is nothing that" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [examples.name]


@pytest.mark.parametrize("objective", ["ssmd", "adjust", "draft-head", "policy"])
def test_what_processes_cannot_share_is_refused(fef_cli, tmp_path, examples, tiny, monkeypatch, objective):
    """Each would train all of it and write the same file."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    data = ["--tasks", "joint"] if objective == "policy" else ["--data", examples]
    command = ["train", "--objective", objective, "--init", tiny, *data, "--out", tmp_path / "m", "--device", "cpu"]
    result = fef_cli(*command, "--steps", 1, "--batch-size", 2)
    assert result.exit_code == 2
    assert f"--objective {objective} trains in one process" in result.stderr
    assert not (tmp_path / "m").exists()


def test_a_stopped_run_does_not_go_on_with_a_network_of_another_size(fef_cli, tmp_path, examples):
    command = ["train", "--out", tmp_path / "model", "--data", examples, *SMALL]
    assert fef_cli(*command, *NEW, "--steps", 1).exit_code == 0
    refused = fef_cli(*command, *NEW, "--dim", 32, "--steps", 2)
    assert refused.exit_code == 2 and "of a network of --dim 16, and here it is 32" in refused.stderr
    assert fef_cli(*command, *NEW, "--steps", 2).exit_code == 0


@pytest.mark.parametrize("method", ["ssmd", "adjust"])
def test_train_writes_the_layer_of_a_method_for_a_network_that_stays(fef_cli, tmp_path, examples, tiny, method):
    out = tmp_path / "layer"
    asked = ["--data", examples, "--steps", 2, "--batch-size", 4, "--canvas-length", 16, "--device", "cpu"]
    result = fef_cli("train", "--objective", method, "--init", tiny, "--out", out, *asked, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["held_out_with"] != told["held_out_without"] >= 0
    written = told["out"]
    options = ["--method", method, "--max-new-tokens", 8, "--model", tiny, "--set", f"layer={written}"]
    assert fef_cli("generate", "1 + 1", *options).exit_code == 0
    alone = fef_cli("train", "--objective", method, "--out", tmp_path / "other", *asked)
    assert alone.exit_code == 2
    assert "--init demo" in alone.stderr


def test_train_makes_a_network_certain_of_its_answers(fef_cli, tmp_path, examples, tiny):
    out = tmp_path / "certain"
    asked = ["--objective", "dparallel", "--data", examples, "--steps", 2, *SMALL]
    result = fef_cli("train", "--init", tiny, "--out", out, *asked, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["losses"].keys() >= {"loss", "nll", "entropy", "right"}
    assert fef_cli("generate", "1 + 1", "--model", out, "--method", "threshold", "--max-new-tokens", 8).exit_code == 0
    assert "not trained for the packed" in fef_cli("certify", "fef", "--verify", "packed", "--model", out).stderr
    assert "--init" in fef_cli("train", "--out", tmp_path / "new", *asked).stderr


def test_factors_make_a_network_certain_and_end_its_packed_law(fef_cli, tmp_path, examples, tiny):
    out = tmp_path / "certain"
    asked = ["train", "--objective", "dparallel", "--init", tiny, "--lora", 2, "--data", examples, "--out", out]
    asked += ["--steps", 2, *SMALL]
    assert "--held-out" in fef_cli(*asked, "--held-out", examples).stderr
    assert "trains no packed law" in fef_cli(*asked, "--packed").stderr
    result = fef_cli(*asked, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["losses"].keys() >= {"nll", "entropy", "right"}
    assert fef.load(tiny, device="cpu").network.config.packed
    assert not fef.load(tiny, device="cpu", adapter=out).network.config.packed


def test_a_policy_learns_from_answers_to_problems_that_are_judged(fef_cli, tmp_path, tiny):
    asked = ["train", "--objective", "policy", "--out", tmp_path, "--steps", 1, "--batch-size", 8, "--canvas-length", 4]
    result = fef_cli(*asked, "--init", tiny, "--tasks", "word-problems:1", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passes"] >= 1
    options = ["--set", f"policy={tmp_path / 'policy.safetensors'}", "--max-new-tokens", 4]
    assert fef_cli("generate", "1 + 1", "--model", tiny, "--method", "policy", *options).exit_code == 0
    assert fef_cli(*asked, "--init", tiny).exit_code == 2


def test_families_of_a_policy_have_their_shares(fef_cli, tmp_path, tiny, monkeypatch):
    drawn, generate = [], fef.tasks.generate
    monkeypatch.setattr(fef.tasks, "generate", lambda *given: (given[1] and drawn.append(given[0])) or generate(*given))
    asked = ["train", "--objective", "policy", "--init", tiny, "--steps", 4, "--batch-size", 8, "--canvas-length", 2]
    shares = "word-problems:1,joint:0"
    result = fef_cli(*asked, "--tasks", shares, "--out", tmp_path / "new", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert drawn == ["word-problems"] * 4


@pytest.mark.parametrize(
    ("out", "families", "words"),
    [
        ("file", "word-problems:1", "Cannot write"),
        ("old", "word-problems:1", "is there already"),
        ("new", "word-problems:1,jiont:1", "Did you mean 'joint'"),
    ],
)
def test_a_policy_that_could_not_be_written_or_played_is_refused_before_it_is_trained(
    fef_cli, tmp_path, tiny, monkeypatch, out, families, words
):
    monkeypatch.setattr("fef.training.policy.fit_policy", lambda *_: pytest.fail("it trains"))
    (tmp_path / "file").touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "policy.safetensors").touch()
    asked = ["train", "--objective", "policy", "--init", tiny, "--out", tmp_path / out, "--tasks", families]
    result = fef_cli(*asked, "--device", "cpu")
    assert result.exit_code == 2 and words in result.stderr, result.output
