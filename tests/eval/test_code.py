"""The program of an answer: fences, markers and prose around it, in examples and around every reference solution."""

from __future__ import annotations

import ast
import textwrap
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.eval.code import called_names, defined_names, python_code
from fef.eval.tasks import TASKS

ROOT = "def root(x):\n    return x ** 0.5"
FENCED_DOCSTRING = 'def root(x):\n    """Like this:\n\n    ```\n    root(4)\n    ```\n    """\n    return x ** 0.5'
FENCE_AT_THE_MARGIN = 'def root(x):\n    """\n```python\nroot(4)\n```\n    """\n    return x ** 0.5'

AMONG_BLOCKS = {
    "an install block": f"Install:\n```bash\npip install x\n```\n```python\n{ROOT}\n```\nDone.",
    "another language": f"```js\nfunction root(x) {{}}\n```\nIn Python:\n```py\n{ROOT}\n```",
    "usage and a draft": f"```python\nprint(root(4))\n```\nNo:\n```python\ndef root(x): pass\n```\n```python\n{ROOT}\n```",
    "usage behind": f"```python\n{ROOT}\n```\nUse it:\n```python\nimport x\nroot(4)\n```",
    "a broken draft": f"```python\ndef root(x:\n    return\n```\nBetter:\n```\n{ROOT}\n```",
    "sample output": f"```\n2.0\n```\n```python\n{ROOT}\n```",
    "a session": f"```\n>>> root(4)\n2.0 it is\n```\n```python\n{ROOT}\n```",
    "an install block before loose code": f"```bash\npip install x\n```\n{ROOT}\n",
    "loose usage": f"print(root(4))\n```python\n{ROOT}\n```\nimport math",
}
FENCES = {
    "a space": f"``` python\n{ROOT}\n```",
    "capitals": f"```PYTHON\n{ROOT}\n```",
    "version": f"```Python3\n{ROOT}\n```",
    "attributes": f"```{{.python .numbered}}\n{ROOT}\n```",
    "unnamed": f"Sure:\n```\n{ROOT}\n```\nOK?",
    "tildes": f"~~~python\n{ROOT}\n~~~",
    "four": f"````python\n{ROOT}\n````",
    "never closed": f"```python\n{ROOT}",
    "opened before the answer": f"{ROOT}\n```\nThis function takes a root.",
    "CRLF": f"So:\n```python\n{ROOT}\n```\nDone".replace("\n", "\r\n"),
    "CRLF without fences": ROOT.replace("\n", "\r\n"),
    "in a list": "1. So\n" + textwrap.indent(f"```python\n{ROOT}\n```", "   ") + "\n2. Done",
}
PROSE = {
    "before and behind": f"Here is the function:\n\n{ROOT}\n\nThis works because it's right.",
    "words that parse": f"Here is the function:\n{ROOT}\nDone\nEnjoy",
    "words behind alone": f"{ROOT}\nDone",
    "an indented block": "Here:\n\n" + textwrap.indent(ROOT, "    ") + "\n\nBye now",
    "import in prose": f"import it like this, or\nfrom now on use\n{ROOT}",
}
MARKED = {
    "both": f"[BEGIN]\n{ROOT}\n[DONE]",
    "both, quoted": f"[BEGIN]\n'{ROOT}'\n[DONE] and more",
    "no [BEGIN]": f"{ROOT}\n[DONE]\nYou are an expert.\n[BEGIN]\ndef root(x): pass\n[DONE]",
    "no [BEGIN], quoted": f"'{ROOT}'\n[DONE]",
    "no [BEGIN], closing quote": f"{ROOT}'\n[DONE]",
    "no [DONE]": f"[BEGIN]\n{ROOT}",
    "fenced": f"[BEGIN]\n```python\n{ROOT}\n```\n[DONE]\nMore",
    "on one line": f"[BEGIN]\n{ROOT} [DONE]",
    "named in prose": f"I write it between [BEGIN] and [DONE] now:\n```python\n{ROOT}\n```",
}


@pytest.mark.parametrize("response", (AMONG_BLOCKS | FENCES | PROSE | MARKED).values())
def test_the_program_is_found(response: str) -> None:
    assert python_code(response, ["root"]) == ROOT


@pytest.mark.parametrize("code", [FENCED_DOCSTRING, FENCE_AT_THE_MARGIN])
@pytest.mark.parametrize(
    "form", ["```python\n{}\n```", "```\n{}\n```\nBye\n```\nroot(4)\n```", "{}", "Here:\n{}\n\nIt's right."]
)
def test_a_fence_inside_a_docstring_ends_nothing(code: str, form: str) -> None:
    assert python_code(form.format(code), ["root"]) == code


# Nothing defines what is wanted, or nothing is wanted.
OTHERWISE = {
    "Sure.\n```python\nx = 1\ny = 2\n```\nDone.\n```\nz\n```": "x = 1\ny = 2",
    "```\nx = 1\n```": "x = 1",
    "```py\nx = 1": "x = 1",
    "[BEGIN]\n'x = 1'\n[DONE] more": "x = 1",
    "[BEGIN]\nx = 'a'\n[DONE]": "x = 'a'",
    "[BEGIN]\nx = ['a', 'b'\n     'c']\ny = 'd'\n[DONE]": "x = ['a', 'b'\n     'c']\ny = 'd'",
    "x = [DONE]": "x = [DONE]",
    "x = 1": "x = 1",
    "    return x": "    return x",
    "```python\n    return x\n```": "    return x",
    "    return x\n```\nIt returns x.": "    return x\n```\nIt returns x.",
    "I cannot do that.": "I cannot do that.",
    "": "",
}


@pytest.mark.parametrize(("response", "code"), OTHERWISE.items())
def test_answers_without_the_wanted_name(response: str, code: str) -> None:
    assert python_code(response, ["root"]) == code


def test_names_that_a_module_defines() -> None:
    assert defined_names("def a(): pass\nclass B:\n    def c(self): pass\nd = 1") == {"a", "B", "d"}
    assert defined_names("def a(:\n    pass\nclass B:") == {"a", "B"}
    assert called_names("n = Node(1)", ["assert set(f(n)) == {1}", "assert f(n)"]) == {"Node", "f"}
    assert called_names("def g(): pass", ["assert g(f(1))"]) == {"f"}
    assert called_names("", ["assert f("]) == set()


NAMES = st.sampled_from(["root", "helper", "Pair"])
BODIES = st.sampled_from(
    [
        "return x",
        "x = '[DONE]'\n    return x",
        "'''```\n    x\n    ```'''\n    return x",
        "# ```\n    return [x]",
        "return 'it''s'",
    ]
)
PROGRAMS = st.lists(st.tuples(NAMES, BODIES), min_size=1, max_size=3).map(
    lambda parts: "import math\n\n\n" + "\n\n\n".join(f"def {name}(x):\n    {body}" for name, body in parts)
)
WORDS = st.text(alphabet="abcdefghij ,.'!?:", max_size=30).map(lambda words: f"It's {words}.")


@given(
    PROGRAMS,
    WORDS,
    WORDS,
    st.sampled_from(["{}", "```python\n{}\n```", "``` \n{}\n```", "~~~Py\n{}\n~~~", "[BEGIN]\n{}\n[DONE]"]),
)
def test_a_program_is_returned_unchanged_amid_any_prose(program: str, before: str, behind: str, form: str) -> None:
    wanted = defined_names(program)
    assert python_code(f"{before}\n{form.format(program)}\n{behind}", wanted) == program
    assert python_code(program, wanted) == program


@given(st.text(alphabet="`~'\"\n defx():[]BEGINDO", max_size=60))
def test_any_text_gives_some_code(response: str) -> None:
    assert python_code(response, ["f"]) in response.replace("\r", "\n") or "def" in response


STYLES = {
    **{
        "bare": "{}",
        "fenced": "```python\n{}\n```",
        "spaced": "Sure:\n``` Python\n{}\n```\nOK?",
        "unnamed": "```\n{}\n```",
    },
    **{
        "tildes": "~~~py\n{}\n~~~",
        "open": "```python\n{}",
        "marked": "[BEGIN]\n{}\n[DONE]\nMore",
        "quoted": "[BEGIN]\n'{}'\n[DONE]",
    },
    **{"begun": "{}\n[DONE]\nYou are an expert", "prose": "Here is the code:\n\n{}\n\nThis works, as it's right."},
}
# A text in three lines of quotes stands above the function; nothing uses it.
NOT_WHOLE_IN_PROSE = {"HumanEval/64"}


def changed_solutions(data: Path, style: str) -> tuple[int, set[str]]:
    """How many reference solutions of MBPP and HumanEval there are, and which are other programs when read from a style."""
    humaneval, mbpp = TASKS["humaneval"], TASKS["mbpp"]
    solutions = [(e["task_id"], humaneval.answer(e), [e["entry_point"]]) for e in humaneval.read(data / humaneval.file)]
    for e in mbpp.read(data / mbpp.file):
        solutions.append((str(e["task_id"]), e["code"], called_names(e["test_setup_code"], e["test_list"])))
    form = STYLES[style]
    changed = {n for n, code, wanted in solutions if syntax(python_code(form.format(code), wanted)) != syntax(code)}
    return len(solutions), changed


@pytest.mark.parametrize("style", ["fenced", "begun", "prose"])
def test_every_reference_solution_is_extracted(reference: Path, style: str) -> None:
    assert changed_solutions(reference, style) == (164 + 974, NOT_WHOLE_IN_PROSE if style == "prose" else set())


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_every_reference_solution_is_extracted_from_every_style(reference: Path, style: str) -> None:
    assert changed_solutions(reference, style) == (164 + 974, NOT_WHOLE_IN_PROSE if style == "prose" else set())


def syntax(code: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.dump(ast.parse(code))
        except SyntaxError:
            return None
