"""How the amount of a story in steps changes, by its kind."""

from __future__ import annotations

from collections.abc import Mapping

from fef.corpus.move import Move

__all__ = ["MOVES"]

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
