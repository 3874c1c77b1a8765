"""Model directories: what is written is read back; what is missing, damaged or unsafe is refused; old ones survive."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from tiny_network import tiny_network
from torch import Tensor

import fef
from fef.generation import Model
from fef.models import export
from fef.models.checkpoint import load_checkpoint, save_checkpoint
from fef.models.hub import locate
from fef.models.sources import describe_source
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer

TEXTS = ["Tom has 12 apples and gives 3 to Ann. How many are left?", "<mask> é 漢字 \t\n"] * 4


def small_model(seed: int = 0, **config: object) -> tuple[Transformer, Tokenizer]:
    tokenizer = Tokenizer.train(TEXTS, 280)
    size = tokenizer.vocab_size
    specials = {"vocab_size": size + 3, "mask_id": size, "eos_id": size + 1, "answer_id": size + 2, "max_length": 40}
    return tiny_network(seed, **specials | config).float(), tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_checkpoint(path, *small_model(), dtype=torch.float32)
    return path


@pytest.fixture
def model() -> Model:
    network, tokenizer = small_model()
    return Model(network, tokenizer, "small")


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


def test_a_checkpoint_comes_back_as_it_was(saved):
    network, tokenizer = load_checkpoint(saved)
    original, words = small_model()
    assert network.config == original.config
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), original.state_dict().values(), strict=True)
    )
    assert tokenizer.encode(TEXTS[0]) == words.encode(TEXTS[0])
    assert sorted(contents(saved)) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert not any(p.requires_grad for p in network.parameters())
    assert fef.load(str(saved), device="cpu").generate(TEXTS[0], max_new_tokens=4).certificate.kind == "greedy"


def damage(path: Path, kind: str) -> None:
    weights, config = path / "model.safetensors", path / "config.json"
    values = json.loads(config.read_text())
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "empty":
        weights.write_bytes(b"")
    elif kind == "pickled":
        weights.unlink()
        torch.save({}, path / "pytorch_model.bin")
    elif kind == "no weights":
        weights.unlink()
    elif kind == "no config":
        config.unlink()
    elif kind == "no tokenizer":
        (path / "tokenizer.json").unlink()
    elif kind == "bad tokenizer":
        (path / "tokenizer.json").write_text("{}")
    elif kind == "bad json":
        config.write_text("{")
    elif kind == "not utf-8":
        config.write_bytes(b"\xff\xfe")
    elif kind == "a list":
        config.write_text("[]")
    elif kind == "unknown field":
        config.write_text(json.dumps(values | {"layer": 2}))
    elif kind == "missing field":
        config.write_text(json.dumps({k: v for k, v in values.items() if k != "dim"}))
    elif kind == "misspelt attention":
        config.write_text(json.dumps(values | {"attention": "casual"}))
    elif kind == "other depth":
        config.write_text(json.dumps(values | {"layers": 3}))
    elif kind == "other width":
        config.write_text(json.dumps(values | {"mlp_dim": 25}))
    elif kind == "bad mask":
        config.write_text(json.dumps(values | {"mask_id": 10**6}))
    elif kind == "small vocabulary":
        config.write_text(json.dumps(values | {"vocab_size": 8, "mask_id": 7, "eos_id": 6, "answer_id": 5}))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", ["truncated or damaged", "Copy the file again"]),
        ("empty", ["truncated or damaged"]),
        ("pickled", ["pickled", "pytorch_model.bin", "only safetensors", "Convert"]),
        ("no weights", ["no model.safetensors"]),
        ("no config", ["no config.json", "fef train"]),
        ("no tokenizer", ["no tokenizer.json"]),
        ("bad tokenizer", ["not a readable tokenizer"]),
        ("bad json", ["not valid JSON"]),
        ("not utf-8", ["not valid JSON"]),
        ("a list", ["JSON object"]),
        ("unknown field", ["'layer'", "Did you mean 'layers'"]),
        ("missing field", ["incomplete", "dim"]),
        ("misspelt attention", ["'casual'", "Did you mean 'causal'"]),
        ("other depth", ["do not fit", "missing"]),
        ("other width", ["do not fit", "mlp"]),
        ("bad mask", ["mask_id 1000000", "outside the vocabulary"]),
        ("small vocabulary", ["different models"]),
    ],
)
def test_damaged_directories_are_refused(saved, kind, words):
    damage(saved, kind)
    with pytest.raises(fef.CheckpointError) as caught:
        fef.load(str(saved))
    assert isinstance(caught.value, OSError)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("name", ["no/such/directory", "dem"])
def test_missing_directories_are_refused(name):
    with pytest.raises(fef.CheckpointError, match=r"not a model directory.*'demo'"):
        fef.load(name)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("io error")])
def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch, error):
    before = contents(saved)

    def full(_weights: dict[str, Tensor], file: Path, **_options: object) -> None:
        Path(file).write_bytes(b"half")
        raise error

    monkeypatch.setattr(export, "save_file", full)
    with pytest.raises(fef.CheckpointError, match=r"Could not write.*unchanged"):
        save_checkpoint(saved, *small_model(seed=1))
    assert contents(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_ctrl_c_while_saving_leaves_the_old_checkpoint(saved):
    before = contents(saved)

    def interrupt(_directory: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, *small_model(seed=1), extra=interrupt)
    assert contents(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


def test_a_failed_rename_puts_the_old_checkpoint_back(saved, monkeypatch):
    before = contents(saved)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if ".new-" in self.name:
            raise OSError(errno.EIO, "I/O error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(fef.CheckpointError, match="unchanged"):
        save_checkpoint(saved, *small_model(seed=1))
    assert contents(saved) == before


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(fef.CheckpointError, match="Could not write"):
        save_checkpoint(tmp_path / "file" / "model", *small_model())


def test_a_checkpoint_replaces_an_older_one_whole(saved):
    (saved / "stale.txt").write_text("old")
    save_checkpoint(saved, *small_model(seed=1), extra=lambda d: (d / "card.md").write_text("new") and None)
    assert sorted(contents(saved)) == ["card.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert [p.name for p in saved.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "text", ["<mask>", "a <mask> b", "<|endoftext|>", "[MASK]</s>", "", " ", "é漢字\t\n", "12 345"]
)
def test_typed_text_survives_and_is_never_special(model, text):
    ids = model.tokenizer.encode(text)
    assert model.tokenizer.decode(ids) == text
    assert all(i < model.tokenizer.vocab_size <= model.network.mask_id for i in ids)
    assert model.tokenizer.encode_batch([text, text]) == [ids, ids]
    row, start, stop = model.canvas(text, 5, text)
    assert row.count(model.network.mask_id) == 5 == stop - start
    assert model.tokenizer.decode([*ids, model.network.mask_id, model.network.config.eos_id]) == text


def test_prompts_of_any_length_and_none(model):
    alone = [
        model.generate(p, max_new_tokens=6, temperature=1.0, seed=i) for i, p in enumerate(["", "Tom has 12", "<mask>"])
    ]
    together = model.generate(["", "Tom has 12", "<mask>"], max_new_tokens=6, temperature=1.0, seed=0)
    assert [g.token_ids for g in together] == [g.token_ids for g in alone]
    assert [g.text for g in together] == [g.text for g in alone]
    assert all(g.finish_reason == ("stop" if len(g.token_ids) < 6 else "length") for g in together)
    assert all(len(g.logprobs) == len(g.token_ids) for g in together)
    assert model.generate([]) == []
    assert len(model.generate("", suffix="end", max_new_tokens=3).token_ids) <= 3


def test_prompts_that_do_not_fit(model):
    long = "1 " * 40
    with pytest.raises(fef.InputError, match=r"takes \d+ tokens.*allows 40.*no room.*Shorten"):
        model.generate(long)
    with pytest.raises(fef.InputError, match=r"allows 40 in all.*\d+ are left.*max_new_tokens is 128.*at most"):
        model.generate("Tom")
    for wrong in (0, -1, 2.5, True, "8"):
        with pytest.raises(fef.OptionError, match=r"max_new_tokens.*at least 1"):
            model.generate("Tom", max_new_tokens=wrong)
    with pytest.raises(fef.InputError, match="must be text, or lists of messages; got int"):
        model.generate([3])


@pytest.mark.parametrize("verify", ["rows", "packed"])
def test_scores_are_those_of_the_generation(model, verify):
    """A generation may spell its text in other tokens than the tokenizer would, so one is looked for that does not."""
    made = model.generate([""] * 200, max_new_tokens=3, temperature=0.9, seed=0, verify=verify)
    told = [(i, g) for i, g in enumerate(made) if model.tokenizer.encode(g.text) == g.token_ids]
    assert len(told) > 10
    for i, g in told[:10]:
        score = model.score("", g.text, max_new_tokens=3, temperature=0.9, seed=i, verify=verify)
        assert score.token_ids[: len(g.token_ids)] == g.token_ids
        assert score.logprobs[: len(g.logprobs)] == pytest.approx(g.logprobs, abs=1e-4)
        assert score.total == pytest.approx(sum(score.logprobs))
        assert score.certificate.kind == "chain"
        assert score.token_ids[-1] == model.network.config.eos_id or len(score.token_ids) == 3


def test_what_cannot_be_scored(model):
    with pytest.raises(fef.InputError, match="canvas has 2"):
        model.score("Tom", "apples and 345 pears", max_new_tokens=2)
    with pytest.raises(fef.OptionError, match="no one-pass chain law"):
        model.score("Tom", "apples", max_new_tokens=8, steps=2)


@pytest.mark.parametrize("given", [{"mask_id": 99_999_999}, {"mask_id": 2}, {"block_length": 8}])
@pytest.mark.parametrize("source", ["demo", "smol"])
def test_a_checkpoint_of_fefs_own_takes_no_other_mask_or_blocks(source: str, given: dict[str, int]) -> None:
    """One with its own weights, and one that is a delta of another model's."""
    [(name, value)] = given.items()
    with pytest.raises(fef.OptionError, match=f"{name}={value} is for released checkpoints"):
        describe_source(locate(source), **given)
