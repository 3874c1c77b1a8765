"""Stories of packing, cutting and rates: how many groups or how many hours, and what else is asked about it."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "[Each|A] carton holds {a} eggs. A farmer has {b} eggs to pack today and sold {c} full cartons yesterday.",
        (
            ("How many cartons does the farmer need for the eggs of today?", "b / a"),
            ("How many eggs were in the cartons that were sold yesterday?", "a * c"),
            ("If {d} of the eggs break before they are packed, how many eggs are left to pack?", "b - d"),
            ("If the hens lay {d} more eggs today, how many eggs are there to pack today?", "b + d"),
            ("If {d} of the cartons of yesterday were given back, how many cartons were not given back?", "c - d"),
            ("How many eggs did the farmer have on the two days [together|combined]?", "( a * c ) + b"),
            (
                "If {d} of the cartons of yesterday were given back, how many eggs were in the cartons that"
                " were not given back?",
                "( c - d ) * a",
            ),
            ("If a carton of eggs costs ${d}, how many cartons does the farmer need for the eggs of today?", "b / a"),
        ),
        less=(
            "db",
            "dc",
        ),
        small="ad",
    ),
    Story(
        "A rope is {a} feet long, and a chain is {b} feet long. {A} cuts the rope into pieces of {c} feet each.",
        (
            ("How many pieces of rope does {A} get?", "a / c"),
            ("How long were the rope and the chain together, in feet?", "a + b"),
            (
                "[How many feet longer is the rope than the chain|By how many feet is the rope longer than "
                "the chain] before it is cut?",
                "a - b",
            ),
            ("If {d} feet of the chain are [taken off|broken off], how many feet of the chain are left?", "b - d"),
            ("How many feet of rope are in {d} pieces [together|]?", "c * d"),
            ("If {A} uses {d} pieces of the rope, how many feet of the rope are left?", "a - ( c * d )"),
            (
                "If {A} uses {d} pieces of the rope, how many feet of rope and chain are left [together|]?",
                "( a - ( c * d ) ) + b",
            ),
            ("If the rope weighs {d} pounds, how many pieces of rope does {A} get?", "a / c"),
        ),
        less=(
            "ba",
            "db",
        ),
        small="cd",
    ),
    Story(
        "A car drove {a} miles in {b} hours, always at the same speed. [On that day|Meanwhile], a truck"
        " drove {c} miles.",
        (
            ("How many miles did the car drive [per|in an|in each] hour?", "a / b"),
            ("How many miles did the car and the truck drive [in total|altogether|combined]?", "a + c"),
            ("How many more miles did the car drive than the truck?", "a - c"),
            (
                "If the truck needed {d} hours and did not change its speed, how many miles did the truck "
                "drive [in an hour|per hour]?",
                "c / d",
            ),
            ("If the truck then drove {d} miles more, how many miles did the truck drive in all?", "c + d"),
            (
                "If the truck then drove {d} miles more, how many miles did the car and the truck drive [in"
                " all|altogether]?",
                "( a + c ) + d",
            ),
            (
                "If there were {d} people in the car, how many miles did the car drive [per|in each|in an] hour?",
                "a / b",
            ),
            ("If there were {d} people in the truck, how many more miles did the car drive than the truck?", "a - c"),
        ),
        less=("ca",),
        small="bd",
    ),
    Story(
        "A florist has {a} roses and ties {b} of them into each bouquet. A bouquet costs ${c}.",
        (
            (
                "How many bouquets [does the florist get from all the roses|are there when all the roses are tied]?",
                "a / b",
            ),
            ("How much do {d} bouquets cost?", "c * d"),
            ("How many roses are in {d} bouquets?", "b * d"),
            ("If {d} of the roses wither [first|before that], how many roses are left?", "a - d"),
            ("If a vase costs ${d} more than a bouquet, how much does a vase cost?", "c + d"),
            ("If a bouquet becomes ${d} cheaper, how much does it cost then?", "c - d"),
            ("How many roses are left when {d} bouquets have been tied?", "a - ( b * d )"),
            (
                "If a vase costs ${d} more than a bouquet, how much do a bouquet and a vase cost together?",
                "c + ( c + d )",
            ),
            ("If the florist works for {d} hours, how many bouquets are there when all the roses are tied?", "a / b"),
        ),
        less=(
            "dc",
            "da",
        ),
        small="bcd",
    ),
    Story(
        "{a} people want to cross a [river|lake]. A boat carries {b} people at a time, and the way over"
        " takes {c} minutes.",
        (
            ("How many times must the boat be filled to carry all of them?", "a / b"),
            ("How many people can {d} such boats carry at a time?", "b * d"),
            ("How many minutes does the boat need to go over {d} times?", "c * d"),
            ("If {d} more people come, how many people want to cross?", "a + d"),
            ("If {d} of the people walk over the bridge, how many people [are left|take the boat]?", "a - d"),
            ("After the boat has been filled {d} times, how many people are still waiting?", "a - ( b * d )"),
            ("If each person pays ${d}, how many times must the boat be filled to carry all of them?", "a / b"),
        ),
        less=("da",),
        small="bcd",
    ),
    Story(
        "On a trip, {A} took {a} photos and {B} took {b} photos. {A} puts {c} photos on each page of an album.",
        (
            ("How many pages does {A} fill [with them|with these photos]?", "a / c"),
            ("How many photos did they take [together|altogether|in all]?", "a + b"),
            ("How many more photos did {A} take than {B}?", "a - b"),
            ("If {B} deletes {d} of the photos, how many photos does {B} have left?", "b - d"),
            ("How many photos does {A} need to fill {d} pages?", "c * d"),
            (
                "{C} took {d} photos. How many photos did the three of them take [together|altogether|in all]?",
                "( a + b ) + d",
            ),
            ("When {A} has filled {d} pages, how many of {A}'s photos are not in the album yet?", "a - ( c * d )"),
            (
                "If the trip lasted {d} days, how many photos did {A} and {B} take [together|altogether|in all]?",
                "a + b",
            ),
        ),
        less=(
            "ba",
            "db",
        ),
        small="cd",
    ),
    Story(
        "A full tank holds {a} gallons of [water|oil]. A pump takes out {b} gallons an hour and costs ${c} an hour.",
        (
            ("How many hours does the pump need to empty the full tank?", "a / b"),
            ("How many gallons can the pump take out in {d} hours?", "b * d"),
            ("How many dollars do {d} hours of pumping cost?", "c * d"),
            ("If {d} gallons leak out of the full tank, how many gallons are left in it?", "a - d"),
            ("How many gallons are in the tank after {d} hours of pumping, if it was full at first?", "a - ( b * d )"),
            ("If the tank is {d} feet high, how many hours does the pump need to empty the full tank?", "a / b"),
        ),
        less=("da",),
        small="bcd",
    ),
    Story(
        "A workshop makes {a} toy cars a day. Each car needs {b} wheels, and a box of wheels costs ${c}.",
        (
            ("How many wheels does the workshop need for the cars of one day?", "a * b"),
            ("How many cars are made in {d} days?", "a * d"),
            ("How much do {d} boxes of wheels cost?", "c * d"),
            ("If {d} cars of one day are broken, how many cars of that day are not broken?", "a - d"),
            (
                "If the cars of one day are packed into crates with {d} cars in each, how many crates are needed?",
                "a / d",
            ),
            ("How many wheels does the workshop need for {d} days?", "( a * d ) * b"),
            ("If {d} fewer cars are made on {day}, how many wheels are needed on {day}?", "( a - d ) * b"),
            ("If {d} people work there, how many wheels does the workshop need for the cars of one day?", "a * b"),
        ),
        less=("da",),
        small="bcd",
    ),
    Story(
        "{A} [wants to|is going to] read a book of {a} pages in {b} days, the same number of pages "
        "every day. {B}'s book has {c} pages.",
        (
            ("How many pages must {A} read [each day|per day|a day]?", "a / b"),
            ("If {B} reads {d} pages [a|per] day, how many days does {B} need for the book?", "c / d"),
            ("How many pages do the two books have [together|in all|altogether]?", "a + c"),
            ("How many pages longer is {A}'s book than {B}'s [book|]?", "a - c"),
            ("If {A} has read {d} pages [so far|already], how many pages of {A}'s book are left?", "a - d"),
            (
                "If {A} has read {d} pages and {B} has not started yet, how many pages of the two books are"
                " left [altogether|in all]?",
                "( a + c ) - d",
            ),
            ("If {A} is {d} years old, how many pages must {A} read [each|per|every] day?", "a / b"),
        ),
        less=(
            "da",
            "ca",
        ),
        small="bd",
    ),
    Story(
        "{A} puts {a} pennies into piles of {b} and {c} dimes into {d} equal piles.",
        (
            ("How many piles of pennies [does {A} make|are there]?", "a / b"),
            ("How many dimes are in each pile of dimes?", "c / d"),
            ("How many pennies and dimes does {A} have [altogether|in all|]?", "a + c"),
            ("How many more pennies than dimes does {A} have?", "a - c"),
            ("How many piles of coins does {A} make [in all|altogether]?", "d + a / b"),
        ),
        less=("ca",),
        small="bd",
    ),
)
