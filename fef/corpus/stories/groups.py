"""Stories of equal groups: so many in each pack, team, row, cage or bucket."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "A farmer [has|keeps] {a} hens and {b} cows. Each hen lays {c} eggs [a|per|every] week, and "
        "each cow eats {d} pounds of hay [a|per|every] day.",
        (
            ("How many eggs [do the hens lay|does the farmer get] in a week?", "a * c"),
            ("How many pounds of hay do the cows eat [in a day|every day|per day]?", "b * d"),
            ("How many hens and cows [does the farmer have|are there] [in all|altogether|]?", "a + b"),
            (
                "[How many more hens than cows does the farmer have?|By how many are there more hens than cows?]",
                "a - b",
            ),
        ),
        less=("ba",),
        small="cd",
    ),
    Story(
        "{A} planted {a} rows of tulips with {b} [flowers|bulbs] in each row, and {c} rows of roses "
        "with {d} [bushes|plants] in each row.",
        (
            ("How many tulips did {A} plant?", "a * b"),
            ("How many roses did {A} plant?", "c * d"),
            ("How many rows did {A} plant [in all|altogether|]?", "a + c"),
            ("How many more rows of tulips than [rows|] of roses [did {A} plant|are there]?", "a - c"),
            ("How many more plants are in a row of roses than in a row of tulips?", "d - b"),
            ("What is the total number of tulips and roses that {A} planted?", "( a * b ) + ( c * d )"),
        ),
        less=(
            "ca",
            "bd",
        ),
        small="ac",
    ),
    Story(
        "[There are {a} teams in a [soccer|hockey|handball] league.|A [soccer|hockey|handball] league "
        "has {a} teams.] Each team has {b} players and {c} coaches[.|, and each game lasts {d} "
        "minutes.]",
        (
            ("How many players are there in the league [in all|altogether|]?", "a * b"),
            ("How many coaches are there in the league [in all|altogether|]?", "a * c"),
            ("How many people are in a team, [if you count|counting] players and coaches?", "b + c"),
            ("How many more players than coaches does [a|each] team have?", "b - c"),
            ("How many people, players and coaches together, are in all the teams?", "a * ( b + c )"),
            ("How many more players than coaches are there in the whole league?", "a * ( b - c )"),
        ),
        less=("cb",),
        small="abc",
    ),
    Story(
        "[A|The] book [about whales|about space|of fairy tales] has {a} chapters with {b} pages each. "
        "There are {c} pictures in it. {A} has read {d} of the chapters.",
        (
            ("How many pages do the chapters of the book have [altogether|in all]?", "a * b"),
            ("How many chapters [has {A} still to read|are left for {A} to read]?", "a - d"),
            ("How many pages has {A} read?", "d * b"),
            ("How many pages [has {A} still to read|are left for {A} to read]?", "( a - d ) * b"),
            (
                "If every chapter has the same number of pictures, how many pictures are [there|] in each chapter?",
                "c / a",
            ),
        ),
        less=("da",),
        small="a",
    ),
    Story(
        "A baker [bakes|makes] {a} trays of rolls and {b} trays of buns. There are {c} rolls on "
        "[a|each] tray of rolls and {d} buns on [a|each] tray of buns.",
        (
            ("How many rolls does the baker [bake|make]?", "a * c"),
            ("How many buns does the baker [bake|make]?", "b * d"),
            ("How many trays [does the baker use|are used] [in all|for rolls and buns together]?", "a + b"),
            ("How many more trays of rolls than [trays|] of buns are there?", "a - b"),
            ("One tray of each kind falls down. How many rolls and buns lie on the floor?", "c + d"),
            ("How many more buns are on a tray of buns than rolls on a tray of rolls?", "d - c"),
        ),
        less=(
            "ba",
            "cd",
        ),
        small="ab",
    ),
    Story(
        "A pet shop keeps {a} birds in {b} cages, the same number in each cage. It also has {c} tanks "
        "with {d} fish in each [tank|].",
        (
            ("How many birds are in each cage?", "a / b"),
            ("How many fish [are there|does the shop have]?", "c * d"),
            ("How many cages and tanks does the shop have [altogether|in all]?", "b + c"),
            ("How many more tanks than cages does the shop have?", "c - b"),
            ("How many birds and fish does the shop have [altogether|in all|combined]?", "a + ( c * d )"),
            ("How many animals are in one cage and one tank together?", "d + a / b"),
        ),
        less=("bc",),
        small="bc",
    ),
    Story(
        "[At the beach,|On a walk at the sea,] {A} found {a} shells, and {B} filled {b} buckets with {c} shells each.",
        (
            ("How many shells did {B} find?", "b * c"),
            ("How many shells did {A} and {B} find [together|in all|altogether]?", "a + ( b * c )"),
            ("If {A} gave {d} shells to {C}, how many shells did {A} have left?", "a - d"),
            ("If {A} put {d} shells into each bucket, how many buckets did {A} need?", "a / d"),
            ("If {A} then found {d} more shells, how many shells did {A} have?", "a + d"),
            ("If {B} filled {d} more buckets in the same way, how many buckets did {B} fill in all?", "b + d"),
            ("If {B} loses {d} of the shells, how many shells does {B} have left?", "( b * c ) - d"),
            ("If {B} filled {d} more buckets in the same way, how many shells did {B} find in all?", "( b + d ) * c"),
            ("If {A} stayed there for {d} hours, how many shells did {B} find?", "b * c"),
        ),
        less=("da",),
        small="bcd",
    ),
    Story(
        "A zookeeper gives each of {a} monkeys {b} bananas [a|every] day. The zoo also has {c} parrots.",
        (
            ("How many bananas do the monkeys [eat|get] [a|every|each] day?", "a * b"),
            ("How many monkeys and parrots are there [altogether|in all|]?", "a + c"),
            ("How many bananas does one monkey get in {d} days?", "b * d"),
            ("If {d} of the parrots fly away, how many parrots are left?", "c - d"),
            ("If {d} of the monkeys move to another zoo, how many monkeys are left?", "a - d"),
            (
                "If {d} of the monkeys move to another zoo, how many bananas does the keeper need every day?",
                "( a - d ) * b",
            ),
            ("How many bananas do all the monkeys get in {d} days?", "( a * b ) * d"),
            (
                "If each monkey gets {d} more bananas a day than that, how many bananas do the monkeys get "
                "[a|every] day?",
                "a * ( b + d )",
            ),
            (
                "If the parrots eat {d} pounds of seeds a day, how many bananas do the monkeys get [a|every] day?",
                "a * b",
            ),
        ),
        less=(
            "da",
            "dc",
        ),
        small="bd",
    ),
    Story(
        "For {his} party, {A} [buys|gets] {a} packs of balloons with {b} balloons in each pack. {c} "
        "guests [come|are at the party].",
        (
            ("How many balloons does {A} have [in all|altogether|]?", "a * b"),
            ("How many balloons are [there|] in {d} [such|] packs?", "b * d"),
            ("If {d} guests leave early, how many guests stay?", "c - d"),
            ("If {A} finds {d} more packs in a drawer, how many packs of balloons does {he} have?", "a + d"),
            ("If every guest brings {d} gifts, how many gifts do the guests bring?", "c * d"),
            ("If {d} of the balloons pop, how many balloons are left?", "( a * b ) - d"),
            ("If {A} finds {d} more such packs in a drawer, how many balloons does {A} have?", "( a + d ) * b"),
            ("If every guest takes one balloon home, how many balloons are left?", "( a * b ) - c"),
            ("If each pack costs ${d}, how many balloons does {A} have [in all|]?", "a * b"),
        ),
        less=(
            "da",
            "dc",
        ),
        small="ad",
    ),
    Story(
        "A mail carrier [brings|delivers] {a} letters and {b} parcels to each of {c} houses[.| on a "
        "hill.] [The way is {d} miles long.|The mail carrier is on the way for {d} hours.]",
        (
            ("How many letters does the mail carrier [bring|deliver] [in all|altogether|]?", "a * c"),
            ("How many parcels does the mail carrier [bring|deliver] [in all|altogether|]?", "b * c"),
            ("How many letters and parcels does each house get [in all|]?", "a + b"),
            ("How many more letters than parcels does each house get?", "a - b"),
            ("How many letters and parcels are brought to all the houses together?", "( a + b ) * c"),
            ("How many more letters than parcels are brought to all the houses together?", "( a - b ) * c"),
        ),
        less=("ba",),
        small="abcd",
    ),
    Story(
        "A [video|computer] game has {a} worlds with {b} levels in each world. {A} has finished {c} "
        "levels, and {B} has finished {d} [levels|].",
        (
            ("How many levels does the [game|whole game] have?", "a * b"),
            ("How many levels [does {A} still have to finish|has {A} not finished yet]?", "( a * b ) - c"),
            (
                "[How many more levels has {A} finished than {B}?|Find how many more levels {A} has "
                "finished than {B}.]",
                "c - d",
            ),
            (
                "If the levels that {B} finished were equally many in each world, how many levels did {B} "
                "finish in each world?",
                "d / a",
            ),
            ("How many levels has {B} not finished yet?", "( a * b ) - d"),
        ),
        less=("dc",),
        small="ab",
        enough="( a * b ) - c",
    ),
)
