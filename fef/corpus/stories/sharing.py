"""Stories of sharing: how many each one gets, and what else is asked about it."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A} baked {a} cookies and {b} muffins. {He} put the cookies into {c} tins, with the same "
        "number in each tin, and ate {d} of the muffins.",
        (
            ("How many cookies are in each tin?", "a / c"),
            ("How many muffins [are left|does {A} have left]?", "b - d"),
            ("How many cookies and muffins did {A} bake [in all|altogether]?", "a + b"),
            ("How many more cookies than muffins did {A} bake?", "a - b"),
            ("How many cookies and muffins are left, taken together?", "( a + b ) - d"),
        ),
        less=(
            "db",
            "ba",
        ),
        small="cd",
    ),
    Story(
        "A teacher has {a} pencils and {b} markers for the {c} students of a [class|group].",
        (
            (
                "[If the teacher shares the pencils equally, how|How] many pencils does each student get[| "
                "if all get the same number]?",
                "a / c",
            ),
            ("If the teacher shares the markers equally, how many markers does each student get?", "b / c"),
            ("How many more pencils than markers does the teacher have?", "a - b"),
            (
                "[How many pencils and markers does the teacher have altogether?|What is the total number "
                "of pencils and markers?]",
                "a + b",
            ),
            ("If {d} of the students are ill, how many students [are in class|have come]?", "c - d"),
            ("If each student needs {d} folders, how many folders do the students need [in all|altogether]?", "c * d"),
            (
                "If all of the pencils and markers are shared equally, how many things does each student get?",
                "( a + b ) / c",
            ),
            (
                "If all of them are shared equally, how many more pencils than markers does each student get?",
                "( a - b ) / c",
            ),
            (
                "If each marker costs ${d}, how many pencils does each student get when the pencils are "
                "shared equally?",
                "a / c",
            ),
        ),
        less=(
            "ba",
            "dc",
        ),
        small="cd",
    ),
    Story(
        "{A} orders {a} pizzas for ${b} each. Each pizza is cut into {c} slices.",
        (
            ("How much [money|] does {A} pay for the pizzas?", "a * b"),
            ("How many slices are there [in all|altogether|]?", "a * c"),
            ("If {d} slices are left [in the end|after the meal], how many slices are eaten?", "( a * c ) - d"),
            ("If there are olives on {d} slices of one pizza, how many slices of that pizza have no olives?", "c - d"),
            ("If {A} orders {d} more pizzas later, how many pizzas does {he} order in all?", "a + d"),
            ("If a salad costs ${d} more than a pizza, how much does a salad cost?", "b + d"),
            ("If {A} orders {d} more pizzas later, how many slices are there [in all|altogether]?", "( a + d ) * c"),
            ("If {A} also pays ${d} for drinks, how much does {A} pay [in all|altogether]?", "( a * b ) + d"),
            ("If {d} people eat with {A}, how many slices are there [in all|altogether|]?", "a * c"),
        ),
        less=("dc",),
        small="abcd",
    ),
    Story(
        "{A} has {a} stickers and an album with {b} pages. {B} has {c} stickers.",
        (
            ("If {A} puts the same number of stickers on each page, how many stickers are on a page?", "a / b"),
            ("How many stickers do {A} and {B} have [together|altogether|in all]?", "a + c"),
            ("How many more stickers does {A} have than {B}?", "a - c"),
            ("If {B} puts {d} stickers on each page of a notebook, how many pages does {B} need?", "c / d"),
            ("If {d} stickers fit on a page, how many stickers fit into {A}'s album?", "b * d"),
            ("If {A} has filled {d} pages of the album, how many pages are empty?", "b - d"),
            (
                "{C} has {d} stickers. How many stickers do the three of them have [together|altogether|in all]?",
                "( a + c ) + d",
            ),
            ("If {A} gives {d} stickers to {C}, how many stickers do {A} and {B} have together then?", "( a + c ) - d"),
            ("If each page of the album is {d} inches wide, how many more stickers does {A} have than {B}?", "a - c"),
        ),
        less=(
            "ca",
            "db",
        ),
        small="bd",
    ),
    Story(
        "{A} has {a} [sunflower|pumpkin|bean] seeds and {b} pots. Each pot [costs|cost] ${c}.",
        (
            ("If {A} puts the same number of seeds into each pot, how many seeds are in each pot?", "a / b"),
            ("How much [money|] did the pots cost [in all|altogether|]?", "b * c"),
            ("If birds eat {d} of the seeds, how many seeds are left?", "a - d"),
            ("If {d} of the pots break, how many pots are left?", "b - d"),
            ("If {A} gets {d} more pots, how many pots does {A} have?", "b + d"),
            ("If {B} buys {d} such pots, how much does {B} pay?", "c * d"),
            ("If {A} had bought {d} pots fewer, how much would the pots have cost [in all|]?", "( b - d ) * c"),
            (
                "If {A} also bought a spade for ${d}, how much did the pots and the spade cost [together|altogether]?",
                "( b * c ) + d",
            ),
            ("If each pot is {d} inches wide, how much did the pots cost [in all|altogether|]?", "b * c"),
        ),
        less=(
            "db",
            "da",
        ),
        small="bcd",
    ),
    Story(
        "There are {a} candies in a bowl, {b} of them red and all the others green. {c} children [sit "
        "around it|are at the table].",
        (
            ("How many green candies are there?", "a - b"),
            ("If the children share all the candies equally, how many candies does each child get?", "a / c"),
            ("If the children share only the red candies equally, how many candies does each child get?", "b / c"),
            (
                "If the children share only the green candies equally, how many candies does each child get?",
                "( a - b ) / c",
            ),
            ("If {d} more children come, how many children are there [then|]?", "c + d"),
            ("If {d} of the red candies fall on the floor, how many red candies are still in the bowl?", "b - d"),
            ("If {d} of the green candies are eaten, how many green candies are left?", "( a - b ) - d"),
            (
                "If each child is {d} years old, how many candies does each child get when all the candies "
                "are shared equally?",
                "a / c",
            ),
        ),
        less=(
            "ba",
            "db",
        ),
        small="cd",
    ),
    Story(
        "A mason laid {a} bricks in {b} hours, the same number every hour. The wall needs {c} bricks in all.",
        (
            ("How many bricks did the mason lay [per|in each|every] hour?", "a / b"),
            ("How many more bricks are needed to finish the wall?", "c - a"),
            ("If the mason works {d} more hours, how many hours will the mason have worked in all?", "b + d"),
            ("If each brick weighs {d} pounds, how many pounds do all the bricks of the finished wall weigh?", "c * d"),
            ("If a brick costs ${d}, how much did the bricks cost that have been laid?", "a * d"),
            ("If a brick costs ${d}, how much do the bricks cost that are still needed?", "( c - a ) * d"),
            ("If the wall is {d} feet high, how many more bricks are needed to finish it?", "c - a"),
        ),
        less=("ac",),
        small="bd",
    ),
    Story(
        "On {day}, {a} people saw a play, and on {day2}, {b} people saw it. There were {c} shows on "
        "{day}, with the same number of people at each.",
        (
            ("How many people were at each show on {day}?", "a / c"),
            ("How many people saw the play on the two days [together|combined|in all]?", "a + b"),
            ("How many more people saw the play on {day} than on {day2}?", "a - b"),
            ("If {d} of the people on {day2} were children, how many were adults?", "b - d"),
            ("If a ticket cost ${d}, how much did the people pay on {day2}?", "b * d"),
            ("If a ticket cost ${d}, how much did the people pay on the two days [together|in all]?", "( a + b ) * d"),
            ("If a ticket cost ${d}, how much more did the people pay on {day} than on {day2}?", "( a - b ) * d"),
            ("If a ticket cost ${d}, how many people saw the play on the two days [together|in all]?", "a + b"),
            ("If each show on {day} lasted {d} hours, how many people were at each of these shows?", "a / c"),
        ),
        less=(
            "ba",
            "db",
        ),
        small="cd",
    ),
    Story(
        "{A} picked {a} apples from {b} trees, the same number from each tree. {B} picked {c} apples and {d} pears.",
        (
            ("How many apples did {A} pick from each tree?", "a / b"),
            ("How many apples did {A} and {B} pick [together|altogether|in all]?", "a + c"),
            ("How many more apples did {B} pick than {A}?", "c - a"),
            ("How many more apples than pears did {B} pick?", "c - d"),
            ("How many [fruits|pieces of fruit] did {B} pick?", "c + d"),
            ("How many [fruits|pieces of fruit] did {A} and {B} pick [together|altogether|in all]?", "( a + c ) + d"),
            ("How many more [fruits|pieces of fruit] did {B} pick than {A}?", "( c + d ) - a"),
        ),
        less=(
            "ac",
            "dc",
        ),
        small="b",
    ),
    Story(
        "At a [wedding|party|dinner], {a} guests sit at {b} tables, the same number at each table. "
        "There are {c} candles on each table, and {d} guests are children.",
        (
            ("How many guests sit at each table?", "a / b"),
            ("How many candles are on the tables [in all|altogether|]?", "b * c"),
            ("How many guests are adults?", "a - d"),
            ("How many more guests are there than tables?", "a - b"),
            ("How many more adults than children are among the guests?", "( a - d ) - d"),
        ),
        less=("da",),
        small="bc",
    ),
)
