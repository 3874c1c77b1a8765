"""`fef lm-eval`: the command line of lm-evaluation-harness with the models `fef` and `fef-server` in it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from fef.errors import InputError, OptionError

__all__ = ["CONTEXT", "EXAMPLE", "lm_eval"]

# everything that is not ours goes to the harness
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
EXAMPLE = (
    "Example: [bold]fef lm-eval --data data --model fef --model_args "
    "pretrained=demo,method=fef,window=16,max_new_tokens=64,long_prompts=cut --tasks gsm8k --limit 4[/bold]\n\n"
    "Example: [bold]fef lm-eval run --help[/bold]"
)


def lm_eval(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="FEF_DATA",
            help="Folder of task files that gsm8k and gsm8k_cot read in place of the hub's.",
        ),
    ] = None,
) -> None:
    """Run lm-evaluation-harness; all options but --data are its own. Needs: pip install 'fef\\[eval]'."""
    try:
        from lm_eval import tasks
        from lm_eval._cli import HarnessCLI

        import fef.eval.harness
        import fef.eval.harness_server  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("fef"):
            raise
        raise OptionError(f"fef lm-eval needs {error.name}: pip install 'fef[eval]'.") from None
    from fef.eval.local_tasks import LOCAL_TASKS, write_local_tasks
    from fef.models.device import default_device

    arguments = list(context.args)
    if arguments and arguments[0].startswith("-"):
        arguments.insert(0, "run")
    if "run" in arguments[:1] and "--device" not in arguments:
        arguments += ["--device", default_device()]  # the harness's own default is cuda:0 everywhere
    with tempfile.TemporaryDirectory(prefix="fef-tasks-") as folder:
        if data is not None:
            if "--include_path" in arguments:
                raise OptionError("--data and --include_path are both folders of tasks for the harness; give one.")
            written = write_local_tasks(Path(tasks.__file__).parent, data, Path(folder))
            if not written:
                files = sorted({file for _, splits in LOCAL_TASKS.values() for file in splits.values()})
                raise InputError(f"{data} has none of the files {', '.join(files)}. Give --data another folder.")
            for name, paths in written.items():
                typer.echo(f"{name} reads {', '.join(map(str, paths))}", err=True)
            arguments += ["--include_path", folder]
        sys.argv = ["fef lm-eval", *arguments]
        harness = HarnessCLI()
        try:
            harness.execute(harness.parse_args())
        except ConnectionError as error:
            raise InputError(
                f"{error}. Without the hub, {' and '.join(LOCAL_TASKS)} run on local files: give --data DIR."
            ) from None
