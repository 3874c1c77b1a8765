"""The same question in other words: other people, other things of a kind, other words for the same, sentences joined.

A worked answer holds sums only, so that the question alone changes. Numbers stay, though small ones may be written in words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from fef.corpus.inventory import ALSO_WORDS, NAMES, singular

__all__ = ["reworded", "with_condition"]

_OF_PRONOUN = {pronouns[0]: [name for name in NAMES if NAMES[name] == pronouns] for pronouns in set(NAMES.values())}
_NAME = re.compile(r"(?<![\w&.'\u2019-])[A-Z][a-z]+(?![\w-])")
_LETTER = re.compile(r"\b(?!A\b|I\b)[A-Z]\b(?!\.)")  # E, for Evan
_BESIDE_NAME = re.compile(
    r"(?:\b(?!The |A |An |If |When |While |How |On |At |In |For |So |But |And |Then |Now |After )[A-Z][\w.]* |[&.] )$"
)
_NAME_FOLLOWS = re.compile(r" [A-Z&]")

_KINDS: tuple[tuple[str, ...], ...] = tuple(
    tuple(kind.split())
    for kind in (
        "apples oranges pears peaches lemons plums mangoes bananas",
        "cookies muffins cupcakes donuts brownies bagels",
        "pencils pens erasers crayons markers",
        "marbles beads buttons",
        "stickers stamps",
        "roses tulips daisies",
        "necklaces bracelets",
        "chickens ducks geese",
        "shirts sweaters jackets",
        "cars trucks vans",
    )
)
_COMPOUND = re.compile(
    r" (?:pie|pies|tree|trees|juice|sauce|cake|shop|store|food|bed|beds|house|box|card|cards|book|player|wash)\b"
)

# A pattern, and what may stand for it.
_SAME: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), options)
    for pattern, options in (
        (r"\b(?:in total|altogether|in all)(?=\?)", ("in total", "altogether", "in all")),
        (r"\bpurchased\b", ("bought",)),
        (r"\bbought\b", ("purchased",)),
        (r"\bbuys\b", ("purchases", "gets")),
        (r"\bkids\b", ("children",)),
        (r"\bchildren\b", ("kids",)),
        (r"\bmom\b", ("mother",)),
        (r"\bmother\b", ("mom",)),
        (r"\bdad\b", ("father",)),
        (r"\bfather\b", ("dad",)),
        (r"\bbicycle(s?)\b", (r"bike\1",)),
        (r"\bphotos\b", ("pictures",)),
        (r"\btwice as (many|much)\b", (r"two times as \1", r"2 times as \1")),
        (r"\b(?:two|2) times as (many|much)\b", (r"twice as \1",)),
        (r"\bthree times as (many|much)\b", (r"3 times as \1",)),
        (r"\bwants to buy\b", ("plans to buy", "would like to buy")),
        (r"\bwants to\b", ("plans to", "would like to")),
        (r"\bdecides to buy\b", ("chooses to buy",)),
        (r"\beach (day|week|month|year|morning|night|evening)\b", (r"every \1",)),
        (r"\bevery (day|week|month|year|morning|night|evening)\b", (r"each \1",)),
        (r"(?<=\d) (?:per|an) hour\b", (" an hour", " per hour", " for each hour", " every hour")),
        (
            r"(\$\d[\d.,]*\d|\$\d) (?:per|a) (day|week|month|year|person|pound|mile|gallon)\b",
            (r"\1 per \2", r"\1 for each \2", r"\1 a \2"),
        ),
        (r"(\$\d[\d.,]*\d|\$\d) each(?=[.,?]| and\b)", (r"\1 apiece", r"\1 each")),
        (r"\b(?:has|needs) to (?=[a-z])", ("must ", "has to ", "needs to ")),
        (r"\breceived\b", ("got",)),
        (r"\breceives\b", ("gets",)),
        (r"\blarge\b", ("big",)),
        (r"\bsmall\b", ("little",)),
        (r"\bover the course of\b", ("during", "in the course of")),
        (r"\bhalf of the\b", ("one half of the", "1/2 of the")),
        (r"\b(?:a|one)[ -]third of\b", ("a third of", "one third of", "1/3 of")),
        (r"\b(?:a|one)[ -](?:quarter|fourth) of\b", ("a quarter of", "one fourth of", "1/4 of")),
        (r"\bstarts with\b", ("begins with",)),
        (r"\bstarted with\b", ("began with",)),
        (r"\b(at|to|from) the store\b", (r"\1 the shop", r"\1 the market")),
        (r"\bHow much does it cost\b", ("What does it cost", "How much money does it cost")),
        (r"\bHow much did it cost\b", ("What did it cost", "How much money did it cost")),
        (r"\bHow much money\b", ("How many dollars",)),
        (r"\bwhat is the total (cost|amount|number|weight)\b", (r"what is the overall \1",)),
        (r"\bWhat is the total (cost|amount|number|weight)\b", (r"What is the overall \1",)),
        (r"\b(is|are|was|were) left\?", (r"\1 left over?", r"\1 left in the end?", r"\1 left?")),
        (r"\b(have|has) left\?", (r"\1 left over?", r"\1 in the end?", r"\1 left?")),
        (r"\b(does|do) (\w+) have now\?", (r"\1 \2 have in the end?", r"\1 \2 now have?")),
    )
)
_ONES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = re.compile(r"(?<=[a-z] )(?:[2-9]|1[0-2])(?= [a-z]{3,})(?! times)")
_WORD = re.compile(rf"(?<=[a-z] )(?:{'|'.join(_ONES)})(?= [a-z]{{3,}})(?! hundred| thousand| dozen|-)")
_IF_LAST = re.compile(r"(?P<story>^|.*[.] )If (?P<condition>[^,.?]+), (?P<asked>how [^,.?]+)\?$", re.DOTALL)
_IF_INSIDE = re.compile(r"(?P<story>^|.*[.] )(?P<asked>How [^,.?]+?),? if (?P<condition>[^,.?]+)\?$", re.DOTALL)
_LAST_FACT = re.compile(
    r"(?P<story>.*[.] )(?P<fact>[A-Z][^,.?!]+)[.] H(?P<asked>ow (?![^?]* if )[^.?!]+[?])$", re.DOTALL
)
_BEGINNINGS = frozenset({"He", "She", "They", "It", "There", "The", "Each", "One", "Every"})
_BESIDE_THE_STORY = re.compile(r"\b(?:years old|degrees|miles away|hours a week|days left|phone number|cousins)\b")
_AS_CONDITION = 0.4  # of stories whose last sentence but one can be one
_TWO_SENTENCES = re.compile(r"(?<![.?!A-Z])\. (He|She|They) (?=[a-z]+ [^.?!]{4,60}\.)")
_AND_THEN = re.compile(r", and (he|she|they) (?=[a-z]+ [^.?!,]{4,80}\.)")


def reworded(question: str, rng: random.Random) -> str:
    """The question with some of its words replaced; sometimes itself."""
    for change, share in _CHANGES:
        if rng.random() < share:
            question = change(question, rng)
    return question


def with_other_names(text: str, rng: random.Random) -> str:
    """Each known name that stands alone becomes another one with the same pronouns, everywhere."""
    if _LETTER.search(text):
        return text
    found = dict.fromkeys(match[0] for match in _NAME.finditer(text) if match[0] in NAMES)
    new: dict[str, str] = {}
    for name in found:
        alone = all(
            not _BESIDE_NAME.search(text[: match.start()]) and not _NAME_FOLLOWS.match(text, match.end())
            for match in re.finditer(rf"\b{name}\b", text)
        )
        if alone and name not in ALSO_WORDS:
            choice = rng.choice(_OF_PRONOUN[NAMES[name][0]])
            if choice not in text and choice not in new.values():
                new[name] = choice
    return _NAME.sub(lambda match: new.get(match[0], match[0]), text)


def with_other_things(text: str, rng: random.Random) -> str:
    """Things that stand in the plural, or clearly alone, become others of their kind."""
    for kind in _KINDS:
        there = [thing for thing in kind if re.search(rf"\b{thing}\b", text, re.IGNORECASE)]
        absent = [thing for thing in kind if not re.search(rf"\b{singular(thing)}", text, re.IGNORECASE)]
        for thing in there:
            one = singular(thing)
            if absent and not re.search(rf"\b{one}(?!s?\b)|\b{one}\b(?! (?:is|costs|weighs|has)\b|[.,?])", text):
                other = absent.pop(rng.randrange(len(absent)))
                if one[0] in _VOWELS or other[0] in _VOWELS:
                    continue
                if not any(_COMPOUND.match(text, match.end()) for match in re.finditer(rf"\b{thing}\b", text)):
                    text = re.sub(rf"\b{thing}\b", other, text)
                    text = re.sub(rf"\b{one}\b", singular(other), text)
    return text


_VOWELS = "aeiou"


def with_same_words(text: str, rng: random.Random) -> str:
    for pattern, options in _SAME:
        if rng.random() < 0.5:
            text = pattern.sub(rng.choice(options), text)
    return text


def with_numbers_in_words(text: str, rng: random.Random) -> str:
    """Small numbers in words become digits, or the other way round."""
    if rng.random() < 0.5:
        return _WORD.sub(lambda match: str(_ONES.index(match[0]) + 2), text)
    return _DIGITS.sub(lambda match: _ONES[int(match[0]) - 2], text)


def with_condition_elsewhere(text: str, _: random.Random) -> str:
    """`If there are 5, how many is that?` as `How many is that if there are 5?`, and back.

    Names of the condition must be known before, else a pronoun would come first.
    """
    if (found := _IF_INSIDE.match(text)) is not None:
        return f"{found['story']}If {found['condition']}, {found['asked'][0].lower()}{found['asked'][1:]}?"
    if (found := _IF_LAST.match(text)) is not None:
        names = set(re.findall(r"\b[A-Z][a-z]+", found["condition"]))
        if all(name in found["story"] or name in found["asked"] for name in names) and found["story"]:
            return f"{found['story']}{found['asked'][0].upper()}{found['asked'][1:]} if {found['condition']}?"
    return text


def with_condition(question: str, rng: random.Random) -> str:
    """Sometimes the last fact of a story as a condition: `Ben has 5. How many ...?` as `If Ben has 5, how many ...?`."""
    found = _LAST_FACT.match(question)
    if found is None or _BESIDE_THE_STORY.search(found["fact"]) or rng.random() >= _AS_CONDITION:
        return question
    first, rest = found["fact"].split(" ", 1)
    elsewhere = set(re.findall(r"[A-Z][a-z]+", found["story"] + found["asked"])) & NAMES.keys()
    if first.removesuffix("'s") not in elsewhere and first not in _BEGINNINGS:
        return question
    fact = f"{first.lower() if first in _BEGINNINGS else first} {rest}"
    asked = f"{found['story']}If {fact}, h{found['asked']}"
    return with_condition_elsewhere(asked, rng) if rng.random() < 0.5 else asked


def with_sentences_joined(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _TWO_SENTENCES.sub(lambda match: f", and {match[1].lower()} ", text, count=1)
    return _AND_THEN.sub(lambda match: f". {match[1].capitalize()} ", text, count=1)


_CHANGES: tuple[tuple[Callable[[str, random.Random], str], float], ...] = (
    (with_other_names, 0.7),
    (with_other_things, 0.5),
    (with_same_words, 0.8),
    (with_numbers_in_words, 0.3),
    (with_condition_elsewhere, 0.4),
    (with_sentences_joined, 0.4),
)
