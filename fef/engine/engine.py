"""Continuous batching: requests join and leave between rounds, and none depends on another.

Two kinds of rounds do the work. `PackedRounds` has the packed law with coupled acceptance, in passes of fixed shape.
`SessionRounds` has everything else: any method on any denoiser. The engine checks requests and says who runs them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fef.decoding.certificate import Certificate
from fef.decoding.grammar import read_grammars
from fef.decoding.inputs import Settings, check_vocabulary, read_seed
from fef.decoding.network import Network
from fef.decoding.requests import first_ends, other_ends, padded, without_ends
from fef.engine.build import EngineOptions, cache_budget, network_maker, prefix_store
from fef.engine.choice import RoundTally
from fef.engine.costs import CostTable
from fef.engine.held import Held, held_pass
from fef.engine.job import Job
from fef.engine.packed_plans import runs_packed
from fef.engine.packed_rounds import PackedRounds
from fef.engine.plans import Plans
from fef.engine.requests import Request, one_row, plain, text_of, whole_numbers
from fef.engine.session_rounds import SessionRounds
from fef.engine.slots import Numbers
from fef.engine.unchanged import Fingerprint
from fef.engine.warm_up import warm_up
from fef.engine.watched import WatchedCanvas
from fef.errors import EngineError, InputError, OptionError
from fef.grammar.compiled import TokenGrammar
from fef.models.packed_pass import RoundShape
from fef.readers import LARGEST, token_ids, whole_from

__all__ = ["Engine", "Job"]

_ASKED_KEPT = 1024
_NO_NUMBERS: Numbers = np.empty(0, dtype=np.int64)

SESSION_ROUNDS = (
    "rounds: those of a session, since what was asked for is computed between passes, where packed rounds never wait"
)


@dataclass(frozen=True)
class Asked:
    """What a request asks for but for its canvas and its seed. request: without those. rounds: who runs it."""

    request: Request
    settings: Settings
    certificate: Certificate
    rounds: PackedRounds | SessionRounds


class Notes(list[str]):
    """Remarks for the user."""

    def add(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self:
            self.append(text)


class Engine:
    """Decodes many requests at once on one device, by any method of `fef.methods`, each as `fef.decode` would.

    denoiser: whatever `fef.decode` takes. Where it is a `Transformer` trained for the packed pattern, requests of the packed
    law run in passes of fixed shape, captured as graphs on a GPU. The other arguments are those of `EngineOptions`. Raises
    OptionError for options that the engine cannot run, EngineError where memory does not suffice.
    """

    def __init__(self, /, denoiser: Callable[..., Tensor], **options: Any) -> None:
        network = Network(denoiser)
        self.options = EngineOptions.given(**options)
        self.notes = Notes()
        self.denoiser, self.network, self.name = denoiser, network, network.name
        self.device = network.device or torch.device("cpu")
        self.vocab_size, self.mask_id = network.vocab_size, network.mask_id
        self.packed: PackedRounds | None = None
        budget = cache_budget(self.options, self.device)
        if network.packed is not None and network.packed.config.mixture is None:
            self.packed = PackedRounds(network.packed, self.options, budget, self.notes.add)
            budget -= self.packed.built.cache_bytes
        elif self.options.of_packed_rounds:
            unread = ", ".join(self.options.of_packed_rounds)
            self.notes.add(f"{unread}: not used, since {network.name} has no packed rounds, whose options they are")
        prefixes = prefix_store(denoiser, budget)
        if prefixes is not None:
            budget -= prefixes.room * prefixes.block_bytes
        new_network = network_maker(denoiser, self.device, self.options, budget, self.notes.add)
        self.sessions = SessionRounds(new_network, self.device, self.options, budget, prefixes)
        self.fingerprint = Fingerprint(denoiser)
        self.unfinished: set[Job] = set()
        self.lock = RLock()  # a round, and whatever changes the requests, is one thread's at a time
        self.in_round = False
        self.lost: EngineError | None = None
        self.plans = Plans(denoiser)
        self.asked: dict[Any, Asked] = {}

    # --- requests ---

    def submit(
        self,
        /,  # whatever a method's option is called, it is no argument of this
        ids: Sequence[int] | Numbers,
        open: Sequence[int] | Numbers,
        *,
        method: str = "fef",
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        logit_bias: Mapping[int, float] | None = None,
        min_tokens: int = 0,
        ignore_eos: bool = False,
        grammar: TokenGrammar | None = None,
        top: int = 0,
        stream: bool = False,
        watch: bool = False,
        **method_options: Any,
    ) -> Job:
        """Queue a canvas: its ids, and the positions to fill. Arguments as in `fef.decode`, with the same result. What
        packed rounds do not know takes the rounds of a session: biases and `top`.

        stream: also keep `Job.committed`, round by round. Where `Plan.final` does not hold, a later round may take its tokens
        back. watch: also keep `Job.watched`, the rounds with their drafts. Raises OptionError or InputError as `fef.decode`
        does, EngineError for a request that can never fit.
        """
        self.check_lost()
        if self.fingerprint.overwritten or not self.unfinished:
            self.check_network()
        sampling = (temperature, top_p, top_k, logit_bias, min_tokens, ignore_eos)
        asked = self.asked_for(method, method_options, sampling, grammar, top)
        canvas, places = whole_numbers("ids", ids), whole_numbers("open", open)
        in_order = type(open) is range and open.step == 1
        if not in_order:
            places.sort()
        self.check_canvas(canvas, places, in_order)
        seed = read_seed(seed)
        canvas[places] = self.mask_id
        request = copy(asked.request)
        request.ids, request.open, request.seed = canvas, places, seed
        text_of(request, self.denoiser)
        self.check_ends(request, asked.settings)
        job = Job(self, request, asked.certificate, time.perf_counter())
        job.committed, job.watched = {} if stream else None, WatchedCanvas() if watch else None
        with self.lock:
            self.check_lost()  # another thread's round may have failed since
            asked.rounds.submit(job)
            self.unfinished.add(job)
        return job

    def asked_for(
        self, method: str, method_options: dict[str, Any], sampling: tuple[Any, ...], grammar: Any, top: Any
    ) -> Asked:
        """What these arguments of `submit` ask for, read once: most requests have the same. Raises as `submit`."""
        given = (method, top, *sampling, *method_options.values())
        if not plain(given) or not (grammar is None or isinstance(grammar, TokenGrammar)):
            return self.read_asked(method, method_options, sampling, grammar, top)
        key = (given, *map(type, given), *method_options, grammar)  # True is no 1
        asked = self.asked.get(key)
        if asked is None:
            if len(self.asked) >= _ASKED_KEPT:
                self.asked.clear()
            asked = self.asked[key] = self.read_asked(method, method_options, sampling, grammar, top)
        return asked

    def read_asked(
        self, method: str, method_options: dict[str, Any], sampling: tuple[Any, ...], grammar: Any, top: Any
    ) -> Asked:
        """As `asked_for`, of arguments in whatever form. Raises as `submit`."""
        settings = one_row(*sampling)
        plan = self.plans.plan(method, method_options)
        [grammar] = read_grammars(grammar, 1)
        certificate = self.plans.certificate(plan, settings, grammar)
        one: Any = settings  # each of its values is one
        request = Request(
            ids=_NO_NUMBERS,
            open=_NO_NUMBERS,
            plan=plan,
            temperature=one.temperature,
            top_p=one.top_p,
            # as many keep all, and a number of any size fits the state
            top_k=0 if self.vocab_size is not None and one.top_k > self.vocab_size else one.top_k,
            seed=0,
            eos_id=self.options.eos_id,
            banned=list(self.options.banned),
            grammar=grammar,
            logit_bias=one.logit_bias,
            min_tokens=one.min_tokens,
            top=whole_from("top", top, 0, self.vocab_size),
        )
        rounds = self.rounds_of(request)
        if rounds is self.packed:
            certificate = rounds.certified(certificate, method_options)
        elif self.packed is not None and runs_packed(plan):
            certificate = replace(certificate, reasons=(*certificate.reasons, SESSION_ROUNDS))
        return Asked(request, settings, certificate, rounds)

    def check_lost(self) -> None:
        """Raise what every request of this engine ended with, if it did."""
        if self.lost is not None:
            raise self.lost.with_traceback(None)  # else each time adds the frames that it passes, and what they hold

    def check_network(self) -> None:
        """Raise EngineError for a network that is not as it was; what was kept of it is then out of date, too."""
        try:
            self.fingerprint.check(self.denoiser)
        except EngineError:
            self.sessions.drop_prefixes()
            raise

    def rounds_of(self, request: Request) -> PackedRounds | SessionRounds:
        """Who runs a request."""
        if self.packed is None or not runs_packed(request.plan) or request.top:
            return self.sessions
        biased = bool(request.logit_bias.pairs) or (request.min_tokens > 0 and bool(self.other_ends(request)))
        return self.sessions if biased else self.packed

    def other_ends(self, request: Request) -> list[int]:
        """Ids that end a text of this request besides its end token."""
        return other_ends(self.network, request.plan, request.eos_id, request.banned)

    def check_ends(self, request: Request, settings: Settings) -> None:
        """Raise OptionError for ids to bias that there are not, and where a text cannot be kept from ending as was asked."""
        if not request.logit_bias.pairs and not request.min_tokens:
            return
        token_ids("logit_bias", [token for token, _ in request.logit_bias.pairs], self.vocab_size)
        without_ends(settings, self.other_ends(request), rows=1)
        if request.min_tokens:
            first_ends(settings, padded([(request.ids, request.open)], len(request.ids))[1])

    def check_canvas(self, canvas: Numbers, places: Numbers, distinct: bool) -> None:
        """Raise InputError for what a device would answer with an assertion that ends it. places: sorted. distinct: is it
        known that no place is there twice?"""
        if not len(canvas):
            raise InputError("ids are empty; give the tokens of a canvas, masks among them.")
        if not len(places):
            raise InputError("The canvas has no open position; there is nothing to draw.")
        allowed = LARGEST if self.vocab_size is None else self.vocab_size
        if canvas.view(np.uint64).max() >= allowed:  # what is negative is large then
            check_vocabulary(int(canvas.min()), int(canvas.max()), self.vocab_size)
        twice = not distinct and (places[1:] == places[:-1]).any()
        if places[0] < 0 or places[-1] >= len(canvas) or twice:
            raise InputError(f"open must hold different positions from 0 to {len(canvas) - 1}.")

    def cancel(self, job: Job) -> None:
        """Give a request up; its seat is free for the next round. One that is over stays as it is."""
        with self.lock:
            if not job.finished:
                self.rounds_of(job.request).cancel(job)
                job.end("cancelled", EngineError("The request was cancelled."))

    @property
    def busy(self) -> bool:
        """Does a request wait or run?"""
        return self.sessions.busy or (self.packed is not None and self.packed.busy)

    @property
    def waited(self) -> float:
        """Seconds that the host waited for what packed rounds came to."""
        return 0.0 if self.packed is None else self.packed.waited

    @property
    def stats(self) -> dict[str, int]:
        """What the engine has done beside the requests' own counters. prefix_tokens_reused: tokens at the start of prompts
        whose keys another request had computed; prefix_bytes: of the keys that are kept for that."""
        prefixes = self.sessions.prefixes
        if prefixes is None:
            return {"prefix_tokens_reused": 0, "prefix_bytes": 0}
        return {"prefix_tokens_reused": prefixes.tokens_reused, "prefix_bytes": prefixes.bytes}

    @property
    def tallies(self) -> list[RoundTally]:
        """What packed rounds of each shape were expected to commit, and what they did."""
        return [] if self.packed is None else self.packed.tallies

    # --- work ---

    def run(self) -> None:
        """Work until every request is done."""
        while self.busy:
            self.step()

    @torch.no_grad()
    def step(self, wait: bool = True) -> None:
        """A round of everything that is live. wait: see `PackedRounds.step`. Raises EngineError for a device that fails and
        for a network that is written meanwhile, which end every request with it; and for a call from within a round, which
        ends that round's alone."""
        with self.lock:
            self.check_lost()
            if self.in_round:
                raise EngineError(
                    "A round of this engine is under way in this thread. What it calls, such as a denoiser or a drafter, may "
                    "submit and cancel requests; wait for results elsewhere."
                )
            self.in_round = True
            try:
                if self.fingerprint.overwritten and self.busy:
                    self.check_network()
                if self.packed is not None:
                    self.packed.step(wait)
                self.sessions.step()
            except Exception as error:  # whatever it is, the state of the requests is unknown, and none may hang
                raise self.fail_all(error) from error
            except BaseException as error:  # so it is where somebody broke the round off
                self.fail_all(error)
                raise
            finally:
                self.in_round = False

    def work_meanwhile(self) -> None:
        """A round, if a GPU had to wait for the host otherwise: for a host that has more to submit. Raises as `step`."""
        with self.lock:  # another thread may be in a round
            if self.packed is not None and self.packed.could_work and not self.in_round:
                self.step(wait=False)

    def measure(self, rows: Sequence[int] | None = None, windows: Sequence[int] | None = None) -> CostTable:
        """What packed rounds cost, a table that can be saved and given to another engine. On a GPU rounds of these numbers of
        rows and drafts (chains and trees), by default all that the engine may run, are measured now, and their graphs
        captured; on a CPU the table has what rounds took so far. Raises as `packed_rounds`."""
        with self.lock:
            return self.packed_rounds().chooser.measure(rows, windows)

    def warm_up(self) -> None:
        """Do now what the first requests would wait for: on a GPU, build kernels, measure packed rounds, and capture graphs;
        some seconds, more where kernels were never built on this machine. Elsewhere nothing. Raises EngineError where memory
        is too short for a canvas of `max_length`."""
        if self.packed is not None:
            with self.lock:
                warm_up(self.packed)

    @contextmanager
    def held(
        self, batch: int, ids: Sequence[int], order: Sequence[int], shape: RoundShape | None = None
    ) -> Iterator[Held]:
        """A packed pass of this engine, which must be idle, as work that can be timed: see `held_pass`. Raises as that and
        `packed_rounds`."""
        with self.lock, held_pass(self.packed_rounds(), batch, ids, order, shape) as held:
            yield held

    @property
    def shapes(self) -> list[RoundShape]:
        """Of packed rounds, to choose among. Raises as `packed_rounds`."""
        return self.packed_rounds().built.shapes

    @property
    def cache_bytes(self) -> int:
        """What the keys and values of packed rounds take."""
        return 0 if self.packed is None else self.packed.built.cache_bytes

    def packed_rounds(self) -> PackedRounds:
        """Raises OptionError where there are none."""
        if self.packed is None:
            raise OptionError(
                f"{self.name} has no packed rounds: they need a network without experts that was trained for the packed "
                "attention pattern. Fine-tune one with `fef train`."
            )
        return self.packed

    def fail_all(self, error: BaseException) -> EngineError:
        """The device is gone, a round broke off, or the network is another: no request is left hanging. Gives the error that
        they end with."""
        self.lost = error if isinstance(error, EngineError) else broken_off(error, self.device)
        for job in list(self.unfinished):
            job.end("failed", self.lost)
        self.sessions.forget()
        if self.packed is not None:
            self.packed.forget()
        return self.lost


def broken_off(error: BaseException, device: torch.device) -> EngineError:
    """What requests end with when a round did not come to its end."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, RuntimeError) and "CUDA" in reason:
        what, fix = f"The device {device} failed", "in a new process if the device does not come back"
    else:
        what, fix = "A round of the engine failed", "and do not change the network while it has one"
    return EngineError(f"{what}: {reason}. Every request of this engine has ended; make a new engine, {fix}.")
