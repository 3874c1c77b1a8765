"""`fef certify`: which law a decode would sample, without decoding."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fef.cli.options import (
    JsonOption,
    ModelOption,
    SetOption,
    StepsOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    VerifyOption,
    WeightsOption,
    WindowOption,
    check_decoding,
    load_model,
    method_options,
)
from fef.cli.output import print_json

__all__ = ["EXAMPLE", "certify"]

EXAMPLE = "Example: [bold]fef certify fef --temperature 0.7 --set accept=block --set steps=4[/bold]"


def certify(
    method: Annotated[str, typer.Argument(help="A method; `fef methods` lists them.")],
    model: ModelOption = "demo",
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    top_k: TopKOption = 0,
    window: WindowOption = None,
    steps: StepsOption = None,
    verify: VerifyOption = None,
    set_: SetOption = None,
    weights: WeightsOption = None,
    json: JsonOption = False,
) -> None:
    """Say which law a method samples with these options, and why. Runs no forward pass."""
    options: dict[str, Any] = dict(method_options(set_, window, steps, verify))
    check_decoding(method, options, temperature=temperature, top_p=top_p, top_k=top_k)
    network = load_model(model, "cpu", weights=weights).network
    from fef.api import certify as certificate_for

    certificate = certificate_for(network, method=method, temperature=temperature, top_p=top_p, top_k=top_k, **options)
    if json:
        print_json({"method": method, "options": options, **certificate.to_dict()})
        return
    typer.echo(f"{certificate.kind}: {certificate.law}")
    for reason in certificate.reasons:
        typer.echo(f"  - {reason}")
