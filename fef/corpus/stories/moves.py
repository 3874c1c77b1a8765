"""Stories of points, ages, ranks, lines and moves forward and back."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A}'s game piece stands on square {a}. {He} moves it forward {b} squares, and then back {c} squares. {B}'s "
        "piece stands on square {d}.",
        (
            ("On which square is {A}'s piece after the first move?", "a + b"),
            ("On which square is {A}'s piece after both moves?", "( a + b ) - c"),
            ("How many squares ahead of its start is {A}'s piece in the end?", "b - c"),
            ("How many squares did {A}'s piece move in all, forward and back?", "b + c"),
            ("Before {A} moved, how many squares was {B}'s piece ahead of {A}'s?", "d - a"),
        ),
        ("cb", "ad"),
    ),
    Story(
        "An elevator [starts|is] on floor {a} of a tower. It goes up {b} floors and then down {c} floors. There are "
        "{d} people in it.",
        (
            ("On which floor is the elevator when it has gone up?", "a + b"),
            ("On which floor is the elevator in the end?", "( a + b ) - c"),
            ("How many floors higher than [at first|at the start] is the elevator in the end?", "b - c"),
            ("How many floors does the elevator travel [altogether|in all], up and down?", "b + c"),
        ),
        ("cb",),
        "d",
        "90 - ( a + b )",
    ),
    Story(
        "In a [bike|ski|running|sailing] race, {A} is in place {a} after the first lap. In the second lap, {he} "
        "passes {b} others, and nobody passes {him}. In the third and last lap, {c} others pass {him}, and {he} "
        "passes nobody. {B} finishes {d} places behind {A}.",
        (
            ("In which place is {A} after the second lap?", "a - b"),
            ("In which place does {A} finish?", "( a - b ) + c"),
            ("How many places better than after the first lap is {A}'s place in the end?", "b - c"),
            ("In which place does {B} finish?", "( ( a - b ) + c ) + d"),
        ),
        ("ba", "cb"),
        "d",
        "150 - a",
    ),
    Story(
        "[At the museum|At a counter|At the box office|At the zoo], {a} people stand in line in front of {A} and {b} "
        "people behind {him}. {A} wants to buy {d} tickets. Now {c} of the people in front of {him} are served and "
        "[go away|leave].",
        (
            ("How many people are still in front of {A}?", "a - c"),
            ("How many other people were in the line with {A} at first?", "a + b"),
            ("How many other people are in the line with {A} now?", "( a + b ) - c"),
            ("At first, how many more people were behind {A} than in front of {him}?", "b - a"),
            ("How many more people are behind {A} than in front of {him} now?", "b - ( a - c )"),
        ),
        ("ca", "ab"),
        "d",
        "99 - b",
    ),
    Story(
        "{A} starts a game with {a} points[ and|,] {B} with {d} [points|]. In the first round, {A} wins {b} points, "
        "and in the second, {he} loses {c}. {B}'s points do not change.",
        (
            ("How many points does {A} have after the first round?", "a + b"),
            ("How many points does {A} have after both rounds?", "( a + b ) - c"),
            ("How many points more than at the start does {A} have in the end?", "b - c"),
            ("How many more points does {B} have than {A} at the start?", "d - a"),
            ("How many points do {A} and {B} have together at the start?", "a + d"),
            ("How many points do {A} and {B} have together after the first round?", "( a + b ) + d"),
        ),
        ("cb", "ad"),
    ),
    Story(
        "In a [school contest|quiz|video game], the Lions scored {a} points in the first round and {b} in the "
        "second. The Bears scored {c} [points|] in the first round and {d} in the second.",
        (
            ("How many points did the Lions score [altogether|in all]?", "a + b"),
            ("How many points did both teams score together in the first round?", "a + c"),
            ("How many points did both teams score together in the second round?", "b + d"),
            ("By how many points [did the Lions lead|were the Bears behind] after the first round?", "a - c"),
            ("How many more points than the Lions did the Bears score in the second round?", "d - b"),
            ("By how many points did the Lions win in the end?", "( a + b ) - ( c + d )"),
        ),
        ("ca", "bd"),
        enough="( a + b ) - ( c + d )",
    ),
    Story(
        "{A} is {a} years old. {B} is {b} years older than {A}[,|] and {C} is {c} years younger than {A}.",
        (
            ("How old is {B}?", "a + b"),
            ("How old is {C}?", "a - c"),
            ("By how many years is {B} older than {C}?", "b + c"),
            ("What is the sum of the ages of {A} and {B}?", "a + ( a + b )"),
            ("How old will {A} be in {d} years?", "a + d"),
            ("How old will {B} be in {d} years?", "( a + b ) + d"),
            ("How old will {C} be in {d} years?", "( a - c ) + d"),
        ),
        ("ca",),
        enough="60 - ( a + ( b + d ) )",
    ),
    Story(
        "{A}'s mother was {a} years old when {A} was born. Now {A} is {b} years old, and {his} [brother|sister] is "
        "{c} years younger than {he} is.",
        (
            ("How old is {A}'s mother now?", "a + b"),
            ("How old is {A}'s [brother|sister] now?", "b - c"),
            ("How old was the mother when this younger child was born?", "a + c"),
            ("How old will the mother be when the younger child is {d} years old?", "( a + c ) + d"),
            ("How old will the mother be when {A} is {d} years old?", "a + d"),
            ("In how many years will {A} be {d} years old?", "d - b"),
        ),
        ("cb", "bd"),
        "bcd",
        "( 41 - a ) * ( a - 20 )",
    ),
    Story(
        "{A} has run {a} laps, {B} has run {b} laps, and {C} has run {c} laps. Everybody has to run {d} laps[ in "
        "all| for the prize].",
        (
            ("How many laps does {A} still have to run?", "d - a"),
            ("How many laps does {B} still have to run?", "d - b"),
            ("How many laps have {B} and {C} run together?", "b + c"),
            ("How many more laps has {C} run than {A}?", "c - a"),
            ("How many laps have the three of them run altogether?", "( a + b ) + c"),
        ),
        ("ab", "bc", "cd"),
        enough="60 - d",
    ),
    Story(
        "[A|Each] page of {A}'s album has room for {a} photos, and the album has {b} pages. {A} has {c} photos from "
        "a trip, {d} of which show animals.",
        (
            ("How many photos [can the album hold|fit into the album]?", "a * b"),
            ("How many photos from the trip show no animals?", "c - d"),
            ("If {A} puts in all photos from the trip, how much room is left, in photos?", "( a * b ) - c"),
            ("If {A} puts in only those with animals, how many more photos fit into the album?", "( a * b ) - d"),
            ("How many photos fit on {d} pages?", "a * d"),
        ),
        ("dc", "db"),
        "abd",
        "( a * b ) - c",
    ),
    Story(
        "On a [history|science|spelling|music] test[ that took {d} minutes|], {A} [got|scored] {a} points, {B} got "
        "{b} points more than {A}, and {C} [got|scored] {c} points less than {B}.",
        (
            ("How many points did {B} [get|score]?", "a + b"),
            ("How many points did {C} [get|score]?", "( a + b ) - c"),
            ("How many more points than {A} did {C} [get|score]?", "b - c"),
            ("How many points did {A} and {B} [get|score] together?", "a + ( a + b )"),
        ),
        ("cb",),
        enough="150 - ( a + b )",
    ),
    Story(
        "[At the fair|In gym class|On the playground], {A} throws {a} balls at a bucket, and {b} of them go in. "
        "Every hit gives {c} points. {B} hits the bucket {d} times.",
        (
            ("How many points does {A} get?", "b * c"),
            ("How many points does {B} get?", "c * d"),
            ("How many of {A}'s balls miss the bucket?", "a - b"),
            ("How many more hits than {B} does {A} have?", "b - d"),
            ("How many points do {A} and {B} get together?", "( b + d ) * c"),
            ("How many more points than {B} does {A} get?", "( b - d ) * c"),
        ),
        ("ba", "db"),
        "bcd",
        "50 - a",
    ),
    Story(
        "[{A} and {B} are together {a} years old.|The ages of {A} and {B} add up to {a} years.] {A} is {b} years "
        "old. {C} is {c} years older than {A}.",
        (
            ("How old is {B}?", "a - b"),
            ("How old is {C}?", "b + c"),
            ("How old will {A} be in {d} years?", "b + d"),
            ("How old will {B} be in {d} years?", "( a - b ) + d"),
            ("How old will {C} be in {d} years?", "( b + c ) + d"),
        ),
        ("ba",),
        "bcd",
        "60 - a",
    ),
    Story(
        "{A} climbs {a} steps of a [tower|lighthouse|hill], rests, and climbs {b} more. Then {he} goes back down {c} "
        "steps to look out of a window. There are {d} steps up to the top.",
        (
            ("How many steps up was {A} before {he} turned back?", "a + b"),
            ("How many steps up is the window?", "( a + b ) - c"),
            ("How many steps below the top was {A} when {he} rested?", "d - a"),
            ("How many steps below the top was {A} when {he} turned back?", "d - ( a + b )"),
            ("How many steps did {A} take, up and down, to come to the window?", "( a + b ) + c"),
        ),
        ("cb",),
        enough="d - ( a + b )",
    ),
    Story(
        "In a quiz, every right answer gives {a} points, and {b} points are taken away for every wrong answer. {A} "
        "starts with no points and has {c} right answers and {d} wrong ones.",
        (
            ("How many questions did {A} answer?", "c + d"),
            ("How many points did {A} get for the right answers?", "a * c"),
            ("How many points were taken away from {A}?", "b * d"),
            ("How many points does {A} have in the end?", "( a * c ) - ( b * d )"),
            ("How many more right than wrong answers does {A} have?", "c - d"),
        ),
        ("dc", "ba"),
        "abcd",
    ),
    Story(
        "A ferry has {a} seats and room for {b} people to stand. {c} people are sitting, and {d} people are standing.",
        (
            ("How many seats are free?", "a - c"),
            ("How many more people have room to stand?", "b - d"),
            ("How many people are on the ferry?", "c + d"),
            ("For how many people is there room on the [whole|] ferry, sitting or standing?", "a + b"),
            ("For how many more people is there room on the ferry?", "( a + b ) - ( c + d )"),
            ("If all who stand sat down, too, how many seats would be free?", "( a - c ) - d"),
        ),
        ("ca", "db"),
        enough="( a - c ) - d",
    ),
    Story(
        "At the start of a game, {A} has {a} cards and {B} has {b}. {A} wins {c} cards from {B} in the first round "
        "and [gives back|loses] {d} of them to {B} in the second round.",
        (
            ("How many cards does {A} have after the first round?", "a + c"),
            ("How many cards does {B} have after the first round?", "b - c"),
            ("How many cards does {A} have after the second round?", "( a + c ) - d"),
            ("How many cards does {B} have after the second round?", "( b - c ) + d"),
            ("How many more cards than at the start does {A} have in the end?", "c - d"),
            ("How many cards do {A} and {B} have together?", "a + b"),
        ),
        ("cb", "dc"),
    ),
    Story(
        "[A|One] frog jumps {a} inches with each jump, and a [grasshopper|toad|mouse] {b} inches with each jump. The "
        "frog makes {c} jumps and the other animal {d}.",
        (
            ("How far does the frog jump in all, in inches?", "a * c"),
            ("How far does the other animal jump in all, in inches?", "b * d"),
            ("How many inches longer is one jump of the frog than one of the other animal?", "a - b"),
            ("How many jumps do the two animals make?", "c + d"),
            (
                "How many inches farther would the frog get than the other animal if both made {d} jumps?",
                "( a - b ) * d",
            ),
        ),
        ("ba",),
        "cd",
        "60 - a",
    ),
)
