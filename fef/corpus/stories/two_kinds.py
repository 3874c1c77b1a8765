"""Two kinds of things, two people or two days, and more numbers than a question needs."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "{A} [has|had|owns] {a} {red} {u} and {b} {blue} {u}. {He} [gives away|loses|sells|uses] {c} {red} {u} "
        "and {d} {blue} {u}.",
        (
            ("How many {red} {u} does {A} have left?", "a - c"),
            ("How many {blue} {u} does {A} have left?", "b - d"),
            ("How many {u} are [gone|missing now]?", "c + d"),
            ("How many {u} did {A} have at first?", "a + b"),
            ("How many {u} does {A} have left in all?", "( a + b ) - ( c + d )"),
        ),
        ("ca", "db"),
    ),
    Story(
        "{A} collected {a} {u} and {b} {u2} [on Monday|in May|in the morning|at the {place}]. [Later|Then|The "
        "next time], {he} collected {c} {u} and {d} {u2}.",
        (
            ("How many {u} did {A} collect in all?", "a + c"),
            ("How many {u2} did {A} collect in all?", "b + d"),
            ("How many more {u} did {A} collect [the second time|later] than [before|the first time]?", "c - a"),
            ("How many things did {A} collect [the first time|at first]?", "a + b"),
        ),
        ("ac",),
    ),
    Story(
        "[There are {a} {u} in each {box1}.|Each {box1} [holds|has] {a} {u}.|A {box1} of {u} has {a} {u} in "
        "it.] {A} [has|bought|got] {b} {box}, and {B} [has|bought|got] {c} {u2}.",
        (
            ("How many {u} does {A} have?", "a * b"),
            ("How many {u} would be in {d} such {box}?", "a * d"),
        ),
        small="bd",
    ),
    Story(
        "{A} needs {a} {u} for [a party|{his} class|a project|the {place}]. {He} has already "
        "[bought|found|made] {b} {u} and {c} {u2}.",
        (
            ("How many more {u} does {A} need?", "a - b"),
            ("How many things does {A} [already have|have already]?", "b + c"),
        ),
        ("ba",),
    ),
    Story(
        "[{A} put {a} {u} into {b} {box}, with the same number in each.|{A} divided {a} {u} equally among {b} "
        "{box}.|{A} has {a} {u} in {b} equal {box}.] {He} also [has|found|counted] {c} {u2}.",
        (("How many {u} are in each {box1}?", "a / b"),),
        ("ba",),
        "b",
    ),
    Story(
        "[A|Each|Every] {box1} holds {a} {u}. {A} [wants|has] to pack {b} {u} and [leaves {c} {u2} at "
        "home|sells {c} {u2}|already packed {c} {u2}].",
        (("How many {box} does {A} need?", "b / a"),),
        ("ab",),
        "a",
    ),
    Story(
        "{A} had {a} {u}[.| in the morning.| last week.] After {he} [lost|sold|gave away] some of them, {he} "
        "[had|was left with] {b} {u} and {c} {u2}.",
        (
            ("How many {u} [are gone|did {A} part with]?", "a - b"),
            ("How many things did {A} have in the end?", "b + c"),
        ),
        ("ba",),
    ),
    Story(
        "{A} [gave|sold|lent] {a} {u} to {B} and [now has|has now] {b} {u} left. {B} [has|already had|brought] {c} {u2}.",
        (("How many {u} did {A} have at first?", "a + b"),),
    ),
    Story(
        "{A} [found|bought|picked] some {u} at the {place}. {B} gave {him} {a} more, and now {A} has {b} {u}. "
        "They [stayed for {c} hours|came home after {c} hours|walked {c} miles].",
        (("How many {u} did {A} [find|get] at the {place}?", "b - a"),),
        ("ab",),
        "c",
    ),
    Story(
        "{A} [has|owns|keeps] {a} {u}. {B} has {b} more {u} than {A}[, and|.] {C} has {c} fewer {u} than {A}.",
        (
            ("How many {u} does {B} have?", "a + b"),
            ("How many {u} does {C} have?", "a - c"),
            ("How many {u} do {A} and {B} have together?", "a + ( a + b )"),
            ("How many more {u} does {B} have than {C}?", "b + c"),
        ),
        ("ca",),
    ),
    Story(
        "{A} has {b} fewer {u} than {B}[.|, and] {B} has {a} {u} and {c} {u2}.",
        (
            ("How many {u} does {A} have?", "a - b"),
            ("How many things does {B} have?", "a + c"),
        ),
        ("ba",),
    ),
    Story(
        "{A} [has|owns|counts] {a} {u}, [which is {b} more than {B} has|{b} more than {B}]. {C} has {c} {u}.",
        (
            ("How many {u} does {B} have?", "a - b"),
            ("How many {u} do {A} and {C} have together?", "a + c"),
        ),
        ("ba",),
    ),
    Story(
        "[One|A] {u1} costs ${a} and [one|a] {u21} costs ${b}. {A} [has|brings|saved] ${c} and buys {d} {u}.",
        (
            ("How many dollars does {A} pay?", "a * d"),
            ("How many dollars does {A} have left?", "c - ( a * d )"),
        ),
        small="abd",
        enough="c - ( a * d )",
    ),
    Story(
        "{A} paid ${a} for {b} {u}, all at the same price, and ${c} for a [bag|book|drink|meal].",
        (
            ("How [many dollars|much money] did [one|each] {u1} cost?", "a / b"),
            ("How many dollars did {A} pay in all?", "a + c"),
        ),
        ("ba",),
        "b",
    ),
    Story(
        "{A} spent ${a} on {u} and ${b} on {u2}[. Before that {he} had ${c}.|. {He} had ${c} before that.| "
        "when {he} had ${c}.]",
        (
            ("How many dollars did {A} spend?", "a + b"),
            ("How many dollars does {A} have now?", "( c - a ) - b"),
            ("How many more dollars did {A} spend on {u} than on {u2}?", "a - b"),
        ),
        ("ba",),
        enough="( c - a ) - b",
    ),
    Story(
        "There were {a} people on the [train|bus|boat]. At the {place}, {b} people got off and {c} [people|others] got on.",
        (
            ("How many people are on board now?", "( a - b ) + c"),
            ("How many more people got on than got off?", "c - b"),
            ("How many people stayed on board at the {place}?", "a - b"),
        ),
        ("ba", "bc"),
    ),
    Story(
        "Some people were on the [train|bus|boat]. At the {place}, {a} people got off and {b} people got on, "
        "so that there are now {c}.",
        (("How many people were on board before?", "( c - b ) + a"),),
        ("bc",),
    ),
    Story(
        "{A} reads {a} pages [on each of {b} days|a day for {b} days], and {c} pages on Sunday. The book has {d} chapters.",
        (
            ("How many pages does {A} read before Sunday?", "a * b"),
            ("How many pages does {A} read in all?", "( a * b ) + c"),
        ),
        small="bd",
    ),
    Story(
        "[A school|A camp|A club|The {place} class] has {a} boys and {b} girls. [This year|This week|Then] {c} "
        "more boys and {d} more girls [came|joined].",
        (
            ("How many boys are there now?", "a + c"),
            ("How many girls are there now?", "b + d"),
            ("How many new children are there?", "c + d"),
            ("How many more girls than boys were there before?", "b - a"),
        ),
        ("ab",),
    ),
    Story(
        "{A} walked {a} steps in the morning, {b} [steps|] at noon and {c} [steps|] in the evening. {B} "
        "[walked|made] {d} steps.",
        (
            ("How many steps did {A} walk?", "( a + b ) + c"),
            ("How many more steps did {A} walk in the evening than in the morning?", "c - a"),
            ("How many steps did {A} walk after the morning?", "b + c"),
        ),
        ("ac",),
    ),
    Story(
        "{A} baked {a} pies and {b} cakes[, and| and then] sold {c} pies and {d} cakes.",
        (
            ("How many pies are left?", "a - c"),
            ("How many cakes are left?", "b - d"),
            ("How many more pies than cakes did {A} sell?", "c - d"),
            ("How many more pies than cakes did {A} bake?", "a - b"),
        ),
        ("ca", "db", "dc", "ba"),
    ),
    Story(
        "In the morning[,|] {a} children were at the {place}, {b} of them boys. In the afternoon[,|] {c} children came.",
        (
            ("How many girls were at the {place} in the morning?", "a - b"),
            ("How many children came in all?", "a + c"),
        ),
        ("ba",),
    ),
    Story(
        "[Each of {a} rows in a [hall|theater|bus] has {b} seats.|A [hall|theater] has {a} rows of {b} seats.] "
        "{c} seats are taken.",
        (
            ("How many seats are there?", "a * b"),
            ("How many seats are free?", "( a * b ) - c"),
        ),
        small="a",
        enough="( a * b ) - c",
    ),
    Story(
        "{A} [shares|splits|divides] {a} {u} and {b} {u2} equally among {c} {friends}.",
        (
            ("How many {u} does each of them get?", "a / c"),
            ("How many {u2} does each of them get?", "b / c"),
        ),
        ("ca", "cb"),
        "c",
    ),
    Story(
        "{A} is {a} years old and {B} is {b} years old. {A} has {c} {u}.",
        (
            ("How many years older is {A} than {B}?", "a - b"),
            ("How old will {B} be in {d} years?", "b + d"),
            ("How old was {A} {d} years ago?", "a - d"),
        ),
        ("ba", "da"),
        "abd",
    ),
    Story(
        "[Each|A|One] {box1} of {u} costs ${a}. There is a discount of ${b} on each {box1}[, and a {box1} "
        "weighs {c} pounds|].",
        (
            ("How much money does [one|a] {box1} cost with the discount?", "a - b"),
            ("How much money do {d} {box} cost with the discount?", "( a - b ) * d"),
            ("How much money do {d} {box} cost without the discount?", "a * d"),
        ),
        ("ba",),
        "cd",
    ),
    Story(
        "{A} did {a} [push-ups|sit-ups|jumps] and {b} [squats|pull-ups] in gym class. {B} did {c} more in all.",
        (("How many did {B} do in all?", "( a + b ) + c"), ("How many did {A} do in all?", "a + b")),
    ),
    Story(
        "{A} had ${a} left after {he} bought a {goal} and a {u1}. The {u1} cost ${b}. {He} had ${c} at the start.",
        (
            ("How much money did {A} spend in all?", "c - a"),
            ("How much money did the {goal} cost?", "( c - a ) - b"),
        ),
        ("ac",),
        enough="( c - a ) - b",
    ),
    Story(
        "{A} [found|gathered|collected] {a} {u}, and {B} {b}. They [threw away|gave away|lost] {c} of them "
        "and sold {d}.",
        (
            ("How many {u} do they have left?", "( ( a + b ) - c ) - d"),
            ("How many {u} did they have at first?", "a + b"),
            ("How many {u} did they not sell?", "( a + b ) - d"),
        ),
        enough="( ( a + b ) - c ) - d",
    ),
    Story(
        "{A} has {a} {u}, {b} of which are {red}. {B} has {c} {u}.",
        (
            ("How many of {A}'s {u} are not {red}?", "a - b"),
            ("How many {u} do {A} and {B} have together?", "a + c"),
        ),
        ("ba",),
    ),
    Story(
        "There are {a} {u} and {b} {u2} [on a table|in a drawer|in a room|at the {place}]. {A} [takes|removes] "
        "{c} {u} and [adds|brings] {d} {u2}.",
        (
            ("How many {u} are there now?", "a - c"),
            ("How many {u2} are there now?", "b + d"),
            ("How many things are there now?", "( a - c ) + ( b + d )"),
        ),
        ("ca",),
    ),
    Story(
        "{A} [puts|packs] {a} {u} into each {box1}. {He} filled {b} {box} [today|yesterday] and {c} {box} "
        "[before that|last week].",
        (
            ("How many {u} did {he} put into all these {box}?", "a * ( b + c )"),
            ("How many {box} did {he} fill in all?", "b + c"),
        ),
        small="abc",
    ),
    Story(
        "{A} ran {a} miles, {b} miles [farther|more] than {B}. {C} ran {c} miles.",
        (
            ("How many miles did {B} run?", "a - b"),
            ("How many miles did {A} and {B} run in all?", "a + ( a - b )"),
            ("How many miles did {A} and {C} run in all?", "a + c"),
        ),
        ("ba",),
    ),
    Story(
        "A {place} had {a} visitors on {day} and {b} visitors on {day2}. On {day3}, {c} [people|visitors] came "
        "before noon and {d} after that.",
        (
            ("How many [visitors|people] came on {day3}?", "c + d"),
            ("How many more visitors came on {day2} than on {day}?", "b - a"),
            ("How many visitors came on the first two days?", "a + b"),
            ("How many visitors came on the three days?", "( a + b ) + ( c + d )"),
        ),
        ("ab",),
    ),
    Story(
        "{A}'s [rope|ribbon|string] was {a} inches long. {He} cut off {b} inches for a [gift|kite] "
        "and {c} inches for a [bag|box].",
        (
            ("How long is it now?", "( a - b ) - c"),
            ("How many inches did {he} cut off?", "b + c"),
        ),
        ("ba",),
        enough="( a - b ) - c",
    ),
)
