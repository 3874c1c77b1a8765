"""The sentences of word problems: tables of openings, events and questions for each topic.

In a sentence, `{A}` is the person that the story is about and `{she}`, `{She}`, `{her}` the pronouns; `{B}`, `{C}` and
`{D}` are other people, `{u}` is what the story counts, `{old}` the amount before the sentence, `{new}` after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fef.tasks import story_numbers as pick

__all__ = ["TOPICS", "Move", "Topic"]


@dataclass(frozen=True)
class Move:
    """One sentence of a story with the solution's sentence for it; `operations` counts its equations."""

    rule: pick.Rule
    operations: int
    story: str
    solution: str


@dataclass(frozen=True)
class Topic:
    """A kind of story; every amount in it counts the same `unit` ("" for the drawn things)."""

    unit: str
    openings: tuple[Move, ...]
    events: tuple[Move, ...]
    questions: tuple[Move, ...]


_THINGS = Topic(
    unit="",
    openings=(
        Move(pick.given, 0, "{A} has {n} {u}.", "{A} starts with {n} {u}."),
        Move(pick.given, 0, "{A} finds {n} {u} at the {place}.", "{A} starts with {n} {u}."),
        Move(pick.given, 0, "There are {n} {u} in the bag of {A}.", "The bag starts with {n} {u}."),
        Move(pick.product, 1, "{A} fills {k} {box} with {n} {u} each.", "The {box} hold {k} * {n} = {new} {u}."),
        Move(pick.product, 1, "{A} has {k} rows of {n} {u}.", "The rows make {k} * {n} = {new} {u}."),
        Move(
            pick.product,
            1,
            "For {k} days, {A} picks {n} {u} a day.",
            "In {k} days, {A} picks {k} * {n} = {new} {u}.",
        ),
        Move(
            pick.two_parts,
            1,
            "{A} has {n} {red} {u} and {k} {blue} {u}.",
            "{Red} and {blue} make {n} + {k} = {new} {u}.",
        ),
        Move(pick.two_parts, 1, "{B} has {n} {u}. {A} has {k} more than {B}.", "{A} has {n} + {k} = {new} {u}."),
        Move(pick.difference, 1, "{B} has {n} {u}. {A} has {k} fewer than {B}.", "{A} has {n} - {k} = {new} {u}."),
        Move(
            pick.small_multiple,
            1,
            "{B} has {n} {u}. {A} has {k} times as many as {B}.",
            "{A} has {n} * {k} = {new} {u}.",
        ),
    ),
    events=(
        Move(
            pick.add,
            1,
            "{She} buys {n} more at the {place2}.",
            "After the {place2}, {she} has {old} + {n} = {new} {u}.",
        ),
        Move(pick.add, 1, "{C} gives {her} {n} more {u}.", "With those from {C}, {she} has {old} + {n} = {new} {u}."),
        Move(pick.add, 1, "Then {she} finds {n} more {u}.", "With the new ones, {she} has {old} + {n} = {new} {u}."),
        Move(
            pick.subtract,
            1,
            "{She} gives {n} of them to {C}.",
            "After the gift to {C}, {old} - {n} = {new} are left.",
        ),
        Move(
            pick.subtract,
            1,
            "{She} loses {n} {u} at the {place}.",
            "After the {place}, {she} has {old} - {n} = {new} {u}.",
        ),
        Move(pick.subtract, 1, "{C} takes {n} of the {u}.", "When {C} is done, {old} - {n} = {new} {u} are left."),
        Move(pick.subtract, 1, "Then {she} sells {n} {u}.", "After the sale, {she} has {old} - {n} = {new} {u}."),
        Move(
            pick.add_product,
            2,
            "{She} buys {k} {box} with {n} {u} each.",
            "The {box} hold {k} * {n} = {t} {u}. Now {she} has {old} + {t} = {new} {u}.",
        ),
        Move(
            pick.add_product,
            2,
            "Then {k} friends give {her} {n} {u} each.",
            "The friends give {k} * {n} = {t} {u}. That makes {old} + {t} = {new} {u}.",
        ),
        Move(
            pick.subtract_product,
            2,
            "{She} gives {n} {u} to each of {k} friends.",
            "The friends get {k} * {n} = {t} {u}. That leaves {old} - {t} = {new} {u}.",
        ),
        Move(
            pick.subtract_product,
            2,
            "{She} sells {k} {box} of {n} {u}.",
            "The {box} hold {k} * {n} = {t} {u}. Then {old} - {t} = {new} are left.",
        ),
        Move(pick.double, 1, "A week later, {she} has twice as many.", "Twice as many is {old} * 2 = {new} {u}."),
        Move(pick.double, 1, "At the {place}, {she} doubles the number.", "The double is {old} * 2 = {new} {u}."),
        Move(pick.halve, 1, "{She} gives half of them to {C}.", "Half of them is {old} / 2 = {new} {u}."),
        Move(pick.halve, 1, "{She} loses half of the {u}.", "The half that is left is {old} / 2 = {new} {u}."),
        Move(
            pick.subtract_part(3),
            2,
            "{She} sells a third of them.",
            "A third is {old} / 3 = {t} {u}. So {old} - {t} = {new} {u} are left.",
        ),
        Move(
            pick.subtract_part(4),
            2,
            "{C} takes a quarter of the {u}.",
            "A quarter is {old} / 4 = {t} {u}. So {old} - {t} = {new} {u} are left.",
        ),
    ),
    questions=(
        Move(pick.keep, 0, "How many {u} does {A} have now?", ""),
        Move(pick.keep, 0, "How many {u} are left in the end for {A}?", ""),
        Move(
            pick.divide,
            1,
            "{She} shares the {u} equally among {k} friends. How many {u} does each friend get?",
            "Each friend gets {old} / {k} = {new} {u}.",
        ),
        Move(
            pick.divide,
            1,
            "{She} packs all {u} into {tray} of {k}. How many {tray} does {she} need?",
            "{She} needs {old} / {k} = {new} {tray}.",
        ),
        Move(
            pick.add,
            1,
            "{D} has {n} {u}. How many {u} do {A} and {D} have together?",
            "Together they have {old} + {n} = {new} {u}.",
        ),
        Move(
            pick.add,
            1,
            "{D} has {n} more {u} than {A} has now. How many {u} does {D} have?",
            "{D} has {old} + {n} = {new} {u}.",
        ),
        Move(
            pick.subtract,
            1,
            "{D} has {n} fewer {u} than {A} has now. How many {u} does {D} have?",
            "{D} has {old} - {n} = {new} {u}.",
        ),
        Move(
            pick.multiply,
            1,
            "{She} sells each one for {k} dollars. How many dollars does {she} earn?",
            "{She} earns {old} * {k} = {new} dollars.",
        ),
    ),
)

_MONEY = Topic(
    unit="dollars",
    openings=(
        Move(pick.given, 0, "{A} has {n} dollars.", "{A} starts with {n} dollars."),
        Move(
            pick.product,
            1,
            "{A} works {k} hours for {n} dollars an hour.",
            "{A} earns {k} * {n} = {new} dollars.",
        ),
        Move(pick.product, 1, "{A} sells {k} {u2} for {n} dollars each.", "The sale earns {k} * {n} = {new} dollars."),
        Move(
            pick.two_parts,
            1,
            "{A} earns {n} dollars at the {place} and gets {k} dollars from {B}.",
            "{A} has {n} + {k} = {new} dollars.",
        ),
    ),
    events=(
        Move(
            pick.subtract_product,
            2,
            "{She} buys {k} {u3} for {n} dollars each.",
            "The {u3} cost {k} * {n} = {t} dollars. That leaves {old} - {t} = {new} dollars.",
        ),
        Move(
            pick.subtract_product,
            2,
            "{She} pays {n} dollars to each of {k} friends.",
            "The friends get {k} * {n} = {t} dollars. Then {she} has {old} - {t} = {new} dollars.",
        ),
        Move(
            pick.subtract,
            1,
            "{She} spends {n} dollars at the {place}.",
            "After the {place}, {she} has {old} - {n} = {new} dollars.",
        ),
        Move(
            pick.add,
            1,
            "{C} gives {her} {n} dollars.",
            "With those from {C}, {she} has {old} + {n} = {new} dollars.",
        ),
        Move(pick.add, 1, "Then {she} earns {n} dollars.", "With the new pay, {she} has {old} + {n} = {new} dollars."),
        Move(pick.halve, 1, "{She} spends half of it.", "Half of it is {old} / 2 = {new} dollars."),
        Move(pick.double, 1, "A week later, {she} has twice as much.", "Twice as much is {old} * 2 = {new} dollars."),
    ),
    questions=(
        Move(pick.keep, 0, "How many dollars does {A} have now?", ""),
        Move(pick.keep, 0, "How much money is left for {A}?", ""),
        Move(
            pick.subtract_from,
            1,
            "A {red} bike costs {n} dollars. How many more dollars does {A} need for the bike?",
            "For the bike, {she} needs {n} - {old} = {new} more dollars.",
        ),
        Move(
            pick.divide,
            1,
            "With all the money, {she} buys {u4} for {k} dollars each. How many {u4} does {she} get?",
            "{She} gets {old} / {k} = {new} {u4}.",
        ),
        Move(
            pick.subtract,
            1,
            "{She} buys a {blue} hat for {n} dollars. How much change does {she} get?",
            "The change is {old} - {n} = {new} dollars.",
        ),
    ),
)

_TRIP = Topic(
    unit="miles",
    openings=(
        Move(
            pick.product,
            1,
            "{A} rides a bike for {k} hours at {n} miles an hour.",
            "The bike ride is {k} * {n} = {new} miles.",
        ),
        Move(
            pick.product,
            1,
            "For {k} days, {A} walks {n} miles a day.",
            "In {k} days, {A} walks {k} * {n} = {new} miles.",
        ),
        Move(
            pick.two_parts,
            1,
            "{A} drives {n} miles to the {place} and {k} miles to see {B}.",
            "{A} drives {n} + {k} = {new} miles.",
        ),
        Move(
            pick.small_multiple,
            1,
            "{B} walks {n} miles. {A} goes {k} times as far.",
            "{A} goes {n} * {k} = {new} miles.",
        ),
    ),
    events=(
        Move(
            pick.add,
            1,
            "Then {she} walks {n} more miles.",
            "With the walk, {she} has gone {old} + {n} = {new} miles.",
        ),
        Move(
            pick.add,
            1,
            "Then {she} drives {n} miles with {C}.",
            "With {C}, the way so far is {old} + {n} = {new} miles.",
        ),
        Move(
            pick.add_product,
            2,
            "Then {she} runs {n} miles a day for {k} days.",
            "The runs add {k} * {n} = {t} miles. So far, {she} has gone {old} + {t} = {new} miles.",
        ),
        Move(
            pick.add_product,
            2,
            "A bus takes {her} on for {k} hours at {n} miles an hour.",
            "The bus goes {k} * {n} = {t} miles. So far, {she} has gone {old} + {t} = {new} miles.",
        ),
        Move(pick.double, 1, "Then {she} goes the same way back.", "There and back is {old} * 2 = {new} miles."),
    ),
    questions=(
        Move(pick.keep, 0, "How many miles does {A} go in all?", ""),
        Move(
            pick.subtract_from,
            1,
            "The way to the {place2} is {n} miles. How many miles are left for {A}?",
            "To the {place2}, {n} - {old} = {new} miles are left.",
        ),
        Move(
            pick.add,
            1,
            "{D} goes {n} miles more than {A}. How many miles does {D} go?",
            "{D} goes {old} + {n} = {new} miles.",
        ),
        Move(
            pick.subtract,
            1,
            "{D} goes {n} miles fewer than {A}. How many miles does {D} go?",
            "{D} goes {old} - {n} = {new} miles.",
        ),
        Move(
            pick.divide,
            1,
            "A fast car goes all this way in {k} hours. How many miles an hour is that?",
            "The car goes {old} / {k} = {new} miles an hour.",
        ),
    ),
)

_READING = Topic(
    unit="pages",
    openings=(
        Move(
            pick.product,
            1,
            "For {k} days, {A} reads {n} pages a day.",
            "In {k} days, {A} reads {k} * {n} = {new} pages.",
        ),
        Move(pick.given, 0, "{A} reads {n} pages at school.", "{A} starts with {n} pages."),
        Move(
            pick.two_parts,
            1,
            "{B} reads {n} pages. {A} reads {k} more than {B}.",
            "{A} reads {n} + {k} = {new} pages.",
        ),
        Move(
            pick.difference,
            1,
            "{B} reads {n} pages. {A} reads {k} fewer than {B}.",
            "{A} reads {n} - {k} = {new} pages.",
        ),
    ),
    events=(
        Move(pick.add, 1, "Then {she} reads {n} more pages.", "That makes {old} + {n} = {new} pages."),
        Move(
            pick.add,
            1,
            "{She} reads {n} pages to {C}.",
            "With those for {C}, {she} has read {old} + {n} = {new} pages.",
        ),
        Move(
            pick.add_product,
            2,
            "Then {she} reads {k} books of {n} pages each.",
            "The books have {k} * {n} = {t} pages. Now {she} has read {old} + {t} = {new} pages.",
        ),
        Move(pick.double, 1, "Then {she} reads as many pages again.", "The double is {old} * 2 = {new} pages."),
    ),
    questions=(
        Move(pick.keep, 0, "How many pages does {A} read in all?", ""),
        Move(
            pick.subtract_from,
            1,
            "There are {n} pages in all. How many pages are left for {A}?",
            "There are {n} - {old} = {new} pages left.",
        ),
        Move(
            pick.divide,
            1,
            "All of this takes {A} {k} hours. How many pages does {she} read in an hour?",
            "{A} reads {old} / {k} = {new} pages an hour.",
        ),
        Move(
            pick.add,
            1,
            "{D} reads {n} pages. How many pages do {A} and {D} read together?",
            "Together they read {old} + {n} = {new} pages.",
        ),
    ),
)

TOPICS = {"things": _THINGS, "money": _MONEY, "trip": _TRIP, "reading": _READING}
