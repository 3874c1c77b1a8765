"""GGUF files: their numbers against the package's own reading in a plain causal network, and files that are not whole."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf_files import (
    DIM,
    EPS,
    HEADS,
    KV_HEADS,
    LENGTH,
    THETA,
    gguf,
    metadata_of,
    plain_logits,
    random_tensors,
    write_gguf,
)

import fef
from fef.models.causal import describe_causal, load_causal
from fef.models.gguf import file as gguf_file
from fef.models.gguf import network as gguf_network
from fef.models.gguf.file import QUANTIZATIONS, open_gguf, read_rows

IDS = torch.tensor([5, 300, 17, 17, 461, 8, 99, 250, 1, 33, 462, 7])
KINDS = gguf.GGUFValueType


def error_of(path: Path) -> float:
    network, _ = load_causal(path, dtype=torch.float32)
    expected = plain_logits(path, IDS)
    return ((network(IDS[None])[0] - expected).abs().max() / expected.std()).item()


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_the_logits_of_each_quantization_are_those_of_the_packages_numbers(tmp_path, kind):
    assert error_of(write_gguf(tmp_path / "m.gguf", kind=kind)) < 1e-4


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("llama", {"tied": False}),
        ("llama", {"biases": True}),
        ("qwen2", {}),
        ("qwen2", {"tied": False}),
        ("qwen3", {}),
        ("qwen3", {"rows": 512}),
    ],
)
def test_each_layout_is_run_as_its_network(tmp_path, arch, options):
    path = write_gguf(tmp_path / "m.gguf", arch, tensors=random_tensors(arch, **options))
    assert error_of(path) < 1e-4


def test_rows_that_stay_permuted_are_another_network(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "m.gguf")
    monkeypatch.setattr(gguf_network, "halves", lambda rows, _: rows)
    assert error_of(path) > 0.1


def test_rows_of_qwen_are_not_permuted(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "m.gguf", "qwen2")
    monkeypatch.setattr(gguf_network, "PERMUTED", ("llama", "qwen2"))
    assert error_of(path) > 0.1


def test_the_config_comes_from_the_metadata(tmp_path):
    config = describe_causal(write_gguf(tmp_path / "m.gguf")).config
    assert (config.dim, config.heads, config.kv_heads, config.max_length) == (DIM, HEADS, KV_HEADS, LENGTH)
    assert config.rope_theta == THETA
    assert config.norm_eps == pytest.approx(EPS, rel=1e-6)
    assert config.attention == "causal"
    assert not config.shift
    assert config.tied_embeddings
    untied = write_gguf(tmp_path / "u.gguf", tensors=random_tensors(tied=False))
    assert not describe_causal(untied).config.tied_embeddings


def test_values_of_every_type_are_those_that_the_packages_reader_finds(tmp_path):
    scalars = {f"a.{kind.name}": (7, kind) for kind in KINDS if "INT" in kind.name}
    scalars |= {"a.neg": (-7, KINDS.INT64), "a.f32": (0.1, KINDS.FLOAT32), "a.f64": (0.1, KINDS.FLOAT64)}
    arrays = {"a.texts": ["", "é", "x" * 300], "a.ints": [1, -2, 3], "a.floats": [0.5, 1.5], "a.bools": [True, False]}
    path = write_gguf(tmp_path / "m.gguf", metadata={**scalars, **arrays, "a.yes": True, "a.text": "日本"})
    found = open_gguf(path)
    reader = gguf.GGUFReader(path)
    theirs = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert found.metadata == theirs
    assert {t.key: (t.shape, t.dtype, found.offsets[t.key]) for t in found.tensors} == {
        t.name: (tuple(reversed(t.shape.tolist())), t.tensor_type.name, t.data_offset) for t in reader.tensors
    }


@pytest.mark.parametrize("piece", [1, 300, 100_000])
def test_tensors_read_in_pieces_are_the_whole_ones(tmp_path, monkeypatch, piece):
    path = write_gguf(tmp_path / "m.gguf", kind="Q8_0")
    whole, _ = load_causal(path)
    monkeypatch.setattr(gguf_file, "PIECE", piece)
    pieces, _ = load_causal(path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), pieces.parameters(), strict=True))


def test_only_a_piece_of_a_tensor_is_in_memory_at_once(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "m.gguf", kind="F16", tensors={"t": np.zeros((4096, 1024), np.float32)})
    file = open_gguf(path)

    def peak(numbers: int) -> int:
        monkeypatch.setattr(gguf_file, "PIECE", numbers)
        tracemalloc.start()
        for _ in read_rows(file, file.tensors, {}):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(1 << 16) < 2 << 20
    assert peak(1 << 22) > 16 << 20


def refusal(path: Path) -> str:
    with pytest.raises(fef.CheckpointError) as caught:
        load_causal(path)
    return str(caught.value)


def test_truncated_files_are_refused_wherever_they_end(tmp_path):
    path = write_gguf(tmp_path / "m.gguf", tensors=random_tensors())
    data = path.read_bytes()
    header = min(open_gguf(path).offsets.values())
    for end in [*range(4, header, 997), header, len(data) // 2, len(data) - 33]:
        (tmp_path / "cut.gguf").write_bytes(data[:end])
        assert f"truncated or damaged: it has {end} bytes" in refusal(tmp_path / "cut.gguf")


def test_damaged_headers_are_refused_in_words_or_read(tmp_path):
    path = write_gguf(tmp_path / "m.gguf")
    data = bytearray(path.read_bytes())
    header = min(open_gguf(path).offsets.values())
    draw = random.Random(0)
    refused = 0
    for _ in range(80):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 8))):
            changed[draw.choice((draw.randrange(header), draw.randrange(1200)))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            describe_causal(path)
        except fef.FefError:
            refused += 1
    assert refused > 25


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04" + b"\0" * 60, b"FUGG" + b"\0" * 60])
def test_what_is_no_gguf_file_is_refused(tmp_path, data):
    (tmp_path / "m.gguf").write_bytes(data)
    assert "is not a GGUF file" in refusal(tmp_path / "m.gguf")


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_other_versions_are_refused(tmp_path, version):
    path = write_gguf(tmp_path / "m.gguf")
    data = path.read_bytes()
    path.write_bytes(data[:4] + version.to_bytes(4, "little") + data[8:])
    assert f"has version {version} of GGUF" in refusal(path)


@pytest.mark.parametrize("kind", ["IQ2_XS", "Q5_0", "Q2_K", "I8"])
def test_unknown_quantizations_are_named(tmp_path, kind):
    numbers, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    blocks = np.zeros((4, 256 // numbers * size), np.uint8)
    writer.add_tensor("token_embd.weight", blocks, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    words = refusal(tmp_path / "m.gguf")
    assert f"'token_embd.weight' is quantized as {kind}, and fef reads F32" in words


@pytest.mark.parametrize("arch", ["gemma2", "qwen2moe", "bert"])
def test_unknown_architectures_are_refused(tmp_path, arch):
    words = refusal(write_gguf(tmp_path / "m.gguf", arch))
    assert f"the architecture '{arch}', which fef does not know in GGUF files. Supported: llama, qwen2, qwen3" in words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("block_count", None, "lacks llama.block_count in its metadata"),
        ("rope.freq_base", None, "lacks llama.rope.freq_base in its metadata"),
        ("embedding_length", 0, "its metadata has llama.embedding_length = 0; it must be a whole number from 1"),
        ("attention.head_count", "four", "its metadata has llama.attention.head_count = 'four'; it must be"),
        ("attention.head_count_kv", [2, 2], r"llama.attention.head_count_kv = \[2, 2\]; it must be"),
        ("attention.head_count_kv", 3, "4 heads cannot share 3 key-value heads"),
        ("rope.freq_base", -1.0, "llama.rope.freq_base = -1.0; it must be a number above 0"),
        ("expert_count", 8, "llama.expert_count = 8; it must be 0 or absent"),
        ("attention.sliding_window", 4096, "llama.attention.sliding_window = 4096; it must be 0"),
        ("rope.scaling.type", "yarn", "llama.rope.scaling.type = 'yarn'; it must be 'none'"),
        ("rope.scaling.factor", 4.0, "scaled rotary embedding"),
        ("rope.dimension_count", 32, "llama.rope.dimension_count = 32"),
        ("attention.value_length", 32, "llama.attention.value_length = 32"),
    ],
)
def test_settings_that_are_missing_wrong_or_of_other_variants_are_refused(tmp_path, name, value, words):
    metadata = metadata_of()
    metadata.pop(f"llama.{name}", None)
    if value is not None:
        metadata[f"llama.{name}"] = value
    path = write_gguf(tmp_path / "m.gguf", metadata=metadata)
    with pytest.raises(fef.CheckpointError, match=words):
        load_causal(path)


def test_tensors_that_are_missing_too_many_or_misshaped_are_listed(tmp_path):
    tensors = random_tensors()
    del tensors["blk.1.ffn_up.weight"]
    tensors["blk.0.attn_q.weight"] = tensors["blk.0.attn_q.weight"][:128]
    tensors["blk.2.attn_norm.weight"] = tensors["blk.1.attn_norm.weight"]
    words = refusal(write_gguf(tmp_path / "m.gguf", tensors=tensors, kind="Q4_0"))
    assert "do not fit its metadata, which describes a Llama network" in words
    assert "missing blk.1.ffn_up.weight" in words
    assert "extra blk.2.attn_norm.weight" in words
    assert "blk.0.attn_q.weight is Q4_0 (128, 256), not a float (256, 256)" in words
    del tensors["token_embd.weight"]
    assert "lacks token_embd.weight" in refusal(write_gguf(tmp_path / "e.gguf", tensors=tensors))


def test_scaled_frequencies_of_the_rotary_embedding_are_refused(tmp_path):
    tensors = random_tensors() | {"rope_freqs.weight": np.ones(32, np.float32)}
    assert "scaled rotary embedding" in refusal(write_gguf(tmp_path / "m.gguf", tensors=tensors))
