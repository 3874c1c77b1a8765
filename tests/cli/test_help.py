import subprocess
import sys
import time

import pytest

COMMANDS = [
    "generate",
    "serve",
    "batch",
    "methods",
    "certify",
    "info",
    "bench",
    "report",
    "train",
    "train-demask",
    "demask-report",
    "profile",
    "demo",
    "doctor",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(fef_cli, command):
    result = fef_cli(command, "--help")
    assert result.exit_code == 0
    assert f"Example: fef {command}" in result.stdout


def test_root_help_lists_every_command(fef_cli):
    result = fef_cli("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "Example: fef generate" in result.stdout


def test_version(fef_cli):
    assert fef_cli("--version").stdout.startswith("fef 0.")


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from fef.cli import main\n"
        "sys.argv = ['fef', '--help']\n"
        "try: main()\n"
        "finally: sys.stderr.write(str('torch' in sys.modules))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "False"
    assert time.perf_counter() - began < 20  # well under a second on an idle machine


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(["generat"], "Did you mean 'generate'"), (["generate", "--modle", "x"], "--model"), ([], "Usage")],
)
def test_unknown_commands_and_options_exit_2_with_the_nearest_name(fef_cli, arguments, hint):
    result = fef_cli(*arguments)
    assert result.exit_code == 2
    assert hint in result.output
