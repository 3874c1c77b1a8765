"""The GGUF format: a header with metadata and a table of tensors, then the tensors, quantized in blocks.

Source: docs/gguf.md of ggml-org/ggml, versions 2 and 3, little-endian. The package `gguf` knows the quantizations. Its
reader is not used: it makes an object of every item of every array, two seconds and 160 MB for a vocabulary of 49,152, and
follows the lengths that a damaged file states wherever they lead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from fef.errors import CheckpointError
from fef.models.homes import Rows, Stored
from fef.readers import shown

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

__all__ = ["QUANTIZATIONS", "GgufFile", "open_gguf", "read_rows"]

MAGIC, VERSIONS = b"GGUF", (2, 3)
QUANTIZATIONS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")
SCALARS = dict(
    zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
)  # types of values, as `struct` has them
TEXT, ARRAY = 8, 9
MOST_DIMENSIONS = 4
ALIGNMENT = 32  # bytes, where general.alignment does not say another
PIECE = 1 << 19  # numbers that are dequantized at once: 2 MB, and several times as much on the way


@dataclass(frozen=True)
class GgufFile:
    """metadata: its values by name. tensors: with shapes as torch has them. offsets: the first byte of each."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Sequence[Stored]
    offsets: Mapping[str, int]


def open_gguf(path: Path) -> GgufFile:
    """Read the header, and check that all tensors are there.

    Raises CheckpointError for what is no GGUF file, is truncated or damaged, or holds a quantization that fef does not read.
    """
    if find_spec("gguf") is None:
        raise CheckpointError("GGUF files need the package gguf, which is not installed. Run: pip install 'fef[adapt]'")
    try:
        with path.open("rb") as file:
            header = Header(path, file, path.stat().st_size)
            header.check_format()
            tensor_count, value_count = header.number("Q"), header.number("Q")
            metadata = {header.text(): header.value(header.number("I")) for _ in range(value_count)}
            places = [header.tensor() for _ in range(tensor_count)]
            alignment = metadata.get("general.alignment", ALIGNMENT)
            if not isinstance(alignment, int) or alignment < 1:
                raise header.damaged(f"its alignment is {shown(alignment)}")
            start = -(-file.tell() // alignment) * alignment
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    for tensor, offset in places:
        if start + offset + byte_count(tensor) > header.size:
            raise header.truncated(f"{tensor.key} lies behind its end")
    return GgufFile(path, metadata, [t for t, _ in places], {t.key: start + offset for t, offset in places})


@dataclass
class Header:
    """The header of a file of `size` bytes, read from its beginning on."""

    path: Path
    file: BinaryIO
    size: int

    def check_format(self) -> None:
        if self.file.read(len(MAGIC)) != MAGIC:
            raise CheckpointError(f"{self.path} is not a GGUF file; give one, or a model directory with safetensors.")
        version = self.number("I")
        if version not in VERSIONS:
            raise CheckpointError(
                f"{self.path} has version {version} of GGUF, and fef reads versions {VERSIONS[0]} and {VERSIONS[1]}, "
                "little-endian. Convert it with the tools of llama.cpp, or take a newer file."
            )

    def tensor(self) -> tuple[Stored, int]:
        """A tensor and its place behind the header, in bytes."""
        key, dimensions = self.text(), self.number("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise self.damaged(f"{shown(key)} has {dimensions} dimensions")
        shape = tuple(reversed(self.numbers("Q", dimensions)))
        stored = Stored(self.path, key, shape, quantization(self.path, key, self.number("I")))
        if 0 in shape or shape[-1] % block_of(stored)[0]:
            raise self.damaged(f"{shown(key)} in {stored.dtype} has the shape {shape}")
        return stored, self.number("Q")

    def value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind == ARRAY:
            kind, length = self.number("I"), self.number("Q")
            if kind == TEXT:
                return [self.text() for _ in range(length)]
            return list(self.numbers(self.scalar(kind), length))
        return self.number(self.scalar(kind))

    def scalar(self, kind: int) -> str:
        if kind not in SCALARS:
            raise self.damaged(f"its metadata holds a value of the unknown type {kind}")
        return SCALARS[kind]

    def text(self) -> str:
        try:
            return self.take(self.number("Q")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged("a text in its header is not UTF-8") from error

    def number(self, form: str) -> Any:
        return self.numbers(form, 1)[0]

    def numbers(self, form: str, count: int) -> tuple[Any, ...]:
        taken = self.take(struct.calcsize(f"<{form}") * count)
        return struct.unpack(f"<{count}{form}", taken)

    def take(self, count: int) -> bytes:
        if count > self.size - self.file.tell():
            raise self.truncated("its header goes on behind its end")
        return self.file.read(count)

    def truncated(self, how: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is truncated or damaged: it has {self.size} bytes, and {how}. Copy it again."
        )

    def damaged(self, how: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is damaged: {how}. Copy it again.")


def read_rows(file: GgufFile, wanted: Iterable[Stored], units: Mapping[str, int]) -> Iterator[Rows]:
    """All rows of these tensors as float32, some at a time: whole multiples of `units[key]`, where there is one."""
    from gguf.quants import dequantize

    with file.path.open("rb") as data:
        for tensor in wanted:
            rows = tensor.shape[0] if len(tensor.shape) > 1 else 1  # a vector is one row of blocks
            unit, row_bytes = units.get(tensor.key, 1), byte_count(tensor) // rows
            step = max(unit, PIECE * rows // prod(tensor.shape) // unit * unit)
            data.seek(file.offsets[tensor.key])
            for start in range(0, rows, step):
                count = min(step, rows - start)
                stored = np.fromfile(data, np.uint8, count * row_bytes).reshape(count, row_bytes)
                numbers = dequantize(stored, quantization_type(tensor))
                yield tensor, start, torch.from_numpy(numbers).view(-1, *tensor.shape[1:])


def byte_count(tensor: Stored) -> int:
    numbers, size = block_of(tensor)
    return prod(tensor.shape) // numbers * size


def block_of(tensor: Stored) -> tuple[int, int]:
    """Numbers and bytes of a block of its quantization."""
    from gguf import GGML_QUANT_SIZES

    numbers, size = GGML_QUANT_SIZES[quantization_type(tensor)]
    return numbers, size


def quantization_type(tensor: Stored) -> GGMLQuantizationType:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType[tensor.dtype]


def quantization(path: Path, key: str, number: int) -> str:
    """The name of a quantization. Raises CheckpointError for one that fef does not read."""
    from gguf import GGMLQuantizationType

    known: dict[int, str] = {kind.value: kind.name for kind in GGMLQuantizationType}
    name = known.get(number, f"type {number}")
    if name not in QUANTIZATIONS:
        raise CheckpointError(
            f"{path}: {shown(key)} is quantized as {name}, and fef reads {', '.join(QUANTIZATIONS)}. Take the file in one of "
            "these."
        )
    return name
