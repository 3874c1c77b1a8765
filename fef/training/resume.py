"""What a stopped run needs to go on, on any number of processes: trained parameters and optimizer states, in PyTorch's format
of distributed checkpoints, each process writing and reading its own shards.

Its table of contents is pickled: go on with runs of your own only.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from fef.errors import CheckpointError
from fef.training.processes import ALONE, Processes

__all__ = ["RESUME", "load_state", "reached_step", "save_state", "saved_weights"]

RESUME = "resume"
STATE, FACTS = "state", "run.json"
WEIGHTS = "weights."
Parameters = Mapping[str, nn.Parameter]
Optimizers = Sequence[torch.optim.Optimizer]


def save_state(
    directory: Path,
    parameters: Parameters,
    optimizers: Optimizers,
    step: int,
    facts: Mapping[str, Any],
    processes: Processes,
) -> None:
    """Write `directory`/resume. facts: what another run would have other values of, as JSON."""
    resume = directory / RESUME
    with processes.together():
        if processes.leads:
            resume.mkdir()
            (resume / FACTS).write_text(json.dumps({"step": step, "run": dict(facts)}, indent=1) + "\n")
    state: dict[str, Tensor] = {weight_name(name): p.detach() for name, p in parameters.items()}
    for prefix, _, values in states_of(parameters, optimizers):
        state |= {f"{prefix}{key}": value for key, value in values.items()}
    try:
        move(save, state, resume, processes)
    except CheckpointException as failed:
        raise failure(failed) from failed


def load_state(
    out: Path, parameters: Parameters, optimizers: Optimizers, facts: Mapping[str, Any], processes: Processes
) -> int:
    """Restore parameters and optimizers in place; the step reached. Raises CheckpointError for the run of other facts, or of
    other parameters, and for damaged files."""
    resume = out / RESUME
    with processes.together():
        step = check_run(resume, facts)
        stored = stored_shapes(resume)
        wanted = {weight_name(name): p.shape for name, p in parameters.items()}
        if {name: shape for name, shape in stored.items() if name.startswith(WEIGHTS)} != wanted:
            raise cannot(resume, "it trained other parameters, or of other shapes")
    state: dict[str, Tensor] = {weight_name(name): p.detach() for name, p in parameters.items()}
    found: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    numbers = [0 for _ in optimizers]
    for prefix, parameter, _ in states_of(parameters, optimizers):
        which = int(prefix.split(".")[1])
        values = {
            name.removeprefix(prefix): torch.zeros_like(parameter) if shape == parameter.shape else torch.zeros(shape)
            for name, shape in stored.items()
            if name.startswith(prefix) and "." not in name.removeprefix(prefix)
        }
        if values:
            found[which][numbers[which]] = values
        numbers[which] += 1
        state |= {f"{prefix}{key}": value.detach() for key, value in values.items()}
    try:
        move(load, state, resume, processes)
    except CheckpointException as failed:
        raise cannot(resume, str(failure(failed))) from failed
    for optimizer, values_of in zip(optimizers, found, strict=True):
        optimizer.load_state_dict({"state": values_of, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def saved_weights(out: Path) -> dict[str, Tensor]:
    """The trained parameters of a saved run, on the CPU. Raises CheckpointError where there are none, or damaged ones."""
    try:
        shapes = stored_shapes(out / RESUME)
        state = {name: torch.empty(shape) for name, shape in shapes.items() if name.startswith(WEIGHTS)}
        move(load, state, out / RESUME, ALONE)
    except (CheckpointError, CheckpointException) as error:
        raise CheckpointError(
            f"{out / RESUME}, what training left to go on with, cannot be read. Give a directory of `fef train` or `fef "
            "adapt`."
        ) from error
    return {name.removeprefix(WEIGHTS): tensor for name, tensor in state.items()}


def move(how: Callable[..., Any], state: dict[str, Tensor], resume: Path, processes: Processes) -> None:
    """Save or load these tensors."""
    alone = processes.size == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as it should be where one is alone
        how(state, checkpoint_id=resume / STATE, process_group=processes.control, no_dist=alone)


def weight_name(name: str) -> str:
    return f"{WEIGHTS}{name}"


def states_of(
    parameters: Parameters, optimizers: Optimizers
) -> Iterator[tuple[str, nn.Parameter, Mapping[str, Tensor]]]:
    """Of each parameter, in the optimizers' order: how the names of its states begin, itself, and its states."""
    names = {parameter: name for name, parameter in parameters.items()}
    for which, optimizer in enumerate(optimizers):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                yield f"optimizer.{which}.{names[parameter]}.", parameter, optimizer.state.get(parameter, {})


def reached_step(out: Path) -> int | None:
    """The step of the run saved in `out`; none where its resume part cannot be read (loading it will say why)."""
    try:
        return int(json.loads((out / RESUME / FACTS).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_run(resume: Path, facts: Mapping[str, Any]) -> int:
    """The step of a run of these facts."""
    try:
        stored = json.loads((resume / FACTS).read_text(encoding="utf-8"))
        step, run = int(stored["step"]), dict(stored["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cannot(resume, str(error)) from error
    here = json.loads(json.dumps(dict(facts)))
    other = [name for name in sorted({*run, *here}) if run.get(name) != here.get(name)]
    if other:
        words = "; ".join(f"its {name} is {run.get(name)}, and here it is {here.get(name)}" for name in other)
        raise CheckpointError(
            f"{resume} is of another run: {words}. Repeat its command, or give --out another directory."
        )
    return step


def stored_shapes(resume: Path) -> dict[str, torch.Size]:
    try:
        metadata = FileSystemReader(resume / STATE).read_metadata()
        return {name: entry.size for name, entry in metadata.state_dict_metadata.items()}  # type: ignore[union-attr]
    except Exception as error:  # a damaged pickle can fail in any way
        raise cannot(resume, str(error) or type(error).__name__) from error


def failure(failed: CheckpointException) -> Exception:
    """The error of the first process that failed."""
    errors = [error for _, (error, _) in sorted(failed.failures.items())]
    return next((error for error in errors if isinstance(error, Exception)), OSError(str(failed)))


def cannot(resume: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot resume from {resume} ({reason}). Give --out another directory to start again; the weights that were saved "
        f"stay in {resume.parent}."
    )
