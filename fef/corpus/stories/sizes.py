"""Stories of what is measured, in change and in comparison: lengths, weights, ages, times, speeds and prices."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "[This morning|At dawn today] the temperature was {a} degrees. By noon it had risen by {b} degrees, and in "
        "the evening it was {c} degrees lower than at noon. [Yesterday at noon|At noon yesterday] it was {d} degrees.",
        (
            ("What was the temperature at noon today?", "a + b"),
            ("What was the temperature this evening?", "( a + b ) - c"),
            ("How many degrees warmer was it this evening than this morning?", "b - c"),
            ("By how many degrees was the evening colder than the morning?", "c - b"),
            ("How many degrees warmer was it yesterday at noon than this morning?", "d - a"),
            ("How much warmer was it at noon today than at noon yesterday?", "( a + b ) - d"),
        ),
        small="bc",
        enough="( 90 - a ) - d",
    ),
    Story(
        "In {month}, a sunflower was {a} inches tall. Since then it has grown {b} inches. Next to it stands a rose "
        "bush with {d} roses. The bush is {c} inches tall, [just as tall as|the same as] it was in {month}.",
        (
            ("How many inches tall is the sunflower now?", "a + b"),
            ("By how many inches was the sunflower taller than the rose bush in {month}?", "a - c"),
            ("How many inches shorter than the rose bush was the sunflower in {month}?", "c - a"),
            ("How many inches taller than the rose bush is the sunflower now?", "( a + b ) - c"),
            ("How many inches does the sunflower still have to grow to be as tall as the rose bush?", "c - ( a + b )"),
        ),
        small="bd",
        enough="( 150 - a ) - c",
    ),
    Story(
        "A rain barrel held {a} gallons of water. [The|A] rain added {b} gallons, and after that {A} used {c} "
        "gallons [for the garden|to wash the car]. It had rained for {d} hours.",
        (
            ("How many gallons of water are in the barrel now?", "( a + b ) - c"),
            ("How many gallons were in the barrel right after the rain?", "a + b"),
            ("If it had not rained, how many gallons would be left now?", "a - c"),
            ("How many more gallons are in the barrel now than before the rain?", "b - c"),
            ("By how many gallons is there less water now than before the rain?", "c - b"),
        ),
        less=("ca",),
        small="d",
    ),
    Story(
        "On {day} the snow was {a} inches deep. On {day2} another {b} inches fell, and on {day3} {c} inches melted. "
        "Last winter, the snow was never deeper than {d} inches.",
        (
            ("How deep was the snow after {day2}?", "a + b"),
            ("How many inches of snow were left after {day3}?", "( a + b ) - c"),
            ("By how many inches was last winter's deepest snow deeper than the snow on {day}?", "d - a"),
            ("How many inches more snow was there after {day3} than on {day}?", "b - c"),
            ("How many inches less snow was there after {day3} than on {day}?", "c - b"),
            (
                "By how many inches was the snow after {day2} deeper than the deepest snow of last winter?",
                "( a + b ) - d",
            ),
        ),
        less=("ca",),
        small="bc",
        enough="( 150 - a ) - d",
    ),
    Story(
        "{A}'s puppy weighed {a} pounds at the beginning of {month}. In {month} it gained {b} pounds, and at the end "
        "of {month2} it weighed {c} pounds. {A}'s cat [always weighs|weighs] {d} pounds.",
        (
            ("How many pounds did the puppy weigh at the end of {month}?", "a + b"),
            ("How many pounds did the puppy gain in the two months together?", "c - a"),
            ("How many pounds did the puppy gain in {month2}?", "c - ( a + b )"),
            ("How many pounds heavier than the cat was the puppy at the beginning of {month}?", "a - d"),
            ("How many pounds lighter than the cat was the puppy at the beginning of {month}?", "d - a"),
            ("How many pounds heavier than the cat was the puppy at the end of {month2}?", "c - d"),
            ("At the end of {month2}, how many pounds did the two pets weigh together?", "c + d"),
            ("How many pounds heavier than the cat was the puppy at the end of {month}?", "( a + b ) - d"),
        ),
        small="abd",
        enough="( c - ( a + b ) ) * ( 150 - c )",
    ),
    Story(
        "A roll of cloth was {a} yards long. {A} cut off some of it for curtains, and {b} yards were left. Then {he} "
        "cut off {c} yards for a [dress|tent|sail]. One yard of the cloth costs ${d}.",
        (
            ("How many yards of cloth did {A} use for the curtains?", "a - b"),
            ("How many yards of cloth are left on the roll now?", "b - c"),
            ("How many yards of cloth did {A} cut off in all?", "( a - b ) + c"),
            ("How much did the whole roll cost?", "a * d"),
            ("What is the price of the piece that was cut off last?", "c * d"),
            ("How many yards longer was the first piece than the second?", "( a - b ) - c"),
            ("How much would all the cloth cost that is left on the roll?", "( b - c ) * d"),
            ("What does the cloth for the curtains cost?", "( a - b ) * d"),
        ),
        less=("ba", "cb"),
        small="d",
    ),
    Story(
        "The price of a {goal} was ${a} last year. It rose by ${b} in {month} and fell by ${c} in {month2}. {A} has "
        "saved ${d}.",
        (
            ("What was the price after it had risen?", "a + b"),
            ("What is the price of the {goal} now?", "( a + b ) - c"),
            ("How much higher is the price now than last year?", "b - c"),
            ("How much lower is the price now than last year?", "c - b"),
            ("How much more money would {A} have needed to pay last year's price?", "a - d"),
            ("If {A} had bought the {goal} at last year's price, how much of the savings would be left?", "d - a"),
            ("When the price was highest, how much was {A} short of it?", "( a + b ) - d"),
        ),
        enough="( a + b ) - c",
    ),
    Story(
        "{A}'s pumpkin weighs {a} pounds. It is {b} pounds heavier than {B}'s pumpkin and {c} pounds lighter than "
        "{C}'s. {C} is {d} years old.",
        (
            ("How many pounds does {B}'s pumpkin weigh?", "a - b"),
            ("How many pounds does {C}'s pumpkin weigh?", "a + c"),
            ("By how many pounds is {C}'s pumpkin heavier than {B}'s?", "b + c"),
            ("How many pounds do the pumpkins of {A} and {B} weigh together?", "a + ( a - b )"),
            ("What is the total weight of {A}'s and {C}'s pumpkins in pounds?", "a + ( a + c )"),
        ),
        less=("ba",),
        small="d",
    ),
    Story(
        "A lamp costs ${a}. A chair costs ${b} more than the lamp, and a table costs ${c} more than the chair. {A} "
        "has ${d}.",
        (
            ("How much does the chair cost?", "a + b"),
            ("How much does the table cost?", "( a + b ) + c"),
            ("How much more expensive is the table than the lamp?", "b + c"),
            ("If {A} buys the lamp, how much money does {A} have left?", "d - a"),
            ("How much more money does {A} need to buy the lamp?", "a - d"),
            ("How many dollars is {A} short of the price of the chair?", "( a + b ) - d"),
            (
                "[How much do the lamp and the chair cost together|What is the total price of the lamp and the chair]?",
                "a + ( a + b )",
            ),
        ),
    ),
    Story(
        "{A} is {a} years old. {B} is {b} years older than {A}, and {C} is {c} years younger than {A}.",
        (
            ("How old is {B}?", "a + b"),
            ("How old is {C}?", "a - c"),
            (
                "[By how many years is {B} older than {C}|What is the difference between the ages of {B} and {C}]?",
                "b + c",
            ),
            ("How old will {A} be in {d} years?", "a + d"),
            ("How old was {A} {d} years ago?", "a - d"),
            ("How old will {C} be in {d} years?", "( a - c ) + d"),
            ("What is the sum of {A}'s age and {B}'s age?", "a + ( a + b )"),
            ("How old will {B} be in {d} years?", "( a + b ) + d"),
        ),
        less=("ca",),
        small="bcd",
        enough="60 - a",
    ),
    Story(
        "{A} threw a ball {a} feet, {b} feet farther than {B}. {C} threw it {c} feet less far than {A}.",
        (
            ("How many feet did {B} throw the ball?", "a - b"),
            ("How many feet did {C} throw the ball?", "a - c"),
            ("How many feet farther than {C} did {B} throw?", "c - b"),
            ("How many feet farther than {B} did {C} throw?", "b - c"),
            ("The school record is {d} feet. By how many feet did {A} miss it?", "d - a"),
            ("The old record was {d} feet. By how many feet did {A} beat it?", "a - d"),
            ("{D} threw the ball {d} feet. How many feet farther than {B} did {D} throw?", "d - ( a - b )"),
        ),
        less=("ba", "ca"),
        enough="300 - a",
    ),
    Story(
        "A beekeeper took {a} jars of honey from the first hive, {b} jars fewer than from the second. The third hive "
        "gave {c} jars more than the first.",
        (
            ("How many jars did the second hive give?", "a + b"),
            ("How many jars came from the third hive?", "a + c"),
            ("How many more jars did the second hive give than the third?", "b - c"),
            ("How many more jars did the third hive give than the second?", "c - b"),
            ("How many jars did the first and the third hive give together?", "a + ( a + c )"),
            ("If {d} jars from the first hive are sold, how many jars from this hive are left?", "a - d"),
            ("If {d} jars from the second hive are sold, how many jars from this hive are left?", "( a + b ) - d"),
        ),
    ),
    Story(
        "A car goes {a} miles an hour. That is {b} miles an hour faster than a truck goes and {c} miles an hour "
        "slower than a train.",
        (
            ("How many miles an hour does the truck go?", "a - b"),
            ("How many miles an hour does the train go?", "a + c"),
            ("How many miles an hour slower than the train is the truck?", "b + c"),
            ("How many miles does the car go in {d} hours?", "a * d"),
            ("If the car went {d} miles an hour faster, how many miles an hour would it go?", "a + d"),
            ("How many miles does the truck go in {d} hours?", "( a - b ) * d"),
            ("How many miles does the train go in {d} hours?", "( a + c ) * d"),
        ),
        less=("ba",),
        small="d",
        enough="99 - a",
    ),
    Story(
        "In {month}, {a} inches of rain fell in [a town|the village], {b} inches less than in {month2}. In {month3}, "
        "{c} inches fell. It rained on {d} days in {month3}.",
        (
            ("How many inches of rain fell in {month2}?", "a + b"),
            ("How many inches of rain fell in {month} and {month3} together?", "a + c"),
            ("How many more inches of rain fell in {month3} than in {month}?", "c - a"),
            ("How many inches less rain fell in {month3} than in {month}?", "a - c"),
            ("By how many inches was {month2} wetter than {month3}?", "( a + b ) - c"),
            ("How many inches of rain fell in the two months {month} and {month2}?", "a + ( a + b )"),
        ),
        small="abcd",
    ),
    Story(
        "A coat costs ${a} in the shop and ${b} at the market. A hat costs ${c} in the shop and ${d} at the market.",
        (
            ("How much cheaper is the coat at the market?", "a - b"),
            ("How much more does the hat cost in the shop than at the market?", "c - d"),
            ("What is the price of a coat and a hat in the shop?", "a + c"),
            ("How much does {A} pay for a coat and a hat at the market?", "b + d"),
            ("If {A} buys the coat at the market and the hat in the shop, how much does {A} pay?", "b + c"),
            ("In the shop, how much more does the coat cost than the hat?", "a - c"),
            ("At the market, how much more does the hat cost than the coat?", "d - b"),
        ),
        less=("ba", "dc"),
    ),
    Story(
        "An elephant eats {a} pounds of hay a day, which is {b} pounds more than a giraffe eats. A zebra eats {c} "
        "pounds more than a giraffe. The zoo has {d} elephants.",
        (
            ("How many pounds of hay does a giraffe eat a day?", "a - b"),
            ("What amount of hay, in pounds, does a zebra eat a day?", "( a - b ) + c"),
            ("How many more pounds does a zebra eat than an elephant?", "c - b"),
            ("How many fewer pounds does a zebra eat than an elephant?", "b - c"),
            ("How many pounds of hay do all elephants of the zoo eat in a day?", "a * d"),
            ("How many pounds do an elephant and a giraffe eat together in a day?", "a + ( a - b )"),
        ),
        less=("ba",),
        small="d",
    ),
    Story(
        "It takes {A} {a} minutes to walk to school, {b} minutes longer than {B}. {C} needs {c} minutes less than "
        "{B}. By bike, {A} needs [only|] {d} minutes.",
        (
            ("How many minutes does {B} need to walk to school?", "a - b"),
            ("In how many minutes does {C} get to school?", "( a - b ) - c"),
            ("How many minutes longer than {C} does {A} need?", "b + c"),
            ("How many minutes does {A} save by bike?", "a - d"),
            ("If {A} walks to school and comes home by bike, how many minutes does that take?", "a + d"),
            ("When {A} goes by bike and {B} walks, how many minutes less than {B} does {A} need?", "( a - b ) - d"),
        ),
        less=("da",),
        small="bc",
        enough="( ( a - b ) - c ) * ( 90 - a )",
    ),
    Story(
        "{A} practiced the piano for {a} minutes on {day} and for {b} minutes on {day2}. {B} practiced the "
        "[violin|flute|guitar] for {c} minutes on {day} and for {d} minutes on {day2}.",
        (
            ("How many minutes did {A} practice in all?", "a + b"),
            ("For how many minutes did {B} practice altogether?", "c + d"),
            ("How much longer did {A} practice on {day2} than on {day}?", "b - a"),
            ("How many minutes did the two practice on {day}?", "a + c"),
            ("On {day}, how many minutes longer than {A} did {B} practice?", "c - a"),
            ("On {day2}, how many minutes less than {B} did {A} practice?", "d - b"),
            ("How many more minutes did {A} practice in all than {B} practiced on {day}?", "( a + b ) - c"),
            ("How many more minutes did {B} practice in all than {A} practiced on {day2}?", "( c + d ) - b"),
        ),
    ),
    Story(
        "{A} earned ${a} by mowing lawns. That was ${b} less than {he} earned by washing cars. {B} earned ${c} by "
        "[selling lemonade|walking dogs|raking leaves]. A {goal} costs ${d}.",
        (
            ("How much did {A} earn by washing cars?", "a + b"),
            ("How much did {A} earn in all?", "a + ( a + b )"),
            ("How much more did {B} earn than {A} earned by mowing lawns?", "c - a"),
            ("How much less did {B} earn than {A} earned by mowing lawns?", "a - c"),
            ("How much more did {A} get for washing cars than {B} earned?", "( a + b ) - c"),
            ("If {A} uses only the money from the lawns, how much more does {he} need for the {goal}?", "d - a"),
            (
                "If {A} buys the {goal} with the money from washing cars, how much of that money is left?",
                "( a + b ) - d",
            ),
            ("If {B} buys the {goal}, how much of the money is left?", "c - d"),
            ("How much more than {B} earned does the {goal} cost?", "d - c"),
        ),
    ),
    Story(
        "The old bridge was built {a} years ago. The church was built {b} years before the bridge, and the school "
        "was built {c} years after the bridge.",
        (
            ("How many years ago was the church built?", "a + b"),
            ("How old is the school?", "a - c"),
            ("By how many years is the school younger than the church?", "b + c"),
            ("How old will the bridge be in {d} years?", "a + d"),
            ("How old was the bridge {d} years ago?", "a - d"),
            ("How old will the school be in {d} years?", "( a - c ) + d"),
            ("How old will the church be in {d} years?", "( a + b ) + d"),
        ),
        less=("ca",),
    ),
    Story(
        "The trail to the lake is {a} miles long. The trail to the [cave|peak|waterfall] is {b} miles longer. {A} "
        "has walked {c} miles on the trail to the lake.",
        (
            ("How long is the other trail?", "a + b"),
            ("How many miles does {A} still have to walk to the lake?", "a - c"),
            ("How many miles long are the two trails together?", "a + ( a + b )"),
            ("{B} has walked {d} miles on the longer trail. How many miles are left to its end?", "( a + b ) - d"),
            ("{B} has walked {d} miles on the trail to the lake, too. How many miles is {B} behind {A}?", "c - d"),
            (
                "{B} is on the trail to the lake, too, and has walked {d} miles. By how many miles is {B} ahead of "
                "{A}?",
                "d - c",
            ),
        ),
        less=("ca", "da"),
        small="b",
        enough="200 - a",
    ),
    Story(
        "{A} is {a} inches tall, and {B} is {b} inches taller than {A}. [Last year|Last summer], {A} was {c} inches "
        "tall. {A}'s dog is {d} inches tall.",
        (
            ("How many inches tall is {B}?", "a + b"),
            ("How many inches has {A} grown since then?", "a - c"),
            ("How many inches taller is {B} now than {A} was then?", "( a + b ) - c"),
            ("How many inches taller than the dog is {A}?", "a - d"),
            ("How many inches taller than the dog is {B}?", "( a + b ) - d"),
            ("How many inches taller than the dog is now was {A} then?", "c - d"),
        ),
        less=("ca",),
        small="bd",
        enough="80 - a",
    ),
    Story(
        "{A}'s class [collected|brought] {a} pounds of old paper and {b} pounds of glass. {B}'s class "
        "[collected|brought] {c} pounds of paper more than {A}'s class and {d} pounds of glass.",
        (
            ("How many pounds of paper and glass did {A}'s class bring?", "a + b"),
            ("How many pounds of paper did {B}'s class bring?", "a + c"),
            ("How many pounds of paper and glass did {B}'s class bring?", "( a + c ) + d"),
            ("How many pounds of glass did the two classes bring together?", "b + d"),
            ("How many more pounds of glass did {A}'s class bring than {B}'s?", "b - d"),
            ("How many more pounds of glass did {B}'s class bring than {A}'s?", "d - b"),
            ("How many more pounds of paper than of glass did {A}'s class bring?", "a - b"),
        ),
    ),
)
