"""The page in headless Chromium, on a large window and on a telephone, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import DESKTOP, PHONE, Playground, chromium_path
from serving import QUESTION, Client, running

from fef.generation import Model

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'fef[test-browser]'")
pytestmark = pytest.mark.skipif(chromium_path() is None, reason="needs Chromium: apt install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def desk(browser: Any, client: Client) -> Iterator[Playground]:
    with Playground.opened(browser, client.port) as found:
        yield found
        found.check()


# --- two methods on one seed ---


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_fef_and_sequential_give_the_same_text(browser: Any, client: Client, viewport: dict[str, int]) -> None:
    with Playground.opened(browser, client.port, viewport, reduced_motion="reduce") as seen:
        seen.ask("fef", "sequential", seed="1", temperature="0.7", canvas="24")
        assert seen.text("#verdict").startswith("Same text")
        assert seen.answer(0) == seen.answer(1)
        options = {"verify": "rows"}
        body = client.complete(QUESTION, max_tokens=24, temperature=0.7, fef={"options": options}).body
        assert seen.answer(0) == body["choices"][0]["text"]
        passes = [int(seen.counters(i)["passes"]) for i in (0, 1)]
        tokens = int(seen.counters(0)["tokens"])
        assert passes[0] < passes[1] == tokens
        assert seen.counters(0)["tokens per pass"] == f"{tokens / passes[0]:.2f}"
        assert float(seen.counters(0)["log p"].replace("\u2212", "-")) == pytest.approx(
            body["fef"]["choices"][0]["logprob"], abs=0.01
        )
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
        assert 0 <= seen.page.locator("#status").bounding_box()["y"] < viewport["height"] / 2, "answers are in sight"
        assert "exact sample" in seen.page.locator(".certificate").first.inner_text()
        seen.check()


def test_another_text_is_told_by_its_first_difference(desk: Playground) -> None:
    desk.ask("fef", "low-confidence", temperature="1", canvas="32")
    found = re.match(r"First difference at token (\d+)", desk.text("#verdict"))
    assert found is not None
    at = int(found[1]) - 1
    tokens = [desk.page.locator(".panel").nth(i).locator("[data-at]").all_inner_texts() for i in (0, 1)]
    assert tokens[0][:at] == tokens[1][:at]
    assert tokens[0][at] != tokens[1][at]
    assert desk.page.locator(".differs").evaluate_all("all => all.map((cell) => cell.dataset.at)") == [str(at)] * 2


# --- the canvas ---


def test_the_timeline_goes_back_to_drafts(desk: Playground) -> None:
    desk.ask("fef", temperature="1")
    whole = desk.states()
    assert set(whole) <= {"accepted", "corrected", "drawn", "end", "after"}
    desk.move_to(3)
    early = desk.states()
    assert {"open", "draft"} <= set(early)
    assert int(desk.counters()["tokens"]) == sum(state in ("accepted", "corrected", "drawn") for state in early)
    filled = [at for at, state in enumerate(early) if state in ("accepted", "corrected", "drawn")]
    assert filled == list(range(len(filled)))
    desk.move_to(0)
    assert set(desk.states()) == {"open"}
    desk.page.click("#play")
    desk.page.wait_for_selector("#play:text('Pause')")
    desk.page.wait_for_selector("#play:text('Replay')")
    assert desk.states() == whole


def test_rejected_drafts_are_shown_where_they_stood(desk: Playground) -> None:
    desk.ask("fef", "sequential", temperature="0.7", canvas="24")
    seen = set[str]()
    for passes in range(1, int(desk.counters()["passes"]) + 1):
        desk.move_to(passes)
        seen |= set(desk.states())
    assert {"accepted", "corrected", "rejected"} <= seen
    assert set(desk.states(1)) <= {"drawn", "open", "end", "after"}, "one token at a time drafts nothing"


def test_states_differ_by_more_than_colour(desk: Playground) -> None:
    desk.ask("fef")
    looks = desk.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.legend .cell')].map((cell) => {
            const s = getComputedStyle(cell);
            const line = s.borderBottomColor === 'rgba(0, 0, 0, 0)' ? 'none' : s.borderBottomStyle;
            const sign = /[a-z]/.test(cell.textContent) ? '' : cell.textContent;
            return [cell.className, [s.fontWeight, s.fontStyle, s.textDecorationLine, line, sign].join()];
        }))"""
    )
    assert len(looks) == len(set(looks.values())) == 7


@pytest.mark.parametrize("temperature", ["0.7", "0"])
def test_pointing_at_a_token_tells_p_and_the_five_best(desk: Playground, client: Client, temperature: str) -> None:
    desk.ask("fef", temperature=temperature)
    desk.page.locator(".panel [data-at='6']").hover()
    desk.page.wait_for_selector(".bars")
    bars = desk.page.locator(".bars li").all_inner_texts()
    ids = client.complete(max_tokens=64, temperature=float(temperature), return_token_ids=True).body["choices"][0]
    asked = {"prompt": QUESTION, "response_token_ids": ids["token_ids"], "max_tokens": 64, "top_logprobs": 5}
    top = client.post("/v1/score", asked | {"temperature": float(temperature) or 1.0}).body["top_logprobs"][6]
    assert len(bars) == 5
    assert [bar.split("”")[0].strip("“").replace("\xa0", " ") for bar in bars] == [each["token"] for each in top]
    assert sum("taken" in bar for bar in bars) <= 1
    assert f"p {'1' if temperature == '0' else ''}" in desk.text(".detail")


def test_a_method_without_a_law_says_that_it_has_no_five_best(desk: Playground) -> None:
    desk.ask("low-confidence", canvas="16")
    desk.page.locator(".panel [data-at='6']").hover()
    desk.page.wait_for_selector(".detail :text('The five best are not told')")
    assert ", p " in desk.text(".detail")
    desk.complaints.clear()  # the refusal, as Chromium words it


# --- by keyboard ---


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everything_goes_by_keyboard(browser: Any, client: Client, viewport: dict[str, int]) -> None:
    with Playground.opened(browser, client.port, viewport) as seen:
        seen.ready()
        keys = seen.page.keyboard
        seen.tab_to("prompt")
        keys.press("Control+A")
        keys.insert_text(QUESTION)
        seen.tab_to("other")
        keys.type("seq")
        seen.tab_to("canvas")
        keys.press("Control+A")
        keys.type("20")
        seen.tab_to("run")
        keys.press("Enter")
        seen.wait()
        assert seen.text("#verdict").startswith("Same text")
        seen.tab_to("moment")
        keys.press("Home")
        assert set(seen.states()) == {"open"}
        keys.press("End")
        seen.tab_to("", role="option")
        tops = [seen.focused_top()]
        for key in ("ArrowDown", "ArrowUp"):
            keys.press(key)
            tops.append(seen.focused_top())
        assert tops[0] < tops[1] > tops[2]
        keys.press("Home")
        for _ in range(4):
            keys.press("ArrowRight")
        assert "Token 5" in seen.page.locator(".detail").first.inner_text()
        seen.page.wait_for_selector(".bars")
        for _ in range(3):
            keys.press("Shift+ArrowRight")
        assert seen.page.locator("[aria-selected='true']").count() == 4
        keys.press("Escape")
        assert seen.page.locator("[aria-selected='true']").count() == 0
        for _ in range(2):
            keys.press("Shift+ArrowRight")
        seen.tab_to("", text="Refill 3 selected")
        keys.press("Enter")
        seen.page.wait_for_selector("#suffix-field:not([hidden])")
        seen.wait()
        assert seen.page.locator(".panel").first.locator("[data-at]").count() == 3
        seen.check()


# --- infilling ---


def test_selected_tokens_are_filled_again_between_what_stays(desk: Playground, client: Client) -> None:
    desk.ask("fef", temperature="0")
    before = desk.answer()
    desk.page.locator(".panel [data-at='3']").click()
    desk.page.locator(".panel [data-at='9']").click(modifiers=["Shift"])
    desk.page.click("text=Refill 7 selected")
    desk.page.wait_for_selector("#suffix-field:not([hidden])")
    desk.wait()
    suffix = desk.page.input_value("#suffix")
    assert before.endswith(suffix) and len(suffix) > 10
    ids = client.post("/tokenize", {"prompt": QUESTION, "add_special_tokens": True}).body["tokens"]
    kept = client.complete(max_tokens=64, temperature=0.0, return_token_ids=True).body["choices"][0]["token_ids"][:3]
    asked = client.complete(ids + kept, suffix=suffix, max_tokens=7, temperature=0.0).texts[0]
    assert desk.answer() == asked


def test_a_selected_part_of_the_prompt_becomes_a_gap(desk: Playground, client: Client) -> None:
    desk.ready()
    gap = "3 bags"
    at = QUESTION.index(gap)
    desk.page.locator("#prompt").evaluate(
        "(field, [from, to]) => { field.focus(); field.setSelectionRange(from, to); }", [at, at + len(gap)]
    )
    desk.page.click("#make-gap")
    desk.page.wait_for_selector("#status:text('The gap holds')")
    assert desk.page.input_value("#prompt") == QUESTION[:at]
    assert desk.page.input_value("#suffix") == QUESTION[at + len(gap) :]
    size = client.post("/tokenize", {"prompt": gap}).body["count"]
    assert desk.page.input_value("#canvas") == str(size)
    desk.page.keyboard.press("Control+Enter")
    desk.wait()
    asked = client.complete(QUESTION[:at], suffix=QUESTION[at + len(gap) :], max_tokens=size, temperature=0.7)
    assert desk.answer() == asked.texts[0]


def test_a_drag_selects_tokens(desk: Playground) -> None:
    desk.ask("fef", canvas="24", temperature="0")
    cells = desk.page.locator(".panel [data-at]")
    cells.nth(5).hover()
    desk.page.mouse.down()
    cells.nth(2).hover()
    desk.page.mouse.up()
    cells.nth(9).hover()
    assert desk.page.locator("[aria-selected='true']").evaluate_all("all => all.map((c) => c.dataset.at)") == list(
        "2345"
    )


def test_a_finger_selects_tokens(browser: Any, client: Client) -> None:
    with Playground.opened(browser, client.port, PHONE, has_touch=True) as seen:
        seen.ask("fef", canvas="24", temperature="0")
        cells = seen.page.locator(".panel [data-at]")
        cells.nth(1).scroll_into_view_if_needed()
        boxes = [cells.nth(at).bounding_box() for at in (1, 2, 3)]
        finger = seen.page.context.new_cdp_session(seen.page)
        points = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2} for box in boxes]
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
        for point in points[1:]:
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        seen.page.wait_for_selector("text=Refill 3 selected")
        seen.check()


# --- grammar by example ---


@pytest.mark.parametrize(
    ("example", "grammar"),
    [
        (
            '{"name": "Tom", "apples": 30, "tags": ["a"]}',
            {
                "json": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "apples": {"type": "integer"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["name", "apples", "tags"],
                    "additionalProperties": False,
                }
            },
        ),
        ("yes\nno\n", {"choice": ["yes", "no"]}),
        ("2024-05-01", {"regex": r"[0-9]{4}\-[0-9]{2}\-[0-9]{2}"}),
    ],
    ids=["json", "choice", "pattern"],
)
def test_an_example_becomes_a_grammar(desk: Playground, example: str, grammar: dict[str, Any]) -> None:
    """It is sent as it is shown; a server that refuses it is explained, and the question can be asked without."""
    bodies = list[dict[str, Any]]()

    def refuse(route: Any) -> None:
        bodies.append(json.loads(route.request.post_data))
        if "structured_outputs" not in bodies[-1]:
            route.continue_()
            return
        error = {"message": "structured_outputs is not implemented.", "param": "structured_outputs", "code": 400}
        route.fulfill(status=400, content_type="application/json", body=json.dumps({"error": error}))

    desk.page.route("**/v1/chat/completions", refuse)
    desk.ready()
    desk.page.click("#grammar summary")
    desk.page.fill("#example", example)
    assert json.loads(desk.text("#derived")) == grammar
    if "regex" in grammar:
        assert re.fullmatch(grammar["regex"], example)
    desk.page.click("#run")
    desk.wait()
    assert bodies[0]["structured_outputs"] == grammar
    assert desk.text("#verdict").startswith("No grammar here")
    desk.complaints.clear()  # the refusal, as Chromium words it
    desk.page.click("text=Ask without the grammar")
    desk.page.wait_for_selector(".panel .accepted")
    desk.wait()
    assert len(bodies) == 2
    assert desk.page.is_hidden("#verdict")


# --- as curl, keys, errors ---


def test_a_request_can_be_copied_for_a_shell(browser: Any, client: Client) -> None:
    prompt = "It's Tom's: \"12\" apples.\nHow many?"
    permissions = ["clipboard-read", "clipboard-write"]
    with Playground.opened(browser, client.port, permissions=permissions) as seen:
        seen.ask("sequential", prompt=prompt, canvas="12")
        seen.page.click("text=Copy as curl")
        seen.page.wait_for_selector("text=Copied")
        words = shlex.split(seen.page.evaluate("navigator.clipboard.readText()"))
        assert words[0] == "curl"
        assert f"{seen.url}v1/chat/completions" in words
        body = json.loads(words[words.index("-d") + 1])
        assert body["messages"] == [{"role": "user", "content": prompt}]
        reply = client.post("/v1/chat/completions", body)
        assert "".join(c["delta"]["content"] for e in reply.events for c in e["choices"]) == seen.answer()
        seen.check()


def test_a_key_is_asked_for_and_kept_nowhere(browser: Any, model: Model) -> None:
    with running(model, {"max_batch": 2}, api_key="s3cret") as client, Playground.opened(browser, client.port) as seen:
        seen.page.wait_for_selector("#key-field:not([hidden])")
        seen.page.fill("#key", "wrong")
        seen.page.keyboard.press("Tab")
        seen.page.wait_for_selector("#status:text('asks for an API key')")
        seen.page.fill("#key", "s3cret")
        seen.page.keyboard.press("Tab")
        seen.ask("fef", canvas="8")
        assert seen.answer()
        stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        assert "s3cret" not in seen.page.evaluate(stored)
        seen.page.reload()
        seen.page.wait_for_selector("#key-field:not([hidden])")
        assert seen.page.input_value("#key") == ""
        assert not seen.foreign


def test_what_the_server_refuses_is_told(desk: Playground) -> None:
    desk.ready()
    desk.page.click("#more summary")
    desk.ask("fef", options='{"nosuch": 1}')
    assert "nosuch" in desk.text(".error")
    desk.complaints.clear()  # the refusal, as Chromium words it
    desk.page.fill("#options", "{")
    desk.page.click("#run")
    desk.page.wait_for_selector("#status:text('no JSON')")
    desk.ask("fef", options="", prompt="x" * 100_000)
    assert "tokens" in desk.text(".error")
    desk.complaints.clear()


def test_an_answer_can_be_stopped(desk: Playground, client: Client) -> None:
    desk.ready()
    desk.page.select_option("#method", "sequential")
    desk.page.fill("#canvas", "200")
    desk.page.fill("#temperature", "5")
    desk.page.click("#run")
    desk.page.wait_for_selector(".panel .drawn")
    desk.page.click("#stop")
    desk.wait()
    assert "Stopped" in desk.text(".error")
    client.wait_until_idle()


# --- what people have set ---


def test_the_page_follows_the_colours_and_the_motion_that_people_prefer(browser: Any, client: Client) -> None:
    seen = {}
    for scheme, motion in (("light", "no-preference"), ("dark", "reduce")):
        with Playground.opened(browser, client.port, color_scheme=scheme, reduced_motion=motion) as one:
            one.ask("fef", canvas="8")
            style = "getComputedStyle(document.querySelector('.panel .cell'))"
            seen[scheme] = one.page.evaluate(
                f"[getComputedStyle(document.body).backgroundColor, parseFloat({style}.transitionDuration)]"
            )
            one.check()
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] > 0 == seen["dark"][1]
