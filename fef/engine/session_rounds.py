"""Rounds of every method on every denoiser: a session for each plan that requests ask for.

Requests of one plan whose canvases have about the same length share a session and its passes; each goes at its own pace
(`fef.decoding.session`). A session that fails is taken apart: its requests start again, each in a session of its own, so that
none fails for a neighbour. They lose time only: what a request draws is a function of its seed.

Shapes: N requests, L canvas length.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fef.decoding.canvas import Canvas
from fef.decoding.loop import round_of
from fef.decoding.network import Network, is_out_of_memory
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests, padded
from fef.decoding.requirements import check_canvas
from fef.decoding.session import Observer, Round, Session
from fef.engine.build import EngineOptions
from fef.engine.graphs import give_back
from fef.engine.job import Job
from fef.engine.requests import EngineResult, Request, rows_of
from fef.engine.watched import session_round
from fef.errors import EngineError, FefError
from fef.models.prefixes import PrefixStore, blocks_before
from fef.models.slot_cache import bytes_per_place

__all__ = ["SessionRounds", "cache_bytes_of"]

_LENGTH_STEP = 64  # canvases are padded to multiples of this, so that requests of similar length share a session


@dataclass
class Group:
    """A session and the jobs of its rows, by number."""

    session: Session
    jobs: dict[int, Job] = field(default_factory=dict)


class SessionRounds:
    """new_network: what a session decodes with, anything that `fef.decode` takes in it. budget: bytes for caches. prefixes:
    blocks of a block-causal network that requests may share."""

    def __init__(
        self,
        new_network: Callable[[], Network],
        device: torch.device,
        options: EngineOptions,
        budget: float,
        prefixes: PrefixStore | None = None,
    ) -> None:
        network = new_network()
        self.new_network, self.denoiser, self.device, self.budget = new_network, network.denoiser, device, budget
        self.pads, self.seats, self.most_open = network.pads, options.max_batch, options.max_new_tokens
        self.longest = min((n for n in (network.max_length, options.max_length) if n is not None), default=None)
        self.waiting: deque[Job] = deque()
        self.groups: dict[Hashable, Group] = {}
        self.taken = 0  # numbers given to rows
        self.prefixes = prefixes
        self.short_of_memory = False  # did it run out in the last step?
        self.in_round = False

    @property
    def running(self) -> list[Job]:
        return [job for group in self.groups.values() for job in group.jobs.values()]

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.groups)

    def submit(self, job: Job) -> None:
        """Queue a request. Raises EngineError for one that can never fit, and as `check_canvas`."""
        plan, length = job.request.plan, len(job.request.ids)
        if self.longest is not None and length > self.longest:
            raise EngineError(
                f"The request has a canvas of {length} tokens; this engine holds {self.longest}. Ask for less, or make the "
                "engine with a larger max_length if the network allows it."
            )
        if self.most_open is not None and len(job.request.open) > self.most_open:
            raise EngineError(
                f"The request has {len(job.request.open)} places to fill; this engine fills {self.most_open} at most. Ask "
                "for less, or make the engine with a larger max_new_tokens."
            )
        needed = cache_bytes_of(self.denoiser, plan, self.padded(length))
        if needed > self.budget:
            raise EngineError(
                f"The request needs {needed / 1e9:.2f} GB of caches for its {length} tokens; the budget is "
                f"{self.budget / 1e9:.2f} GB beside what packed rounds and shared prefixes hold. Ask for a shorter canvas, "
                "leave the cache out, or raise memory_gb."
            )
        check_canvas(plan, padded([(job.request.ids, job.request.open)], length)[1])
        self.waiting.append(job)

    def cancel(self, job: Job) -> None:
        """Give a request up; within a round, whose rows are spoken for, its row goes with the end of it."""
        if job in self.waiting:
            self.waiting.remove(job)
        for key, group in list(self.groups.items()):
            for number in [number for number, other in group.jobs.items() if other is job]:
                del group.jobs[number]
                if not self.in_round:
                    self.keep(key, group)

    def forget(self) -> None:
        """Drop every request without a word."""
        self.waiting.clear()
        self.groups.clear()
        self.drop_prefixes()

    def drop_prefixes(self) -> None:
        if self.prefixes is not None:
            self.prefixes.clear()

    def step(self) -> None:
        """Admit what fits, and run a round of every session."""
        if self.short_of_memory:
            # only now nothing holds a session that failed: its error did, with the frames that it left
            self.short_of_memory = False
            give_back()
        self.in_round = True
        try:
            self.admit()
            for key, group in list(self.groups.items()):
                self.round(key, group)
        finally:
            self.in_round = False

    def round(self, key: Hashable, group: Group) -> None:
        """A round of a session, and what came of it."""
        group.session.observe = watcher(group)
        try:
            round_of(group.session)
            group.session.open_passes()
        except Exception as error:
            if not is_of_requests(error):
                raise
            self.take_apart(key, group, error)
        else:
            self.collect(key, group)
        finally:
            group.session.observe = None  # else both hold each other, and the session its keys

    def admit(self) -> None:
        """Requests that wait join the sessions of their plans, first come, first served, as far as seats and memory go."""
        room = 0 if any(job.apart for job in self.running) else self.seats - len(self.running)
        if self.waiting and room > 0:
            for key, group in list(self.groups.items()):
                self.keep(key, group)
        memory = self.budget - sum(self.bytes_of(group) for group in self.groups.values())
        joining: dict[Hashable, list[Job]] = {}
        begun: set[Hashable] = set()
        held_back: list[Job] = []
        while self.waiting and room > 0:
            job = self.waiting[0]
            needed = cache_bytes_of(self.denoiser, job.request.plan, self.padded(len(job.request.ids)))
            if (needed > memory or job.apart) and (joining or self.groups):
                break
            self.waiting.popleft()
            block = self.first_new_block(job.request)
            if block in begun:  # another computes it in this round, and leaves it to this one
                held_back.append(job)
                continue
            if block is not None:
                begun.add(block)
            joining.setdefault(self.key_of(job), []).append(job)
            room, memory = 0 if job.apart else room - 1, memory - needed
        self.waiting.extendleft(reversed(held_back))
        for key, jobs in joining.items():
            self.join(key, jobs)

    def first_new_block(self, request: Request) -> Hashable | None:
        """The first block of its prompt that a request has to compute and can leave to others."""
        if self.prefixes is None or not request.plan.exact_cache(block_causal=True):
            return None
        blocks = blocks_before(int(request.open[0]), request.ids.tolist(), self.prefixes.block_length)
        return self.prefixes.missing(blocks) if len(blocks) <= self.prefixes.room else None

    def join(self, key: Hashable, jobs: Sequence[Job]) -> None:
        jobs = [job for job in jobs if not job.finished]  # sessions that open in this round may give others up
        if not jobs:
            return
        numbers = list(range(self.taken, self.taken + len(jobs)))
        self.taken += len(jobs)
        for job in jobs:
            job.seat()
        before = self.groups.get(key)
        plan = jobs[0].request.plan
        network = self.new_network() if before is None else before.session.network
        requests = self.rows(jobs, numbers, network, plan)
        group = before or Group(Session(network, plan, requests, prefixes=self.prefixes))
        self.groups[key] = group
        group.jobs |= dict(zip(numbers, jobs, strict=True))
        try:
            if before is not None:
                group.session.add(requests)
            group.session.open_passes()
        except Exception as error:
            if not is_of_requests(error):
                raise
            self.take_apart(key, group, error)

    def rows(self, jobs: Sequence[Job], numbers: Sequence[int], network: Network, plan: Plan) -> Requests:
        """Requests of one plan as numbered rows, padded to one length."""
        asked = [job.request for job in jobs]
        requests = rows_of(asked, network, plan, self.padded(max(len(one.ids) for one in asked)), self.device)
        requests.number_B = torch.tensor(numbers, device=self.device)
        return requests

    def collect(self, key: Hashable, group: Group) -> None:
        """Hand out what is complete."""
        session, now = group.session, time.perf_counter()
        canvas = session.canvas
        drawn_B = (canvas.open_BL & ~canvas.pending_BL).any(1)
        told_3B = torch.stack([session.requests.number_B, session.passes.complete_B.long(), drawn_B.long()])
        number_B, complete_B, begun_B = told_3B.tolist()
        rows = {number: row for row, number in enumerate(number_B)}
        counts_B = session.meter.counts() if any(complete_B) else []
        self.tell_committed(canvas, rows, group)
        for number, job in list(group.jobs.items()):
            row = rows[number]
            if job.first_token is None and begun_B[row]:
                job.first_token = now
            if complete_B[row]:
                open_L = canvas.open_BL[row]
                tokens, logprobs = canvas.ids_BL[row, open_L].tolist(), canvas.logprob_BL[row, open_L].tolist()
                log_mass = None if session.grammar is None else float(session.grammar.log_mass_B[row])
                likeliest = canvas.likeliest(row, open_L) if canvas.top else None
                job.filled = EngineResult(tokens, logprobs, counts_B[row], log_mass, likeliest)
                if job.watched is not None:
                    job.watched.complete(job.request.open.tolist(), job.filled)
                del group.jobs[number]
                job.end("done")
        if session.should_drop(len(group.jobs)):
            self.keep(key, group)

    def tell_committed(self, canvas: Canvas, rows: Mapping[int, int], group: Group) -> None:
        """What the round committed, to the jobs that asked for it."""
        asked = [(job, job.committed, rows[number]) for number, job in group.jobs.items() if job.committed is not None]
        if not asked:
            return
        row_N = torch.tensor([row for _, _, row in asked], device=self.device)
        drawn_NL = (canvas.open_BL & ~canvas.pending_BL)[row_N].cpu()
        ids_NL, logprob_NL = canvas.ids_BL[row_N].cpu(), canvas.logprob_BL[row_N].cpu()
        for n, (job, committed, row) in enumerate(asked):
            new = [place for place in drawn_NL[n].nonzero()[:, 0].tolist() if place not in committed]
            tokens, logprobs = ids_NL[n, new].tolist(), logprob_NL[n, new].tolist()
            committed.update(zip(new, zip(tokens, logprobs, strict=True), strict=True))
            if canvas.top:
                place_N = torch.tensor(new, dtype=torch.int64, device=self.device)
                job.likeliest.update(zip(new, canvas.likeliest(row, place_N), strict=True))

    def keep(self, key: Hashable, group: Group) -> None:
        """Let go of the rows that no job waits for, and of a session that has no other."""
        if not group.jobs:
            self.groups.pop(key, None)
            return
        number_B = group.session.requests.number_B
        if len(group.jobs) < len(number_B):
            wanted_B = torch.tensor([number in group.jobs for number in number_B.tolist()])
            group.session.select(wanted_B.nonzero()[:, 0].to(self.device))

    def take_apart(self, key: Hashable, group: Group, error: Exception) -> None:
        """A round failed. A single request ends with the error, unless memory ran out beside other sessions: it starts again
        when they are over. Of several, each starts again on its own."""
        self.groups.pop(key, None)
        jobs = list(group.jobs.values())
        crowded = is_out_of_memory(error) and bool(self.groups)
        error.__traceback__ = None  # else who holds the error holds the session, its keys with it
        if is_out_of_memory(error):
            self.drop_prefixes()
            self.short_of_memory = True
        for job in reversed(jobs):
            if len(jobs) > 1 or crowded:
                job.status, job.alone, job.apart = "waiting", True, len(jobs) == 1
                self.waiting.appendleft(job)
            else:
                job.end("failed", error if isinstance(error, FefError) else no_memory(job, error))

    def key_of(self, job: Job) -> Hashable:
        """Requests of one key share a session."""
        if job.alone:
            return id(job)
        return id(job.request.plan), self.padded(len(job.request.ids)), job.request.grammar is None, job.request.top

    def padded(self, length: int) -> int:
        """Length of the session of a canvas of this length."""
        if not self.pads:
            return length
        padded = -(-length // _LENGTH_STEP) * _LENGTH_STEP
        return padded if self.longest is None else min(padded, self.longest)

    def bytes_of(self, group: Group) -> float:
        rows, length = group.session.canvas.ids_BL.shape
        return rows * cache_bytes_of(self.denoiser, group.session.plan, length)


def watcher(group: Group) -> Observer | None:
    """Who tells the rounds of a session to the jobs that are watched; None where there are none."""
    watched = {number: job.watched for number, job in group.jobs.items() if job.watched is not None}
    if not watched:
        return None

    def observe(round_: Round) -> None:
        for row, number in enumerate(round_.rows.tolist()):
            if number in watched:
                watched[number].add(*session_round(group.session, round_, row))

    return observe


def cache_bytes_of(denoiser: Any, plan: Plan, length: int) -> float:
    """Bytes of the keys and values that a canvas of this length keeps between passes."""
    if plan.cache is None and plan.law != "packed":
        return 0.0
    return bytes_per_place(denoiser.config, denoiser.embed.weight.dtype) * length


def is_of_requests(error: Exception) -> bool:
    """Does it come from what is asked for, so that the engine can go on?"""
    return isinstance(error, FefError) or is_out_of_memory(error)


def no_memory(job: Job, error: Exception) -> EngineError:
    return EngineError(
        f"Out of memory: a canvas of {len(job.request.ids)} tokens under {job.request.plan.method} does not fit beside the "
        f"weights ({str(error).splitlines()[0]}). Ask for a shorter canvas or a narrower window."
    )
