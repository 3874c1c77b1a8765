"""The sentences of stories in steps, by the kind of amount that they are about: how it begins, changes and is asked about.

`v` is the amount before a move. Slots: see `fef.corpus.phrases.cast_of`; {f} is a fraction p/q in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ASIDES", "ASKS", "MOVES", "STARTS", "Move"]


@dataclass(frozen=True)
class Move:
    """text: a sentence with alternatives and slots; sum: the amount after it; numbers: what is drawn for it, in order (a name
    and a range, or a relation to v); to: the kind of amount that it leads to, else the same; undo: the amount before it, from
    the one after it."""

    text: str
    sum: str
    numbers: str = ""
    to: str = ""
    undo: str = ""


STARTS: Mapping[str, tuple[Move, ...]] = {
    "things": (
        Move(
            "{A} [has|owns|keeps] {a} {box} [with|of|that hold] {b} {u} [each|in each of them].",
            "a * b",
            "a:2-12 b:3-30",
        ),
        Move("{A} [collected|gathered|found] {a} {u} on {day} and {b} [more|] on {day2}.", "a + b", "a:8-90 b:8-90"),
        Move(
            "{B} [has|owns] {a} {u}[.|, and] {A} [has|owns] {t_times} as many[ as {B}| {u} as {B}|].",
            "t * a",
            "a:5-60 t:times",
        ),
        Move("{B} has {a} {u}. {A} has {b} more {u} than {B}.", "a + b", "a:8-90 b:4-40"),
        Move("{B} has {a} {u}, [which is {b} more than {A} has|{b} more than {A}].", "a - b", "a:40-99 b:4-30"),
        Move("{A} has {a} {red} {u} and {t_times} as many {blue} {u}.", "a + t * a", "a:5-40 t:times"),
        Move("{A} has {a} {red} {u} and {b} fewer {blue} {u} than {red} ones.", "a + ( a - b )", "a:20-80 b:3-15"),
        Move(
            "{A} [bought|ordered|picked up] {a} {box} of {u}. [Each {box1} has|There are|Every {box1} holds] "
            "{b} {u}[| in each "
            "{box1}], and {he} [already had|had] {c} {u} at home.",
            "a * b + c",
            "a:2-9 b:4-24 c:3-30",
        ),
        Move(
            "{A} [makes|can make|produces] {a} {u} [an|per|every] hour. [{He} works|{He} keeps at it] for {b} "
            "hours [a|each] day, "
            "{c} days [in a row|].",
            "a * b * c",
            "a:2-12 b:2-8 c:2-6",
        ),
        Move(
            "{A} puts {a} {u} [into|in] each of {b} {box} and {c} {u} [into|in] each of {d} {box2}.",
            "a * b + c * d",
            "a:3-20 b:2-9 c:3-20 d:2-9",
        ),
        Move(
            "{A}, {B} and {C} [have|own] {a}, {b} and {c} {u}[, and they put them together| and put all of them together].",
            "a + b + c",
            "a:5-60 b:5-60 c:5-60",
        ),
        Move(
            "There are {a} shelves in {A}'s [shop|room|garage], and each shelf has {b} {u}.", "a * b", "a:3-15 b:6-40"
        ),
        Move(
            "A {box1} of {u} weighs {c} pounds. {A} has {a} such {box}, with {b} {u} in each.",
            "a * b",
            "a:2-12 b:5-40 c:2-15",
        ),
        Move("{A} bakes {a} trays of {u}. [Each tray|A tray] [holds|has room for] {b} {u}.", "a * b", "a:2-12 b:6-24"),
        Move("{A} plants {a} rows of {u} with {b} {u} in [each|every] row.", "a * b", "a:3-20 b:4-25"),
        Move("{A} has {a} dozen {u}.", "a * 12", "a:2-12"),
        Move(
            "{A} collects {u}. {He} had {a} last year and [got|bought|was given] {b} more every month this year.",
            "a + b * 12",
            "a:10-90 b:2-9",
        ),
    ),
    "money": (
        Move("{A} sold {a} {u} [at|for] ${b} [each|apiece].", "a * b", "a:8-60 b:price"),
        Move("{A} has {a} quarters and {b} dimes.", "a * 0.25 + b * 0.1", "a:8-40/4 b:10-50/5"),
        Move(
            "{A} [earns|makes|is paid] ${a} [an|per] hour. [Last week|This week] {he} worked {b} hours[ a day "
            "for {c} days| each "
            "day for {c} days| on each of {c} days].",
            "a * b * c",
            "a:8-30 b:2-9 c:2-6",
        ),
        Move("{A} [saves|puts aside|sets aside] ${a} [a|each|every] week for {b} weeks.", "a * b", "a:5-60 b:3-20"),
        Move("{A} sold {a} {u} [at|for] ${b} each.", "a * b", "a:5-60 b:2-15"),
        Move(
            "{A} sold {a} {u} [at|for] ${b} each and {c} {u2} [at|for] ${d} each.",
            "a * b + c * d",
            "a:3-30 b:2-12 c:3-30 d:2-12",
        ),
        Move(
            "{A} got ${a} from {his} [grandmother|uncle|aunt] and ${b} from {his} parents.",
            "a + b",
            "a:10-90/5 b:10-90/5",
        ),
        Move("{A} has ${a}[.| in {his} wallet.| in {his} savings account.]", "a", "a:60-500/10"),
        Move("{B} has ${a}. {A} has {t_times} as much money as {B}.", "t * a", "a:15-90 t:times"),
        Move(
            "{A} mows lawns. {He} charges ${a} [a|per] lawn and mowed {b} lawns [last month|in {month}].",
            "a * b",
            "a:10-40 b:3-15",
        ),
        Move(
            "{A} [walks dogs|babysits|washes cars] for ${a} [an hour|per hour]. {He} worked {b} hours on {day} "
            "and {c} hours on "
            "{day2}.",
            "a * ( b + c )",
            "a:8-25 b:2-8 c:2-8",
        ),
        Move(
            "A ticket for the {place} costs ${a} for adults and ${b} for children. {c} adults and {d} children "
            "came[| on {day}].",
            "a * c + b * d",
            "a:8-25 b:3-7 c:5-60 d:5-60",
        ),
        Move(
            "{A} makes {u}. [It costs {him}|{He} spends] ${a} to make [one|each], and {he} sells [each|every] "
            "one for ${c} more "
            "than that. {He} sold {b} {u}[| last month|, and counts only the profit]. [{He} keeps the "
            "profit.|The profit is {his} "
            "to keep.]",
            "c * b",
            "a:2-15 c:2-12 b:10-80",
        ),
        Move(
            "{A} [earns|makes] ${a} [a|per] month and works for {b} months[.| a year.]", "a * b", "a:200-900/50 b:3-11"
        ),
        Move("{A} has {a} ten-dollar bills and {b} five-dollar bills.", "a * 10 + b * 5", "a:3-15 b:3-15"),
        Move(
            "{A} worked {a} hours at ${b} an hour and got a [bonus|tip] of ${c}[| for good work].",
            "a * b + c",
            "a:4-40 b:8-25 c:10-90/5",
        ),
        Move(
            "{A} is paid ${a} for each of the first {b} hours and ${c} for each hour after that. {He} worked {d} hours more "
            "than those first {b}.",
            "a * b + c * d",
            "a:10-20 b:20-40/5 c:21-35 d:2-12",
        ),
        Move(
            "{A} drives a taxi. {He} [makes|earns] ${a} on a weekday and ${b} on each day of the weekend. [This week, {he} "
            "worked|{He} worked] {c} weekdays and both days of the weekend.",
            "a * c + b * 2",
            "a:60-150/5 b:155-250/5 c:2-5",
        ),
    ),
    "cost": (
        Move(
            "{A} buys {a} {u} [at|for] ${b} each and {c} {u2} [at|for] ${d} each.",
            "a * b + c * d",
            "a:2-9 b:price c:2-9 d:price",
        ),
        Move("{A} buys {a} {u} [at|for] ${b} [each|apiece|per {u1}].", "a * b", "a:4-24 b:price"),
        Move(
            "A {box1} of {u} costs ${a} and a {box21} of {u2} costs ${b}. {A} gets {c} {box} and {d} {box2}.",
            "a * c + b * d",
            "a:price b:2-12 c:2-8 d:2-8",
        ),
        Move(
            "{A} needs {a} pounds of [flour|rice|apples|potatoes], which cost ${b} [a|per] pound.",
            "a * b",
            "a:2-20 b:price",
        ),
        Move(
            "{A} [buys|wants to buy] {a} {u} [at|for] ${b} each and {c} {u2} [at|for] ${d} each.",
            "a * b + c * d",
            "a:2-12 b:2-15 c:2-12 d:2-15",
        ),
        Move("{A} buys {a} {u} that cost ${b} each.", "a * b", "a:3-20 b:3-25"),
        Move(
            "[One|A] {u1} costs ${a}, and [one|a] {u21} costs {t_times} as much. {A} buys {b} {u} and {c} {u2}.",
            "a * b + t * a * c",
            "a:2-9 t:times b:2-9 c:2-9",
        ),
        Move(
            "[One|A] {u1} costs ${a}, and [one|a] {u21} costs ${b} more. {A} buys {c} of each[| kind].",
            "a * c + ( a + b ) * c",
            "a:2-15 b:2-9 c:2-12",
        ),
        Move(
            "{A} needs {a} {u} for [a party|a project|{his} class]. They come in {box} of {b} that cost ${c} "
            "[each|a {box1}].",
            "a / b * c",
            "b:4-12 c:3-15 a:36-144/12",
        ),
        Move("The {u} cost ${a} [per|a] {box1}. {A} takes {b} {box}.", "a * b", "a:4-30 b:2-12"),
        Move("{A} orders {a} {u} at ${b} each, and delivery costs ${c}.", "a * b + c", "a:3-20 b:3-20 c:4-15"),
        Move(
            "A [dress|coat|pair of shoes] costs ${a}, [and a hat costs {f} of that|and a hat costs {f} of that "
            "price]. {A} buys both.",
            "a + a / q * p",
            "a:60-240/60 f:fraction",
        ),
    ),
    "people": (
        Move(
            "There are {a} [rows|tables] with {b} [people|guests] [each|at each of them] at the {place}.",
            "a * b",
            "a:4-20 b:4-12",
        ),
        Move("{a} buses with {b} people [each|on each bus] [come|came] to the {place}.", "a * b", "a:2-12 b:15-50"),
        Move(
            "{a} people [came|went] to the {place} on {day}. On {day2}, {t_times} as many people [came|went].",
            "a + t * a",
            "a:20-150/5 t:times",
        ),
        Move("{a} men, {b} women and {c} children are at the {place}.", "a + b + c", "a:10-80 b:10-80 c:10-80"),
        Move("A school has {a} [classes|classrooms] with {b} students [each|in each].", "a * b", "a:4-20 b:15-32"),
        Move("A school has {a} girls and {b} more boys than girls.", "a + ( a + b )", "a:60-300/5 b:4-40"),
        Move(
            "{A} invited {a} people to [a party|{his} wedding|a picnic], and {B} invited {b} other people.",
            "a + b",
            "a:20-90 b:20-90",
        ),
        Move(
            "[In a town of {a} people,|There are {a} people in a town, and] {b}% of the [inhabitants|people] "
            "go to the {place}.",
            "a * b / 100",
            "a:200-2000/100 b:10-90/5",
        ),
        Move("A [choir|club|team] has {a} members in each of {b} groups.", "a * b", "a:5-20 b:3-12"),
        Move("A train has {a} cars. Each car [has|holds] {b} passengers.", "a * b", "a:4-15 b:20-70/5"),
    ),
    "miles": (
        Move("{A} drives [at|at a speed of] {a} miles per hour for {b} hours.", "a * b", "a:30-70/5 b:2-9"),
        Move("{A} drives {a} miles on {day} and {t_times} as far on {day2}.", "a + t * a", "a:20-120/5 t:times"),
        Move(
            "{A} drives {a} miles an hour for {b} hours and [then|after that] {c} miles an hour for {d} hours.",
            "a * b + c * d",
            "a:30-70/5 b:2-6 c:30-70/5 d:2-6",
        ),
        Move("{A}'s truck makes {a} trips of {b} miles [each|].", "a * b", "a:3-15 b:12-80"),
        Move(
            "{A}'s car goes {a} miles on [a|one] gallon of gas, and the tank holds {b} gallons. {He} drives "
            "until the tank is empty.",
            "a * b",
            "a:18-40 b:8-18",
        ),
        Move(
            "{A} takes a [plane|train] that covers {a} miles in the first hour and {b} miles in each of the next {c} hours.",
            "a + b * c",
            "a:60-200/10 b:60-300/10 c:2-5",
        ),
    ),
    "pages": (
        Move("{A} reads {a} pages [a|every|each] day for {b} days.", "a * b", "a:8-50 b:3-14"),
        Move(
            "{A} reads {a} pages [an|per] hour and reads for {b} hours on each of {c} days.",
            "a * b * c",
            "a:10-40 b:2-4 c:2-6",
        ),
        Move(
            "{A} read {a} pages on {day} and {b} [more|more pages] on {day2} than on {day}.",
            "a + ( a + b )",
            "a:15-80 b:4-30",
        ),
        Move("{A} read {a} pages on {day} and {t_times} as many on {day2}.", "a + t * a", "a:12-60 t:times"),
        Move("{A} read {a} pages in the morning and {b} in the afternoon.", "a + b", "a:4-40 b:4-40"),
    ),
    "minutes": (
        Move(
            "{A} spends {a} minutes on {his} math homework and {t_times} as long on {his} science homework.",
            "a + t * a",
            "a:10-40/5 t:times",
        ),
        Move("{A} needs {a} minutes for [one|each] {u1} and makes {b} {u}.", "a * b", "a:4-20 b:3-15"),
        Move("{A} [works|studies] for {a} hours [without a pause|].", "a * 60", "a:2-8"),
    ),
    "liters": (
        Move(
            "A tank is filled by a pump that brings {a} liters [a|per|every] minute. It runs for {b} minutes.",
            "a * b",
            "a:5-40 b:6-60",
        ),
        Move("{A} pours {a} buckets of {b} liters each into a barrel.", "a * b", "a:4-20 b:5-15"),
        Move(
            "A [tank|pool|barrel] holds {a} liters of water and is {b}% full.",
            "a * b / 100",
            "a:100-1000/50 b:20-90/10",
        ),
        Move(
            "{A} [mixes|makes] lemonade from {a} liters of water and {b} liters of juice.",
            "a + b",
            "a:10-40 b:2-9",
        ),
        Move("A cow gives {a} liters of milk a day. A farmer has {b} cows.", "a * b", "a:8-30 b:3-20"),
    ),
    "points": (
        Move(
            "{A} made {a} shots worth 2 points each and {b} shots worth 3 points each.",
            "a * 2 + b * 3",
            "a:3-15 b:2-12",
        ),
        Move(
            "{A} scored {a} points in the first game and {t_times} as many in the second one.",
            "a + t * a",
            "a:6-30 t:times",
        ),
        Move(
            "{A} scored {a} points in the first game and {b} [more|more points] in the second one than in the first.",
            "a + ( a + b )",
            "a:8-40 b:2-12",
        ),
        Move("In a [game|quiz], {A} got {a} points for each of {b} [right answers|levels].", "a * b", "a:3-15 b:4-25"),
        Move("{A}'s team scored {a} points in each of the first {b} games.", "a * b", "a:20-70 b:2-9"),
    ),
    "service": (
        Move(
            "{A} rents a [car|boat|van] for ${a} [a|per] day. {He} keeps it for {b} days.", "a * b", "a:20-90/5 b:2-10"
        ),
        Move(
            "A gym charges ${a} [a|per] month and a [one-time|] sign-up fee of ${b}. {A} joins for {c} months.",
            "a * c + b",
            "a:15-60/5 b:20-90/5 c:3-12",
        ),
        Move(
            "{A} is [redoing|painting] {a} rooms. Each room needs {b} [cans of paint|rolls of wallpaper] at "
            "${c} [each|apiece].",
            "a * b * c",
            "a:2-6 b:2-5 c:10-40",
        ),
        Move(
            "{A} takes {his} {a} {friends} to the {place}. A ticket costs ${b}, and {A} pays for {him}self and "
            "all of {his} {friends}.",
            "( a + 1 ) * b",
            "a:2-8 b:6-30",
        ),
        Move(
            "A [repair shop|plumber|electrician] charges ${a} an hour and works for {A} for {b} hours. The "
            "[parts|materials] cost ${c}.",
            "a * b + c",
            "a:20-90/5 b:2-8 c:15-150/5",
        ),
        Move("{A} stays at a hotel for {a} nights at ${b} [a|per] night.", "a * b", "a:2-9 b:60-180/10"),
        Move(
            "{A} takes {a} [piano|swimming|driving] lessons [a|every] week for {b} weeks. One lesson costs ${c}.",
            "a * b * c",
            "a:2-4 b:2-9 c:15-50/5",
        ),
        Move(
            "{A} pays ${a} a month for [a phone|the internet|insurance], which makes 12 payments a year.",
            "a * 12",
            "a:15-90/5",
        ),
    ),
    "walk": (
        Move("{A} [runs|walks|bikes] {a} miles [a|every|each] day for {b} days.", "a * b", "a:2-12 b:3-14"),
        Move("{A} [bikes|walks] {a} miles to work and the same way back, {b} days a week.", "a * 2 * b", "a:2-9 b:3-6"),
        Move("{A} [jogs|runs] around a track {a} times. [One|Each] lap is {b} miles long.", "a * b", "a:3-16 b:2-5"),
        Move("{A} [hikes|walks] {a} miles in the morning and {b} miles in the afternoon.", "a + b", "a:2-12 b:2-12"),
        Move(
            "{A} [runs|jogs] {a} miles on {day}, {b} miles on {day2} and {t_times} as far as on {day2} on {day3}.",
            "a + b + t * b",
            "a:2-9 b:2-6 t:times",
        ),
    ),
    "hobby": (
        Move(
            "{A} [practices|plays] the piano for {a} minutes [a|every|each] day, {b} days [a|in one] week.",
            "a * b",
            "a:15-60/5 b:3-6",
        ),
        Move("{A} watches {a} episodes of a show. Each episode is {b} minutes long.", "a * b", "a:2-9 b:20-55/5"),
        Move(
            "It takes {A} {a} minutes to walk to the {place}[, and just as long| and as long] to walk back. "
            "{He} goes there {b} times.",
            "a * 2 * b",
            "a:5-30 b:2-6",
        ),
        Move("{A} has {a} appointments [today|on {day}], and each takes {b} minutes.", "a * b", "a:3-9 b:15-50/5"),
        Move(
            "{A} [exercises|trains] for {a} minutes [each|every] morning and {b} minutes [each|every] evening, "
            "{c} days a week.",
            "( a + b ) * c",
            "a:10-45/5 b:10-60/5 c:3-6",
        ),
    ),
}

MOVES: Mapping[str, tuple[Move, ...]] = {
    "things": (
        Move("{He} gave {a} of [them|the {u}] to {C}.", "v - a", "a:below", undo="v + a"),
        Move("[Then|Later] {he} [lost|misplaced] {a} of them.", "v - a", "a:little", undo="v + a"),
        Move(
            "{He} gave {f} of [them|{his} {u}] [away|to {his} {friends}].",
            "v - v / q * p",
            "f:fraction",
            undo="v / ( q - p ) * q",
        ),
        Move("{He} sold {a}% of [them|the {u}].", "v - v * a / 100", "a:percent"),
        Move(
            "[{C}|{His} [mother|father|brother|sister]] gave {him} {a} more[| {u}].",
            "v + a",
            "a:4-60",
            undo="v - a",
        ),
        Move(
            "[Then|The next day] {he} [bought|got] {a} more {box} of {u} with {b} in each.",
            "v + a * b",
            "a:2-6 b:3-20",
            undo="v - a * b",
        ),
        Move("{He} gave {a} to each of {his} {b} {friends}.", "v - a * b", "a:2-6 b:2-5", undo="v + a * b"),
        Move(
            "{He} [used|needed] {a} of them [a|every|each] day for {b} days.",
            "v - a * b",
            "a:2-6 b:2-7",
            undo="v + a * b",
        ),
        Move(
            "[Within a year|Over the summer|After a month], {he} had {t_times} as many[| {u}].",
            "v * t",
            "t:times",
            undo="v / t",
        ),
        Move(
            "{He} threw away {f} of them, [which were broken|because they were damaged|which were no good].",
            "v - v / q * p",
            "f:fraction",
            undo="v / ( q - p ) * q",
        ),
        Move(
            "{He} kept only {f} of them[ and gave the rest away| and donated the others|].",
            "v / q * p",
            "f:fraction",
            undo="v / p * q",
        ),
        Move("{He} sold [all of them|the {u}] [at|for] ${a} each.", "v * a", "a:2-12", to="money"),
        Move(
            "{He} packed them in {box2} of {a} and sold [every|each] {box21} for ${b}.",
            "v / a * b",
            "a:divisor b:3-20",
            to="money",
        ),
    ),
    "money": (
        Move(
            "{He} spent ${a} on [a book|lunch|a shirt|groceries|{u3}|a present for {D}|a haircut].",
            "v - a",
            "a:below",
            undo="v + a",
        ),
        Move("{He} bought {a} {u3} [at|for] ${b} each.", "v - a * b", "a:2-6 b:2-9", undo="v + a * b"),
        Move(
            "{He} spent {f} of [it|{his} money|that money] on [rent|clothes|food|a trip|a gift].",
            "v - v / q * p",
            "f:fraction",
            undo="v / ( q - p ) * q",
        ),
        Move("{He} paid {a}% of it in taxes.", "v - v * a / 100", "a:percent"),
        Move(
            "{He} put {a}% of it in [the bank|a savings account] and kept the rest[| in cash].",
            "v - v * a / 100",
            "a:percent",
        ),
        Move(
            "{He} gave {f} of the money to {his} [brother|sister|mother].",
            "v - v / q * p",
            "f:fraction",
            undo="v / ( q - p ) * q",
        ),
        Move("[Then|The next day] {he} [found|earned|was given] another ${a}.", "v + a", "a:5-95/5", undo="v - a"),
        Move("{C} [paid back|returned] the ${a} that {he} had lent {C}.", "v + a", "a:5-60/5", undo="v - a"),
        Move(
            "{He} paid a bill of ${a}[| for electricity| for water| for {his} phone].",
            "v - a",
            "a:below",
            undo="v + a",
        ),
        Move(
            "{He} bought a {goal} for ${a} and spent ${b} on [repairs|a bag|tools] for it.",
            "v - a - b",
            "a:little b:2-9",
        ),
        Move("{He} doubled {his} money by [selling|trading] [used|old] {u3}.", "v * 2", "", undo="v / 2"),
        Move(
            "{He} took a bus to the {place} and back, [which cost|at] ${a} each way.",
            "v - a * 2",
            "a:2-5",
            undo="v + a * 2",
        ),
    ),
    "cost": (
        Move("{He} also [buys|gets] {a} {u3} [at|for] ${b} each.", "v + a * b", "a:2-9 b:2-12"),
        Move("[The store gives {him}|{He} gets] a discount of {a}%[| on everything].", "v - v * a / 100", "a:discount"),
        Move("{He} has a coupon for ${a} off.", "v - a", "a:little"),
        Move("[There is a sales tax of {a}%|A sales tax of {a}% is added].", "v + v * a / 100", "a:smallpercent"),
        Move("[Shipping|Gift wrapping|Delivery] adds ${a}.", "v + a", "a:3-20"),
        Move("{He} also [gets|takes] a {u31} [for|that costs] ${a}.", "v + a", "a:2-30"),
        Move("{C} pays {f} of the bill.", "v - v / q * p", "f:fraction"),
        Move("{He} leaves a tip of ${a}.", "v + a", "a:3-20"),
        Move("On top of that, {he} pays ${a} for parking and ${b} for [a snack|a drink].", "v + a + b", "a:3-15 b:2-9"),
    ),
    "people": (
        Move("[Then|Later|After an hour], {a} of them [left|went home].", "v - a", "a:below", undo="v + a"),
        Move("[Then|Later|At noon], {a} more people [came|arrived|joined].", "v + a", "a:5-80", undo="v - a"),
        Move(
            "{f} of them [left|went home] [early|before noon|when it rained].",
            "v - v / q * p",
            "f:fraction",
            undo="v / ( q - p ) * q",
        ),
        Move("{a}% of them [leave|go home] [early|after an hour].", "v - v * a / 100", "a:percent"),
        Move("Each of them brought {a} [guests|friends].", "v + v * a", "a:2-4"),
        Move("{a} groups of {b} people [left|went home].", "v - a * b", "a:2-6 b:2-7", undo="v + a * b"),
        Move(
            "{a} [cars|vans] with {b} more people [each|] [arrived|came].", "v + a * b", "a:2-9 b:2-7", undo="v - a * b"
        ),
        Move("Each of them paid ${a} [for a ticket|to get in|for lunch].", "v * a", "a:3-20", to="takings"),
        Move(
            "[Only {f} of them|{f} of them] [are adults|can swim|have a ticket], and [we count only those|only those stay].",
            "v / q * p",
            "f:fraction",
            undo="v / p * q",
        ),
    ),
    "takings": (
        Move("{f} of the money goes to [the {place}|charity|the band].", "v - v / q * p", "f:fraction"),
        Move("[Renting the hall|The music|Cleaning up] costs ${a}.", "v - a", "a:below"),
        Move("Snacks and drinks bring in another ${a}.", "v + a", "a:20-300/10"),
        Move("[A sponsor|The town] [adds|gives] {t_times} as much as that.", "v + v * t", "t:times"),
    ),
    "miles": (
        Move("[Then|After a break] {he} [goes|covers] another {a} miles.", "v + a", "a:5-90/5"),
        Move(
            "[Then|After lunch] {he} travels for {a} more hours at {b} miles per hour.", "v + a * b", "a:2-5 b:15-60/5"
        ),
        Move("[The next week|The next month], {he} goes {t_times} that distance.", "v * t", "t:times"),
        Move(
            "{f} of the way {he} goes before noon, the rest [in the afternoon|after lunch].",
            "v - v / q * p",
            "f:fraction",
            to="roads",
        ),
        Move("{C} travels {a} miles [less|fewer] than {A}.", "v - a", "a:little", to="other"),
        Move("{C} travels {a}% farther than {A}.", "v + v * a / 100", "a:percent", to="other"),
    ),
    "pages": (
        Move("[Then|On the weekend] {he} reads {a} more pages.", "v + a", "a:5-60"),
        Move("{C} reads {t_times} as many pages[| as {A}].", "v * t", "t:times", to="reader"),
        Move("{C} reads {a} pages fewer than {A}.", "v - a", "a:little", to="reader"),
        Move(
            "{f} of these pages are pictures[| and have no text], so {he} counts only the [rest|others].",
            "v - v / q * p",
            "f:fraction",
        ),
        Move(
            "{a}% of the pages are about [animals|history|space], and {A} [skips|leaves out] those.",
            "v - v * a / 100",
            "a:percent",
        ),
    ),
    "reader": (Move("{D} reads {a} pages more than {C}.", "v + a", "a:4-40", to="readers"),),
    "minutes": (
        Move("{He} also takes {a} breaks of {b} minutes.", "v + a * b", "a:2-5 b:3-15"),
        Move("[After that|Then], {he} needs {a} more minutes to clean up.", "v + a", "a:5-40/5"),
        Move("[Next week|The week after], {he} wants to spend {t_times} as much time[| on it].", "v * t", "t:times"),
        Move("With help from {C}, {he} needs {a} minutes less.", "v - a", "a:little"),
        Move(
            "{He} spends {f} of that time [talking|waiting|on the phone] and the rest [working|on real work].",
            "v - v / q * p",
            "f:fraction",
            to="saved",
        ),
    ),
    "liters": (
        Move("[Then|Overnight] {a} liters [leak|run] out.", "v - a", "a:little"),
        Move("{B} uses {f} of it [for the garden|to wash the car|for the plants].", "v - v / q * p", "f:fraction"),
        Move("[Later|In the evening], {a} more liters are added.", "v + a", "a:4-60"),
        Move("{B} takes {a} liters [a|every] day for {b} days.", "v - a * b", "a:2-6 b:2-6"),
        Move("[A week later|After a while], {a}% of it [is gone|has dried up].", "v - v * a / 100", "a:percent"),
    ),
    "points": (
        Move("[Then|In the next round] {he} lost {a} points[| for a foul| for a mistake].", "v - a", "a:little"),
        Move("[In the last game|After that] {he} [got|scored] {a} more points.", "v + a", "a:3-40"),
        Move("A bonus [doubles|doubled] {his} points.", "v * 2"),
        Move("{He} lost {f} of {his} points [in the last round|at the end].", "v - v / q * p", "f:fraction"),
        Move("{C} scored {a} points fewer than {A}.", "v - a", "a:little", to="rival"),
        Move("{C} scored {t_times} as many points as {A}.", "v * t", "t:times", to="rival"),
    ),
    "service": (
        Move("{He} gets a discount of {a}%[| as a new customer| for paying early].", "v - v * a / 100", "a:discount"),
        Move("{He} has a coupon for ${a} off.", "v - a", "a:little"),
        Move("[There is a tax of {a}%|A tax of {a}% is added].", "v + v * a / 100", "a:smallpercent"),
        Move("[An extra fee of ${a} is added|On top of that, there is a fee of ${a}].", "v + a", "a:3-40"),
        Move("{C} pays {f} of the bill.", "v - v / q * p", "f:fraction"),
        Move("{His} [mother|father|aunt] pays ${a} of it.", "v - a", "a:below"),
        Move("{He} also spends ${a} on [food|gas|books|tools].", "v + a", "a:5-60"),
    ),
    "walk": (
        Move("[The next week|The next month], {he} goes {t_times} that distance.", "v * t", "t:times"),
        Move("[On top of that|Then], {he} does {a} more miles with {D}.", "v + a", "a:2-20"),
        Move("{C} goes {a} miles [less|fewer] than {A}.", "v - a", "a:little", to="other walk"),
        Move("{C} goes {t_times} as far as {A}.", "v * t", "t:times", to="other walk"),
        Move("{f} of the way [is|goes] uphill and the rest downhill.", "v - v / q * p", "f:fraction", to="downhill"),
    ),
    "hobby": (
        Move("[Next week|The week after], {he} wants to spend {t_times} as much time[| on it].", "v * t", "t:times"),
        Move("On [the weekend|a holiday], {he} spends another {a} minutes on it.", "v + a", "a:10-90/5"),
        Move("{C} spends {a} minutes [less|less on it].", "v - a", "a:little", to="other hobby"),
        Move("{C} spends {t_times} as long[| on it].", "v * t", "t:times", to="other hobby"),
    ),
}

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
