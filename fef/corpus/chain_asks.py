"""What is asked about the amount of a story in steps, by its kind, and sentences that say nothing of it."""

from __future__ import annotations

from collections.abc import Mapping

from fef.corpus.move import Move

__all__ = ["ASIDES", "ASKS"]

OF_A_COST = (
    Move("How much does {A} [pay|spend] [in total|in all|altogether]?", "v"),
    Move("What is the total [cost|price|bill]?", "v"),
    Move("{He} pays with ${a}. How much change does {he} get[| back]?", "a - v", "a:above"),
    Move(
        "{He} [splits|shares] the cost equally with {a} {friends}. How much does each of them pay?",
        "v / ( a + 1 )",
        "a:sharers",
    ),
    Move("{He} had ${a} [before|before that]. How much money does {he} have left?", "a - v", "a:above"),
    Move(
        "{He} earns ${a} an hour. How many hours does {he} have to work [to pay for it|for that]?",
        "v / a",
        "a:divisor",
    ),
    Move("If {he} pays in {a} equal [|monthly] payments, how much is each payment?", "v / a", "a:divisor"),
    Move(
        "{D} pays ${a} for the same things elsewhere. How much [does|would] {A} save compared to {D}?",
        "a - v",
        "a:above",
    ),
)
OF_MINUTES = (
    Move("How many minutes [is that|does {he} need|does {he} spend] [in all|in total|altogether]?", "v"),
    Move("How many hours is that [in all|in total]?", "v / 60"),
    Move("{He} has {a} minutes. How many minutes [are left|does {he} have left]?", "a - v", "a:above"),
    Move("How many minutes is that in {a} weeks, if [every week|each week] is the same?", "v * a", "a:2-12"),
    Move("{D} needs {t_times} as long. How many minutes do {A} and {D} need together?", "v + t * v", "t:times"),
)

ASKS: Mapping[str, tuple[Move, ...]] = {
    "things": (
        Move("How many {u} does {A} have [now|left|in the end|]?", "v"),
        Move("How many {u} does {he} have [now|in all|altogether|in total]?", "v"),
        Move(
            "{He} [shares|divides|splits] the {u} equally among {a} {friends}. How many {u} does each of them get?",
            "v / a",
            "a:divisor",
        ),
        Move("If {he} puts {a} {u} in each {box21}, how many {box2} does {he} need?", "v / a", "a:divisor"),
        Move(
            "How many {box2} [can {he} fill|will {he} fill] if [each|every] {box21} holds {a} {u}?",
            "v / a",
            "a:divisor",
        ),
        Move(
            "If {he} sells [them|the {u}] for ${a} each, how much money [will {he} make|does {he} get]?",
            "v * a",
            "a:2-12",
        ),
        Move("{He} wants to have {a} {u}. How many more does {he} need?", "a - v", "a:above"),
        Move(
            "{D} has {t_times} as many {u} as {A} has now. How many {u} do they have [together|in total|in all]?",
            "v + t * v",
            "t:times",
        ),
        Move("{D} has {a} {u}. How many more {u} does {D} have than {A} [has now|now has]?", "a - v", "a:above"),
        Move("If {he} uses {a} of them a day, how many days will they last?", "v / a", "a:divisor"),
    ),
    "money": (
        Move("How much money does {A} have [left|now|in the end]?", "v"),
        Move("How [many dollars|much money] does {he} have [left|now]?", "v"),
        Move(
            "How many {u3} can {he} buy [with that|with that money|with the money] if one costs ${a}?",
            "v / a",
            "a:divisor",
        ),
        Move(
            "{He} wants to buy a {goal} [for|that costs] ${a}. How much more money does {he} need?", "a - v", "a:above"
        ),
        Move(
            "{He} [shares|splits] the money equally with {a} {friends}, so that all of them get the same. How "
            "much does each of them get?",
            "v / ( a + 1 )",
            "a:sharers",
        ),
        Move("If {he} spends ${a} a week, how many weeks will the money last?", "v / a", "a:divisor"),
        Move("{D} has ${a}. How much [money|] do {A} and {D} have [together|in total]?", "v + a", "a:20-300/5"),
        Move(
            "If {he} does the same in each of {a} months, how much money will {he} have [after that|]?",
            "v * a",
            "a:2-12",
        ),
    ),
    "cost": OF_A_COST,
    "people": (
        Move("How many people are there [now|in the end]?", "v"),
        Move("They sit at tables of {a}. How many tables are [needed|there]?", "v / a", "a:divisor"),
        Move("[They are split|They split up] into groups of {a}. How many groups are there?", "v / a", "a:divisor"),
        Move("There are {a} chairs. How many chairs are [empty|free] if everyone sits down?", "a - v", "a:above"),
        Move("A van holds {a} people. How many vans do they need?", "v / a", "a:divisor"),
        Move(
            "Each of them eats {a} [sandwiches|cookies|slices of pizza]. How many [do they eat|are eaten] in all?",
            "v * a",
            "a:2-6",
        ),
        Move("Each of them pays ${a}. How much money is that [in all|together]?", "v * a", "a:3-20"),
        Move(
            "If there were {t_times} as many people [at the {place2}|elsewhere], how many people would be in both places?",
            "v + t * v",
            "t:times",
        ),
    ),
    "takings": (
        Move("How much money [is there|do they have] in the end?", "v"),
        Move("How much money [is that in the end|do they end up with]?", "v"),
        Move("How many {u} at ${a} each can be bought with that money?", "v / a", "a:divisor"),
        Move("The goal is ${a}. How much money is [missing|still needed]?", "a - v", "a:above"),
        Move(
            "The money is shared equally by {a} [clubs|schools|teams]. How much does each [get|receive]?",
            "v / a",
            "a:divisor",
        ),
    ),
    "miles": (
        Move("How [many miles|far] does {he} go [in all|in total|altogether]?", "v"),
        Move("How many miles is that[| in total]?", "v"),
        Move(
            "{His} car [uses|needs] a gallon for every {a} miles. How many gallons [does {he} need|is that]?",
            "v / a",
            "a:large-divisor",
        ),
        Move("The whole way is {a} miles. How many miles are left?", "a - v", "a:above"),
        Move(
            "At {a} miles an hour, how many hours [would the whole way take|does all of this take]?",
            "v / a",
            "a:large-divisor",
        ),
        Move(
            "{D} goes {t_times} as far. How many miles [do {A} and {D} go|is that] [together|for both]?",
            "v + t * v",
            "t:times",
        ),
        Move("{He} gets ${a} for every mile. How much money is that?", "v * a", "a:2-5"),
    ),
    "roads": (
        Move("[How many miles is|How long, in miles, is] the rest of the way?", "v"),
        Move("At {a} miles an hour, how many hours does the rest [take|of the way take]?", "v / a", "a:large-divisor"),
    ),
    "other": (
        Move("How many miles does {C} travel?", "v"),
        Move("At {a} miles an hour, how many hours does {C} need?", "v / a", "a:large-divisor"),
        Move("{C}'s car goes {a} miles on a gallon. How many gallons does {C} need?", "v / a", "a:large-divisor"),
    ),
    "pages": (
        Move("How many pages is that[| in all| in total]?", "v"),
        Move("The book has {a} pages. How many pages are left?", "a - v", "a:above"),
        Move("If {he} needs {a} minutes for a page, how many minutes [is that|does all this take]?", "v * a", "a:2-5"),
        Move("At {a} pages an hour, how many hours is that?", "v / a", "a:divisor"),
    ),
    "reader": (
        Move("How many pages does {C} read?", "v"),
        Move(
            "{C} needs {a} days for that, with the same number of pages [each|every] day. How many pages [is "
            "that|does {C} read] a day?",
            "v / a",
            "a:divisor",
        ),
    ),
    "readers": (
        Move("How many pages does {D} read?", "v"),
        Move("{D} wants to read {a} pages. How many [are missing|more does {D} have to read]?", "a - v", "a:above"),
    ),
    "minutes": OF_MINUTES,
    "saved": (Move("How many minutes does {he} [really work|spend on real work]?", "v"),),
    "liters": (
        Move("How many liters are [there|left] [now|in the end]?", "v"),
        Move("How many bottles of {a} liters can be filled [with that|with it]?", "v / a", "a:divisor"),
        Move(
            "The whole amount is shared equally by {a} [families|neighbors]. How many liters does each get?",
            "v / a",
            "a:divisor",
        ),
        Move("One liter [sells for|costs] ${a}. How much [is all of it worth|money is that]?", "v * a", "a:2-9"),
        Move("How many more liters are needed to have {a} liters?", "a - v", "a:above"),
    ),
    "points": (
        Move("How many points does {A} have [now|in the end|in total]?", "v"),
        Move("{He} needs {a} points to win. How many more points does {he} need?", "a - v", "a:above"),
        Move("{D} has {a} points. How many points do {A} and {D} have [together|in all]?", "v + a", "a:5-90"),
        Move("If {he} played {a} games, how many points is that per game [on average|]?", "v / a", "a:divisor"),
    ),
    "rival": (
        Move("How many points did {C} score?", "v"),
        Move("{C} played {a} games. How many points is that per game on average?", "v / a", "a:divisor"),
    ),
    "service": OF_A_COST,
    "walk": (
        Move("How many miles is that [in all|in total|altogether]?", "v"),
        Move("How far does {he} go[| in miles]?", "v"),
        Move("At {a} miles an hour, how many hours does {he} need[| for that]?", "v / a", "a:divisor"),
        Move("{His} goal is {a} miles. How many miles are [left|missing]?", "a - v", "a:above"),
        Move("{He} burns {a} calories [a|per] mile. How many calories does {he} burn?", "v * a", "a:60-120/10"),
        Move("{D} goes {t_times} as far. How many miles do {A} and {D} go together?", "v + t * v", "t:times"),
    ),
    "other walk": (
        Move("How many miles does {C} go?", "v"),
        Move("{C} needs {a} hours for that. How many miles is that an hour?", "v / a", "a:divisor"),
        Move("How many miles do {C} and {D} go together if {D} goes {a} miles?", "v + a", "a:3-40"),
    ),
    "downhill": (
        Move("How many miles go downhill?", "v"),
        Move("{He} goes downhill at {a} miles an hour. How many hours does that part take?", "v / a", "a:divisor"),
    ),
    "hobby": OF_MINUTES,
    "other hobby": (
        Move("How many minutes does {C} spend?", "v"),
        Move("{C} has {a} minutes. How many minutes does {C} have left?", "a - v", "a:above"),
        Move("How many hours does {C} spend?", "v / 60"),
    ),
}

# Sentences with a number that does not matter.
ASIDES: tuple[str, ...] = (
    "{D} is {a} years old.",
    "It is {a} degrees outside.",
    "{D} lives {a} miles away.",
    "{D} has {a} {u3}.",
    "{A} is {a} years old and has {b} cousins.",
    "There are {a} days left until the holidays.",
    "{D}'s phone number ends in {a}.",
    "{D} needed {a} minutes to get there.",
    "The {place2} is open {b} hours a week.",
)
