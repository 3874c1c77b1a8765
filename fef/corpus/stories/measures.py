"""Stories of lengths, weights, volumes, temperatures, distances and times."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "A tank [held|contained] {a} liters of water in the morning. During the day, {b} liters were used for [the "
        "garden|the horses] and {c} liters for [washing|cleaning]. In the evening, {d} liters of rain ran into the "
        "tank.",
        (
            ("How many liters were used during the day?", "b + c"),
            ("How many liters were in the tank before it rained?", "( a - b ) - c"),
            ("How many liters are in the tank after the rain?", "( ( a - b ) - c ) + d"),
            ("What is the difference between the two amounts that were used, in liters?", "b - c"),
            ("If nothing had been used, how many liters would be in the tank after the rain?", "a + d"),
        ),
        ("cb",),
        enough="( a - b ) - c",
    ),
    Story(
        "A sunflower is {a} centimeters tall, and a tomato plant next to it is {b} centimeters tall. [In {month}|In "
        "four weeks|Over the summer], the sunflower grows {c} centimeters and the tomato plant grows {d} centimeters.",
        (
            ("How tall is the sunflower after that, in centimeters?", "a + c"),
            ("How tall is the tomato plant after that, in centimeters?", "b + d"),
            ("Before that, how many centimeters taller than the tomato plant was the sunflower?", "a - b"),
            ("How many centimeters more than the tomato plant does the sunflower grow?", "c - d"),
            (
                "In the end, how many centimeters taller is the sunflower than the tomato plant was at first?",
                "( a + c ) - b",
            ),
            (
                "After that, by how many centimeters is the sunflower taller than the tomato plant?",
                "( a + c ) - ( b + d )",
            ),
        ),
        ("ba", "dc"),
        enough="300 - ( a + c )",
    ),
    Story(
        "In the morning, [the temperature was|it was|the thermometer showed] {a} degrees. By noon, the temperature "
        "had risen by {b} degrees, and from noon to [evening|midnight] it fell by {c} degrees. In the next town, it "
        "was {d} degrees in the morning.",
        (
            ("What was the temperature at noon?", "a + b"),
            ("What was the temperature after it had fallen?", "( a + b ) - c"),
            ("How many degrees warmer than in the morning was it after the temperature had fallen?", "b - c"),
            ("How many degrees colder than here was it in the next town in the morning?", "a - d"),
        ),
        ("cb", "da"),
        enough="105 - ( a + b )",
    ),
    Story(
        "It is {a} miles from {A}'s house to the {place} and {b} from the {place} to the {place2}. A direct path "
        "from the {place2} to {A}'s house is only {c} miles long. {A} walks with {d} {friends}.",
        (
            ("How many miles long is the way from {A}'s house to the {place2} past the {place}?", "a + b"),
            ("From the {place}, how many miles farther is it to the {place2} than to {A}'s house?", "b - a"),
            (
                "How many miles shorter is the direct path to the {place2} than the way past the {place}?",
                "( a + b ) - c",
            ),
            (
                "If {A} goes to the {place}, on to the {place2} and home on the path, how many miles does {he} walk?",
                "( a + b ) + c",
            ),
            (
                "If {A} goes past the {place} to the {place2} and home again the same way, how many miles does {he} walk?",
                "( a + b ) + ( a + b )",
            ),
        ),
        ("ab", "ac", "bc"),
        "abd",
        "( a + b ) - c",
    ),
    Story(
        "{A}'s trip is {a} [miles|kilometers] long. {He} drives {b} before lunch and {c} between lunch and dinner. "
        "{He} stops {d} times.",
        (
            ("How far has {A} driven by dinner?", "b + c"),
            ("How far does {A} still have to go after lunch?", "a - b"),
            ("How far does {A} still have to go after dinner?", "( a - b ) - c"),
            ("How much farther does {A} drive after lunch than before it, up to dinner?", "c - b"),
        ),
        ("bc",),
        "d",
        "( a - b ) - c",
    ),
    Story(
        "A train goes {a} miles an hour, and a bus goes {b} miles an hour. The train runs for {c} hours and the bus "
        "for {d} hours.",
        (
            ("How many miles does the train go?", "a * c"),
            ("How many miles does the bus go?", "b * d"),
            ("How many miles an hour faster is the train than the bus?", "a - b"),
            ("How many hours longer than the train does the bus run?", "d - c"),
            ("After the first {c} hours, how many miles more than the bus has the train gone?", "( a - b ) * c"),
        ),
        ("ba", "cd"),
        "cd",
        "( 120 - a ) * ( a - 20 )",
    ),
    Story(
        "A film lasts {a} minutes. Before it, there are {b} minutes of commercials, and in the middle of the film, "
        "there is a break of {c} minutes. {A} is in {his} seat {d} minutes before the commercials [begin|start].",
        (
            ("How many minutes after the commercials start does the film end?", "( a + b ) + c"),
            ("How many minutes pass from the start of the film to its end, with the break?", "a + c"),
            ("How many minutes does {A} sit there until the film begins?", "b + d"),
            ("How many minutes longer than the break are the commercials?", "b - c"),
        ),
        ("ba", "cb", "da"),
        "bcd",
        "( 200 - a ) * ( a - 60 )",
    ),
    Story(
        "[To make a cake, {A} needs|For a cake, {A} needs] {a} minutes, and then it is in the oven for {b} minutes. "
        "A loaf of bread takes {c} minutes to make and {d} minutes in the oven.",
        (
            ("How many minutes does the cake take [altogether|in all]?", "a + b"),
            ("How many minutes does the bread take [altogether|in all]?", "c + d"),
            ("How many minutes longer is the bread in the oven than the cake?", "d - b"),
            (
                "How many minutes longer does it take to make the cake than to make the bread, without the oven?",
                "a - c",
            ),
            ("How many minutes does {A} work to make both, without the time in the oven?", "a + c"),
        ),
        ("bd", "ca"),
        enough="120 - ( a + d )",
    ),
    Story(
        "{A}'s suitcase weighs {a} pounds and {B}'s weighs {b} pounds. {A} takes [books|shoes|clothes] of {c} pounds "
        "out of {his} suitcase and puts them into {B}'s. [The flight takes {d} hours.|They travel for {d} days.]",
        (
            ("How many pounds does {A}'s suitcase weigh now?", "a - c"),
            ("How many pounds does {B}'s suitcase weigh now?", "b + c"),
            ("How many pounds heavier than {B}'s was {A}'s suitcase at first?", "a - b"),
            ("How many pounds do the two suitcases weigh together?", "a + b"),
        ),
        ("ba", "cb"),
        "d",
        "90 - a",
    ),
    Story(
        "A red ribbon is {a} inches long, and a blue ribbon is {b} inches shorter. {A} has {d} gifts and cuts {c} "
        "inches off the red ribbon for one of them.",
        (
            ("How many inches long is the blue ribbon?", "a - b"),
            ("How many inches long is the red ribbon after the cut?", "a - c"),
            ("How many inches long were both ribbons together before the cut?", "a + ( a - b )"),
            ("After the cut, how many inches longer than the blue ribbon is the red one?", "b - c"),
        ),
        ("ba", "cb"),
        "d",
    ),
    Story(
        "[A|One] [bridge|tunnel] is {a} meters long, and another one is {b} meters longer. A train of {c} meters "
        "crosses both. It has {d} cars.",
        (
            ("How many meters long is the other one?", "a + b"),
            ("How many meters do the two measure together?", "a + ( a + b )"),
            ("How many meters longer than the train is the first one?", "a - c"),
            ("How many meters longer than the train is the second one?", "( a + b ) - c"),
            ("If all cars have the same length, how many meters long is one of them?", "c / d"),
        ),
        ("ca",),
        "d",
    ),
    Story(
        "A [puppy|kitten|lamb] weighed {a} ounces when {A} got it. In the first month it gained {b} ounces, and in "
        "the second {c} ounces. It eats {d} ounces of food a day.",
        (
            ("How many ounces did it weigh after the first month?", "a + b"),
            ("How many ounces did it weigh after the second month?", "( a + b ) + c"),
            ("How many ounces did it gain in the two months?", "b + c"),
            ("How many more ounces did it gain in the first month than in the second?", "b - c"),
        ),
        ("cb",),
        "d",
        "300 - ( a + b )",
    ),
    Story(
        "{A} hikes up a mountain[ that is|,] {a} meters high. {He} starts at a hut at a height of {b} meters and "
        "[rests|eats lunch] at a height of {c} meters. {He} carries {d} [bottles|sandwiches].",
        (
            ("How many meters does {A} have to climb from the hut to the top?", "a - b"),
            ("How many meters higher than the hut is the place of {his} [rest|stop]?", "c - b"),
            ("How many meters does {A} have to climb after {his} stop?", "a - c"),
            ("How many meters up and down are there in all from the hut to the top and back?", "( a - b ) + ( a - b )"),
        ),
        ("bc", "ca"),
        "d",
        "b - 99",
    ),
    Story(
        "A [jug|pot|bowl] holds {a} cups of [juice|cider|punch]. {A} pours {b} cups of it into glasses for the "
        "guests, and {B} drinks {c} cups from the rest. There are {d} guests.",
        (
            ("How many cups were left after the glasses were filled?", "a - b"),
            ("How many cups are left in the end?", "( a - b ) - c"),
            ("How many cups were taken [altogether|in all]?", "b + c"),
            ("How many more cups went to the guests than to {B}?", "b - c"),
        ),
        ("cb",),
        "bcd",
        "( 30 - a ) * ( ( a - b ) - c )",
    ),
    Story(
        "The trip to the city takes {a} minutes by train and {b} minutes by bus. Today, the train needs {c} minutes "
        "longer than usual, and the bus {d} minutes longer.",
        (
            ("How many minutes does the trip take by train today?", "a + c"),
            ("How many minutes does the trip take by bus today?", "b + d"),
            ("Usually, how many minutes longer does the trip take by bus than by train?", "b - a"),
            ("How many minutes does it usually take to go there by train and back by bus?", "a + b"),
            ("Today, how many minutes longer does the trip take by bus than by train?", "( b + d ) - ( a + c )"),
        ),
        ("ab", "cd", "ca"),
        enough="200 - ( b + d )",
    ),
    Story(
        "A snail is at the bottom of a well that is {a} feet deep. On {day}, it climbs {b} feet and slides back {c} "
        "feet [at night|in the night]. On {day2}, it climbs {d} feet.",
        (
            ("How many feet above the bottom is the snail after the night?", "b - c"),
            ("How many feet below the top is the snail before it slides back?", "a - b"),
            ("How many feet below the top is the snail after it has slid back?", "a - ( b - c )"),
            ("How many feet does it climb on the two days, not counting the slide?", "b + d"),
            ("How many feet above the bottom is the snail at the end of {day2}?", "( b - c ) + d"),
        ),
        ("cb",),
        enough="a - ( b + d )",
    ),
    Story(
        "A cook [has|buys] {a} pounds of flour, {b} pounds of sugar and {c} pounds of butter. A cake needs {d} "
        "pounds of flour[ and|. It also needs] some sugar and butter.",
        (
            ("How many cakes can the cook make with this flour, if there is enough of all the rest?", "a / d"),
            ("How many more pounds of flour than sugar does the cook have?", "a - b"),
            ("How many pounds of sugar and butter does the cook have [together|]?", "b + c"),
            ("How many pounds of flour are left after one cake?", "a - d"),
            ("What do the three things weigh together, in pounds?", "( a + b ) + c"),
        ),
        ("ba", "da"),
        "d",
    ),
    Story(
        "A bucket holds {a} liters, and an empty barrel [next to it|behind the house] holds {b} liters. {A} pours "
        "{c} full buckets of water into the barrel.",
        (
            ("How many liters of water does {A} pour into the barrel?", "a * c"),
            ("How many more liters does the barrel hold than the bucket?", "b - a"),
            ("How many more liters fit into the barrel after that?", "b - ( a * c )"),
            ("How many liters do {d} [such|full] buckets hold?", "a * d"),
        ),
        small="acd",
        enough="( 300 - b ) * ( b - ( a * c ) )",
    ),
    Story(
        "The water in a pool is {a} centimeters deep. {A} [turns on the water|starts to fill the pool], and the "
        "water rises by {b} centimeters [an|each|every] hour for {c} hours. The pool itself is {d} centimeters deep.",
        (
            ("By how many centimeters does the water rise [altogether|in all]?", "b * c"),
            ("How many centimeters deep is the water after these hours?", "a + ( b * c )"),
            ("How many centimeters below the edge of the pool was the water at first?", "d - a"),
            ("How many centimeters deep is the water after the first hour?", "a + b"),
            ("How many centimeters below the edge of the pool is the water after the first hour?", "d - ( a + b )"),
        ),
        small="bc",
        enough="d - ( a + ( b * c ) )",
    ),
    Story(
        "A [white|thin] candle is {a} millimeters long and gets {b} millimeters shorter [in each|every] hour that it "
        "burns. Another candle is {c} millimeters long.",
        (
            ("How many millimeters shorter is the first candle after {d} hours?", "b * d"),
            ("How many millimeters long is the first candle after {d} hours?", "a - ( b * d )"),
            ("How many millimeters longer than the other one is the first candle before it burns?", "a - c"),
            ("How many millimeters long are both candles together if they stand on each other?", "a + c"),
        ),
        ("ca",),
        "bd",
        "a - ( b * d )",
    ),
    Story(
        "{A} cuts a rope of {a} feet into {b} equal pieces. {He} uses {c} of the pieces for [a tent|a swing|the "
        "boat]. {He} also has a chain of {d} feet.",
        (
            ("How many feet long is each piece of the rope?", "a / b"),
            ("How many pieces of the rope are left?", "b - c"),
            ("How many feet long are the whole rope and the chain together?", "a + d"),
            ("By how many feet is the whole rope longer than the chain?", "a - d"),
        ),
        ("cb", "da"),
        "bc",
    ),
    Story(
        "An empty truck weighs {a} kilograms. It carries {b} crates of {c} kilograms each and {d} barrels of {c} "
        "kilograms each.",
        (
            ("How many kilograms do the crates weigh [together|altogether]?", "b * c"),
            ("How many kilograms do the barrels weigh [together|altogether]?", "c * d"),
            ("How many kilograms does the truck weigh with the crates alone?", "a + ( b * c )"),
            ("How many kilograms does the truck weigh with the barrels alone?", "a + ( d * c )"),
            ("How many crates and barrels does the truck carry?", "b + d"),
            ("How many kilograms more than the barrels do the crates weigh?", "( b - d ) * c"),
        ),
        ("db",),
        "bd",
        "a - 200",
    ),
    Story(
        "[The zoo has {c} elephants.|There are {c} elephants in the zoo.] [Every|Each] day, they eat {a} kilograms "
        "of hay and {b} kilograms of fruit [altogether|in all].",
        (
            ("How many kilograms of hay do they eat in {d} days?", "a * d"),
            ("How many kilograms of fruit do they eat in {d} days?", "b * d"),
            ("How many kilograms of food do they eat [a|each] day?", "a + b"),
            ("How many more kilograms of hay than of fruit do they eat [a|each] day?", "a - b"),
            ("If every elephant eats the same amount, how many kilograms of hay does one of them eat a day?", "a / c"),
            (
                "Find the weight of all the food for {d} days in kilograms.",
                "( a + b ) * d",
            ),
        ),
        ("ba",),
        "cd",
    ),
    Story(
        "{A} practices the [piano|violin|drums|guitar] for {a} minutes every morning and for {b} minutes every "
        "evening. {He} has been [playing|taking lessons] for {c} years.",
        (
            ("How many minutes does {A} practice [a|each] day?", "a + b"),
            ("How many minutes does {A} practice on {d} mornings?", "a * d"),
            ("How many minutes does {A} practice on {d} evenings?", "b * d"),
            ("How many minutes longer does {A} practice in the evening than in the morning?", "b - a"),
            ("How many minutes does {A} practice in {d} [whole|] days?", "( a + b ) * d"),
        ),
        ("ab",),
        "cd",
        "90 - ( a + b )",
    ),
)
