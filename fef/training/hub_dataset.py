"""Datasets of the Hugging Face hub, whose rows stand for the lines of a JSONL file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fef.errors import InputError, OptionError
from fef.models.hub import is_repository

__all__ = ["dataset_rows", "is_dataset"]

FILES = (".json", ".jsonl", ".txt")  # what looks like a file and is not there is no dataset


def is_dataset(data: Path) -> bool:
    """Whether this can only be the name of a dataset: owner/name, and no file here."""
    return is_repository(data.as_posix()) and data.suffix not in FILES


def dataset_rows(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of the dataset's split "train", numbered from 1.

    Raises OptionError without the package `datasets`, InputError where it cannot load the dataset.
    """
    try:
        load = importlib.import_module("datasets").load_dataset
    except ImportError as error:
        raise OptionError(
            f"{name} is no file, and a dataset of the Hugging Face hub needs the package datasets; install it with "
            "`pip install 'fef[train]'`, or give a JSONL file."
        ) from error
    try:
        rows = load(name, split="train")
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{name} is no file, and no dataset of the Hugging Face hub with a split named train could be loaded: {reason}."
        ) from error
    for number, row in enumerate(rows, start=1):
        yield number, dict(row)
