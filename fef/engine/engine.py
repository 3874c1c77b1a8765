"""Continuous batching: requests join and leave between rounds, and none depends on another.

A step admits requests to free slots (a context pass), runs one round of all that are live, and reads back what has
arrived. The host never waits inside a round: it reads the progress of earlier rounds while the device works.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch

from fef.api import certificate_for, read_seed
from fef.decoding.certificate import Certificate
from fef.decoding.methods import make_plan, methods, read_given
from fef.decoding.network import Network
from fef.engine.build import Built, EngineOptions, build
from fef.engine.costs import CostTable, Survival, choose_shape
from fef.engine.forward import Bounds
from fef.engine.graphs import GraphRunner
from fef.engine.job import Job
from fef.engine.mailbox import Mailbox
from fef.engine.measure import round_seconds
from fef.engine.requests import PassResult, Request, check_plan, course_of, one_row, results_of, whole_numbers
from fef.engine.rounds import RoundShape
from fef.engine.runner import PassKind
from fef.engine.slots import COUNTERS, Numbers, Progress
from fef.errors import DenoiserError, EngineError, FefError, InputError, OptionError
from fef.models.transformer import Transformer

__all__ = ["Engine", "Job"]

_LAG = 2  # rounds that the device may be ahead of the host
_PLANS_KEPT = 256
_CONTEXT_STEP = 64  # contexts are padded to multiples of this where shapes are captured


class Engine:
    """Decodes many requests at once on one device, under the packed law with coupled acceptance.

    network: a `Transformer` trained for the packed pattern. The other arguments are those of `EngineOptions`. Raises
    OptionError for a network or options that the engine cannot run, EngineError where memory does not suffice.
    """

    def __init__(self, network: Transformer, **options: Any) -> None:
        if not isinstance(network, Transformer):
            raise OptionError(
                f"fef.Engine takes a fef Transformer; got {type(network).__name__}. For a loaded model: model.engine()."
            )
        self.options = EngineOptions.given(**options)
        self.notes: list[str] = []
        self.built: Built = build(network, self.options, self.note)
        self.network, self.device = network, self.built.state.ids_SL.device
        self.on_cuda = self.device.type == "cuda"
        what, costs = self.built.what, self.options.costs
        self.costs = CostTable(what) if costs is None else CostTable.load(Path(costs), what)
        self.survival = Survival(self.built.table.drafts)
        self.free = list(range(self.built.slots))[::-1]
        self.running: dict[int, Job] = {}
        self.waiting: deque[Job] = deque()
        self.unfinished: set[Job] = set()
        self.lock = RLock()  # a round, and whatever changes the requests, is one thread's at a time
        self.progress, self.results = Mailbox(self.device), Mailbox(self.device)
        self.launched = 0  # passes, in order: what a progress letter knows of
        self.accepted = np.zeros(self.built.slots + 1, dtype=np.int64)  # drafts, as last read
        self.lost: EngineError | None = None
        self.plans: dict[Any, tuple[Any, Certificate]] = {}

    def note(self, text: str) -> None:
        """Keep a remark for the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    # --- requests ---

    def submit(
        self,
        ids: Sequence[int],
        open: Sequence[int],
        *,
        method: str = "fef",
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        **method_options: Any,
    ) -> Job:
        """Queue a canvas: its ids, and the positions to fill. Arguments as in `fef.decode`; options that set costs only
        (window, anchors, draft) are the engine's own and do not matter here.

        Raises OptionError or InputError for what the engine does not run, EngineError for a request that can never fit.
        """
        if self.lost is not None:
            raise self.lost
        self.check_unchanged()
        temperature, top_p, top_k = one_row(temperature, top_p, top_k)
        plan, certificate = self.plan(method, temperature, top_p, top_k, method_options)
        canvas, places = whole_numbers("ids", ids), np.sort(whole_numbers("open", open))
        self.check_fit(canvas, places)
        self.check_ids(canvas, places)
        seed = read_seed(seed)
        canvas[places] = self.network.mask_id
        eos_id, banned = self.built.vocabulary.eos_id, self.built.banned
        kept = (
            0 if top_k > self.network.vocab_size else top_k
        )  # as many keep all, and a number of any size fits the state
        request = Request(canvas, places, plan, temperature, top_p, kept, seed, eos_id, banned)
        job = Job(self, request, certificate, course_of(request, Network(self.network)), began=time.perf_counter())
        with self.lock:
            self.unfinished.add(job)
            self.advance(job, None)
        return job

    def plan(
        self, method: str, temperature: float, top_p: float, top_k: int, options: dict[str, Any]
    ) -> tuple[Any, Certificate]:
        """Plan and certificate, remembered: most requests have the same options."""
        options = read_given(method, options)
        key = (method, temperature, top_p, top_k, tuple(sorted(options.items())))
        if key not in self.plans:
            if len(self.plans) >= _PLANS_KEPT:
                self.plans.clear()
            network = Network(self.network)
            packed = {"verify": "packed"} if "verify" in methods()[method].options else {}
            plan = make_plan(method, packed | options, network)
            check_plan(plan)
            self.plans[key] = plan, certificate_for(network, plan, temperature, top_p, top_k)
        return self.plans[key]

    def check_unchanged(self) -> None:
        """The matrices that the engine joined are those of the network as it was."""
        now = str(self.network.embed.weight.dtype).removeprefix("torch."), self.network.weight_format
        then = self.built.what["dtype"], self.built.what["weights"]
        if now != then or self.network.device != self.device:
            raise EngineError(
                "The network was moved, cast or quantized after this engine was made. Make a new engine of it."
            )

    def check_fit(self, canvas: Numbers, places: Numbers) -> None:
        table = self.built.table
        if not len(canvas):
            raise InputError("ids are empty; give the tokens of a canvas, masks among them.")
        if not len(places):
            raise InputError("The canvas has no open position; there is nothing to draw.")
        if len(canvas) > table.context or len(places) > table.ranks:
            raise EngineError(
                f"The request has a canvas of {len(canvas)} tokens, {len(places)} of them to draw; a slot of this engine "
                f"holds {table.context} and {table.ranks}. Ask for less, or make the engine with a larger max_length or "
                f"max_new_tokens ({self.built.slot_bytes / 1e9:.2f} GB a slot now)."
            )

    def check_ids(self, canvas: Numbers, places: Numbers) -> None:
        """What a device would answer with an assertion that ends it. places: sorted."""
        size = self.network.vocab_size
        low, high = int(canvas.min()), int(canvas.max())
        if low < 0 or high >= size:
            raise InputError(f"ids hold {low if low < 0 else high}, outside the vocabulary (0 to {size - 1}).")
        if places[0] < 0 or places[-1] >= len(canvas) or (places[1:] == places[:-1]).any():
            raise InputError(f"open must hold different positions from 0 to {len(canvas) - 1}.")

    def cancel(self, job: Job) -> None:
        with self.lock:
            if job.finished:
                return
            if job.slot is not None:
                self.release(job)
            elif job in self.waiting:
                self.waiting.remove(job)
            self.end(job, "cancelled", EngineError("The request was cancelled."))

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting or len(self.results))

    # --- work ---

    def run(self) -> None:
        """Work until every request is done."""
        while self.busy:
            self.step()

    @torch.no_grad()
    def step(self) -> None:
        """Admit, run one round, read what has arrived. A device that fails ends every request with an EngineError."""
        with self.lock:
            if self.lost is not None:
                raise self.lost
            try:
                self.admit()
                self.round()
                self.collect()
            except Exception as error:  # whatever it is, the state of the requests is unknown, and none may hang
                raise self.fail_all(error) from error
            except BaseException as error:  # so it is where somebody broke the round off
                self.fail_all(error)
                raise

    def admit(self) -> None:
        """Context passes of requests that wait, as far as slots are free.

        A few requests at a time are poor work for a GPU, so with a long queue some slots stay free until there are more.
        """
        enough = self.built.slots // 4 if self.on_cuda and self.running else 1
        if len(self.free) < enough <= len(self.waiting):
            return
        while self.free and self.waiting:
            jobs = [self.waiting.popleft() for _ in range(min(len(self.free), len(self.waiting), self.most_contexts))]
            slots = [self.free.pop() for _ in jobs]
            passes = [job.pass_ for job in jobs]
            packed_BJ = torch.stack([p.pack(self.built.table) for p in passes if p is not None])
            length = max(len(p.ids) for p in passes if p is not None)
            for job, slot in zip(jobs, slots, strict=True):
                job.status, job.slot, job.admitted_at = "running", slot, self.launched
                self.running[slot] = job
                self.accepted[slot] = 0
            try:
                self.built.runner.load(slots, packed_BJ)
                self.launch(self.context_kind(length, self.cuts(jobs)), slots)
            except EngineError as error:
                self.give_up(jobs, error)

    @property
    def most_contexts(self) -> int:
        """Requests a context pass: their canvases are whole, so a few fill the device."""
        return max(1, self.options.context_tokens // self.built.table.context)

    def cuts(self, jobs: Iterable[Job]) -> bool:
        """Is top-p or top-k on in any of them?"""
        return any(j.request.temperature > 0 and (j.request.top_p < 1 or j.request.top_k > 0) for j in jobs)

    def context_kind(self, length: int, cut: bool) -> PassKind:
        context = self.built.table.context
        if self.on_cuda:
            length = min(-(-length // _CONTEXT_STEP) * _CONTEXT_STEP, context)
        return PassKind(RoundShape(0, 0, self.built.table.drafts), Bounds(length, 0), length, cut)

    def round(self) -> None:
        if not self.running:
            return
        slots = sorted(self.running)
        try:
            shape = choose_shape(self.built.shapes, len(slots), self.survival, self.cost)
            self.launch(PassKind(shape, self.bounds(slots, shape), cut=self.cuts(self.running.values())), slots)
        except EngineError as error:
            self.give_up(list(self.running.values()), error)

    def give_up(self, jobs: list[Job], error: EngineError) -> None:
        """End requests for whose pass there is no memory."""
        for job in jobs:
            self.release(job)
            self.end(job, "failed", error)

    def bounds(self, slots: list[int], shape: RoundShape) -> Bounds:
        """On a CPU, what the rows have; on a GPU, where shapes are captured, what they can have."""
        table = self.built.table
        if self.on_cuda:
            return Bounds(table.context, table.ranks)
        state = self.built.state
        return Bounds(
            int(state.length_S[slots].max()), min(int(state.done_S[slots].max()) + shape.window + 1, table.ranks)
        )

    def cost(self, rows: int, window: int) -> float | None:
        """Seconds of a round; on a GPU measured when first asked for."""
        runner = self.built.runner
        if isinstance(runner, GraphRunner):
            rows = runner.rounded(rows)
            if (rows, window) not in self.costs.seconds and len(self.built.shapes) > 1:
                self.measure([rows], [window])
        return self.costs.cost(rows, window)

    def measure(self, rows: Sequence[int] | None = None, windows: Sequence[int] | None = None) -> CostTable:
        """Measure rounds of these numbers of rows and windows, by default all that the engine may run; captures their graphs.

        On a GPU only: on a CPU the rounds themselves are timed. The table can be saved and given to another engine.
        """
        runner = self.built.runner
        if isinstance(runner, GraphRunner):
            for size in runner.sizes if rows is None else rows:
                for shape in self.built.shapes:
                    if windows is None or shape.window in windows:
                        kind = PassKind(shape, self.bounds([], shape))
                        try:
                            seconds = round_seconds(self.built, kind, size)
                        except EngineError:  # no memory for it: any other window is better
                            seconds = math.inf
                        self.costs.seconds[size, shape.window] = seconds
        return self.costs

    def launch(self, kind: PassKind, slots: list[int]) -> None:
        began = time.perf_counter()
        self.built.runner.run(kind, slots)
        self.launched += 1
        if not self.on_cuda and not kind.context:
            self.learn_cost(len(slots), kind.shape.window, time.perf_counter() - began)
        state = self.built.state
        assert state.progress_P is not None, "a whole state has it"
        self.progress.send((self.launched, kind.shape.window), state.progress_P)

    def learn_cost(self, rows: int, window: int, seconds: float) -> None:
        known = self.costs.seconds.get((rows, window))
        self.costs.seconds[rows, window] = seconds if known is None else 0.8 * known + 0.2 * seconds

    def collect(self) -> None:
        """Read progress and results that have arrived."""
        lag = _LAG if self.on_cuda and self.running else 0
        for letter in self.progress.collect(lag):
            launch, window = letter.note
            self.read_progress(launch, window, Progress.of(letter.tensor, self.built.slots + 1))
        for letter in self.results.collect(len(self.results) if self.running or self.waiting else 0):
            for job, result in zip(letter.note, results_of(letter.tensor.numpy()), strict=True):
                if not job.finished:
                    self.advance(job, result)

    def read_progress(self, launch: int, window: int, progress: Progress) -> None:
        live_S, bad_S, done_S = progress.live_S.numpy(), progress.bad_S.numpy(), progress.done_S.numpy()
        accepted_S = progress.counters_SC[:, COUNTERS.index("accepted")].numpy()
        now = time.perf_counter()
        slots = [slot for slot, job in self.running.items() if job.admitted_at < launch]
        if not slots:
            return
        if window:
            self.survival.observe(window, accepted_S[slots] - self.accepted[slots])
        self.accepted[slots] = accepted_S[slots]
        over: list[Job] = []
        for slot in slots:
            job = self.running[slot]
            if job.first_token is None and done_S[slot] > 0:
                job.first_token = now
            if bad_S[slot]:
                self.built.cache.clear(slot)
                self.release(job)
                self.end(job, "failed", DenoiserError(BAD_LOGITS))
            elif not live_S[slot]:
                over.append(job)
        if over:
            self.send_results(over)

    def send_results(self, jobs: list[Job]) -> None:
        """Ask for the results of passes that are over; their slots are free from now on, as what comes later is later."""
        self.results.send(jobs, self.built.runner.collect([job.slot for job in jobs if job.slot is not None]))
        for job in jobs:
            self.release(job)

    def advance(self, job: Job, result: PassResult | None) -> None:
        """Go on with a request's course: its next pass, or its end."""
        try:
            job.pass_ = next(job.course) if result is None else job.course.send(result)
        except StopIteration as stop:
            job.filled = stop.value
            self.end(job, "done", None)
            return
        job.status = "waiting"
        # a request under way goes first
        self.waiting.append(job) if result is None else self.waiting.appendleft(job)

    def release(self, job: Job) -> None:
        assert job.slot is not None
        del self.running[job.slot]
        self.free.append(job.slot)
        job.slot = None

    def end(self, job: Job, status: str, error: FefError | None) -> None:
        job.status, job.error, job.ended = status, error, time.perf_counter()
        self.unfinished.discard(job)
        job.course.close()

    def fail_all(self, error: BaseException) -> EngineError:
        """The device is gone, or a round broke off: no request is left hanging. Gives the error that they end with."""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, RuntimeError) and "CUDA" in reason:
            what, fix = f"The device {self.device} failed", "in a new process if the device does not come back"
        else:
            what, fix = "A round of the engine failed", "and do not change the network while it has one"
        self.lost = EngineError(f"{what}: {reason}. Every request of this engine has ended; make a new engine, {fix}.")
        for job in list(self.unfinished):
            self.end(job, "failed", self.lost)
        self.running.clear()
        self.waiting.clear()
        self.results = Mailbox(self.device)
        return self.lost


BAD_LOGITS = (
    "The network gave nan or +inf logits, or every id is banned, at a slot of this request. Look for an overflow in the "
    "weights or their dtype, and ban fewer ids."
)
