"""Stories of two days, or of what was before and after, with times, with division, with plus and with minus."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "A museum had {a} visitors on {day} and {b} visitors on {day2}. {c} of the visitors on {day2} were children.",
        (
            ("How many visitors were there on the two days [together|combined|in all]?", "a + b"),
            ("How many more visitors were there on {day} than on {day2}?", "a - b"),
            ("How many of the visitors on {day2} were adults?", "b - c"),
            ("If every visitor on {day} paid ${d}, how much did the visitors pay on {day}?", "a * d"),
            (
                "On {day2}, each child got {d} stickers, and nobody else got any. How many stickers were "
                "given out on {day2}?",
                "c * d",
            ),
            ("If {d} people more had come on {day2}, how many visitors would there have been on {day2}?", "b + d"),
            (
                "On {day2}, every adult paid ${d} and no child had to pay. How much did the visitors pay on {day2}?",
                "( b - c ) * d",
            ),
            (
                "If every visitor paid ${d}, how much did the visitors pay on the two days [together|in all]?",
                "( a + b ) * d",
            ),
            (
                "If the museum was open for {d} hours on {day2}, how many of the visitors on {day2} were adults?",
                "b - c",
            ),
        ),
        less=(
            "ba",
            "cb",
        ),
        small="d",
    ),
    Story(
        "{A} caught {a} fish on {day} and {b} fish on {day2}. {B} caught {c} fish on {day} and none on {day2}.",
        (
            ("How many fish did {A} catch [in all|altogether] on the two days?", "a + b"),
            ("How many fish did {A} and {B} catch [together|altogether] on {day}?", "a + c"),
            ("How many more fish did {A} catch than {B} on {day}?", "a - c"),
            ("How many more fish did {A} catch on {day} than on {day2}?", "a - b"),
            (
                "If {A} put {d} of the fish of {day2} back into the water, how many fish of {day2} did {A} keep?",
                "b - d",
            ),
            ("If {A} put the fish of {day} into buckets with {d} in each, how many buckets were there?", "a / d"),
            ("How many fish did {A} and {B} catch on the two days [altogether|in all]?", "( a + b ) + c"),
            ("How many more fish did {A} catch than {B} on the two days together?", "( a + b ) - c"),
            (
                "If {A} and {B} fished for {d} hours on {day}, how many more fish did {A} catch than {B} on {day}?",
                "a - c",
            ),
        ),
        less=(
            "ca",
            "ba",
            "db",
        ),
        small="d",
    ),
    Story(
        "A painter needs {a} hours to paint a room and {b} hours to paint a hall. A house has {c} "
        "rooms, [all of the same size|all alike], and the painter has painted {d} of them.",
        (
            ("How many rooms are still to be painted?", "c - d"),
            ("How many hours did the painter work on the rooms [so far|that are painted]?", "a * d"),
            ("How many hours does the painter need for all the rooms of the house?", "a * c"),
            ("How many hours does the painter need for one room and one hall?", "a + b"),
            ("How many more hours does a room take than a hall?", "a - b"),
            ("How many hours does the painter still need for the other rooms?", "( c - d ) * a"),
            ("How many hours does the painter need for all the rooms of the house and one hall?", "( c * a ) + b"),
        ),
        less=(
            "dc",
            "ba",
        ),
        small="abcd",
    ),
    Story(
        "{a} birds sat on a [roof|fence|wire|tree]. [Then|Later], {b} of them flew away and {c} other birds came.",
        (
            ("How many of the first birds stayed?", "a - b"),
            ("How many birds sat there in the end?", "( a - b ) + c"),
            ("How many more birds came than flew away?", "c - b"),
            ("If each of the birds that came ate {d} seeds, how many seeds did they eat?", "c * d"),
            ("If each of the birds that flew away ate {d} worms, how many worms did they eat?", "b * d"),
            ("How many birds sat there [in all|altogether], counting those that flew away?", "a + c"),
            ("If each of the first birds that stayed ate {d} seeds, how many seeds did they eat?", "( a - b ) * d"),
            ("If {d} cats watched the birds, how many of the first birds stayed?", "a - b"),
        ),
        less=(
            "ba",
            "bc",
        ),
        small="d",
    ),
    Story(
        "{A} ran {a} miles a day for {b} days, and then {c} miles a day for {d} days.",
        (
            ("How many miles did {A} run in the first {b} days?", "a * b"),
            ("How many miles did {A} run in the last {d} days?", "c * d"),
            ("On how many days did {A} run?", "b + d"),
            ("How many more miles a day did {A} run later than at first?", "c - a"),
            ("How many miles did {A} run [altogether|in all]?", "( a * b ) + ( c * d )"),
        ),
        less=("ac",),
        small="abcd",
    ),
    Story(
        "A library had {a} books about animals. It lent {b} of them to [readers|a school], and later "
        "{c} of these came back.",
        (
            ("How many of the books stayed in the library all the time?", "a - b"),
            ("How many of the books that were lent have not come back?", "b - c"),
            ("How many of the books are in the library now?", "( a - b ) + c"),
            ("If each reader borrowed {d} of the books that were lent, how many readers were there?", "b / d"),
            ("If {d} of the books that came back were torn, how many of those that came back were not torn?", "c - d"),
            ("If the library had bought {d} more at first, how many books about animals would it have had?", "a + d"),
        ),
        less=(
            "ba",
            "cb",
            "dc",
        ),
        small="d",
    ),
    Story(
        "A tree is {a} feet tall and grows {b} feet [a|every|each] year. The house beside it is {c} feet high.",
        (
            ("How many feet does the tree grow in {d} years?", "b * d"),
            ("How tall will the tree be in {d} years, in feet?", "a + ( b * d )"),
            ("How many feet higher is the house than the tree is now?", "c - a"),
            ("How tall will the tree be in one year, in feet?", "a + b"),
            ("If the top {d} feet of the tree are cut off, how tall is the tree then, in feet?", "a - d"),
            (
                "If a chimney of {d} feet is built on top of the house, how many feet higher is its tip "
                "than the tree is now?",
                "( c - a ) + d",
            ),
        ),
        less=(
            "ac",
            "da",
        ),
        small="bd",
    ),
    Story(
        "{A} has {a} beehives. Last year, each [hive|of them] gave {b} pounds of honey. This year, each"
        " [hive|of them] gave {c} pounds.",
        (
            ("How many pounds of honey did the hives give last year?", "a * b"),
            ("How many pounds of honey did the hives give this year?", "a * c"),
            ("How many more pounds of honey did a hive give this year than last year?", "c - b"),
            ("If {A} puts {d} pounds of honey into a jar, how many jars does one hive fill this year?", "c / d"),
            ("How many pounds of honey did one hive give in the two years [together|combined]?", "b + c"),
            ("If {A} buys {d} more hives, how many hives does {A} have?", "a + d"),
            ("How many more pounds of honey did the hives give this year than last year?", "a * ( c - b )"),
            ("How many pounds of honey did all the hives give in the two years [together|combined]?", "a * ( b + c )"),
            (
                "If there had been {d} more hives this year that each gave as much, how many pounds of "
                "honey would {A} have got this year?",
                "( a + d ) * c",
            ),
            (
                "If a pound of honey costs ${d}, how many more pounds of honey did a hive give this year "
                "than last year?",
                "c - b",
            ),
        ),
        less=("bc",),
        small="ad",
    ),
    Story(
        "In the first half of a game, the Tigers scored {a} points and the Bears scored {b}. In the "
        "second half, the Tigers scored {c} points and the Bears scored {d}.",
        (
            ("How many points did the Tigers score [in all|altogether|in the whole game]?", "a + c"),
            ("How many points did the Bears score [in all|altogether|in the whole game]?", "b + d"),
            ("How many more points did the Tigers score than the Bears in the first half?", "a - b"),
            ("How many more points did the Bears score than the Tigers in the second half?", "d - c"),
            ("How many points were scored in the first half [by both teams|altogether]?", "a + b"),
            ("How many points were scored in the second half [by both teams|altogether]?", "c + d"),
        ),
        less=(
            "ba",
            "cd",
        ),
    ),
    Story(
        "On a hike, each of {a} scouts carries {b} bottles of water and {c} apples.",
        (
            ("How many bottles of water do they carry [in all|altogether|]?", "a * b"),
            ("How many apples do they carry [in all|altogether|]?", "a * c"),
            ("How many things, bottles and apples, does each scout carry?", "b + c"),
            ("How many more apples than bottles of water does each scout carry?", "c - b"),
            ("If {d} of the scouts turn back, how many scouts go on?", "a - d"),
            ("If {d} of the scouts turn back, how many bottles of water do the others carry?", "( a - d ) * b"),
            (
                "If {A}, one of the scouts, drinks {d} of {his} bottles, how many full bottles does {he} have left?",
                "b - d",
            ),
            ("How many things, bottles and apples, do the scouts carry [in all|altogether]?", "a * ( b + c )"),
            ("If the way is {d} miles long, how many apples do the scouts carry [in all|altogether|]?", "a * c"),
        ),
        less=(
            "bc",
            "da",
            "db",
        ),
        small="abcd",
    ),
    Story(
        "{A} won {a} tickets at the first game and {b} tickets at the second game. A toy costs {c} tickets.",
        (
            ("How many tickets did {A} win [in all|altogether|]?", "a + b"),
            ("How many more tickets did {A} win at the first game than at the second?", "a - b"),
            ("How many tickets do {d} toys cost?", "c * d"),
            ("How many tickets does {A} have left after {he} takes one toy?", "( a + b ) - c"),
            ("How many toys can {A} get with the tickets from the first game?", "a / c"),
            (
                "If {A} gives {d} tickets from the second game to {B}, how many of the tickets from the "
                "second game are left?",
                "b - d",
            ),
            ("If {A} gives {d} of the tickets to {B}, how many tickets does {A} have left?", "( a + b ) - d"),
            ("If the second game takes {d} minutes, how many tickets did {A} win [in all|altogether|]?", "a + b"),
        ),
        less=(
            "ba",
            "db",
        ),
        small="cd",
    ),
    Story(
        "There are {a} steps between any floor of a house and the next one. {A} climbs {b} floors up, "
        "and {B} climbs {c} floors up.",
        (
            ("How many steps does {A} climb?", "a * b"),
            ("How many steps does {B} climb?", "a * c"),
            ("How many more floors does {A} climb than {B}?", "b - c"),
            ("How many floors do {A} and {B} climb [altogether|in all]?", "b + c"),
            ("How many more steps does {A} climb than {B}?", "a * ( b - c )"),
            ("If {A} does this {d} times, how many floors does {A} climb up in all?", "b * d"),
            ("How many steps do {A} and {B} climb [altogether|in all]?", "a * ( b + c )"),
        ),
        less=("cb",),
        small="bcd",
    ),
)
