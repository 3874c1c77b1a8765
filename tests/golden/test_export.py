"""What is written in the layout of a release gives the logits of its official code, from one file or from many."""

from __future__ import annotations

import json

import pytest
import torch
from golden import GOLDEN, case_tensors, description, families, network
from safetensors.torch import load_file
from test_forward import FORWARD, PLAIN, attention_config, close, configured, real_rows, trunk

from fef.models.checkpoint import load_network, write_released
from fef.models.weights import INDEX


@pytest.mark.parametrize("shard_bytes", [1 << 30, 1 << 16])
@pytest.mark.parametrize("family", families(FORWARD))
def test_an_export_has_the_golden_logits(family, shard_bytes, tmp_path):
    source, described = GOLDEN / family / "checkpoint", description(family)
    write_released(tmp_path, network(family), source, described.family, shard_bytes=shard_bytes)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (tmp_path / INDEX).is_file() == (shard_bytes < 1 << 20)
    written = {key: tensor for file in files for key, tensor in load_file(file).items()}
    stored = load_file(source / "model.safetensors")
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[key], tensor) for key, tensor in stored.items())
    if (tmp_path / INDEX).is_file():
        assert json.loads((tmp_path / INDEX).read_text())["weight_map"].keys() == stored.keys()
    name = next(name for of, name in PLAIN if of == family)
    case, model = case_tensors(family, name), load_network(tmp_path, described)
    with configured(model, attention_config(model.config, case)):
        logits = model.logits(trunk(model, case))
    close(logits[real_rows(case)], case["logits"][real_rows(case)])
