"""The commands in the order that `fef --help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from fef.cli import (
    adapt,
    batch,
    bench,
    bench_engine,
    certify,
    chat,
    compare,
    delta,
    demask,
    demo,
    doctor,
    eval,
    export,
    generate,
    info,
    lm_eval,
    methods,
    profile,
    report,
    serve,
    train,
    verify,
)
from fef.cli.options import QUESTION
from fef.cli.output import Group
from fef.cli.version import version_words

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fef {version_words()}")
        raise typer.Exit


@app.callback(epilog=f'Example: [bold]fef generate "{QUESTION}"[/bold]')
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, in a checkout the commit too, and stop.",
            callback=show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Decode diffusion language models from their joint law, fast, and say which law was sampled."""


app.command(epilog=generate.EXAMPLE)(generate.generate)
app.command(epilog=chat.EXAMPLE)(chat.chat)
app.command(epilog=serve.EXAMPLE)(serve.serve)
app.command(epilog=batch.EXAMPLE)(batch.batch)
app.command(epilog=methods.EXAMPLE)(methods.methods)
app.command(epilog=certify.EXAMPLE)(certify.certify)
app.command(epilog=verify.EXAMPLE)(verify.verify)
app.command(epilog=info.EXAMPLE)(info.info)
app.command(epilog=bench.EXAMPLE)(bench.bench)
app.command("bench --engine", epilog=bench_engine.EXAMPLE)(bench_engine.bench_engine)
app.command(epilog=report.EXAMPLE)(report.report)
app.command("eval", epilog=eval.EXAMPLE)(eval.evaluate)
app.command(epilog=compare.EXAMPLE)(compare.compare)
app.command("lm-eval", epilog=lm_eval.EXAMPLE, context_settings=lm_eval.CONTEXT)(lm_eval.lm_eval)
app.command(epilog=train.EXAMPLE)(train.train)
app.command(epilog=adapt.EXAMPLE)(adapt.adapt)
app.command(epilog=delta.EXAMPLE)(delta.delta)
app.command(epilog=export.EXAMPLE)(export.export)
app.command(epilog=demask.TRAIN_EXAMPLE)(demask.train_demask)
app.command(epilog=demask.REPORT_EXAMPLE)(demask.demask_report)
app.command(epilog=profile.EXAMPLE)(profile.profile)
app.command(epilog=demo.EXAMPLE)(demo.demo)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
