"""`fef train --objective policy`: answers of a model to problems that can be judged, and a policy that learns from them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fef.cli.output import Bar, print_json
from fef.errors import InputError, OptionError
from fef.files import check_makeable

if TYPE_CHECKING:
    from torch import Tensor

    from fef.decoding.session import Round
    from fef.generation import Model
    from fef.models.unmask_policy import UnmaskPolicy
    from fef.training.policy import Played

__all__ = ["train_policy"]

GROUP = 8  # answers to each problem
BLOCK = 32  # slots per block


def train_policy(
    out: Path,
    init: str | None,
    tasks: str | None,
    steps: int,
    batch: int,
    canvas: int,
    seed: int,
    device: str | None,
    json: bool,
) -> None:
    """Train on problems of the built-in families, `batch` answers a step. Raises OptionError without a model and tasks, and
    InputError where the policy could not be written, or one is there."""
    if init is None or tasks is None:
        raise OptionError(
            "--objective policy learns from answers that are right or wrong: give --init MODEL and --tasks, for example "
            "word-problems:1."
        )
    with Bar("Loading"):
        import fef
        from fef.models.demask import fingerprint
        from fef.models.unmask_policy import POLICY, UnmaskPolicy, save_policy
        from fef.tasks import generate
        from fef.training.data import parse_shares
        from fef.training.policy import PolicyTraining, fit_policy
    path, shares = out / POLICY, parse_shares(tasks)
    for family in shares:
        generate(family, 0, seed)  # refuses one that there is not
    if path.exists():
        raise InputError(f"{path} is there already; give --out another directory, or remove it.")
    check_makeable(path)
    model = fef.load(init, device=device)
    policy = UnmaskPolicy().to(model.network.device)
    policy.reset(seed)
    began, seen = time.perf_counter(), [0.0, 0.0]
    with Bar("Training", steps) as bar:

        def show(step: int, right: float, passes: float) -> None:
            seen[:] = [right, passes]
            bar.update(step, f"Training: {right:.0%} right in {passes:.1f} passes")

        fit_policy(
            policy,
            lambda policy, step: play(model, policy, shares, max(1, batch // GROUP), canvas, seed * 1_000_003 + step),
            PolicyTraining(steps=steps, longest=canvas, seed=seed),
            show,
        )
    out.mkdir(parents=True, exist_ok=True)
    save_policy(path, policy, fingerprint(model.network))
    seconds = time.perf_counter() - began
    if json:
        print_json({"out": str(path), "right": seen[0], "passes": seen[1], "seconds": round(seconds, 3)})
    else:
        typer.echo(f"Wrote {path}: at the end {seen[0]:.0%} right in {seen[1]:.1f} passes, {seconds:.0f} s.")


def play(model: Model, policy: UnmaskPolicy, shares: Mapping[str, float], count: int, canvas: int, seed: int) -> Played:
    """`count` problems of a family drawn by its share, `GROUP` answers to each at temperature 0: only decisions of the
    policy differ."""
    import torch

    from fef import tasks
    from fef.training.policy import Decided, Played

    (family,) = random.Random(seed).choices(list(shares), list(shares.values()))
    problems = tasks.generate(family, count, seed)
    asked = [problem for problem in problems for _ in range(GROUP)]
    reads: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    rounds: list[Decided] = []

    def noted(confidence: Tensor, place: Tensor, open_: Tensor, real: Tensor) -> Tensor:
        reads.append((confidence, place, open_, real))
        with torch.no_grad():
            logits: Tensor = policy(confidence, place, open_, real)
        return logits

    def on_round(done: Round) -> None:
        rounds.append(Decided(reads.pop(), done.written, done.rows.clone()))

    answers = model.generate(
        [problem.prompt if model.template is None else [user_message(problem.prompt)] for problem in asked],
        method="policy",
        policy=noted,
        block_length=BLOCK,
        max_new_tokens=canvas,
        seed=seed * len(asked),
        on_round=on_round,
    )
    right = [tasks.score(problem, answer.text) for problem, answer in zip(asked, answers, strict=True)]
    passes = [int(answer.stats["calls"]) for answer in answers]
    return Played(
        rounds,
        torch.tensor(right, device=model.network.device).view(count, GROUP),
        torch.tensor(passes, device=model.network.device).view(count, GROUP),
    )


def user_message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
