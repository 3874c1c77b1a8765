"""The harness's own task definitions, reading local files instead of the hub's: same prompts, filters and metrics."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["LOCAL_TASKS", "write_local_tasks"]

# a task of the harness: its definition, and the file of each split
LOCAL_TASKS: dict[str, tuple[str, dict[str, str]]] = {
    "gsm8k": ("gsm8k/gsm8k.yaml", {"train": "gsm8k_train.jsonl", "test": "gsm8k_test.jsonl"}),
    "gsm8k_cot": ("gsm8k/gsm8k-cot.yaml", {"test": "gsm8k_test.jsonl"}),
}


def write_local_tasks(definitions: Path, data: Path, folder: Path) -> dict[str, list[Path]]:
    """Write into `folder`, for `--include_path`, every task whose files are in `data`; returns the files of each.

    definitions: the harness's folder of tasks.
    """
    written = {}
    for name, (definition, splits) in LOCAL_TASKS.items():
        files = {split: (data / file).resolve() for split, file in splits.items()}
        if not all(file.is_file() for file in files.values()):
            continue
        config = {
            "include": str(definitions / definition),
            "task": name,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {split: str(file) for split, file in files.items()}},
        }
        # YAML reads JSON
        (folder / f"{name}.yaml").write_text(json.dumps(config), encoding="utf-8")
        written[name] = list(files.values())
    return written
