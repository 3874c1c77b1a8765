"""Stories of rooms and vehicles: floors, rows, shelves, seats, windows, and who uses them."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "The [art|science|music] room has {a} tables, and there are {b} chairs at each [of them|table]."
        " [{c} children are in the class|The class has {c} children].",
        (
            (
                "[How many chairs are there in the room?|What is the number of chairs in the room?|Find the"
                " number of chairs in the room.]",
                "a * b",
            ),
            ("[If|When] {d} of the children go home, how many children [are left|stay]?", "c - d"),
            ("[If|When] {d} more children join the class, how many children are [in it|there] then?", "c + d"),
            (
                "[If|When] {d} more chairs are carried in, how many chairs [will there be|are there] in the"
                " room [in all|altogether]?",
                "( a * b ) + d",
            ),
            (
                "If every child brings {d} [pencils|brushes|books], how many [of these|things] [do the "
                "children bring|are brought]?",
                "c * d",
            ),
            ("If {d} chairs at each table are taken, how many chairs at each table are free?", "b - d"),
            ("How many chairs stay empty [if|when] every child takes one?", "( a * b ) - c"),
            (
                "If {d} more such tables with their chairs are carried in, how many chairs are there [in "
                "all|altogether]?",
                "( a + d ) * b",
            ),
            ("If each table is {d} feet long, how many chairs are there in the room?", "a * b"),
        ),
        less=(
            "dc",
            "db",
        ),
        small="abd",
    ),
    Story(
        "A parking garage has {a} floors[.| and is open all day.] There is room for {b} cars on each "
        "floor. This morning[,|] {c} cars drove in and {d} [cars|] drove out[.| again.]",
        (
            ("For how many cars is there room in the [whole|] garage?", "a * b"),
            ("How many more cars drove in than [drove|] out this morning?", "c - d"),
            (
                "[How many cars drove in or out this morning?|Find the number of cars that drove in or out "
                "this morning.]",
                "c + d",
            ),
            (
                "If the cars that drove in parked in equal numbers on all the floors, how many of them "
                "parked on each floor?",
                "c / a",
            ),
        ),
        less=(
            "dc",
            "ac",
        ),
        small="a",
        enough="( a * b ) - c",
    ),
    Story(
        "[In the library,|In the school library,|At the town library,] {a} shelves [hold|carry] {b} "
        "books each. {c} other books [lie|are lying] on a table, and {d} people are reading.",
        (
            ("How many books are on the shelves [in total|altogether|in all]?", "a * b"),
            ("How many books are there on the shelves and on the table [together|combined]?", "( a * b ) + c"),
            ("If these people share the books on the table equally, how many books does each person get?", "c / d"),
            ("How many more books are on the table than there are people reading?", "c - d"),
            (
                "If every person who is reading takes one book from the shelves, how many books stay on the shelves?",
                "( a * b ) - d",
            ),
        ),
        small="ad",
    ),
    Story(
        "{a} buses take [the children|the students] of a school to [a museum|a castle|the zoo|the "
        "lake], [with|and there are] {b} children in each bus. Each child pays ${c} for lunch.",
        (
            ("How many children [go on the trip|ride in the buses] [in all|altogether|]?", "a * b"),
            ("How much [money|] do the children of one bus pay for lunch [in all|together]?", "b * c"),
            (
                "If {d} teachers ride along [as well|, too], how many people are in the buses, without the drivers?",
                "( a * b ) + d",
            ),
            ("If {d} children of one bus have paid already, how many children of that bus still have to pay?", "b - d"),
            ("If a child buys a drink for ${d} after the lunch, how much does that child pay for both?", "c + d"),
            ("{d} children have a cold. How much money does lunch cost for these {d}?", "c * d"),
            ("How much [money|] do all the children pay for lunch [in all|altogether|]?", "( a * b ) * c"),
            ("If {d} of these children stay at home, how many children go [on the trip|]?", "( a * b ) - d"),
            ("If the trip takes {d} hours, how many children go on it?", "a * b"),
            (
                "If each bus has {d} doors, how much do the children of one bus pay for lunch [in all|together]?",
                "b * c",
            ),
        ),
        less=("db",),
        small="acd",
    ),
    Story(
        "A [cinema|theater] has {a} rows with {b} seats in each [row|of them]. [Tonight,|Last night,] "
        "{c} adults and {d} children [saw|came to see] the show.",
        (
            ("How many seats are there [in all|altogether|]?", "a * b"),
            ("How many people [saw|came to see] the show?", "c + d"),
            ("How many more children than adults [saw the show|came]?", "d - c"),
            ("[How many seats were empty?|Find the number of empty seats.]", "( a * b ) - ( c + d )"),
            ("On how many seats did no adult sit, if nobody stood?", "( a * b ) - c"),
        ),
        less=("cd",),
        small="a",
        enough="( a * b ) - ( c + d )",
    ),
    Story(
        "A [building|hotel|tower] has {a} floors with {b} windows on each floor. {c} workers [have "
        "come|come] to clean the windows.",
        (
            ("How many windows are there [in all|altogether|]?", "a * b"),
            (
                "If {d} windows have been cleaned [so far|before lunch], how many windows are still dirty?",
                "( a * b ) - d",
            ),
            ("If each worker cleans {d} windows, how many windows do they clean [together|in all]?", "c * d"),
            ("If {d} of the workers go home, how many workers are left?", "c - d"),
            ("If {d} more workers come, how many workers are there [in all|]?", "c + d"),
            ("If there are {d} rooms on each floor, how many rooms [are there in all|does it have in all]?", "a * d"),
            ("If {d} of the windows on each floor are open, how many windows on each floor are closed?", "b - d"),
            ("If {d} more floors of the same kind are built on top, how many windows are there then?", "( a + d ) * b"),
            ("If the windows of {d} floors have been cleaned, how many windows are still dirty?", "( a - d ) * b"),
            ("If each window has {d} panes, how many windows are there on all the floors [together|]?", "a * b"),
        ),
        less=(
            "dc",
            "db",
        ),
        small="ad",
    ),
    Story(
        "For the concert, {a} singers [stand|line up] in {b} equal rows. {c} of the singers are "
        "children, and the others are adults.",
        (
            ("How many singers [are|stand] in each row?", "a / b"),
            ("If {d} more singers [come|join them], how many singers [will there be|are there then]?", "a + d"),
            ("If {d} of the singers fall ill, how many singers are [left|well]?", "a - d"),
            ("If {d} lamps hang over each row, how many lamps are there over all the rows?", "b * d"),
            ("How many of the singers are adults?", "a - c"),
            ("If the choir sings {d} songs, how many singers stand in each row?", "a / b"),
            ("If {d} of the adult singers fall ill, how many adult singers are left?", "( a - c ) - d"),
        ),
        less=(
            "ca",
            "da",
        ),
        small="b",
    ),
    Story(
        "A train has {a} cars with {b} seats in each car. {c} passengers are on the train.",
        (
            ("How many seats does the train have [in all|altogether|]?", "a * b"),
            ("How many seats are [free|empty]?", "( a * b ) - c"),
            (
                "At the next station, {d} passengers get off and nobody gets on. How many passengers are "
                "[still|then] on the train?",
                "c - d",
            ),
            (
                "At the next station, {d} more passengers get on and nobody gets off. How many passengers "
                "are [then|now] on the train?",
                "c + d",
            ),
            ("If {d} more cars are added, how many cars does the train have?", "a + d"),
            ("If {d} seats in each car are broken, how many seats in each car can [still|] be used?", "b - d"),
            ("If each car has {d} doors, how many doors do all the cars have?", "a * d"),
            (
                "If {d} more cars of the same kind are added, how many seats does the train have [in all|altogether]?",
                "( a + d ) * b",
            ),
            ("If {d} seats of the whole train are broken, how many seats can [still|] be used?", "( a * b ) - d"),
            ("If the trip takes {d} hours, how many seats does the train have [in all|altogether|]?", "a * b"),
        ),
        less=(
            "dc",
            "db",
        ),
        small="ad",
        enough="( a * b ) - c",
    ),
    Story(
        "A hospital has {a} rooms with {b} beds in each room. {c} nurses work [there|in it] during the "
        "day, and {d} [nurses|other nurses] work at night.",
        (
            ("How many beds [does the hospital have|are there in the hospital] [in all|]?", "a * b"),
            ("How many nurses work in the hospital [in all|altogether]?", "c + d"),
            (
                "How many [more nurses work during the day than at night|fewer nurses work at night than "
                "during the day]?",
                "c - d",
            ),
            ("If the same number of day nurses works in each room, how many day nurses are in each room?", "c / a"),
        ),
        less=(
            "dc",
            "ac",
        ),
        small="ab",
    ),
)
