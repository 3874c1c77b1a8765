"""Numbers as answers write them, and the final one of a worked answer (GSM8K, MATH).

A number has a sign (`-`, U+2212 or a dash; behind a number or a closing bracket they subtract), a currency, digits in groups
(`9,500`, `9{,}500`, `9\\,500`, `1,00,000`) and a decimal part; or it is a fraction of two such numbers.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["DEEPEST", "boxes", "final_number", "read_number", "same_number"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
DEEPEST = 50  # groups inside groups; text that nests deeper is no mathematics and stays as it is

_SEPARATOR = r"(?:,(?:\\!\s?)?|\{,\}|\{?\\[,:;! ]\}?|~|[\u00a0\u2009\u202f])"
_LAKHS = r"[0-9]{1,2}(?:,[0-9]{2}){1,9},[0-9]{3}"
_WHOLE = rf"(?:[0-9]{{1,3}}(?:{_SEPARATOR}[0-9]{{3}})+(?![0-9])|{_LAKHS}(?![0-9])|[0-9]+)"
_UNSIGNED = rf"(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)"
_MINUS = "[-\u2212\u2013]"
_CURRENCY = r"(?:\\?[$€£¥₹] ?)"
_SIGN = rf"(?:(?<![\w)\]}}%.])(?<![0-9)\]}}%] ){_MINUS}{_CURRENCY}?|{_CURRENCY}{_MINUS}?)"
_NUMBER = re.compile(
    # not the end of a name, of another number, an index or an exponent
    rf"(?<![\w^])(?<![_^]\{{)(?<![0-9]\.)(?P<sign>{_SIGN})?"
    rf"(?:\\[dtc]?frac\s*(?:\{{(?P<above>{_MINUS}?{_UNSIGNED})\}}|(?P<above1>[0-9]))\s*"
    rf"(?:\{{(?P<below>{_UNSIGNED})\}}|(?P<below1>[0-9]))"
    rf"|(?P<over>{_UNSIGNED})/(?P<under>{_UNSIGNED})(?![/0-9])|(?P<plain>{_UNSIGNED}))"
)

_LINE_ANSWER = re.compile(r"####(.*)")
_ANSWER = re.compile(r"\banswer[*_]*(?:\s+(?:is|would be|must be|should be)\b\s*[:=]?|\s*[:=])", re.IGNORECASE)
_EQUALS = re.compile(r"=|≈|\\approx")
_CLAUSE_END = re.compile(
    # not in the middle of a run of stops, which would be read again from each of them
    r"(?<![.!?;:])[.!?;:]+\**\s+|,\s+|\n+|\b(?:because|since|so|then|hence|thus|therefore|which|but|and)\b",
    re.IGNORECASE,
)
# Words between "the answer is" and its number. Any others are the beginning of a sentence.
_FILLER = re.compile(
    r"\\[A-Za-z]+|\b(?:about|around|approximately|roughly|exactly|simply|just|only|equal|to|therefore|thus|the|number|total|of)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{2}")
_LIST_MARKER = re.compile(r"^[^\S\n]*[0-9]+[.)]\s+(?=\S)", re.MULTILINE)
_BESIDE = 30  # characters
# What makes a number the name or the number of steps.
_LABEL_BEFORE = re.compile(r"\b(?:step|part|question|problem|example|line)\s*#?$", re.IGNORECASE)
_STEPS_BEFORE = re.compile(r"\b(?:in|after)\s*$", re.IGNORECASE)
_STEPS_AFTER = re.compile(r"\s*(?:\w+\s+)?steps?\b", re.IGNORECASE)


def read_number(text: str) -> str | None:
    """The number that a text is, as digits (`-9500`, `1.50`, `1/2`); None for any other text."""
    found = _NUMBER.fullmatch(text.strip())
    return None if found is None else digits(found)


def final_number(text: str) -> str | None:
    """The final number of an answer, as digits (`-9500`, `1.50`, `1/2`); None where there is none.

    It stands behind the last `####`, in the last box, behind the last "answer is" or "answer:", or else in the last clause
    that has a number. Where a clause calculates, the number is the first behind its last equals sign; else the first of a
    stated answer, and the last of any other clause. Names and numbers of steps ("Step 3", "in 3 steps") count where
    nothing else does.
    """
    text = re.sub(r"(\\[A-Za-z]+)(?=[0-9])", r"\1 ", text)
    for said in (_LINE_ANSWER.findall(text), boxes(text)):
        for statement in reversed(said):
            for clause in clauses(statement):
                if found := numbers_of(clause):
                    return result_of(clause) or digits(found[0])
    stated_before = len(text)
    for answer in reversed(list(_ANSWER.finditer(text))):
        clause = next(iter(clauses(text[answer.end() : stated_before])), "")
        stated_before = answer.start()
        found = numbers_of(clause)
        if found and not _WORD.search(_FILLER.sub("", clause[: found[0].start()])):
            return result_of(clause) or digits(found[0])
    for clause in reversed(clauses(_LIST_MARKER.sub("", text))):
        if found := numbers_of(clause):
            return result_of(clause) or digits(found[-1])
    anywhere = list(_NUMBER.finditer(text))
    return digits(anywhere[-1]) if anywhere else None


def same_number(first: str | None, second: str | None) -> bool:
    """Whether two texts are numbers of the same value: 18, 18.0 and 36/2 are."""
    found = read_number(first or ""), read_number(second or "")
    if found[0] is None or found[1] is None:
        return False
    try:
        return Fraction(found[0]) == Fraction(found[1])
    except (ValueError, ZeroDivisionError):
        return False


def clauses(text: str) -> list[str]:
    return [clause for clause in _CLAUSE_END.split(text) if clause.strip(" \t*_$\\([{\"'")]


def result_of(clause: str) -> str | None:
    """The first number behind the last equals sign, else the last before it; None in a clause that does not calculate."""
    *left, right = _EQUALS.split(clause)
    if not left:
        return None
    if behind := numbers_of(right):
        return digits(behind[0])
    before = numbers_of(left[-1])
    return digits(before[-1]) if before else None


def numbers_of(clause: str) -> list[re.Match[str]]:
    """The amounts in a clause."""
    return [found for found in _NUMBER.finditer(clause) if is_amount(found)]


def is_amount(found: re.Match[str]) -> bool:
    """Whether a number is neither the name nor the number of steps, by the words beside it."""
    before = found.string[max(0, found.start() - _BESIDE) : found.start()]
    after = found.string[found.end() : found.end() + _BESIDE]
    counts_steps = _STEPS_BEFORE.search(before) and _STEPS_AFTER.match(after)
    return not (counts_steps or _LABEL_BEFORE.search(before))


def digits(found: re.Match[str]) -> str:
    above = found["above"] or found["above1"] or found["over"] or found["plain"]
    below = found["below"] or found["below1"] or found["under"]
    negative = [re.search(_MINUS, part or "") is not None for part in (found["sign"], found["above"])]
    parts = [re.sub(r"[^0-9.]", "", part) for part in (above, below) if part]
    return "-" * (negative[0] != negative[1]) + "/".join(parts)


def boxes(text: str) -> list[str]:
    """The contents of each `\\boxed{...}` or `\\fbox{...}` that closes, by where they begin; braces inside are balanced. Of
    boxes in boxes, those that no more than 50 braces enclose."""
    begins = {box.end() for box in _BOX.finditer(text)}
    found: dict[int, str] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif brace[0] == "}" and opened:
            begin = opened.pop()
            if begin in begins and len(opened) < DEEPEST:
                found[begin] = text[begin : brace.start()]
    return [found[begin] for begin in sorted(found)]
