"""Causal language models as the start of masked diffusion models: found, described, loaded, with a token to mask with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path

import torch

from fef.errors import CheckpointError
from fef.models.chat import ChatTemplate
from fef.models.checkpoint import DELTA, check_vocabulary, no_tokenizer, read_fields
from fef.models.config import TransformerConfig
from fef.models.device import check_dtype, usable_device
from fef.models.families import CAUSAL, Family, Fields, unfit
from fef.models.hub import download_weights, is_repository, locate
from fef.models.tokenizer import Tokenizer
from fef.models.transformer import Transformer
from fef.models.weights import StoredWeights, fill_network, safetensors_of
from fef.readers import several

__all__ = ["CausalDescription", "describe_causal", "load_causal"]

CONVERSATION = (  # control tokens with a part in texts, also where no chat template says so
    "<|begin_of_text|>",
    "<|end_header_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|im_start|>",
    "<|start_header_id|>",
)
SPARE = ("mask", "reserved", "unused")  # what the names of control tokens without a part say


@dataclass(frozen=True)
class CausalDescription:
    """What a causal language model is, before its weights are read.

    new_tokens: how many at the end of the vocabulary of `config` have no stored weights: 1 if the mask had to be added, else
    0. template: as `ChatTemplate.load`. weights: finds the stored ones.
    """

    family: Family
    config: TransformerConfig
    tokenizer: Tokenizer
    template: ChatTemplate | None
    new_tokens: int
    weights: Callable[[TransformerConfig], StoredWeights]


def load_causal(
    source: str | PathLike[str], device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[Transformer, Tokenizer]:
    """The network and the tokenizer of a causal language model.

    source: a GGUF file, or a directory or Hugging Face repository with safetensors, of the families
    `fef.models.families.CAUSAL`. dtype: bfloat16 by default.

    The network reads as released: `network(ids)[:, i]` are the logits of token i + 1 given the tokens up to i; its config
    has `attention="causal"` and no `shift`. `mask_id` has no part in its texts (`mask_token`); `eos_id` ends a turn where
    there is a chat template, else a text. Peak memory: the weights in `dtype` and some megabytes. Raises CheckpointError or
    OptionError with what is wrong and what to give instead.
    """
    device, dtype = usable_device(device), dtype or torch.bfloat16
    check_dtype(dtype, device)
    name = fspath(source) if isinstance(source, PathLike) else source
    path = locate(name)
    described = describe_causal(path)
    download_weights(name, path)
    stored = described.weights(described.config)
    network = fill_network(stored, described.config, described.family, device, dtype, new_tokens=described.new_tokens)
    network.name = name if is_repository(name) else path.stem if path.is_file() else path.name
    return network, described.tokenizer


def describe_causal(path: Path) -> CausalDescription:
    """Read config, tokenizer and chat template of a GGUF file or a directory. Raises CheckpointError as `load_causal`."""
    if not path.exists():
        raise CheckpointError(
            f"{str(path)!r} is neither a GGUF file nor a model directory. Give one of them, or the name of a Hugging Face "
            "repository such as 'HuggingFaceTB/SmolLM2-135M-Instruct'."
        )
    return describe_file(path) if path.is_file() else describe_directory(path)


def describe_file(path: Path) -> CausalDescription:
    from fef.models.gguf.file import open_gguf
    from fef.models.gguf.network import check_heads, config_values, gguf_family, gguf_weights, spelling
    from fef.models.gguf.text import named_ids, read_template, read_tokenizer

    file = open_gguf(path)
    family, tokenizer = gguf_family(file), read_tokenizer(file)
    fields = Fields(
        str(path),
        config_values(file),
        named_ids=named_ids(file),
        turn_ends=tokenizer.ids_of(family.turn_ends),
        place="its metadata",
        spelled=spelling(file),
    )
    described = finish(path, family, tokenizer, fields, read_template(file), lambda config: gguf_weights(file, config))
    check_heads(file, described.config)
    return described


def describe_directory(path: Path) -> CausalDescription:
    if (path / DELTA).is_file():
        raise unfit(str(path), f"is no causal model as they are released: it holds a change of one ({DELTA})", CAUSAL)
    family, tokenizer, fields = read_fields(path, CAUSAL)
    if tokenizer is None:
        raise no_tokenizer(path)
    return finish(path, family, tokenizer, fields, ChatTemplate.load(path), lambda _: safetensors_of(path))


def finish(
    path: Path,
    family: Family,
    tokenizer: Tokenizer,
    fields: Fields,
    template: ChatTemplate | None,
    weights: Callable[[TransformerConfig], StoredWeights],
) -> CausalDescription:
    """The description of a model that says what `fields` say, with the special tokens of a diffusion model."""
    rows = fields.whole("vocab_size")
    check_vocabulary(path, tokenizer, rows)
    mask_id = mask_token(tokenizer, fields, template)
    new_tokens = max(0, mask_id + 1 - rows)
    values = {**fields.values, "mask_token_id": mask_id, "vocab_size": rows + new_tokens}
    config = end_turns(family.config(replace(fields, values=values)), tokenizer, family, template)
    return CausalDescription(family, config, tokenizer, template, new_tokens, weights)


def mask_token(tokenizer: Tokenizer, fields: Fields, template: ChatTemplate | None) -> int:
    """A token to mask with: one that the model calls its mask; else a control token without a part in its texts, a reserved
    one before others; else the first id behind the tokenizer.

    A part have the tokens that config or tokenizer name (bos, eos, pad ...), those that the chat template writes, and those
    of `CONVERSATION`.
    """
    if "mask_token" in fields.named_ids:
        return fields.named_ids["mask_token"]
    taken = {*fields.named_ids.values(), *fields.turn_ends, *tokenizer.ids_of(CONVERSATION)}
    for settings in (fields.values, fields.generation):
        for name, value in settings.items():
            if name.endswith("_token_id"):
                taken |= {i for i in several(value) or [value] if isinstance(i, int)}
    written = "" if template is None else template.source
    spare = {
        i: token.content
        for i, token in sorted(tokenizer.raw.get_added_tokens_decoder().items())
        if token.special and i not in taken and token.content not in written
    }
    reserved = [i for i, text in spare.items() if any(word in text.lower() for word in SPARE)]
    return next(iter([*reserved, *spare]), tokenizer.vocab_size)


def end_turns(
    config: TransformerConfig, tokenizer: Tokenizer, family: Family, template: ChatTemplate | None
) -> TransformerConfig:
    """The config whose first end is that of a turn in the chat template; all others stop a text, too."""
    written = [] if template is None else [text for text in family.turn_ends if text in template.source]
    known = [i for i in (config.eos_id, *config.stop_ids) if i is not None]
    ends = list(dict.fromkeys([*tokenizer.ids_of(written), *known]))
    return replace(config, eos_id=ends[0] if ends else None, stop_ids=tuple(ends[1:]))
