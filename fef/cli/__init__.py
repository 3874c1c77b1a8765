"""The command `fef`. Only commands that need torch import it, when they run."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with 0, 1 (failed), 2 (bad usage or input) or 130 (Ctrl-C)."""
    # idle OpenMP threads that spin make everything else on a busy machine many times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a model may write what an old terminal cannot show
    try:
        from fef.cli.interrupts import spare_imports

        spare_imports()
        from fef.cli.app import app

        app(prog_name="fef")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # packages that clean up at the end print what interrupts them
