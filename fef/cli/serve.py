"""`fef serve`: an OpenAI-compatible HTTP server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.options import DeviceOption, DtypeOption, ModelOption, WeightsOption, dtype_of
from fef.cli.output import Bar
from fef.errors import OptionError

__all__ = ["EXAMPLE", "require_serve", "serve"]

EXAMPLE = (
    "Example: [bold]fef serve --model demo --port 8000[/bold]\n\n"
    "Example: [bold]fef serve --model smol --host 0.0.0.0 --api-key KEY --max-batch 64[/bold]"
)
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\sA-Z/?#@]+")  # as browsers write it


def serve(
    model: ModelOption = "demo",
    host: Annotated[str, typer.Option("--host", help="Who can ask: this machine only, or 0.0.0.0.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Requests at once.")] = 16,
    max_queue: Annotated[int, typer.Option("--max-queue", min=0, help="Requests that may wait; others get 429.")] = 256,
    default_max_tokens: Annotated[
        int, typer.Option("--default-max-tokens", min=1, help="The canvas of requests without max_tokens.")
    ] = 128,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="FEF_API_KEY", help="Ask every request for this key.")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option("--cors", metavar="ORIGIN", help="Web pages that may ask. Repeatable.")
    ] = None,
    metrics_prefix: Annotated[
        str, typer.Option("--metrics-prefix", help="Of the names at /metrics; vllm for boards that read those.")
    ] = "fef",
    drain_seconds: Annotated[
        int, typer.Option("--drain-seconds", min=0, help="How long SIGTERM waits for what is under way.")
    ] = 30,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="Processes, one per GPU, behind vllm-router.")] = 1,
) -> None:
    """Serve a model over HTTP, as OpenAI's API has it, with the certificate in every answer.

    Needs: pip install 'fef\\[serve]'.
    """
    require_serve("fef serve")
    from fef.serve.app import ServeOptions
    from fef.serve.process import EngineSpec, ProcessHost
    from fef.serve.run import bound
    from fef.serve.run import serve as run

    if api_key is not None and not (api_key and api_key.isascii()):
        raise OptionError("--api-key must be ASCII text that is not empty.")
    if not metrics_prefix.isidentifier():
        raise OptionError(f"--metrics-prefix {metrics_prefix!r} is not allowed: give letters, digits and underscores.")
    for origin in cors or ():
        if not ORIGIN.fullmatch(origin):
            raise OptionError(
                f"--cors {origin!r} is no origin: write it as http://localhost:3000, or * for every page."
            )
    if replicas > 1:
        serve_replicas(
            replicas,
            host,
            port,
            api_key,
            {
                "--model": model,
                "--device": device,
                "--dtype": dtype,
                "--weights": weights,
                "--max-batch": max_batch,
                "--max-queue": max_queue,
                "--default-max-tokens": default_max_tokens,
                "--metrics-prefix": metrics_prefix,
                "--drain-seconds": drain_seconds,
            },
            cors or (),
        )
        return
    spec = EngineSpec(model, device, dtype_of(dtype), weights, max_batch)
    options = ServeOptions(
        api_key=api_key,
        cors=tuple(cors or ()),
        max_queue=max_queue,
        default_max_tokens=default_max_tokens,
        metrics_prefix=metrics_prefix,
    )
    with closing(bound(host, port)) as listener:
        with Bar(f"Loading {Path(model).name}, and making its engine"):
            engine = ProcessHost(spec)
        run(engine, options, listener, drain_seconds=drain_seconds, say=lambda words: typer.echo(words, err=True))


def serve_replicas(
    count: int, host: str, port: int, api_key: str | None, options: Mapping[str, object], cors: Sequence[str]
) -> None:
    """Several servers with these options behind one address."""
    import torch

    from fef.serve.replicas import Replicas, devices_for, free_ports

    arguments = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    arguments += [word for origin in cors for word in ("--cors", origin)]
    visible, gpus = os.environ.get("CUDA_VISIBLE_DEVICES"), 0
    if options["--device"] in (None, "cuda"):
        gpus = torch.cuda.device_count()
    Replicas(
        arguments,
        devices_for(count, visible, gpus),
        host,
        port or free_ports(1)[0],
        {} if api_key is None else {"FEF_API_KEY": api_key},  # not on a command line, which others can read
        say=lambda words: typer.echo(words, err=True),
    ).run()


def require_serve(command: str) -> None:
    """Raise OptionError where the packages of the extra `serve` are missing."""
    try:
        import fef.serve.run  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("fef"):
            raise
        raise OptionError(f"{command} needs {error.name}: pip install 'fef[serve]'.") from None
