"""A request of packed rounds where it runs."""

from __future__ import annotations

from dataclasses import dataclass

from fef.engine.job import Job
from fef.engine.packed_texts import PackedText
from fef.engine.requests import PassSequence
from fef.engine.slots import PassRequest
from fef.engine.watched import PackedWatch

__all__ = ["Seated"]


@dataclass(eq=False)
class Seated:
    """A job in its sequence of denoising passes. pass_: the one it is in, or waits for. slot: where it runs. admitted_at: the
    launch that let it in. watch: reads its rounds for those who watch it. text: that under a grammar. log_mass: of the
    passes that are over, as in `EngineResult`. told: tokens of the pass that were told to those who follow it."""

    job: Job
    sequence: PassSequence
    pass_: PassRequest | None = None
    slot: int | None = None
    admitted_at: int = -1
    watch: PackedWatch | None = None
    text: PackedText | None = None
    log_mass: float = 0.0
    told: int = 0

    def __post_init__(self) -> None:
        asked = self.job.request
        self.cut = asked.temperature > 0 and (asked.top_p < 1 or asked.top_k > 0)  # is top-p or top-k on?
        # is somebody told of its rounds?
        self.followed = self.job.committed is not None or self.job.watched is not None
