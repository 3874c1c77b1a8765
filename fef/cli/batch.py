"""`fef batch`: a file of requests in OpenAI's batch format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fef.cli.lock import sole_writer
from fef.cli.options import DeviceOption, DtypeOption, ModelOption, WeightsOption, check_device, load_model
from fef.cli.output import Bar
from fef.cli.serve import require_serve
from fef.errors import InputError
from fef.files import check_not_read

__all__ = ["EXAMPLE", "batch"]

EXAMPLE = (
    "Example: [bold]fef batch --model demo --input requests.jsonl --output answers.jsonl[/bold]\n\n"
    "Example: [bold]torchrun --nproc-per-node 4 -m fef batch --model smol --input requests.jsonl --output answers.jsonl"
    "[/bold]"
)


def batch(
    requests: Annotated[Path, typer.Option("--input", help="JSONL: custom_id, url and body per line.")],
    answers: Annotated[Path, typer.Option("--output", help="JSONL; one that ends early is continued.")],
    model: ModelOption = "demo",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Requests at once.")] = 16,
    default_max_tokens: Annotated[
        int, typer.Option("--default-max-tokens", min=1, help="The canvas of requests without max_tokens.")
    ] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Line i without a seed has this one + i.")] = 0,
) -> None:
    """Answer a file of requests as fef serve would, in order; under torchrun each process answers a share of the lines.

    Needs: pip install 'fef\\[serve]'.
    """
    if not requests.is_file():
        raise InputError(f"There is no file {requests}.")
    if answers.is_dir() or not answers.absolute().parent.is_dir():
        raise InputError(f"{answers} is no file that can be written; give one in a directory that exists.")
    check_not_read(answers, requests)
    require_serve("fef batch")
    from fef.serve.app import ServeOptions
    from fef.serve.batch import Part, answer_file, check_requests, merge_parts
    from fef.training.processes import DAY, joined

    check_requests(Part(requests, answers))
    with joined(check_device(device), DAY) as processes:
        parts = [Part(requests, answers, rank, processes.size) for rank in range(processes.size)]
        mine = parts[processes.rank]
        if processes.size > 1 and answers.exists() and not Part(requests, answers).complete:
            raise InputError(f"One process has begun {answers}; let one finish it, or remove the file.")
        done_before = answers.exists() and processes.size > 1
        processes.wait()  # everybody has looked before anybody writes
        if done_before:
            return
        with sole_writer(mine.path):
            loaded = load_model(model, processes.device, dtype, weights)
            with Bar("Answering", sum(1 for _ in mine.lines())) as bar:
                engine = loaded.engine(max_batch=max_batch)
                options = ServeOptions(max_queue=2**31, default_max_tokens=default_max_tokens)
                answer_file(loaded, engine, mine, options, seed=seed, on_done=bar.update)
        processes.wait()
        if processes.leads:
            merge_parts(parts)
