"""Stories of money that is earned, saved, collected or shared."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A} earns ${a} an hour. {He} worked {b} hours on {day} and {c} hours on {day2}.",
        (
            ("How much [money|] did {A} earn on {day}?", "a * b"),
            ("How much [money|] did {A} earn on {day2}?", "a * c"),
            ("How many hours did {A} work on the two days [together|in all]?", "b + c"),
            ("How many more hours did {A} work on {day} than on {day2}?", "b - c"),
            ("How much [money|] did {A} earn on the two days [together|in all]?", "a * ( b + c )"),
            ("How much more [money|] did {A} earn on {day} than on {day2}?", "a * ( b - c )"),
            ("{A} spent ${d} of the money of {day}. How much of it was left?", "( a * b ) - d"),
            ("If it is {d} miles to work, how much [money|] did {A} earn on {day}?", "a * b"),
        ),
        less=("cb",),
        small="abc",
    ),
    Story(
        "{A} saves ${a} [a|every|each] week. {He} has ${b} already and wants to buy a {goal} that costs ${c}.",
        (
            ("How much more [money|] does {A} need?", "c - b"),
            ("How much [money|] does {A} save in {d} weeks?", "a * d"),
            ("How much [money|] will {A} have in {d} weeks?", "b + ( a * d )"),
            ("If {B} gives {him} ${d}, how much [money|] does {A} have then?", "b + d"),
            ("If the {goal} becomes ${d} cheaper, how much does it cost?", "c - d"),
            ("The {goal} is now ${d} more expensive than before. How much does it cost now?", "c + d"),
            ("If {B} gives {him} ${d}, how much more [money|] does {A} need for the {goal}?", "( c - b ) - d"),
            ("If {A} is {d} years old, how much more [money|] does {A} need?", "c - b"),
        ),
        less=(
            "bc",
            "dc",
        ),
        small="ad",
    ),
    Story(
        "{a} friends ate at a restaurant. The meal cost ${b}, and they gave the waiter a tip of ${c}.",
        (
            ("If they shared the cost of the meal equally, how much did each friend pay for the meal?", "b / a"),
            ("If they shared the tip equally, how much of it did each friend give?", "c / a"),
            ("How much did the friends pay for the meal and the tip [together|altogether]?", "b + c"),
            ("How much more did the meal cost than the tip?", "b - c"),
            ("If they shared all the costs equally, how much did each friend pay in all?", "( b + c ) / a"),
            ("If {d} of the friends had no money with them, how many of the friends had money?", "a - d"),
            ("If each friend had ${d}, how much did the friends have in all?", "a * d"),
            (
                "If the restaurant takes ${d} off the price of the meal, how much do the meal and the tip "
                "cost [together|altogether]?",
                "( b + c ) - d",
            ),
            (
                "If the meal took {d} hours, how much did each friend pay for the meal when they shared its"
                " cost equally?",
                "b / a",
            ),
        ),
        less=(
            "da",
            "cb",
        ),
        small="ad",
    ),
    Story(
        "{A} sold {a} cups of lemonade for ${b} each and {c} pieces of cake for ${d} each.",
        (
            ("How much [money|] did {A} get for the lemonade?", "a * b"),
            ("How much [money|] did {A} get for the cake?", "c * d"),
            ("How many things, cups and pieces of cake, did {A} sell?", "a + c"),
            ("How much did {B} pay for one cup of lemonade and one piece of cake?", "b + d"),
            ("How many more cups of lemonade than pieces of cake did {A} sell?", "a - c"),
            ("How much [money|] did {A} get [altogether|in all]?", "( a * b ) + ( c * d )"),
        ),
        less=("ca",),
        small="bd",
    ),
    Story(
        "On a farm, each of {a} pickers gets ${b} a day, and the driver gets ${c} a day.",
        (
            ("How much do the pickers get [a|every|per] day [altogether|in all]?", "a * b"),
            ("How much does one picker get for {d} days?", "b * d"),
            ("How much does the driver get for {d} days?", "c * d"),
            ("How much more does the driver get a day than a picker?", "c - b"),
            ("How much does the farm pay the pickers and the driver for a day [altogether|in all]?", "( a * b ) + c"),
            ("If {d} of the pickers stay at home, how many pickers come?", "a - d"),
            ("How much do a picker and the driver get together for one day?", "b + c"),
            ("How much do a picker and the driver get together for {d} days?", "( b + c ) * d"),
            (
                "If {d} of the pickers stay at home, how much do the others get that day [in all|altogether]?",
                "( a - d ) * b",
            ),
            (
                "If each picker works {d} hours a day, how much do the pickers get [a|per] day [altogether|in all]?",
                "a * b",
            ),
        ),
        less=(
            "bc",
            "da",
        ),
        small="ad",
    ),
    Story(
        "{A} has {a} old coins that are worth ${b} each. {He} sells {c} of them for what they are "
        "worth, and gets ${d} more for a [book|map] about coins.",
        (
            ("How many old coins does {A} have left?", "a - c"),
            ("How much [money|] does {A} get for the coins that {he} sells?", "c * b"),
            ("How much were all the old coins worth together?", "a * b"),
            ("How much [money|] does {A} get for everything that {he} sells?", "( c * b ) + d"),
            ("How much are the coins worth that {A} has left?", "( a - c ) * b"),
        ),
        less=("ca",),
        small="b",
    ),
    Story(
        "At the school fair, a class earned ${a} with cakes and ${b} with games. It had paid ${c} for "
        "the flour and [the|] sugar in the cakes.",
        (
            ("How much [money|] did the class earn with cakes and games [together|altogether]?", "a + b"),
            ("How much was left of the money from the cakes when the flour and sugar were taken off?", "a - c"),
            ("How much more did the class earn with cakes than with games?", "a - b"),
            (
                "If the class shares the money from the games equally among {d} projects, how much does "
                "each project get?",
                "b / d",
            ),
            ("How much was left of all the money when the flour and sugar were taken off?", "( a + b ) - c"),
            ("If each game cost ${d}, how many games were played?", "b / d"),
        ),
        less=(
            "ba",
            "ca",
        ),
        small="d",
    ),
    Story(
        "{A} gets ${a} of pocket money [a|every|each] month, and {B} gets ${b} [a|every|each] month. "
        "This month, {A} has spent ${c} of it.",
        (
            ("How much of this month's money does {A} have left?", "a - c"),
            ("How much do {A} and {B} get together in a month?", "a + b"),
            ("How much more does {B} get in a month than {A}?", "b - a"),
            ("How much [pocket money|money|] does {A} get in {d} months?", "a * d"),
            ("How much [pocket money|money|] does {B} get in {d} months?", "b * d"),
            ("If {B} got ${d} more a month, how much would {B} get a month?", "b + d"),
            ("How much do {A} and {B} get together in {d} months?", "( a + b ) * d"),
            ("How much more does {B} get than {A} in {d} months?", "( b - a ) * d"),
        ),
        less=(
            "ab",
            "ca",
        ),
        small="d",
    ),
    Story(
        "{a} classes collected money for an animal shelter. Each class gave ${b}, and the teachers gave"
        " ${c}. The shelter has {d} dogs.",
        (
            ("How much did the classes give [altogether|in all|combined]?", "a * b"),
            ("How much did the classes and the teachers give [altogether|in all|combined]?", "( a * b ) + c"),
            (
                "If the money from the teachers is shared equally among the dogs, how many dollars are "
                "there for each dog?",
                "c / d",
            ),
            ("How much more did the teachers give than one class?", "c - b"),
            ("How much did one class and the teachers give together?", "b + c"),
        ),
        less=("bc",),
        small="ad",
    ),
)
