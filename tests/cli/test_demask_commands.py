import json

import pytest
import torch

import fef
from fef.cli.demask import doubt
from fef.models.demask import DEMASK, DependencyHead
from fef.models.profile import load_profile
from fef.training.conversations import read_answers
from tests.tiny_causal import write_causal, write_conversations

SMALL = ["--states", 6, "--slots", 6, "--sources", 2, "--steps", 3, "--canvas-length", 16, "--device", "cpu"]


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"prompt": "1 + 1", "response": "the answer is 2"}\n' * 8)
    return path


def test_a_head_is_trained_reported_and_refused_by_another_model(fef_cli, tmp_path, examples, tiny, shipped):
    out, report = tmp_path / DEMASK, tmp_path / "report.json"
    trained = fef_cli("train-demask", "--model", tiny, "--out", out, "--data", examples, *SMALL, "--json")
    assert trained.exit_code == 0, trained.output
    summary = json.loads(trained.stdout)
    assert summary["parameters"] == 256 * 33 + 2 * 64 * 257 + 65
    assert summary["held_out"]["states"] == 8 and summary["held_out"]["error"] >= 0
    small = ["--states", 3, "--slots", 4, "--values", 2, "--canvas-length", 16, "--device", "cpu"]
    shown = fef_cli("demask-report", "--model", tiny, "--head", out, "--data", examples, *small, "--json", report)
    assert shown.exit_code == 0, shown.output
    assert "parity of 3 bits" in shown.stdout and "near triples" in shown.stdout
    assert "root mean square error" in shown.stdout
    if json.loads(report.read_text())["calibration"]["explained_variance"] is None:
        assert "nothing to explain" in " ".join(shown.stdout.split())
    assert json.loads(report.read_text())["parity"]["violated"]
    refused = fef_cli("demask-report", "--model", shipped, "--head", out, "--data", examples)
    assert refused.exit_code == 2
    assert "width 32" in refused.stderr and "width 288" in refused.stderr


@pytest.mark.parametrize(("bias", "doubted"), [(-100.0, True), (None, False)])
def test_a_head_that_learned_nothing_is_called_so(fef_cli, tmp_path, examples, tiny, monkeypatch, bias, doubted):
    from fef.training import demask
    from fef.training.influence_targets import Targets

    def measured(teacher, _examples, options, _progress):
        slots = torch.arange(6).expand(options.states, 6)
        near = (slots[:, :2, None] - slots[:, None, :]).abs() == 1
        return Targets(torch.ones(options.states, 6, teacher.model.config.dim).bfloat16(), slots, near.float() * 0.6)

    def fitted(targets, *_):
        head = DependencyHead(targets.hidden_BSD.shape[-1]).requires_grad_(False)
        head.reset(0)
        head.distance[32 - 1 : 32 + 2] = 1.0
        if bias is not None:
            head.distance.fill_(bias)
        return head

    monkeypatch.setattr(demask, "measure", measured)
    monkeypatch.setattr(demask, "fit_head", fitted)
    shown = fef_cli("train-demask", "--model", tiny, "--data", examples, *SMALL, "--out", tmp_path / DEMASK)
    assert shown.exit_code == 0, shown.output
    assert "held-out states" in shown.stdout
    assert ("warning: on held-out states the head is no better than a constant" in shown.stderr) == doubted
    assert (tmp_path / DEMASK).is_file()


@pytest.mark.parametrize(
    ("gain", "words"), [(None, "hardly vary"), (-0.4, "no better than a constant"), (0.0, "no better"), (0.1, None)]
)
def test_only_a_gain_on_held_out_states_leaves_no_doubt(gain, words):
    found = doubt(gain)
    assert (found is None) == (words is None)
    assert words is None or words in found


BAD = {
    "no data": (["train-demask"], "--tasks"),
    "states": (["train-demask", "--tasks", "joint", "--states", "0"], "at least 1"),
    "slots": (["train-demask", "--tasks", "joint", "--slots", "1"], "slots must be at least 2"),
    "under-weight": (["train-demask", "--tasks", "joint", "--under-weight", "0"], "must be positive"),
    "temperature": (["train-demask", "--tasks", "joint", "--temperature", "-1"], "must be a finite number"),
    "unknown family": (["train-demask", "--tasks", "joints"], "Did you mean 'joint'"),
    "missing head": (["demask-report", "--tasks", "joint", "--head", "missing"], "train-demask"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_exits_2_before_anything_is_written(fef_cli, tmp_path, tiny, arguments, words):
    out = ["--out", tmp_path / DEMASK] if arguments[0] == "train-demask" else []
    result = fef_cli(*arguments, "--model", tiny, *out)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_one_example_is_too_few(fef_cli, tmp_path, tiny):
    data = tmp_path / "one.jsonl"
    data.write_text('{"prompt": "1 + 1", "response": "2"}\n')
    result = fef_cli("train-demask", "--model", tiny, "--out", tmp_path / DEMASK, "--data", data)
    assert result.exit_code == 2
    assert "at least two" in result.stderr


def test_a_model_with_a_chat_template_learns_from_conversations(fef_cli, tmp_path):
    base, data = write_causal(tmp_path / "base"), write_conversations(tmp_path / "x.jsonl")
    model, head, profile = tmp_path / "m", tmp_path / DEMASK, tmp_path / "profile.json"
    sizes = ["--canvas-length", 8, "--max-prompt", 48, "--data", data]
    adapted = ["adapt", "--from", base, "--out", model, *sizes, "--batch-tokens", 384, "--steps", 1, "--device", "cpu"]
    assert fef_cli(*adapted).exit_code == 0
    small = ["--states", 6, "--slots", 4, "--sources", 2, "--steps", 3, "--device", "cpu"]
    trained = fef_cli("train-demask", "--model", model, "--out", head, *sizes, *small)
    assert trained.exit_code == 0, trained.output
    shown = fef_cli(
        "demask-report", "--model", model, "--head", head, *sizes, "--states", 3, "--slots", 4, "--values", 2
    )
    assert shown.exit_code == 0, shown.output
    found = fef_cli("profile", model, "--data", data, "--n", 4, "--points", 3, "--max-new-tokens", 8, "--out", profile)
    assert found.exit_code == 0, found.output
    assert "4 texts" in found.stdout
    loaded = fef.load(model, device="cpu")
    pairs = [(answer.before, answer.response) for answer in read_answers(data)[:4]]
    nats = loaded.profile(pairs, points=3, max_new_tokens=8).nats
    assert list(load_profile(profile)) == pytest.approx(list(nats), abs=1e-5)
    untold = loaded.profile([(f"say {answer}", answer) for _, answer in pairs], points=3, max_new_tokens=8).nats
    assert nats != pytest.approx(untold, abs=1e-3)
