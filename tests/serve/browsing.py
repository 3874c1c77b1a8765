"""A page of the server in Chromium, and what it asked for and complained of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DESKTOP", "PHONE", "Playground", "chromium_path"]

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def chromium_path() -> str | None:
    """Debian's browser, or another of its kind."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Playground:
    """page: of playwright."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(30_000)
        self.page.on(
            "console", lambda message: self.complaints.append(message.text) if message.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request", lambda request: None if request.url.startswith(self.url) else self.foreign.append(request.url)
        )

    @classmethod
    @contextmanager
    def opened(
        cls, browser: Any, port: int, viewport: dict[str, int] = DESKTOP, **options: Any
    ) -> Iterator[Playground]:
        """The page with its methods loaded. Whoever closes it without a complaint has seen none."""
        context = browser.new_context(viewport=viewport, **options)
        try:
            found = cls(context.new_page(), f"http://127.0.0.1:{port}/")
            found.page.goto(found.url)
            yield found
        finally:
            context.close()

    def ready(self) -> None:
        self.page.wait_for_selector("#method option", state="attached")

    def ask(self, method: str = "fef", other: str = "", **fields: str) -> None:
        """Choose, ask, and wait for the answers. fields: by id."""
        self.ready()
        self.page.select_option("#method", method)
        self.page.select_option("#other", other)
        for name, value in fields.items():
            self.page.fill(f"#{name.replace('_', '-')}", value)
        self.page.click("#run")
        self.wait()

    def wait(self) -> None:
        self.page.wait_for_selector("#panels[aria-busy='false']")

    def check(self) -> None:
        """The page has complained of nothing, and asked nobody else."""
        assert (self.complaints, self.foreign) == ([], [])

    def tab_to(self, name: str, role: str = "", text: str = "") -> None:
        """Press Tab until an element has the focus, by id, by role or by its text."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            here = self.page.evaluate(
                "[document.activeElement.id, document.activeElement.getAttribute('role'), document.activeElement.innerText]"
            )
            if (name and here[0] == name) or (role and here[1] == role) or (text and here[2] == text):
                return
        raise AssertionError(f"Tab does not reach {name or role or text}")

    def focused_top(self) -> float:
        """Where the element with the focus is."""
        return float(self.page.evaluate("document.activeElement.getBoundingClientRect().top"))

    def move_to(self, passes: int) -> None:
        self.page.fill("#moment", str(passes))

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def counters(self, panel: int = 0) -> dict[str, str]:
        """What stands above a canvas."""
        pairs = self.page.locator(".panel").nth(panel).locator(".counters > div").all_inner_texts()
        return dict(pair.split("\n", 1) for pair in pairs)

    def states(self, panel: int = 0) -> list[str]:
        """What each cell of a canvas is."""
        cells = self.page.locator(".panel").nth(panel).locator("[data-at]")
        return [str(name).split()[1] for name in cells.evaluate_all("cells => cells.map((cell) => cell.className)")]

    def answer(self, panel: int = 0) -> str:
        """The text of a canvas."""
        cells = self.page.locator(".panel").nth(panel).locator("[data-at]")
        tokens = cells.evaluate_all(
            "cells => cells.filter((c) => /accepted|corrected|drawn/.test(c.className)).map((c) => c.firstChild.textContent)"
        )
        return "".join(tokens).replace("↵", "\n")
