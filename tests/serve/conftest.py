"""One server on a free port for all tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from serving import Client, running

import fef
from fef.generation import Model
from fef.models.chat import ChatTemplate

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped checkpoint, and a chat template that adds nothing."""
    return dataclasses.replace(fef.load("demo", device="cpu"), template=ChatTemplate(TEMPLATE, {}))


@pytest.fixture(scope="session")
def client(model: Model) -> Iterator[Client]:
    with running(model) as client:
        yield client
