"""A small file that turns one network into another: low-rank differences of matrices in int8, norms and embedding rows whole.

A matrix becomes base + out @ in. Its factors are balanced (both hold the roots of the singular values), and each of
their R components is rounded to int8 with a scale of its own. The file names its base by a fingerprint and holds the config
of the result. Shapes: Y layers, O outputs, I inputs, R rank, D width.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fef.errors import CheckpointError
from fef.models.causal import CausalDescription
from fef.models.config import TransformerConfig
from fef.models.fingerprint import fingerprint
from fef.models.homes import Rows, Span
from fef.models.quantize import KINDS, quantize_rows
from fef.models.rounded_file import UNREADABLE, write_tensors
from fef.models.transformer import Transformer, blank
from fef.models.weights import fill_network

__all__ = ["Delta", "Factors", "delta_bytes", "low_rank", "merge", "read_delta", "write_delta"]

FORMAT = "fef-delta-1"
IN, OUT, SCALE, ROWS, ROW_IDS = "in", "out", "scale", "embed.rows", "embed.row_ids"
HEADER_BYTES = 16_384  # room for names, shapes and metadata


@dataclass(frozen=True)
class Factors:
    """The change of a matrix, out @ in: int8 numbers [R, O] and [R, I] with float32 scales [R] each."""

    out_RO: Tensor
    out_scale_R: Tensor
    in_RI: Tensor
    in_scale_R: Tensor

    @classmethod
    def rounded(cls, out_OR: Tensor, in_RI: Tensor) -> Factors:
        parts = (quantize_rows(factor_RX.contiguous(), KINDS["int8"]) for factor_RX in (out_OR.T, in_RI))
        return cls(*(tensor.cpu() for pair in parts for tensor in pair))

    @property
    def shape(self) -> tuple[int, int]:
        return self.out_RO.shape[1], self.in_RI.shape[1]

    @property
    def whole(self) -> bool:
        """Are they matrices of one rank and of int8, with a scale per component?"""
        if not all(part.dtype == torch.int8 for part in (self.out_RO, self.in_RI)):
            return False
        ranks = {factor.shape[:1] for factor in (self.out_RO, self.in_RI)}
        scales = {scale_R.shape for scale_R in (self.out_scale_R, self.in_scale_R)}
        return self.out_RO.ndim == self.in_RI.ndim == 2 and len(ranks | scales) == 1

    def change(self, rows: slice) -> Tensor:
        """These rows of the product, [O, I] float32."""
        out_OR = (self.out_RO[:, rows] * (self.out_scale_R * self.in_scale_R)[:, None]).T
        return out_OR @ self.in_RI.float()


@dataclass(frozen=True)
class Delta:
    """base: fingerprint of the network that it changes. config: of the result. factors: of each matrix by
    its name. whole: new values of other parameters. row_ids, rows: embedding rows [K] and their values [K, D].
    facts: whatever else is to be known of it, as JSON can hold it."""

    base: str
    config: TransformerConfig
    factors: Mapping[str, Factors]
    whole: Mapping[str, Tensor]
    row_ids: Tensor
    rows: Tensor
    facts: Mapping[str, Any]


def low_rank(out_OX: Tensor, in_XI: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The balanced factors [O, R] and [R, I] of the best approximation of out @ in with at most this rank."""
    left_OX, inner_out = torch.linalg.qr(out_OX)
    right_IX, inner_in = torch.linalg.qr(in_XI.T)
    u, s, v = torch.linalg.svd(inner_out @ inner_in.T, full_matrices=False)
    root_R = s[:rank].sqrt()
    return left_OX @ u[:, :rank] * root_R, (root_R[:, None] * v[:rank]) @ right_IX.T


def delta_bytes(shapes: Iterable[Sequence[int]], rank: int, numbers: int) -> int:
    """Size of a file, at most: factors of this rank for matrices of these shapes, and so many other numbers.

    Every matrix takes rank x (outputs + inputs) bytes and two float32 scales per component; other numbers are float32.
    """
    return HEADER_BYTES + 4 * numbers + sum(min(rank, *shape) * (sum(shape) + 8) for shape in shapes)


def write_delta(path: Path, delta: Delta) -> None:
    """Write the file as a whole or not at all. Raises CheckpointError where that fails, on a full disk for example."""
    tensors: dict[str, Tensor] = {ROW_IDS: delta.row_ids, ROWS: delta.rows.float().contiguous()}
    stacks: dict[str, list[tuple[Tensor, ...]]] = {}
    for name, factors in delta.factors.items():
        stacks.setdefault(kind_of(name), []).append(astuple(factors))
    for kind, layers in stacks.items():
        for part, values in zip(part_names(kind), zip(*layers, strict=True), strict=True):
            tensors[part] = torch.stack(values)
    tensors |= {name: value.float().contiguous() for name, value in delta.whole.items()}
    metadata = {
        "format": FORMAT,
        "base": delta.base,
        "config": json.dumps(delta.config.to_dict()),
        "matrices": json.dumps(list(delta.factors)),
        "facts": json.dumps(dict(delta.facts)),
    }
    write_tensors(path, tensors, metadata)


def part_names(kind: str) -> tuple[str, str, str, str]:
    return f"{kind}.{OUT}", f"{kind}.{OUT}.{SCALE}", f"{kind}.{IN}", f"{kind}.{IN}.{SCALE}"


def kind_of(name: str) -> str:
    """The name of a matrix without the number of its layer."""
    parts = name.split(".")
    return ".".join(part for part in parts if not part.isdecimal())


def read_delta(path: Path) -> Delta:
    """Raises CheckpointError for a file that is missing, damaged, or no delta."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is missing, truncated or damaged ({error}). Copy the file again.") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no delta of the format {FORMAT}; write one with `fef delta`.")
    try:
        config = TransformerConfig.from_dict(json.loads(metadata["config"]))
        factors = unstacked(tensors, json.loads(metadata["matrices"]))
        row_ids, rows = tensors.pop(ROW_IDS), tensors.pop(ROWS)
        if row_ids.dtype != torch.int64 or row_ids.ndim != 1 or bool((row_ids < 0).any()):
            raise ValueError(f"{ROW_IDS} are no rows")
        numbers = [name for name, value in [*tensors.items(), (ROWS, rows)] if not value.is_floating_point()]
        if numbers:
            raise ValueError(f"{numbers[0]} holds whole numbers")
        facts = dict(json.loads(metadata["facts"]))
        if not isinstance(facts.get("adaptation", {}), dict):
            raise ValueError("its adaptation is no object")
        return Delta(metadata["base"], config, factors, tensors, row_ids, rows, facts)
    except UNREADABLE as error:
        raise CheckpointError(f"{path} is a damaged delta ({error!r}). Copy the file again.") from error


def unstacked(tensors: dict[str, Tensor], matrices: Sequence[str]) -> dict[str, Factors]:
    """The factors of each matrix; takes their parts out of `tensors`. Raises ValueError for parts of several ranks."""
    kinds = {
        kind: [tensors.pop(part) for part in part_names(kind)] for kind in dict.fromkeys(kind_of(m) for m in matrices)
    }
    layers: dict[str, int] = dict.fromkeys(kinds, 0)
    factors = {}
    for name in matrices:
        kind = kind_of(name)
        layer = layers[kind]
        layers[kind] += 1
        factors[name] = Factors(*(part[layer] for part in kinds[kind]))
        if not factors[name].whole:
            raise ValueError(f"the factors of {name} do not belong together")
    return factors


def merge(
    base: Path,
    described: CausalDescription,
    delta: Delta,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    weights: str | None = None,
) -> Transformer:
    """The network that `delta` makes of the causal model at `base`.

    Rows are changed in float32 as they are read and rounded once. weights: as in `fef.models.checkpoint.load_network`. Raises
    CheckpointError for another base than that of the delta, and for parts that do not fit it.
    """
    found = fingerprint(base)
    if found != delta.base:
        raise CheckpointError(
            f"The delta changes a base with sha256 {delta.base[:12]}..., and {base} has {found[:12]}...: it is damaged or "
            "another model. Give the base that the delta was made for."
        )
    check_fit(base, described.config, delta)
    stored = described.weights(described.config)
    names = {described.family.stored_name(name): name for name in (*delta.factors, *delta.whole)}

    def read(wanted: Sequence[Span]) -> Iterator[Rows]:
        for tensor, start, rows in stored.read(wanted):
            yield tensor, start, changed(rows, start, names.get(tensor.key, ""), delta)

    network = fill_network(
        replace(stored, read=read), delta.config, described.family, device, dtype, weights, described.new_tokens
    )
    if network.device.type != "meta":
        network.embed.weight[delta.row_ids] = delta.rows.to(network.embed.weight)
    return network


def changed(rows: Tensor, start: int, name: str, delta: Delta) -> Tensor:
    part = slice(start, start + len(rows))
    if name in delta.factors:
        return rows.float() + delta.factors[name].change(part)
    return delta.whole[name][part] if name in delta.whole else rows


def check_fit(base: Path, config: TransformerConfig, delta: Delta) -> None:
    """Raise CheckpointError where the delta's parts are not those of a network of this shape."""
    shapes = {name: tuple(p.shape) for name, p in blank(config).named_parameters()}
    given: dict[str, tuple[int, ...]] = {name: factors.shape for name, factors in delta.factors.items()}
    given |= {name: tuple(value.shape) for name, value in delta.whole.items()}
    wrong = sorted(name for name, shape in given.items() if shapes.get(name) != shape)
    dims = ("vocab_size", "dim", "layers", "heads", "kv_head_count", "head_size", "mlp_dim")
    outside = delta.rows.shape != (len(delta.row_ids), config.dim) or bool((delta.row_ids >= config.vocab_size).any())
    if wrong or outside or any(getattr(config, name) != getattr(delta.config, name) for name in dims):
        raise CheckpointError(
            f"The delta does not fit the network in {base}{': ' + ', '.join(wrong[:4]) if wrong else ''}; one of the two is "
            "damaged. Copy both again."
        )
