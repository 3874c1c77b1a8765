"""Stories of prices: what was paid, what is left, change and discounts."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "A ticket to the [fair|zoo|museum] costs ${a} for an adult and ${b} for a child. [Inside, a|A] "
        "ride on the merry-go-round costs ${c}.",
        (
            ("How much do {d} tickets for adults cost?", "a * d"),
            ("How much do {d} tickets for children cost?", "b * d"),
            (
                "{A} is an adult and goes there with one child. How much do their tickets cost [together|altogether]?",
                "a + b",
            ),
            ("How much more does an adult's ticket cost than a child's [ticket|]?", "a - b"),
            ("A child pays for a ticket and one ride. How much is that [in all|altogether]?", "b + c"),
            ("A child pays for a ticket and {d} rides. How much is that [in all|altogether]?", "b + ( c * d )"),
            (
                "{A} is an adult and goes there with {d} children. How much do their tickets cost "
                "[together|altogether]?",
                "a + ( b * d )",
            ),
        ),
        less=("ba",),
        small="abcd",
    ),
    Story(
        "{A} had ${a}. [Then {he}|{He}] bought a {goal} for ${b} and a book for ${c}.",
        (
            ("How much [money|] did {A} spend [in all|altogether]?", "b + c"),
            ("How much [money|] does {A} have [left|now]?", "( a - b ) - c"),
            ("How much more did the {goal} cost than the book?", "b - c"),
            ("How much would {A} have left if {he} had bought only the {goal}?", "a - b"),
            ("How much would {A} have left if {he} had bought only the book?", "a - c"),
            ("If the book had been ${d} cheaper, how much would it have cost?", "c - d"),
            ("If the book has {d} chapters, how much [money|] did {A} spend [in all|altogether]?", "b + c"),
        ),
        less=(
            "cb",
            "dc",
        ),
        small="cd",
        enough="( a - b ) - c",
    ),
    Story(
        "A pair of shoes costs ${a}, and a shirt costs ${b}. [This week|Today], there is a discount of "
        "${c} on every pair of shoes.",
        (
            ("How much does a pair of shoes cost with the discount?", "a - c"),
            ("How much would a pair of shoes and a shirt cost together without the discount?", "a + b"),
            ("Without the discount, how much more does a pair of shoes cost than a shirt?", "a - b"),
            ("How much do {d} shirts cost?", "b * d"),
            ("How much do a pair of shoes and a shirt cost together with the discount?", "( a - c ) + b"),
            ("How much do {d} pairs of shoes cost with the discount?", "( a - c ) * d"),
        ),
        less=(
            "ca",
            "ba",
        ),
        small="d",
    ),
    Story(
        "At the market, a pound of apples costs ${a} and a pound of cherries costs ${b}. {A} buys {c} "
        "pounds of apples and {d} pounds of cherries.",
        (
            ("How much [money|] does {A} pay for the apples?", "a * c"),
            ("How much [money|] does {A} pay for the cherries?", "b * d"),
            ("How many pounds of fruit does {A} buy [in all|altogether|]?", "c + d"),
            ("How many more pounds of apples than of cherries does {A} buy?", "c - d"),
            ("How much more does a pound of cherries cost than a pound of apples?", "b - a"),
            ("How much [money|] does {A} pay [in all|altogether]?", "( a * c ) + ( b * d )"),
        ),
        less=(
            "ab",
            "dc",
        ),
        small="abcd",
    ),
    Story(
        "{A} paid ${a} for {b} notebooks, all at the same price, and ${c} for {d} pens, all at the same price.",
        (
            ("How much did one notebook cost?", "a / b"),
            ("How much did each pen cost?", "c / d"),
            ("How much did {A} pay [in all|altogether|for everything]?", "a + c"),
            ("How much more did {A} pay for the notebooks than for the pens?", "a - c"),
            ("How many notebooks and pens did {A} buy [in all|altogether]?", "b + d"),
            ("How much do all the pens and one of the notebooks cost together?", "c + a / b"),
        ),
        less=("ca",),
        small="bd",
    ),
    Story(
        "Renting a bike costs ${a} a day, and a helmet costs ${b} a day. {A} has ${c}.",
        (
            ("How much does it cost to rent a helmet for {d} days?", "b * d"),
            ("How much do both cost for one day?", "a + b"),
            ("How much does {A} have left after renting a helmet only, for one day?", "c - b"),
            ("How much does {A} have left after renting both for one day?", "( c - a ) - b"),
            ("How much does {A} have left after renting a helmet for {d} days?", "c - ( b * d )"),
            ("How much more does a bike cost a day than a helmet?", "a - b"),
            ("If {A} wants to ride {d} miles, how much do a bike and a helmet cost for one day?", "a + b"),
        ),
        less=("ba",),
        small="abd",
        enough="( c - a ) - b",
    ),
    Story(
        "A phone costs ${a} in the first shop and ${b} in the second [shop|]. A case for it costs ${c} in either shop.",
        (
            ("How much cheaper is the phone in the first shop [than in the second|]?", "b - a"),
            ("How much does {A} pay for the phone and a case in the first shop?", "a + c"),
            ("How much do the phone and a case cost together in the second shop?", "b + c"),
            ("{A} buys the phone in the second shop and pays ${d} now. How much must {A} still pay?", "b - d"),
            ("{A} buys the phone in the first shop and pays in {d} equal parts. How much is each part?", "a / d"),
            ("How much do {d} of the cases cost?", "c * d"),
            (
                "{A} buys the phone and a case in the second shop and pays ${d} now. How much must {A} still pay?",
                "( b + c ) - d",
            ),
            ("In the first shop, how much do {d} of the phones with a case for each of them cost?", "( a + c ) * d"),
            (
                "If {A} is {d} years old and buys the phone and a case in the first shop, how much does {A} pay?",
                "a + c",
            ),
        ),
        less=("ab",),
        small="d",
    ),
    Story(
        "{A} gives the seller ${a} for a toy train that costs ${b}. A toy boat costs ${c}.",
        (
            ("How much change does {A} get?", "a - b"),
            ("How much do the train and the boat cost together?", "b + c"),
            ("How much more does the boat cost than the train?", "c - b"),
            ("If {A} took the boat instead of the train, how much change would {A} get?", "a - c"),
            ("How much do {d} of the toy trains cost?", "b * d"),
            ("If the boat is ${d} cheaper in another shop, how much does it cost there?", "c - d"),
            ("If {A} took both the train and the boat, how much change would {A} get?", "( a - b ) - c"),
            (
                "If a toy plane costs ${d} more than the boat, how much do the boat and the plane cost together?",
                "c + ( c + d )",
            ),
            ("If the train has {d} cars, how much change does {A} get?", "a - b"),
        ),
        less=(
            "ba",
            "bc",
            "ca",
            "dc",
        ),
        small="d",
    ),
    Story(
        "A gallon of gas costs ${a}. {A}'s car needs {b} gallons for a trip to the sea, and {B}'s car "
        "needs {c} gallons.",
        (
            ("How much does {A} pay for the gas?", "a * b"),
            ("How much does {B} pay for the gas?", "a * c"),
            ("How many gallons do both cars need [together|in all]?", "b + c"),
            ("How many more gallons does {B}'s car need than {A}'s?", "c - b"),
            ("How much do {d} gallons of gas cost?", "a * d"),
            ("If the price of a gallon goes up by ${d}, how much does a gallon cost then?", "a + d"),
            ("How much do {A} and {B} pay for the gas [in all|together]?", "a * ( b + c )"),
            ("How much more does {B} pay for the gas than {A}?", "a * ( c - b )"),
            ("If {A} also pays ${d} for oil, how much does {A} pay for gas and oil?", "( a * b ) + d"),
            ("If the trip takes {d} hours, how much does {B} pay for the gas?", "a * c"),
        ),
        less=("bc",),
        small="abcd",
    ),
    Story(
        "In a furniture store, a table costs ${a}, a chair costs ${b} and a lamp costs ${c}.",
        (
            ("How much do {d} chairs cost?", "b * d"),
            ("How much do {d} lamps cost?", "c * d"),
            ("How much do a table and a lamp cost [together|altogether]?", "a + c"),
            (
                "[How much more does a table cost than a chair?|Find the difference between the prices of a"
                " table and a chair.]",
                "a - b",
            ),
            ("How much do a table and {d} chairs cost [together|altogether]?", "a + ( b * d )"),
            ("How much more does a lamp cost than a chair?", "c - b"),
            ("How much do one table, one chair and one lamp cost [together|altogether]?", "( a + b ) + c"),
            (
                "There is a discount of ${d} for those who buy a table and a chair together. How much do "
                "they pay for both?",
                "( a + b ) - d",
            ),
            ("If the store is open for {d} hours, how much do a table and a lamp cost [together|altogether]?", "a + c"),
        ),
        less=(
            "ba",
            "bc",
        ),
        small="d",
    ),
    Story(
        "One visit to the pool costs ${a}, and a pass for the whole summer costs ${b}. {A} [went|has "
        "gone] to the pool {c} times [without a pass|and paid for each visit].",
        (
            ("How much did {A} pay for the visits?", "a * c"),
            ("How much more does a pass cost than one visit?", "b - a"),
            ("How many visits can {B} pay for with the money that a pass costs?", "b / a"),
            ("If {A} goes {d} more times, how many times will {A} have gone?", "c + d"),
            ("If students get ${d} off the price of a pass, how much does a student pay for a pass?", "b - d"),
            ("How much do {d} visits cost?", "a * d"),
            (
                "If {A} goes {d} more times and pays for each visit, how much will {A} have paid in all?",
                "( c + d ) * a",
            ),
            ("How much more does a pass cost than {d} visits?", "b - ( a * d )"),
            ("If the pool is {d} feet deep, how much did {A} pay for the visits?", "a * c"),
        ),
        less=("db",),
        small="acd",
    ),
)
