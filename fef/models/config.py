"""What a transformer denoiser looks like: sizes, attention, special tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from fef.errors import CheckpointError, nearest_hint

__all__ = ["Attention", "TransformerConfig"]

Attention = Literal["bidirectional", "block-causal", "causal"]


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and switches of `Transformer`; the defaults describe a LLaDA-like network.

    `vocab_size` counts every embedding row, the mask id among them. `shift` marks networks whose hidden state at
    position i-1 predicts position i (Dream). `packed` marks weights trained for the packed attention pattern.
    Units: tokens for `max_length` and `block_length`.
    """

    vocab_size: int
    dim: int
    layers: int
    heads: int
    mlp_dim: int
    mask_id: int
    kv_heads: int | None = None
    head_dim: int | None = None
    eos_id: int | None = None
    answer_id: int | None = None
    max_length: int = 4096
    attention: Attention = "bidirectional"
    block_length: int | None = None
    packed: bool = False
    shift: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    tied_embeddings: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "layers", "heads", "mlp_dim", "max_length"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise CheckpointError(
                    f"The model config has {name} = {value!r}; it must be a whole number of at least 1."
                )
        if self.heads % self.kv_head_count:
            raise CheckpointError(f"{self.heads} heads cannot share {self.kv_head_count} key-value heads evenly.")
        if self.head_size % 2:
            raise CheckpointError(f"Rotary embedding needs an even head_dim; the config has {self.head_size}.")
        if not 0 <= self.mask_id < self.vocab_size:
            raise CheckpointError(f"mask_id {self.mask_id} is outside the vocabulary of {self.vocab_size}.")
        if self.attention not in get_args(Attention):
            hint = nearest_hint(str(self.attention), get_args(Attention))
            raise CheckpointError(f"Unknown attention {self.attention!r} in the model config.{hint}")
        if self.attention == "block-causal" and not self.block_length:
            raise CheckpointError("Block-causal attention needs a block_length in the model config.")

    @property
    def kv_head_count(self) -> int:
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.dim // self.heads

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TransformerConfig:
        """Build from parsed JSON. Raises CheckpointError on unknown or missing fields."""
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise CheckpointError(f"Unknown field {name!r} in the model config.{nearest_hint(name, known)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise CheckpointError(f"The model config is incomplete: {error}.") from error
