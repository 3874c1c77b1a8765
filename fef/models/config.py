"""What a transformer denoiser looks like: sizes, attention, feed-forward, special tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from sys import float_info
from typing import Any, Literal, get_args

from fef.errors import CheckpointError, nearest_hint
from fef.readers import shown

__all__ = ["MOST_LAYERS", "MOST_SIZE", "MOST_WIDTH", "Attention", "MixtureConfig", "TransformerConfig"]

Attention = Literal["bidirectional", "block-causal", "causal"]
Scores = Literal["softmax", "sigmoid"]
# A network is laid out, without numbers, before its weights are looked at: a config of absurd sizes must not fill the memory.
MOST_LAYERS, MOST_EXPERTS, MOST_WIDTH, MOST_SIZE = 10_000, 1_000_000, 1 << 20, (1 << 31) - 1
SIZES = {
    "vocab_size": 1 << 28,
    "dim": MOST_WIDTH,
    "layers": MOST_LAYERS,
    "heads": MOST_WIDTH,
    "mlp_dim": MOST_WIDTH,
    "max_length": MOST_SIZE,
    "kv_heads": MOST_WIDTH,
    "head_dim": MOST_WIDTH,
    "rotary_dim": MOST_WIDTH,
    "block_length": MOST_SIZE,
}
OPTIONAL_SIZES = ("kv_heads", "head_dim", "rotary_dim", "block_length")


@dataclass(frozen=True)
class MixtureConfig:
    """A mixture-of-experts feed-forward part."""

    experts: int  # that a layer has
    per_token: int  # experts that each token runs through
    expert_dim: int  # width of an expert
    shared_dim: int = 0  # width of an expert that every token runs through; 0: none
    dense_layers: tuple[int, ...] = ()  # layers with an ordinary feed-forward part instead
    scores: Scores = "softmax"  # turns router logits into weights
    selection_bias: bool = False  # a stored bias is added where experts are chosen, not where they are weighted
    groups: int = 1  # equal groups of experts
    top_groups: int = 1  # only experts of so many best groups can be chosen (DeepSeek-V3, 2412.19437, 2.1.2)
    normalize: bool = False  # the chosen weights sum to 1 before they are scaled
    scale: float = 1.0  # multiplies the weights

    def __post_init__(self) -> None:
        for name, least in (("experts", 1), ("per_token", 1), ("expert_dim", 1), ("shared_dim", 0)):
            check_whole(name, getattr(self, name), least, MOST_EXPERTS if name == "experts" else MOST_WIDTH)
        for name in ("groups", "top_groups"):
            check_whole(name, getattr(self, name), 1, MOST_EXPERTS)
        if not isinstance(self.dense_layers, list | tuple):
            raise CheckpointError(
                f"The model config has dense_layers = {shown(self.dense_layers)}; give a list of layers."
            )
        object.__setattr__(self, "dense_layers", tuple(self.dense_layers))  # JSON gives a list
        if (
            isinstance(self.scale, bool)
            or not isinstance(self.scale, int | float)
            or not abs(self.scale) <= float_info.max
        ):
            raise CheckpointError(f"The model config has scale = {shown(self.scale)}; it must be a number.")
        if self.experts % self.groups or self.top_groups > self.groups:
            raise CheckpointError(
                f"{self.experts} experts in {self.groups} groups, {self.top_groups} of them chosen, is no router. The "
                "groups must be equal, and at most all of them chosen."
            )
        if self.per_token > self.experts // self.groups * self.top_groups:
            raise CheckpointError(f"A token cannot choose {self.per_token} of {self.experts} experts in its groups.")
        if self.scores not in get_args(Scores):
            raise CheckpointError(
                f"Unknown router scores {shown(self.scores)}.{nearest_hint(str(self.scores)[:40], get_args(Scores))}"
            )


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and switches of `Transformer`; the defaults describe a LLaDA-like network."""

    vocab_size: int  # embedding rows, the mask id among them
    dim: int  # width
    layers: int  # blocks
    heads: int  # of queries
    mlp_dim: int  # width of the feed-forward part
    mask_id: int  # the id of what is to be drawn
    kv_heads: int | None = None  # of keys and values; None: as many as of queries
    head_dim: int | None = None  # None: dim / heads
    eos_id: int | None = None  # ends a text, and fills what follows
    stop_ids: tuple[int, ...] = ()  # these end a text, too
    answer_id: int | None = None  # stands between prompt and answer, if there is one
    max_length: int = 4096  # tokens
    attention: Attention = "bidirectional"  # who sees whom
    block_length: int | None = None  # tokens per block of block-causal attention
    packed: bool = False  # were the weights trained for the packed attention pattern?
    shift: bool = False  # does the state at position i-1 predict position i (Dream)?
    qkv_bias: bool = False  # biases of queries, keys and values
    out_bias: bool = False  # bias behind attention
    qk_norm: bool = False  # norms of queries and keys
    mixture: MixtureConfig | None = None  # None: ordinary feed-forward parts
    tied_embeddings: bool = True  # the head is the embedding
    rope_theta: float = 10_000.0  # base of the rotation
    rotary_dim: int | None = None  # dimensions of a head that are rotated; None: all
    norm_eps: float = 1e-6  # of RMSNorm

    def __post_init__(self) -> None:
        for name, most in SIZES.items():
            check_whole(name, getattr(self, name), 1, most, optional=name in OPTIONAL_SIZES)
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= float_info.max:
                raise CheckpointError(f"The model config has {name} = {shown(value)}; it must be a number above 0.")
        for name in (field.name for field in fields(self) if field.type == "bool"):
            if not isinstance(getattr(self, name), bool):
                raise CheckpointError(
                    f"The model config has {name} = {shown(getattr(self, name))}; give true or false."
                )
        if not isinstance(self.stop_ids, list | tuple):
            raise CheckpointError(f"The model config has stop_ids = {shown(self.stop_ids)}; give a list of token ids.")
        object.__setattr__(self, "stop_ids", tuple(self.stop_ids))  # JSON gives a list
        if self.heads % self.kv_head_count:
            raise CheckpointError(f"{self.heads} heads cannot share {self.kv_head_count} key-value heads evenly.")
        if self.rotary_size % 2 or not 0 < self.rotary_size <= self.head_size:
            raise CheckpointError(
                f"Rotary embedding needs an even number of dimensions, at most the head_dim {self.head_size}; the config "
                f"has {self.rotary_size}."
            )
        named = (("mask_id", self.mask_id), ("eos_id", self.eos_id), ("answer_id", self.answer_id))
        for name, token in (*named, *(("stop_id", i) for i in self.stop_ids)):
            if token is None and name in ("eos_id", "answer_id"):
                continue
            if isinstance(token, bool) or not isinstance(token, int):
                raise CheckpointError(f"The model config has {name} = {shown(token)}; it must be a token id.")
            if not 0 <= token < self.vocab_size:
                raise CheckpointError(f"{name} {token} is outside the vocabulary of {self.vocab_size}.")
        if self.mixture is not None and self.layers * self.mixture.experts > MOST_EXPERTS:
            raise CheckpointError(
                f"{self.layers} layers of {self.mixture.experts} experts are more than the {MOST_EXPERTS} that fef reads."
            )
        if self.attention not in get_args(Attention):
            hint = nearest_hint(str(self.attention)[:40], get_args(Attention))
            raise CheckpointError(f"Unknown attention {shown(self.attention)} in the model config.{hint}")
        if self.attention == "block-causal" and not self.block_length:
            raise CheckpointError("Block-causal attention needs a block_length in the model config.")
        if self.packed and self.shift:
            raise CheckpointError(
                "The packed law predicts a token at its own place, and logits shifted by one predict the next; the model "
                "config has both. Set packed or shift to false."
            )

    @property
    def kv_head_count(self) -> int:
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.dim // self.heads

    @property
    def rotary_size(self) -> int:
        return self.rotary_dim or self.head_size

    def seen_until(self, position: int) -> int | None:
        """How many tokens of a canvas are seen where the token at `position` is predicted; None: all of them."""
        at = max(0, position - self.shift)
        if self.attention == "bidirectional":
            return None
        if self.attention == "causal":
            return at + 1
        assert self.block_length is not None
        return (at // self.block_length + 1) * self.block_length

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TransformerConfig:
        """Build from parsed JSON. Raises CheckpointError on unknown or missing fields."""
        check_names(cls, values)
        mixture = values.get("mixture")
        if mixture is not None and not isinstance(mixture, dict):
            raise CheckpointError(f"The model config has mixture = {shown(mixture)}; it must be an object or null.")
        try:
            if mixture is not None:
                check_names(MixtureConfig, mixture)
                values = values | {"mixture": MixtureConfig(**mixture)}
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"The model config is incomplete: {error}.") from error


def check_whole(name: str, value: Any, least: int, most: int, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        at_most = f" and at most {most}" if isinstance(value, int) and value > most else ""
        raise CheckpointError(
            f"The model config has {name} = {shown(value)}; it must be a whole number of at least {least}{at_most}."
        )


def check_names(kind: type[TransformerConfig | MixtureConfig], values: dict[str, Any]) -> None:
    known = {f.name for f in fields(kind)}
    for name in values:
        if name not in known:
            raise CheckpointError(f"Unknown field {name!r} in the model config.{nearest_hint(name, known)}")
