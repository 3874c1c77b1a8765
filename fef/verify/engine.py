"""The suite on the engine: what its certificates say, measured on the texts of its requests."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fef.decoding.certificate import Certificate, Kind
from fef.decoding.inputs import per_row, row_seeds
from fef.engine.engine import Engine
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.verify.checks import batch_against_rows, check
from fef.verify.setting import Effort, Measured, Setting

__all__ = ["ENGINE_EFFORT", "EngineSetting", "engine_check", "in_engine"]

ENGINE_EFFORT = Effort(samples=3_000, oracle_texts=300, denoisers=2)
_SEATS = 512


@dataclass(frozen=True)
class EngineSetting(Setting):
    """A setting whose texts come from an engine, and whose certificate is that of its requests.

    device: where networks run; tables stay on the CPU. No law is integrated: the engine draws.
    """

    device: str = "cpu"

    def certificate(self) -> Certificate:
        on = self.subject(self.network)
        slots = [i for i, token in enumerate(on.start) if token == on.denoiser.mask_id]
        return self.engine(on.denoiser, len(on.start)).submit(list(on.start), slots, **self.asked).certificate

    def engine(self, denoiser: Any, length: int) -> Engine:
        """On a GPU in float32, which its kernels have."""
        if isinstance(denoiser, Transformer) and self.device != "cpu":
            denoiser = copy.deepcopy(denoiser).to(device=self.device, dtype=torch.float32)
            if denoiser.extras is not None:
                denoiser.extras.to(self.device, torch.float32)
        sizes = {} if isinstance(denoiser, TableDenoiser) else {"max_length": length}
        return Engine(denoiser, max_batch=_SEATS, windows=(4,), **sizes)

    def texts(self, denoiser: Any, ids: Tensor, **more: Any) -> Tensor:
        """Texts by the engine; arguments as in `fef.decode`."""
        engine, count, jobs = self.engine(denoiser, ids.shape[1]), len(ids), []
        lengths = more.pop("lengths", None) or [ids.shape[1]] * count
        columns = {name: per_row(value, name, count) for name, value in (self.asked | more).items()}
        columns["seed"] = row_seeds(more.get("seed", 0), count)
        for row, tokens in enumerate(ids):
            slots = (tokens[: lengths[row]] == denoiser.mask_id).nonzero()[:, 0]
            asked = {name: values[row] for name, values in columns.items()}
            if len(slots):
                jobs.append((engine.submit(tokens[: lengths[row]].tolist(), slots.tolist(), **asked), row, slots))
        engine.run()
        found = ids.clone()
        for job, row, slots in jobs:
            found[row, slots] = torch.tensor(job.result().tokens)
        return found


def engine_check(kind: Kind, setting: Setting, effort: Effort) -> Iterator[Measured]:
    """What the loop is held to where its law or its greedy text is stated, and for every kind the texts of `fef.decode`, of
    which none depends on its batch."""
    stated = kind in ("chain", "process", "greedy")  # of other kinds the loop's own sets or laws are measured
    if stated:
        yield from check(kind, setting, effort)
    for on in map(setting.subject, setting.subjects):
        ids = on.rows(200)
        different = int((setting.texts(on.denoiser, ids) != Setting.texts(setting, on.denoiser, ids)).any(1).sum())
        yield Measured.differing(on.name, different, 200, "texts differ from those of fef.decode")
    if not stated:
        yield batch_against_rows(setting)


def in_engine(setting: Setting, device: str = "cpu") -> EngineSetting:
    """The same setting on the engine."""
    given: dict[str, Any] = vars(setting) | {"by": "samples"}
    if setting.method == "schedule":
        given["subjects"] = ("network",)  # the loop's check makes a profile for each table, and here one is there
    return EngineSetting(**given, device=device)
