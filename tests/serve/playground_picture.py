"""The picture of the playground in the docs: `python tests/serve/playground_picture.py docs/playground.png`."""

from __future__ import annotations

import sys

from browsing import Playground, chromium_path
from playwright.sync_api import sync_playwright
from serving import running

import fef

WINDOW = {"width": 1280, "height": 890}


def main(path: str) -> None:
    """`fef` beside one token at a time, on one law and seed, stopped early; and the five best of a token."""
    with running(fef.load("demo", device="cpu")) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        with Playground.opened(browser, client.port, WINDOW, reduced_motion="reduce") as seen:
            seen.ask("fef", "sequential", canvas="64", temperature="0.7", seed="1")
            seen.page.locator(".panel").first.locator("[data-at='8']").hover()
            seen.page.locator(".bars").nth(1).wait_for()
            seen.move_to(3)
            seen.page.screenshot(path=path)
            seen.check()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
