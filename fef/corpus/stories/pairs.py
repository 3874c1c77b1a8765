"""Stories of two people or two kinds of things, with times, with division, with plus and with minus."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A} is {a} years old and [owns|has] {b} {u}. {B} is {c} years old and [owns|has] {d} {u}.",
        (
            ("How many {u} do {A} and {B} have [together|altogether|in all]?", "b + d"),
            ("How many more {u} does {A} have than {B}?", "b - d"),
            ("How many years older is {B} than {A}?", "c - a"),
            ("What is the sum of {A}'s and {B}'s ages?", "a + c"),
            ("How many fewer {u} does {B} have than {A}?", "b - d"),
        ),
        less=(
            "ac",
            "db",
        ),
        small="ac",
    ),
    Story(
        "{A} swims {a} laps [every|each] day, and {B} swims {b} laps [every|each] day. A lap is {c} yards long.",
        (
            ("How many laps does {A} swim in {d} days?", "a * d"),
            ("How many laps does {B} swim in {d} days?", "b * d"),
            ("How many yards does {A} swim [a|every|per] day?", "a * c"),
            ("How many yards does {B} swim [a|every|per] day?", "b * c"),
            ("How many more laps does {A} swim [a|every|per] day than {B}?", "a - b"),
            ("How many laps do they swim [a|every|per] day [together|altogether|combined]?", "a + b"),
            ("How many more yards does {A} swim [a|every|per] day than {B}?", "( a - b ) * c"),
            ("How many laps do {A} and {B} swim in {d} days [together|altogether|combined]?", "( a + b ) * d"),
            ("How many more laps does {A} swim in {d} days than {B}?", "( a - b ) * d"),
            ("If the pool is {d} feet deep, how many yards does {A} swim [a|every|per] day?", "a * c"),
        ),
        less=("ba",),
        small="abd",
    ),
    Story(
        "{A} types {a} words a minute, and {B} types {b} words a minute. A letter has {c} words.",
        (
            ("How many more words does {A} type in a minute than {B}?", "a - b"),
            ("How many words does {A} type in {d} minutes?", "a * d"),
            ("How many words does {B} type in {d} minutes?", "b * d"),
            ("How many minutes does {A} need to type the letter?", "c / a"),
            ("How many words do {A} and {B} type in a minute [together|combined]?", "a + b"),
            ("If {d} words are [crossed out|deleted], how many words does the letter have then?", "c - d"),
            ("If {A} adds {d} words to the letter, how many words does it have then?", "c + d"),
            ("How many words do {A} and {B} type in {d} minutes [together|combined]?", "( a + b ) * d"),
            (
                "When {A} has typed the letter for {d} minutes, how many words of it are left [to type|]?",
                "c - ( a * d )",
            ),
            ("If the letter has {d} pages, how many minutes does {A} need to type it?", "c / a"),
        ),
        less=(
            "ba",
            "dc",
        ),
        small="abd",
    ),
    Story(
        "It is {a} miles from {A}'s home to the station and {b} miles from the station to the lake. {B}"
        " lives {c} miles from the lake.",
        (
            ("{A} goes from home to the lake by way of the station. How many miles is that?", "a + b"),
            (
                "How many miles longer is the way from {A}'s home to the station than the way from the "
                "station to the lake?",
                "a - b",
            ),
            (
                "{A} has walked {d} miles of the way from home to the station. How many miles is it still "
                "to the station?",
                "a - d",
            ),
            ("How many miles closer to the lake is {B}'s home than the station?", "b - c"),
            (
                "{B} has walked from home to the lake {d} times and has always been driven back. How many "
                "miles did {B} walk [in all|altogether]?",
                "c * d",
            ),
            (
                "{A} goes to the lake by way of the station. How many miles farther is that than {B}'s way "
                "to the lake?",
                "( a + b ) - c",
            ),
            (
                "{A} goes to the lake by way of the station and has walked {d} miles. How many miles is it "
                "still to the lake?",
                "( a + b ) - d",
            ),
        ),
        less=(
            "da",
            "ba",
            "cb",
        ),
        small="d",
    ),
    Story(
        "In a [class|group] of {a} children, {b} play soccer and {c} play the piano.",
        (
            ("How many children in it do not play soccer?", "a - b"),
            ("How many children in it do not play the piano?", "a - c"),
            ("How many more children play soccer than [play|] the piano?", "b - c"),
            ("If the children who play soccer form teams of {d}, how many teams are there?", "b / d"),
            ("If {d} others start to play the piano, too, how many children play the piano then?", "c + d"),
            (
                "If every child who plays the piano pays ${d} for a lesson, how much do these children pay "
                "[together|in all|altogether]?",
                "c * d",
            ),
            ("If {d} others start to play soccer, too, how many children do not play soccer then?", "( a - b ) - d"),
            ("If each child who plays soccer is {d} years old, how many children do not play soccer?", "a - b"),
        ),
        less=(
            "ba",
            "ca",
            "cb",
        ),
        small="d",
        enough="( a - b ) - d",
    ),
    Story(
        "{A} carried {a} boxes of books and {b} boxes of dishes [up the stairs|into the house|to the "
        "car]. A box of books weighed {c} pounds, and a box of dishes weighed {d} pounds.",
        (
            ("How many boxes did {A} carry [in all|altogether|]?", "a + b"),
            ("How many pounds did the boxes of books weigh [together|in all]?", "a * c"),
            ("How many pounds did the boxes of dishes weigh [together|in all]?", "b * d"),
            ("How many more boxes of books than boxes of dishes did {A} carry?", "a - b"),
            ("How many pounds heavier was a box of books than a box of dishes?", "c - d"),
            ("What was the weight of one box of books and one box of dishes together, in pounds?", "c + d"),
        ),
        less=(
            "ba",
            "dc",
        ),
        small="ab",
    ),
    Story(
        "[In a factory,|] an old machine fills {a} bottles an hour, and a new machine fills {b} bottles"
        " an hour. {c} bottles fit into a crate.",
        (
            ("How many bottles do both machines fill in an hour [together|combined]?", "a + b"),
            ("How many more bottles does the new machine fill in an hour than the old one?", "b - a"),
            ("How many bottles does the old machine fill in {d} hours?", "a * d"),
            ("How many bottles does the new machine fill in {d} hours?", "b * d"),
            ("How many bottles are in {d} full crates?", "c * d"),
            ("How many crates are needed for the bottles that the new machine fills in an hour?", "b / c"),
            ("How many bottles do both machines fill in {d} hours [together|combined]?", "( a + b ) * d"),
            (
                "If the old machine is {d} years old, how many more bottles does the new machine fill in an"
                " hour than the old one?",
                "b - a",
            ),
        ),
        less=("ab",),
        small="cd",
    ),
    Story(
        "[In and around a pond,|At a pond,] {A} counted {a} frogs, {b} ducks and {c} fish.",
        (
            ("How many frogs and ducks did {A} count [together|in all|altogether]?", "a + b"),
            ("How many more frogs than ducks did {A} count?", "a - b"),
            ("If each duck lays {d} eggs, how many eggs are there?", "b * d"),
            ("If {d} of the frogs hop away, how many of the frogs stay?", "a - d"),
            ("If {A} puts the fish into tanks with {d} fish in each, how many tanks are needed?", "c / d"),
            ("How many animals did {A} count [in all|altogether]?", "( a + b ) + c"),
            ("If {d} of the frogs hop away, how many frogs and ducks are there then?", "( a - d ) + b"),
            (
                "If the pond is {d} feet deep, how many frogs and ducks did {A} count [together|in all|altogether]?",
                "a + b",
            ),
        ),
        less=(
            "ba",
            "da",
        ),
        small="d",
    ),
    Story(
        "{A} uses {a} sheets of paper for a kite and {b} sheets for a lantern. {He} has made {c} kites "
        "and {d} lanterns.",
        (
            ("How many sheets of paper did {A} use for the kites?", "a * c"),
            ("How many sheets of paper did {A} use for the lanterns?", "b * d"),
            ("How many kites and lanterns did {A} make [altogether|in all]?", "c + d"),
            ("How many more sheets does {A} need for a kite than for a lantern?", "a - b"),
            ("How many sheets does {A} need for one kite and one lantern?", "a + b"),
            ("How many more lanterns than kites did {A} make?", "d - c"),
            ("How many sheets of paper did {A} use [altogether|in all]?", "( a * c ) + ( b * d )"),
        ),
        less=(
            "ba",
            "cd",
        ),
        small="abcd",
    ),
    Story(
        "{A} wrote {a} postcards and {b} letters. The stamp for a postcard costs {c} cents, and the "
        "stamp for a letter costs {d} cents.",
        (
            ("How many postcards and letters did {A} write [in all|altogether]?", "a + b"),
            ("How many cents do the stamps for the postcards cost [in all|altogether]?", "a * c"),
            ("How many cents do the stamps for the letters cost [in all|altogether]?", "b * d"),
            ("How many more postcards than letters did {A} write?", "a - b"),
            ("How many more cents does the stamp for a letter cost than [the one|that] for a postcard?", "d - c"),
            ("How many cents does {B} pay for the stamps of one postcard and one letter?", "c + d"),
            ("How many cents do all the stamps cost?", "( a * c ) + ( b * d )"),
        ),
        less=(
            "ba",
            "cd",
        ),
        small="ab",
    ),
    Story(
        "By train, the trip to the sea takes {a} hours and costs ${b}. By bus, it takes {c} hours and costs ${d}.",
        (
            ("How many hours longer does the trip take by bus than by train?", "c - a"),
            ("How much cheaper is the bus than the train?", "b - d"),
            ("{A} goes there by train and comes back by bus. How many hours is that [altogether|in all]?", "a + c"),
            ("{A} goes there by train and comes back by bus. How much does {A} pay for both trips?", "b + d"),
            ("{A} goes by train and {B} goes by bus. How many fewer hours is {A} on the way than {B}?", "c - a"),
        ),
        less=(
            "ac",
            "db",
        ),
        small="ac",
    ),
)
