import json

import pytest

import fef
from fef.models.profile import load_profile

SMALL = ("--n", 3, "--points", 4, "--max-new-tokens", 96)


def test_the_file_is_what_the_model_measures_and_schedule_reads_it(fef_cli, tiny, tmp_path):
    out = tmp_path / "profile.json"
    result = fef_cli("profile", tiny, "--tasks", "joint", *SMALL, "--out", out, "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown.keys() == {"out", "texts", "nats", "errors", "schedules"}
    assert shown["texts"] == 3
    assert load_profile(out) == pytest.approx(shown["nats"], abs=1e-5)
    model = fef.load(str(tiny), device="cpu")
    pairs = [(p.prompt, p.response) for p in fef.tasks.generate("joint", 3, 0)]
    assert model.profile(pairs, points=4, max_new_tokens=96).nats == pytest.approx(shown["nats"], abs=1e-5)
    assert all(row["best_nats"] <= row["even_nats"] for row in shown["schedules"])
    assert [row["steps"] for row in shown["schedules"]] == [4, 8, 16, 32, 64]
    written = fef_cli(
        *("generate", "x", "--model", tiny, "--method", "schedule", "--max-new-tokens", 12),
        *("--set", f"profile={out}", "--set", "steps=3", "--json"),
    )
    assert json.loads(written.stdout)["stats"]["calls"] == 3
    table = fef_cli("profile", tiny, "--tasks", "joint", *SMALL, "--out", out).stdout
    assert "best schedule" in table and "3 texts" in table


def test_own_texts(fef_cli, tiny, tmp_path):
    data, out = tmp_path / "pairs.jsonl", tmp_path / "out.json"
    data.write_text("".join(json.dumps({"prompt": f"Say {i}.", "response": str(i)}) + "\n" for i in range(5)))
    shown = json.loads(fef_cli("profile", tiny, "--data", data, *SMALL, "--out", out, "--json").stdout)
    assert shown["texts"] == 3
    assert len(load_profile(out)) == 96


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tasks", "jiont"), "Did you mean 'joint'"),
        (("--tasks", "joint", "--data", "x"), "both given"),
        (("--n", 1, "--tasks", "joint"), "two texts or more"),
        (("--points", 1), "points=1"),
        (("--max-new-tokens", 4), "The response has"),
        (("--max-new-tokens", 4, "--drop-long"), "two texts or more"),
        (("--max-new-tokens", 4, "--drop-long", "--tasks", "joint"), "2 of 2 texts left out as too long"),
        (("--max-new-tokens", 2000), "Ask for at most"),
    ],
)
def test_what_cannot_be_measured_exits_2_and_writes_nothing(fef_cli, tiny, tmp_path, arguments, words):
    result = fef_cli("profile", tiny, "--n", 2, "--out", tmp_path / "out.json", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out.json").exists()


def test_no_texts_are_refused(tiny):
    with pytest.raises(fef.InputError, match="two texts or more"):
        fef.load(str(tiny), device="cpu").profile([])


def test_the_shipped_profile_comes_with_the_model(shipped):
    nats = fef.load(shipped, device="cpu").network.extras.information_profile
    assert len(nats) == 128
    assert nats[0] > 0.2 > nats[16] > nats[64]
