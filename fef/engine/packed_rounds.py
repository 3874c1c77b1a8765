"""Rounds of the packed law with coupled acceptance, in passes of fixed shape over the slots of one device.

A step admits requests to free slots (a context pass), runs one round of all that are live, and reads back what has
arrived. The host never waits inside a round: it reads the progress of earlier rounds while the device works.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fef.decoding.certificate import Certificate
from fef.engine.build import EngineOptions, EngineParts, build
from fef.engine.choice import RoundTally
from fef.engine.costs import CostTable
from fef.engine.host_copies import HostCopies, on_device
from fef.engine.job import Job, Status
from fef.engine.news import read_news
from fef.engine.packed_plans import with_own_rounds
from fef.engine.packed_texts import PackedText
from fef.engine.requests import PassResult, pass_sequence, results_of, text_of
from fef.engine.runner import PassKind, rows_alone
from fef.engine.seated import Seated
from fef.engine.shape_chooser import Launch, ShapeChooser
from fef.engine.slots import COUNTERS, Progress, packed
from fef.engine.watched import PackedWatch
from fef.errors import DenoiserError, EngineError, FefError
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

__all__ = ["PackedRounds"]

_LAG = 1  # rounds that the device may be ahead of the host: it always has one to do, and a text that ended costs one
_WORTH_IT = 4  # a part of the slots, from which on the device does not wait for a host that has more to submit
_CONTEXT_STEP = 64  # contexts are padded to multiples of this where shapes are captured
_ACCEPTED = COUNTERS.index("accepted")


class PackedRounds:
    """network: trained for the packed pattern. budget: as in `build`. note: takes remarks for the user."""

    def __init__(
        self, network: Transformer, options: EngineOptions, budget: float, note: Callable[[str], None]
    ) -> None:
        self.network, self.options = network, options
        self.built: EngineParts = build(network, options, budget, note)
        self.on_cuda = self.built.state.ids_SL.is_cuda
        key, costs = self.built.cost_key, options.costs
        table = CostTable(key) if costs is None else CostTable.load(Path(costs), key)
        self.chooser = ShapeChooser(self.built, table, _LAG if self.on_cuda else 0)
        self.every = list(range(self.built.slots))
        self.free = self.every[::-1]
        self.running: dict[int, Seated] = {}
        self.waiting: deque[Seated] = deque()
        # progress of all; results of those that are over; news of those that stream or are watched
        self.progress, self.results, self.news = (HostCopies(self.device) for _ in range(3))
        self.launched = 0  # passes, in order: what a progress copy knows of
        self.accepted = np.zeros(self.built.slots + 1, dtype=np.int64)  # drafts, as last read
        self.silent: set[int] = set()  # slots none of whose tokens is known
        self.followed: set[int] = set()  # slots of whose rounds somebody is told
        self.given_up: set[int] = set()  # free slots whose requests had not come to their end

    @property
    def device(self) -> torch.device:
        return self.built.state.ids_SL.device

    @property
    def texts(self) -> dict[int, PackedText]:
        """Those under grammars, by slot."""
        return self.built.passes.texts

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting or len(self.results))

    @property
    def could_work(self) -> bool:
        """Could the device be told what to do next, and do enough requests wait, for all free slots or a good part of them? A
        round takes the host as long with few requests as with many."""
        enough = min(len(self.free), self.built.slots / _WORTH_IT)
        return self.on_cuda and len(self.waiting) >= enough and self.progress.under_way <= _LAG

    @property
    def waited(self) -> float:
        """Seconds that the host waited for what rounds came to; letters of texts under grammars are not among it."""
        return sum(copies.waited for copies in (self.progress, self.results, self.news))

    def submit(self, job: Job) -> None:
        """Queue a request. Raises EngineError for one that can never fit."""
        self.check_fit(len(job.request.ids), len(job.request.open))
        seated = Seated(job, pass_sequence(job.request, self.network))
        seated.watch = None if job.watched is None else PackedWatch(job.watched)
        text = text_of(job.request, self.network)
        seated.text = None if text is None else PackedText(text)
        self.advance(seated, None)

    def cancel(self, job: Job) -> None:
        for seated in [*self.running.values(), *self.waiting]:
            if seated.job is job:
                self.release(seated) if seated.slot is not None else self.waiting.remove(seated)
                seated.sequence.close()

    def forget(self) -> None:
        """Drop every request without a word."""
        for one in [*self.running.values(), *self.waiting]:
            one.sequence.close()
        self.running.clear()
        self.silent.clear()
        self.followed.clear()
        self.waiting.clear()
        self.results, self.news = HostCopies(self.device), HostCopies(self.device)

    def step(self, wait: bool = True) -> None:
        """Admit, run one round, read what has arrived. wait: until the device has not more than `_LAG` rounds to do."""
        self.admit()
        self.round()
        self.collect(wait)

    def certified(self, certificate: Certificate, given: Mapping[str, Any]) -> Certificate:
        """The certificate of a request with these options, which says what was not done as asked."""
        return with_own_rounds(certificate, given, self.built.shapes)

    @property
    def tallies(self) -> list[RoundTally]:
        """What the rounds of each shape were expected to commit, and what they did."""
        return [tally for tally in self.chooser.calibration.tallies.values() if tally.rounds]

    def check_fit(self, tokens: int, slots: int) -> None:
        table = self.built.table
        if tokens > table.context or slots > table.ranks:
            raise EngineError(
                f"The request has a canvas of {tokens} tokens, {slots} of them to draw; a slot of this engine "
                f"holds {table.context} and {table.ranks}. Ask for less, or make the engine with a larger max_length or "
                f"max_new_tokens ({self.built.slot_bytes / 1e9:.2f} GB a slot now)."
            )

    def admit(self) -> None:
        """Context passes of requests that wait, as far as slots are free.

        A few requests at a time are poor work for a GPU, so with a long queue some slots stay free until there are more.
        """
        enough = self.built.slots // 8 if self.on_cuda and self.running else 1
        if len(self.free) < enough <= len(self.waiting):
            return
        refills = bool(self.running)
        while self.free and self.waiting:
            seated = [self.waiting.popleft() for _ in range(min(len(self.free), len(self.waiting), self.most_contexts))]
            for _, same in groupby(sorted(seated, key=self.own_length), key=self.own_length):
                self.seat(list(same), refills=refills)

    def own_length(self, one: Seated) -> int:
        """The padded length of a context on whose company the bits of its pass would depend; 0 for others."""
        assert one.pass_ is not None, "it waits for a pass"
        if not self.on_cuda or not rows_alone(self.built.table.places, self.network.config.dim):
            return 0
        kind = self.context_kind(len(one.pass_.ids))
        return kind.context if kind.alone(self.network.config.dim) else 0

    def seat(self, seated: list[Seated], *, refills: bool = False) -> None:
        """Give slots to requests that share a context pass. refills: are they those of requests that are over, beside others
        under way? Then the host learns of this pass with the round behind it, which costs it less, unless somebody may wait
        for what the pass commits."""
        seated = sorted(seated, key=lambda one: one.text is None)  # rows under grammars come first
        slots = [self.free.pop() for _ in seated]
        passes = [one.pass_ for one in seated if one.pass_ is not None]
        packed_BJ = packed(passes, self.built.table)
        length = max(len(pass_.ids) for pass_ in passes)
        over_at_once = any(len(pass_.order) == 1 for pass_ in passes)
        told = (
            not (refills and self.on_cuda)
            or over_at_once
            or any(one.followed or one.text is not None for one in seated)
        )
        for one, slot in zip(seated, slots, strict=True):
            one.job.seat()
            one.slot, one.admitted_at = slot, self.launched
            self.running[slot] = one
            self.accepted[slot] = 0
            self.silent.add(slot)
            self.given_up.discard(slot)
            if one.followed:
                self.followed.add(slot)
            if one.text is not None and one.pass_ is not None:
                one.text.begin(len(one.pass_.order))
                self.texts[slot] = one.text
        try:
            self.built.passes.load(slots, packed_BJ)
            self.launch(self.context_kind(length, seated), slots, Launch(self.launched + 1), told=told)
        except EngineError as error:
            self.give_up(seated, error)

    @property
    def most_contexts(self) -> int:
        """Requests per context pass: their canvases are whole, so a few fill the device."""
        return max(1, self.options.context_tokens // self.built.table.context)

    def kind(self, shape: RoundShape, bounds: Bounds, seated: Iterable[Seated], context: int = 0) -> PassKind:
        """Of a pass of these requests."""
        rows = list(seated)
        cut, grammars = any(one.cut for one in rows), any(one.text is not None for one in rows)
        return PassKind(shape, bounds, context, cut, grammars)

    def context_kind(self, length: int, seated: Iterable[Seated] = ()) -> PassKind:
        context = self.built.table.context
        if self.on_cuda:
            length = min(-(-length // _CONTEXT_STEP) * _CONTEXT_STEP, context)
        table = self.built.table
        shape = RoundShape(0, 0, table.grown + 1, head=True) if self.chooser.head else RoundShape(0, 0, table.drafts)
        return self.kind(shape, Bounds(length, 0), seated, length)

    def round(self) -> None:
        if not self.running:
            return
        slots, count = self.rows(), len(self.running)
        try:
            shape = self.chooser.next_shape(count)
            kind = self.kind(shape, self.bounds(slots, shape), self.running.values())
            self.launch(kind, slots, self.chooser.launch(self.launched + 1, shape, count))
            self.chooser.launched(shape)
        except EngineError as error:
            self.give_up(list(self.running.values()), error)

    def rows(self) -> list[int]:
        """The slots of a round: those with requests, under grammars first. Where a graph computes as many rows as there are
        slots, all of them, so that it keeps the ones that it had: free slots are not live."""
        if self.texts:
            return sorted(self.running, key=lambda slot: (slot not in self.texts, slot))
        if self.on_cuda and not self.given_up and self.chooser.priced(len(self.running)) == self.built.slots:
            return self.every
        return sorted(self.running)

    def give_up(self, seated: list[Seated], error: EngineError) -> None:
        """End requests for whose pass there is no memory."""
        for one in seated:
            self.release(one)
            self.finish(one, "failed", error)

    def bounds(self, slots: list[int], shape: RoundShape) -> Bounds:
        """On a CPU, what the rows have; on a GPU, where shapes are captured, what they can have."""
        table = self.built.table
        if self.on_cuda:
            return Bounds(table.context, table.ranks)
        state = self.built.state
        return Bounds(
            int(state.length_S[slots].max()), min(int(state.done_S[slots].max()) + shape.window + 1, table.ranks)
        )

    def launch(self, kind: PassKind, slots: list[int], launch: Launch, *, told: bool = True) -> None:
        """told: does the host read the progress of this pass?"""
        self.built.runner.run(kind, slots)
        self.launched = launch.number
        state = self.built.state
        assert state.progress_P is not None, "a whole state has it"
        if told:
            self.progress.send(launch, state.progress_P)
        self.send_news(slots, kind.shape)

    def send_news(self, slots: Sequence[int], shape: RoundShape) -> None:
        """Ask for what the pass did, for the requests that stream or are watched."""
        asked = {slot: self.running[slot] for slot in slots if slot in self.followed} if self.followed else {}
        if not asked:
            return
        news_BJ = self.left_by(list(asked.values()))
        columns = news_BJ.shape[1]  # of results
        if any(one.watch is not None for one in asked.values()):
            slot_B = on_device(torch.tensor(list(asked)), self.device)
            news_BJ = torch.cat([news_BJ, self.built.state.drafts_kept(slot_B)], 1)
        self.news.send(([(one, one.pass_) for one in asked.values()], columns, shape), news_BJ)

    def left_by(self, seated: Sequence[Seated]) -> Tensor:
        """What passes left in the slots of these, without the ranks that none of them has."""
        ranks = max(len(one.pass_.order) for one in seated if one.pass_ is not None)
        return self.built.passes.collect([one.slot for one in seated if one.slot is not None], ranks)

    def collect(self, wait: bool = True) -> None:
        """Read progress and results that have arrived."""
        lag = len(self.progress) if not wait else _LAG if self.on_cuda and self.running else 0
        for copy in self.progress.collect(lag):
            self.chooser.learn_cost(copy)
            self.read_progress(copy.note, Progress.of(copy.tensor, self.built.slots + 1))
        # news of a pass were sent before its result, so they have arrived where that has
        over = self.results.collect(len(self.results) if self.running or self.waiting or not wait else 0)
        for copy in self.news.collect(lag):
            read_news(copy.tensor.numpy(), *copy.note)
        for copy in over:
            for one, result in zip(copy.note, results_of(copy.tensor.numpy()), strict=True):
                if not one.job.finished:
                    self.advance(one, result)

    def read_progress(self, launch: Launch, progress: Progress) -> None:
        live_S, bad_S, done_S = progress.live_S.numpy(), progress.bad_S.numpy(), progress.done_S.numpy()
        accepted_S = progress.counters_SC.numpy()[:, _ACCEPTED]
        now = time.perf_counter()
        slots = [slot for slot, one in self.running.items() if one.admitted_at < launch.number]
        if not slots:
            return
        self.built.passes.read_texts()
        slot_N = np.array(slots)
        # a text that ends in a round has less room than drafts, or end tokens behind its end
        live_N = live_S[slot_N]
        going_N = slot_N[live_N]
        self.chooser.learn_tokens(launch, accepted_S[going_N] - self.accepted[going_N])
        self.accepted[slot_N] = accepted_S[slot_N]
        for slot in [slot for slot in self.silent.intersection(slots) if done_S[slot]]:
            self.silent.discard(slot)
            self.running[slot].job.first_token = self.running[slot].job.first_token or now
        over: list[Seated] = []
        stuck = {slot: text.error for slot, text in self.texts.items() if text.error is not None}
        for slot in slot_N[~live_N | bad_S[slot_N]].tolist() if not stuck else slots:
            one = self.running[slot]
            if bad_S[slot] or slot in stuck:
                self.built.cache.clear(slot)
                self.release(one)
                self.finish(one, "failed", stuck.get(slot, DenoiserError(BAD_LOGITS)))
            elif not live_S[slot]:
                self.chooser.learn_length(int(done_S[slot]))
                over.append(one)
        if over:
            self.send_results(over)

    def send_results(self, over: list[Seated]) -> None:
        """Ask for the results of passes that are over; their slots are free from now on, as what comes later is later."""
        self.results.send(over, self.left_by(over))
        for one in over:
            self.release(one, over=True)

    def advance(self, one: Seated, result: PassResult | None) -> None:
        """Go on with a request's sequence: its next pass, or its end."""
        one.log_mass += 0.0 if result is None else result.log_mass
        try:
            one.pass_ = next(one.sequence) if result is None else one.sequence.send(result)
        except StopIteration as stop:
            one.job.filled = stop.value if one.text is None else replace(stop.value, log_mass=one.log_mass)
            if one.job.watched is not None:
                one.job.watched.complete(one.job.request.open.tolist(), stop.value)
            self.finish(one, "done", None)
            return
        one.job.status, one.told = "waiting", 0
        # a request under way goes first
        self.waiting.append(one) if result is None else self.waiting.appendleft(one)

    def release(self, one: Seated, *, over: bool = False) -> None:
        assert one.slot is not None
        if not over:
            self.given_up.add(one.slot)
        del self.running[one.slot]
        self.silent.discard(one.slot)
        self.followed.discard(one.slot)
        self.texts.pop(one.slot, None)
        self.free.append(one.slot)
        one.slot = None

    def finish(self, one: Seated, status: Status, error: FefError | None) -> None:
        one.job.end(status, error)
        one.sequence.close()


BAD_LOGITS = (
    "The network gave nan or +inf logits, or every id is banned, at a slot of this request. Look for an overflow in the "
    "weights or their dtype, and ban fewer ids."
)
