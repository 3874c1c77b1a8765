"""How stories in steps begin, by the kind of amount that they are about."""

from __future__ import annotations

from collections.abc import Mapping

from fef.corpus.move import Move

__all__ = ["STARTS"]

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
