"""The examples of clients, against a server; each skips where its package is missing."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

import pytest
from serving import Client

FOLDER = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours


@pytest.mark.parametrize(
    ("name", "package", "printed"),
    [
        ("openai_client.py", "openai", "the stream is the same text: True"),
        ("langchain_client.py", "langchain_openai", "#### 30"),
    ],
)
def test_a_client_runs(
    name: str,
    package: str,
    printed: str,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(package, reason=f"{package} is not installed (pip install 'fef[test-clients]')")
        monkeypatch.setattr(sys, "argv", [name, "--url", f"http://127.0.0.1:{client.port}/v1"])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert printed in capsys.readouterr().out
