"""Scenes of work, speed, areas, trade and groups."""

from __future__ import annotations

from fef.corpus.scene import Scene

__all__ = ["OF_RATES"]

OF_RATES: tuple[Scene, ...] = (
    # --- rates and work ---
    Scene(
        "{A} can [paint|pack|wash] {a} {u} an hour, and {B} {b} an hour. They work together for {c} hours.",
        "a:3-20 b:3-20 c:2-9 d:2-9",
        (
            ("How many {u} [do they finish|is that in all]?", "( a + b ) * c"),
            ("How many more {u} does {A} finish than {B}?", "( a - b ) * c"),
            ("{C} finishes {d} more. How many {u} do the three finish?", "( a + b ) * c + d"),
        ),
    ),
    Scene(
        "A machine makes {a} {u} a minute. It runs for {b} hours.",
        "a:2-20 b:2-8 c:3-12",
        (
            ("How many {u} does it make?", "a * 60 * b"),
            ("How many {box} are needed if {c} {u} fit in [a|one] {box1}?", "a * 60 * b / c"),
        ),
    ),
    Scene(
        "{a} [workers|machines|people] make {b} {u} in {c} days[, all at the same speed|].",
        "a:2-9 b:20-360 c:2-6 d:2-12",
        (
            ("How many {u} does one of them make a day?", "b / c / a"),
            ("How many {u} do {d} of them make in a day?", "b / c / a * d"),
        ),
    ),
    Scene(
        "{A} types {a} words [a|per] minute. {B} types {b} words [a|per] minute.",
        "a:30-90/5 b:30-90/5 c:3-30 d:200-2000/100",
        (
            ("How many words do they type together in {c} minutes?", "( a + b ) * c"),
            ("How many more words does {A} type in {c} minutes?", "( a - b ) * c"),
            ("How many minutes does {A} need for {d} words?", "d / a"),
        ),
    ),
    Scene(
        "A [pipe|hose] fills {a} liters a minute, and a [leak|drain] loses {b} liters a minute. The "
        "[tank|pool] holds {c} liters.",
        "a:10-60 b:2-9 c:100-2000/20",
        (("How many minutes does it take to fill the empty tank?", "c / ( a - b )"),),
    ),
    Scene(
        "{A} drinks {a} liters of water a day, and so does each of {his} {b} {friends}.",
        "a:2-4 b:2-8 c:3-20 d:2-6",
        (
            ("How many liters do they drink [together|] in {c} days?", "a * ( b + 1 ) * c"),
            ("How many bottles of {d} liters do they need for {c} days?", "a * ( b + 1 ) * c / d"),
        ),
    ),
    Scene(
        "{A} has {a} [dogs|pigs|horses]. Each of them eats {b} pounds of food a day.",
        "a:2-8 b:2-6 c:5-30 d:10-60/5 e:8-40",
        (
            ("How many pounds of food does {he} need for {c} days?", "a * b * c"),
            ("A bag holds {d} pounds. How many bags does {he} need for {c} days?", "a * b * c / d"),
            ("A bag of {d} pounds costs ${e}. How much money does the food for {c} days cost?", "a * b * c / d * e"),
        ),
    ),
    # --- speed, distance, time ---
    Scene(
        "{A} and {B} start at the same place and drive in opposite directions, {A} at {a} and {B} at {b} miles an hour.",
        "a:20-70/5 b:20-70/5 c:2-8",
        (("How many miles apart are they after {c} hours?", "( a + b ) * c"),),
    ),
    Scene(
        "{A} and {B} drive the same way, {A} at {a} and {B} at {b} miles an hour.",
        "a:45-80/5 b:20-60/5 c:2-8",
        (("How many miles is {A} ahead after {c} hours?", "( a - b ) * c"),),
    ),
    Scene(
        "The way from {A}'s house to the {place} is {a} miles. {He} drives there at {b} miles an hour and back "
        "at {c} miles an hour.",
        "a:30-360/10 b:20-60/10 c:20-60/10",
        (
            ("How many hours does {he} drive in all?", "a / b + a / c"),
            ("How many hours longer is the way there than the way back?", "a / b - a / c"),
        ),
    ),
    Scene(
        "A car uses {a} gallons of gas for {b} miles. A gallon costs ${c}.",
        "a:2-9 b:40-300/10 c:2-5 d:100-900/50",
        (
            ("How many miles does it go on one gallon?", "b / a"),
            ("How many gallons does it use for {d} miles?", "d / ( b / a )"),
            ("How much money does the gas for {d} miles cost?", "d / ( b / a ) * c"),
        ),
    ),
    Scene(
        "{A} leaves home and walks for {a} minutes, waits {b} minutes for the bus and rides for {c} hours.",
        "a:5-30/5 b:3-25 c:2-3 d:5-40",
        (
            ("How many minutes does {he} need in all?", "a + b + c * 60"),
            ("Today the bus is {d} minutes late. How many minutes does {he} need today?", "a + b + c * 60 + d"),
        ),
    ),
    Scene(
        "A movie is {a} hours and {b} minutes long. {A} has already watched {c} minutes.",
        "a:2-3 b:5-55/5 c:20-110/5",
        (("How many minutes are left?", "a * 60 + b - c"),),
    ),
    # --- areas and lengths ---
    Scene(
        "A [garden|room|field|yard] is {a} feet long and {b} wide.",
        "a:8-60 b:4-40 c:2-15 d:2-9",
        (
            ("What is its area in square feet?", "a * b"),
            ("How many feet of fence go around it?", "2 * ( a + b )"),
            ("A foot of fence costs ${c}. How much money does a fence around it cost?", "2 * ( a + b ) * c"),
            ("A square foot of cover costs ${d}. How much money does it cost to cover it?", "a * b * d"),
        ),
    ),
    Scene(
        "{A} has a rope that is {a} feet long. {He} cuts it into pieces of {b} inches.",
        "a:3-30 b:3-24 c:2-9",
        (
            ("How many pieces does {he} get?", "a * 12 / b"),
            ("{He} uses {c} pieces. How many pieces are left?", "a * 12 / b - c"),
        ),
    ),
    Scene(
        "{A} is {a} inches tall. {B} is {b} inches taller than {A}, and {C} is {c} inches shorter than {B}.",
        "a:40-70 b:2-12 c:2-9",
        (
            ("How tall is {C}, in inches?", "a + b - c"),
            ("What is their average height, in inches?", "( a + ( a + b ) + ( a + b - c ) ) / 3"),
            ("How many inches is that together?", "a + ( a + b ) + ( a + b - c )"),
        ),
    ),
    # --- buying and selling ---
    Scene(
        "{A} buys {a} {u} for ${b} each and sells them for ${c} each.",
        "a:4-60 b:2-20 c:5-40 d:5-60/5",
        (
            ("How much profit, in dollars, does {he} make?", "( c - b ) * a"),
            ("{He} also pays ${d} for a stand. How much money does {he} gain?", "( c - b ) * a - d"),
        ),
    ),
    Scene(
        "{A} makes {a} {u} a day and sells them for ${b} each. The material for a day costs ${c}.",
        "a:4-30 b:3-20 c:5-60/5 d:2-30",
        (
            ("How much money does {he} make in {d} days, after paying for the material?", "( a * b - c ) * d"),
            ("How much money does {he} make in a day, after paying for the material?", "a * b - c"),
        ),
    ),
    Scene(
        "A pack of {a} {u} costs ${b}. One {u1} alone costs ${c}.",
        "a:3-12 b:4-40 c:2-9 d:2-9",
        (
            (
                "How much money does {A} save if {he} buys {d} packs and not the same number of single ones?",
                "( a * c - b ) * d",
            ),
            ("How much money does {A} pay for {d} packs and {a} single ones?", "b * d + a * c"),
        ),
    ),
    Scene(
        "The first {a} {u} cost ${b} each, and every further one costs ${c}. {A} buys {d}.",
        "a:3-12 b:6-20 c:2-5 d:13-40",
        (("How much money does {he} pay?", "a * b + ( d - a ) * c"),),
    ),
    Scene(
        "{A} earns ${a} an hour for the first 40 hours of a week and ${b} for every hour after that. [This "
        "week|Last week], {he} worked {c} hours.",
        "a:8-25 b:26-45 c:42-60 d:20-200/10",
        (
            ("How much money did {he} earn?", "a * 40 + ( c - 40 ) * b"),
            ("{He} paid ${d} in taxes. How much money was left?", "a * 40 + ( c - 40 ) * b - d"),
        ),
    ),
    Scene(
        "{A} wants to buy a {goal} for ${a}. {He} has ${b} and saves ${c} a week.",
        "a:100-600/10 b:10-90/10 c:5-40/5 d:2-6",
        (
            ("How many weeks does {he} have to save?", "( a - b ) / c"),
            ("How much money will {he} still need after {d} weeks?", "a - b - c * d"),
        ),
    ),
    Scene(
        "{A} has ${a}. {He} wants to buy {b} {u} that cost ${c} each and {d} {u2} that cost ${e} each.",
        "a:40-200/5 b:2-8 c:2-9 d:2-8 e:2-9",
        (
            ("How much money will {he} have left?", "a - ( b * c + d * e )"),
            ("How much more money do the {u} cost than the {u2}?", "b * c - d * e"),
        ),
    ),
    Scene(
        "{A} spent ${a} on {b} {u} and {c} {u2}. [One|A] {u1} costs ${d}.",
        "a:20-150 b:2-9 c:2-9 d:2-9",
        (("How much money does one {u21} cost?", "( a - b * d ) / c"),),
    ),
    Scene(
        "{a} {friends} [share|split] a bill of ${b} [equally|evenly] and each of them adds a tip of ${c}.",
        "a:3-9 b:30-300/3 c:2-6",
        (
            ("How much money does each of them pay?", "b / a + c"),
            ("How much money do they pay together?", "b + a * c"),
        ),
    ),
    # --- counting with groups ---
    Scene(
        "A parking lot has {a} rows with {b} spaces each. {c} spaces are [taken|full].",
        "a:3-15 b:6-30 c:10-60 d:3-15",
        (
            ("How many spaces are free?", "a * b - c"),
            ("{d} cars leave. How many spaces are free then?", "a * b - c + d"),
        ),
    ),
    Scene(
        "On a farm there are {a} chickens, {b} cows and {c} [horses|goats|sheep].",
        "a:5-60 b:3-30 c:3-30",
        (
            ("How many legs do all of the animals have?", "a * 2 + b * 4 + c * 4"),
            ("How many animals have four legs?", "b + c"),
            ("How many more chickens than cows are there?", "a - b"),
        ),
    ),
    Scene(
        "{A} has {a} {u} and wants to put them in {box} of {b}. [All {box} have to be full|Only full {box} count].",
        "a:20-150 b:3-12 c:3-9",
        (
            (
                "{C} gives {him} {c} {box} more of the same size, all of them full. How many {u} does {he} have now?",
                "a + b * c",
            ),
            ("{He} fills {c} {box}. How many {u} are left over?", "a - b * c"),
        ),
    ),
    Scene(
        "A class of {a} students is split into {b} groups of the same size. Each group [builds|paints|makes] "
        "{c} {u}, and each of them takes {d} minutes.",
        "a:12-48 b:3-8 c:2-9 d:3-20",
        (
            ("How many students are in a group?", "a / b"),
            ("How many {u} do they make in all?", "b * c"),
            ("How many minutes does one group need?", "c * d"),
        ),
    ),
    Scene(
        "A hotel has {a} floors with {b} rooms each. {c} rooms [on each floor|of each floor] are [empty|free].",
        "a:3-20 b:8-30 c:2-7 d:2-3",
        (
            ("How many rooms are in use?", "a * ( b - c )"),
            ("How many guests are there if {d} people stay in each room that is in use?", "a * ( b - c ) * d"),
        ),
    ),
    Scene(
        "{A} planted {a} trees. Each of them [gave|had] {b} [apples|pears|lemons]. {He} kept {c} and sold the "
        "rest for ${d} each.",
        "a:3-20 b:6-30 c:5-40 d:2-5",
        (
            ("How many did {he} sell?", "a * b - c"),
            ("How much money did {he} get?", "( a * b - c ) * d"),
        ),
    ),
    Scene(
        "Every {a} days, {A} [waters the plants|goes to the {place}|calls {B}].",
        "a:2-6 b:5-20 c:2-9",
        (("How many times is that in {b} weeks?", "b * 7 / a"),),
    ),
    Scene(
        "{A} has {a} {red}, {b} {blue} and {c} {green} {u}.",
        "a:5-60 b:5-60 c:5-60 d:2-9",
        (
            ("How many {u} are not {red}?", "b + c"),
            ("How many more {red} and {blue} {u} than {green} ones are there?", "a + b - c"),
            ("{He} loses {d} {red} and {d} {green} ones. How many {u} are left?", "a + b + c - d * 2"),
        ),
    ),
    Scene(
        "The number of {u} in a [shop|store] doubles every {day}. [At first|In the beginning] there were {a}.",
        "a:3-40 b:3-40",
        (
            ("How many are there after three weeks?", "a * 2 * 2 * 2"),
            ("After two weeks, {b} are sold. How many are left?", "a * 2 * 2 - b"),
        ),
    ),
    Scene(
        "{A} does {a} [push-ups|sit-ups|jumps] on {day} and {b} more every following day.",
        "a:5-40 b:2-10",
        (
            ("How many does {he} do on the third day?", "a + b * 2"),
            ("How many does {he} do in three days?", "a + ( a + b ) + ( a + b * 2 )"),
        ),
    ),
)
