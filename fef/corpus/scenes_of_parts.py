"""Scenes of ages, averages, ratios, percentages and fractions."""

from __future__ import annotations

from fef.corpus.scene import Scene

__all__ = ["OF_PARTS"]

OF_PARTS: tuple[Scene, ...] = (
    # --- ages ---
    Scene(
        "{A} is {a} years old. {B} is {t_times} as old as {A}.",
        "a:4-20 t:times b:3-15",
        (
            ("How old is {B}?", "t * a"),
            ("How old [will {B} be|is {B} going to be] in {b} years?", "t * a + b"),
            ("What is the sum of their ages?", "a + t * a"),
            ("What [will be|is] the sum of their ages in {b} years?", "( a + b ) + ( t * a + b )"),
            ("How many years older is {B} than {A}?", "t * a - a"),
        ),
    ),
    Scene(
        "{A} is {a} years older than {B}, and {B} is {b} years older than {C}. {C} is {c} years old.",
        "a:2-12 b:2-12 c:4-30 d:2-9",
        (
            ("How old is {A}?", "c + b + a"),
            ("What is the total of their ages?", "c + ( c + b ) + ( c + b + a )"),
            ("How old was {A} {d} years ago?", "c + b + a - d"),
            ("What is the average of the three ages?", "( c + ( c + b ) + ( c + b + a ) ) / 3"),
        ),
    ),
    Scene(
        "In {a} years, {A} will be {t_times} as old as {B} is now. {B} is {b} years old.",
        "a:2-15 b:6-30 t:times c:2-9",
        (
            ("How old is {A} now?", "t * b - a"),
            ("How old was {A} {c} years ago?", "t * b - a - c"),
        ),
    ),
    Scene(
        "{A} was {a} years old when {he} started to work at the {place}. {He} has worked there for {b} years, "
        "{c} years less than {B}.",
        "a:18-35 b:4-30 c:2-3 d:2-9",
        (
            ("How old is {A} now?", "a + b"),
            ("How many years has {B} worked there?", "b + c"),
            ("How many years will {B} have worked there in {d} years?", "b + c + d"),
        ),
    ),
    # --- averages ---
    Scene(
        "{A} scored {a}, {b} and {c} points [on|in] three tests.",
        "a:60-100 b:60-100 c:60-100 d:70-95",
        (
            ("What is {his} average [score|number of points]?", "( a + b + c ) / 3"),
            ("How many points must {he} score on the fourth test for an average of {d}?", "d * 4 - ( a + b + c )"),
            ("How many points did {he} score in all?", "a + b + c"),
        ),
    ),
    Scene(
        "The temperatures [on|for] four days were {a}, {b}, {c} and {d} degrees.",
        "a:40-90 b:40-90 c:40-90 d:40-90",
        (("What was the average temperature[| of these days]?", "( a + b + c + d ) / 4"),),
    ),
    Scene(
        "The average weight in pounds of {a} [boxes|packages] is {b}. The average of another {c} is {d}.",
        "a:2-12 b:5-40 c:2-12 d:5-40",
        (
            ("How much do all of them weigh together, in pounds?", "a * b + c * d"),
            ("What is the average weight of all of them?", "( a * b + c * d ) / ( a + c )"),
        ),
    ),
    # --- ratios and shares ---
    Scene(
        "The ratio of {u} to {u2} in {A}'s {box1} is {a} to {b}. [There are|It holds] {c} of them in all.",
        "a:2-9 b:2-9 c:20-200",
        (
            ("How many {u} are there?", "c / ( a + b ) * a"),
            ("How many {u2} are there?", "c / ( a + b ) * b"),
        ),
    ),
    Scene(
        "{A} and {B} share ${c} in the ratio {a} to {b}.",
        "a:2-7 b:2-7 c:30-600/10",
        (
            ("How much money does {A} get?", "c / ( a + b ) * a"),
            ("How much money does {B} get?", "c / ( a + b ) * b"),
        ),
    ),
    Scene(
        "For every {a} {u} that {A} sells, {he} gives {b} to charity. [Last month|This year] {he} sold {c}.",
        "a:5-20 b:2-4 c:40-400/10",
        (
            ("How many did {he} give to charity?", "c / a * b"),
            ("How many did {he} sell or give away?", "c + c / a * b"),
        ),
    ),
    Scene(
        "A recipe for {a} [people|servings] needs {b} [cups of flour|eggs|cups of milk|spoons of sugar]. {A} "
        "[cooks|wants to cook] for {c} people.",
        "a:2-8 b:2-12 c:10-60/2",
        (
            ("How many of them does {he} need?", "c / a * b"),
            ("{He} has {b} at home. How many more of them does {he} need?", "c / a * b - b"),
        ),
    ),
    Scene(
        "Together, {A} and {B} have {a} {u}. {A} has {t_times} as many as {B}.",
        "a:20-300 t:times",
        (
            ("How many {u} does {B} have?", "a / ( t + 1 )"),
            ("How many {u} does {A} have?", "a / ( t + 1 ) * t"),
            ("How many more {u} does {A} have than {B}?", "a / ( t + 1 ) * t - a / ( t + 1 )"),
        ),
    ),
    Scene(
        "{A} and {B} [have|own] {a} {u} [together|in total]. {A} has {b} more than {B}.",
        "a:20-200 b:2-40",
        (
            ("How many {u} does {B} have?", "( a - b ) / 2"),
            ("How many {u} does {A} have?", "( a - b ) / 2 + b"),
        ),
    ),
    Scene(
        "{A}, {B} and {C} have {a} {u} [together|in all]. {A} has {t_times} as many as {B}, and {C} has as many as {B}.",
        "a:30-300 t:times",
        (
            ("How many {u} does {B} have?", "a / ( t + 2 )"),
            ("How many {u} does {A} have?", "a / ( t + 2 ) * t"),
        ),
    ),
    # --- percentages ---
    Scene(
        "The price of a {goal} was ${a}. It [rose|went up] by {b}%.",
        "a:40-400/10 b:5-50/5 c:2-5",
        (
            ("What is the price now, in dollars?", "a + a * b / 100"),
            ("How much money do {c} of them cost now?", "( a + a * b / 100 ) * c"),
        ),
    ),
    Scene(
        "A {goal} costs ${a}. [In a sale|This week|With a coupon], the price is {b}% [lower|less].",
        "a:40-400/20 b:5-60/5 c:2-5",
        (
            ("What is the sale price, in dollars?", "a - a * b / 100"),
            ("How much money does {A} save if {he} buys {c} of them?", "a * b / 100 * c"),
            ("How much money does {A} pay for {c} of them?", "( a - a * b / 100 ) * c"),
        ),
    ),
    Scene(
        "There are {a} students in a [school|club|camp]. {b}% of them are girls.",
        "a:40-800/20 b:10-90/5 c:5-20",
        (
            ("How many girls are there?", "a * b / 100"),
            ("How many boys are there?", "a - a * b / 100"),
            ("{c} of the boys are absent today. How many boys are there today?", "a - a * b / 100 - c"),
        ),
    ),
    Scene(
        "{A} answered {b}% of {a} questions [on a test|in a quiz] correctly.",
        "a:20-120/10 b:40-95/5 c:2-5",
        (
            ("How many answers were wrong?", "a - a * b / 100"),
            ("If each right answer gives {c} points, how many points did {he} get?", "a * b / 100 * c"),
        ),
    ),
    Scene(
        "{A} puts ${a} in a savings account that pays {b}% interest a year.",
        "a:100-2000/100 b:2-10 c:2-6",
        (
            ("How much money does {he} have after one year?", "a + a * b / 100"),
            (
                "How much interest, in dollars, does {he} get in {c} years if it is paid out every year?",
                "a * b / 100 * c",
            ),
        ),
    ),
    Scene(
        "{A} weighed {a} pounds and lost {b}% of {his} weight. Then {he} gained {c} pounds.",
        "a:120-300/10 b:5-20/5 c:2-15",
        (("How much does {he} weigh now, in pounds?", "a - a * b / 100 + c"),),
    ),
    Scene(
        "Out of {a} {u}, {p} out of {q} are {red} and the rest are {blue}.",
        "a:20-200 f:fraction",
        (
            ("How many are {red}?", "a / q * p"),
            ("How many are {blue}?", "a - a / q * p"),
            ("How many more {blue} than {red} ones are there?", "( a - a / q * p ) - a / q * p"),
        ),
    ),
    # --- what remains, in fractions of fractions ---
    Scene(
        "{A} had {a} {u}. {He} gave {f} of them to {B} and {b} of the rest to {C}.",
        "a:24-240/12 f:fraction b:3-20",
        (
            ("How many {u} does {A} have left?", "a - a / q * p - b"),
            ("How many {u} did {A} give away?", "a / q * p + b"),
        ),
    ),
    Scene(
        "{f} of the {a} [guests|visitors|passengers] are adults. Half of the others are [boys|under ten].",
        "a:24-240/12 f:fraction",
        (
            ("How many of them are adults?", "a / q * p"),
            ("How many are neither adults nor in that half?", "( a - a / q * p ) / 2"),
        ),
    ),
    Scene(
        "A book has {a} pages. {A} read {f} of it on {day} and {b} pages on {day2}.",
        "a:60-480/12 f:fraction b:5-40 c:2-20",
        (
            ("How many pages [are left|does {he} still have to read]?", "a - a / q * p - b"),
            ("At {c} pages a day, how many days does {he} need for the rest?", "( a - a / q * p - b ) / c"),
        ),
    ),
)
