"""Released checkpoints: what is refused, with which words, and what comes from the checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fef
from fef.models.checkpoint import describe, load_network, write_released
from fef.models.families import RELEASED, family_of
from fef.models.homes import row_count, row_shape, stored_parts
from fef.models.transformer import Transformer
from fef.models.weights import common_dtype

DATA = Path(__file__).parents[1] / "golden" / "data"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., Path]:
    def copy(family: str, kind: str = "checkpoint", **fields: object) -> Path:
        path = tmp_path / family
        shutil.copytree(DATA / family / kind, path)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | fields))
        return path

    return copy


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(fef.CheckpointError) as caught:
        fef.load(str(path), device="cpu", **options)
    return str(caught.value)


def test_unknown_architectures_are_refused_with_what_is_supported():
    for values in ({"architectures": ["LlamaForCausalLM"]}, {"architectures": None, "model_type": "llama"}):
        words = refusal_of(values)
        assert "lama" in words
        assert all(name in words for family in RELEASED for name in family.architectures)


def refusal_of(values: dict[str, object]) -> str:
    with pytest.raises(fef.CheckpointError) as caught:
        family_of(values, "here")
    return str(caught.value)


def test_remote_code_is_never_run(copied):
    path = copied("llada")
    assert "auto_map" in json.loads((path / "config.json").read_text())
    marker = path / "ran"
    for name in ("configuration_llada.py", "modeling_llada.py"):
        (path / name).write_text(f"open({str(marker)!r}, 'w')\n")
    fef.load(str(path), device="cpu")
    assert not marker.exists()


def test_pickled_weights_are_never_opened(copied):
    path = copied("llada")
    (path / WEIGHTS).unlink()
    torch.save({}, path / "pytorch_model.bin")
    words = refusal(path)
    assert "pickled" in words
    assert "only safetensors" in words


def test_a_missing_shard_is_named(copied):
    path = copied("llada", "checkpoint-sharded")
    shutil.copy(DATA / "llada" / "checkpoint" / "tokenizer.json", path)
    (path / "model-00002-of-00003.safetensors").unlink()
    words = refusal(path)
    assert "lacks model-00002-of-00003.safetensors" in words
    assert "1 of the 3 files" in words


def test_a_half_downloaded_shard_is_named(copied):
    path = copied("llada", "checkpoint-sharded")
    shutil.copy(DATA / "llada" / "checkpoint" / "tokenizer.json", path)
    shard = path / "model-00003-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    words = refusal(path)
    assert shard.name in words
    assert "truncated" in words


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, f"no {INDEX}, which lists the shards"),
        ("{", "not an index of shards"),
        ("{}", "not an index of shards"),
        ("[" * 100_000, "not an index of shards"),
        ('{"weight_map": {"a": 1}}', "not an index of shards"),
        ('{"weight_map": {"a": null, "b": null}}', "not an index of shards"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "not safetensors in its directory"),
        ('{"weight_map": {"a": "model.bin"}}', "not safetensors in its directory"),
    ],
)
def test_broken_indices_are_refused(copied, index, words):
    path = copied("llada", "checkpoint-sharded")
    (path / INDEX).unlink() if index is None else (path / INDEX).write_text(index)
    with pytest.raises(fef.CheckpointError, match=words):
        load_network(path)


@pytest.mark.parametrize("stored", [torch.zeros(64, 64), torch.zeros(3, 5), torch.zeros(64, 64, dtype=torch.int32)])
def test_a_tensor_in_two_shards_is_refused(copied, stored):
    """As where shards of an older model lie among those of a newer one."""
    path = copied("llada", "checkpoint-sharded")
    index = json.loads((path / INDEX).read_text())
    key, file = next((key, file) for key, file in index["weight_map"].items() if key.endswith("q_proj.weight"))
    save_file({key: stored}, path / "a.safetensors")
    index["weight_map"]["old"] = "a.safetensors"
    (path / INDEX).write_text(json.dumps(index))
    with pytest.raises(fef.CheckpointError, match=rf"{key} twice, in a.safetensors and {file}"):
        load_network(path)


@pytest.mark.parametrize("shards", [True, False])
def test_one_file_of_weights_goes_before_an_index_that_is_left_of_others(copied, shards):
    path = copied("llada", "checkpoint-sharded")
    weights = {key: tensor for file in path.glob("model-*") for key, tensor in load_file(file).items()}
    for file in [] if shards else path.glob("model-*.safetensors"):
        file.unlink()
    weights["model.transformer.ln_f.weight"] = torch.full((64,), 3.0)
    save_file(weights, path / WEIGHTS)
    assert load_network(path).norm.weight[0] == 3.0


def test_the_config_of_another_family_lists_the_keys(copied):
    path = copied("dream")
    shutil.copy(DATA / "sdar" / "checkpoint" / "config.json", path)
    words = refusal(path)
    assert "describes a SDAR network" in words
    assert "missing model.layers.0.self_attn.k_norm.weight" in words
    assert "extra model.layers.0.self_attn.k_proj.bias" in words
    assert "self_attn.k_proj.weight is BF16 (32, 64), not a float (48, 64)" in words
    path = copied("llada")
    shutil.copy(DATA / "illada" / "checkpoint" / "config.json", path)
    assert "more" in refusal(path)


def test_tensors_that_are_no_floats_are_refused(copied):
    path = copied("llada")
    weights = load_file(path / WEIGHTS)
    weights["model.transformer.ln_f.weight"] = torch.ones(64, dtype=torch.int8)
    save_file(weights, path / WEIGHTS)
    assert "model.transformer.ln_f.weight is I8 (64,), not a float (64,)" in refusal(path)


def test_the_dtype_of_an_export_holds_the_numbers_of_both_kinds_of_16_bits(copied, tmp_path):
    path, out = copied("llada"), tmp_path / "out"
    weights = load_file(path / WEIGHTS)
    weights["model.transformer.ln_f.weight"] = torch.linspace(1.0, 1.1, 64).half()  # bfloat16 has three bits less
    save_file(weights, path / WEIGHTS)
    assert common_dtype(path) is torch.float32
    out.mkdir()
    described = describe(path)
    write_released(out, load_network(path, described, dtype=common_dtype(path)), path, described.family)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in load_file(out / WEIGHTS).items())
    save_file({}, path / WEIGHTS)
    assert common_dtype(path) is torch.float32


def test_what_is_always_computed_may_be_stored(copied):
    path = copied("illada")
    weights = load_file(path / WEIGHTS)
    spare = {"model.transformer.ff_out.weight": torch.zeros(2), "model.rotary_emb.inv_freq": torch.zeros(2)}
    save_file(weights | spare, path / WEIGHTS)
    load_network(path)


def test_a_tokenizer_of_another_model_is_refused(copied):
    path = copied("llada")  # mask id 488
    shutil.copy(DATA / "sdar" / "checkpoint" / "tokenizer.json", path)
    (path / "tokenizer_config.json").unlink()
    assert "its tokenizer has no such token (it has 487)" in refusal(path)
    path = copied("dream", vocab_size=500)
    weights = load_file(path / WEIGHTS)
    for key in ("lm_head.weight", "model.embed_tokens.weight"):
        weights[key] = weights[key][:486].clone()
    save_file(weights, path / WEIGHTS)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 486, "mask_token_id": 485}))
    assert "488 entries but the network embeds 486" in refusal(path)


def test_a_mask_id_that_is_stored_nowhere_must_be_given(copied):
    path = copied("lladamoe")
    assert "fef.load(..., mask_id=...)" in refusal(path)
    assert describe(path, mask_id=494).config.mask_id == 494
    assert "no tokenizer.json" in refusal(path, mask_id=494)
    assert "outside the vocabulary" in refusal(path, mask_id=512)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("llada", {"alibi": True}),
        ("llada", {"layer_norm_type": "default"}),
        ("llada", {"scale_logits": True}),
        ("dream", {"rope_scaling": {"type": "yarn"}}),
        ("sdar", {"hidden_act": "gelu"}),
        ("sdar", {"block_size": None}),
        ("sdar", {"num_hidden_layers": "3"}),
        ("llada2-moe", {"use_sliding_window": True}),
        ("lladamoe", {"clip_qkv": 8.0}),
        ("dream", {"rope_theta": "large"}),
        ("dream", {"tie_word_embeddings": 1}),
        ("dream", {"mask_token_id": "<mask>"}),
        ("dream", {"text_config": {"num_hidden_layers": 3}}),
        ("llada", {"attention": {"alibi": True}}),
        ("sdar", {"vision_config": {"hidden_size": 8}}),
    ],
)
def test_other_variants_are_refused_by_field(copied, family, fields):
    path = copied(family, **fields)
    with pytest.raises(fef.CheckpointError, match=next(iter(fields))):
        describe(path, mask_id=494 if family == "lladamoe" else None)


def test_tokens_come_from_the_checkpoint():
    known = {family: describe(DATA / family / "checkpoint").config for family in ("llada", "dream", "sdar", "illada")}
    assert {name: (c.mask_id, c.eos_id, c.stop_ids) for name, c in known.items()} == {
        "llada": (488, 481, (500,)),  # the end of a turn, <|eot_id|>, from the tokenizer
        "dream": (487, 464, (466,)),
        "sdar": (486, 462, (460,)),  # both ends of generation_config.json
        "illada": (5, 2, ()),
    }
    assert known["dream"].shift
    assert known["sdar"].block_length == 4
    assert describe(DATA / "sdar" / "checkpoint", block_length=8).config.block_length == 8
    assert describe(DATA / "llada2-moe" / "checkpoint").config.block_length == 32


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_blocks_of_a_network_that_has_none_are_refused(family):
    with pytest.raises(fef.OptionError, match=r"block_length=8 is for block-causal networks.* is bidirectional"):
        describe(DATA / family / "checkpoint", block_length=8)


def test_expert_biases_stay_float32_in_a_bfloat16_network():
    path = DATA / "llada2-moe" / "checkpoint"
    network = load_network(path, dtype=torch.bfloat16)
    stored = load_file(path / WEIGHTS)
    bias = network.blocks[1].mlp.router.selection_bias
    assert bias.dtype == torch.float32
    assert torch.equal(bias, stored["model.layers.1.mlp.gate.expert_bias"])
    assert network.embed.weight.dtype == torch.bfloat16
    assert not torch.equal(bias.bfloat16().float(), bias)


def test_released_checkpoints_generate_from_text_and_messages():
    model = fef.load(str(DATA / "llada" / "checkpoint"), device="cpu", dtype=torch.float32)
    ask = [{"role": "user", "content": "What is 2 + 3?"}]
    assert model.prompt_text(ask).endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
    alone = model.generate(ask, max_new_tokens=8)
    together = model.generate([ask, "What is", ask], max_new_tokens=8)
    assert [g.token_ids for g in together[::2]] == [alone.token_ids] * 2
    assert model.generate(model.prompt_text(ask), max_new_tokens=8).token_ids == alone.token_ids
    ends = {model.network.config.eos_id, *model.network.config.stop_ids}
    assert not ends & {i for g in together for i in g.token_ids}
    assert model.special_ids() == list(range(501, 512))  # rows of the embedding that are no token
    with pytest.raises(fef.InputError, match="list of"):
        model.generate([[{"role": "user"}]], max_new_tokens=8)
    with pytest.raises(fef.InputError, match="no chat template"):
        fef.load("demo").generate(ask)


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(fef.OptionError, match="bfloat16 or"):
        fef.load("demo", device="cpu", dtype=torch.float16)


@pytest.mark.parametrize(
    ("family", "fields", "stored"),
    [
        ("llada", {"include_qkv_bias": True}, {"model.transformer.blocks.0.q_proj.bias": (64,)}),
        ("llada", {"mlp_hidden_size": None, "mlp_ratio": 3}, {"model.transformer.blocks.1.up_proj.weight": (192, 64)}),
        (
            "llada",
            {"n_kv_heads": None, "multi_query_attention": True},
            {"model.transformer.blocks.0.k_proj.weight": (16, 64)},
        ),
        ("llada", {"embedding_size": 600}, {"model.transformer.wte.weight": (600, 64)}),
        ("llada", {"weight_tying": True}, {"model.transformer.ff_out.weight": None}),
        ("dream", {"tie_word_embeddings": True}, {"lm_head.weight": None}),
        (
            "sdar",
            {"attention_bias": True},
            {"model.layers.0.self_attn.q_proj.bias": (96,), "model.layers.0.self_attn.o_proj.bias": (64,)},
        ),
        ("llada2-moe", {"use_qkv_bias": True}, {"model.layers.0.attention.query_key_value.bias": (128,)}),
        ("llada2-moe", {"use_bias": True}, {"model.layers.0.attention.dense.bias": (64,)}),
        ("llada2-moe", {"num_shared_experts": 2}, {"model.layers.1.mlp.shared_experts.up_proj.weight": (48, 64)}),
        ("llada2-moe", {"first_k_dense_replace": 0}, {"model.layers.0.mlp.experts.15.down_proj.weight": (64, 24)}),
        ("lladamoe", {"moe_layer_freq": [0, 1, 1]}, {"model.layers.0.mlp.up_proj.weight": (160, 64)}),
        (
            "lladamoe",
            {"shared_expert_intermediate_size": 8},
            {"model.layers.2.shared_expert.down_proj.weight": (64, 8)},
        ),
        ("lladamoe", {"qk_layernorm": False}, {"model.layers.0.self_attn.q_norm.weight": None}),
    ],
)
def test_switches_of_the_config_change_what_is_stored(copied, family, fields, stored):
    described = describe(copied(family, **fields), mask_id=494 if family == "lladamoe" else None)
    with torch.device("meta"):
        parts = stored_parts(Transformer(described.config), described.family)
    shapes = {key: (sum(map(row_count, homes)), *row_shape(homes[0])) for key, homes in parts.items()}
    assert {key: shapes.get(key) for key in stored} == stored
