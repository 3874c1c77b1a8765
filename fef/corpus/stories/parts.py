"""Stories of the parts of a whole, and of two groups before and after a change."""

from __future__ import annotations

from fef.corpus.story import Story

__all__ = ["STORIES"]

STORIES: tuple[Story, ...] = (
    Story(
        "The red team has {a} players[ and|,] the blue team [has|] {b}. [Then|Before the game], {c} players move "
        "from the red team to the blue team. {d} children are watching.",
        (
            ("How many players are in the red team now?", "a - c"),
            ("How many players are in the blue team now?", "b + c"),
            ("How many players are there altogether?", "a + b"),
            ("At first, how many more players did the red team have than the blue team?", "a - b"),
            ("If those who are watching join the red team after that, how many players will it have?", "( a - c ) + d"),
        ),
        ("ba", "ca"),
        "d",
    ),
    Story(
        "{a} fish [swim|live] in the big tank and {b} in the small one. {A} moves {c} fish from the big tank to the "
        "small one and puts {d} new fish into the big tank.",
        (
            ("How many fish are in the small tank now?", "b + c"),
            ("How many fish are in the big tank now?", "( a - c ) + d"),
            ("How many fish were there in both tanks at first?", "a + b"),
            ("How many fish are in both tanks now?", "( a + b ) + d"),
            ("At first, how many more fish were in the big tank than in the small one?", "a - b"),
            ("How many fish would be in the big tank now if {A} had not moved any to the small one?", "a + d"),
        ),
        ("ba", "ca"),
    ),
    Story(
        "A choir has {a} members. {b} of them are women[, the others are men|, and the rest are men]. At the "
        "concert, {c} of the women sing a solo, and none of the men does. Soon, {d} [new|more] men will join the "
        "choir.",
        (
            ("How many of the members are men?", "a - b"),
            ("How many of the women do not sing a solo?", "b - c"),
            ("How many of the members do not sing a solo?", "a - c"),
            ("How many members will the choir have if nobody leaves?", "a + d"),
            ("How many men will be in the choir if nobody leaves?", "( a - b ) + d"),
        ),
        ("ba", "cb"),
    ),
    Story(
        "A hall has {a} seats. {b} of them are [taken|occupied] by adults and {c} by children; the other seats are "
        "free. Then {d} more people come in and sit down.",
        (
            ("How many seats were free before more people came in?", "( a - b ) - c"),
            ("How many people sat in the hall at first?", "b + c"),
            ("How many seats were not taken by adults at first?", "a - b"),
            ("At first, how many more adults than children sat in the hall?", "b - c"),
            ("How many people sit in the hall in the end?", "( b + c ) + d"),
        ),
        ("cb",),
        enough="a - ( b + ( c + d ) )",
    ),
    Story(
        "{A} picked {a} tomatoes and {b} peppers in {his} garden. {c} of the tomatoes were still [green|not ripe], "
        "and {d} had [spots|holes|cracks].",
        (
            ("How many tomatoes had no [spots, holes or cracks|damage at all]?", "a - d"),
            ("How many tomatoes were ripe?", "a - c"),
            ("How many vegetables did {A} pick [altogether|in all]?", "a + b"),
            ("If all peppers were ripe, how many ripe vegetables did {A} pick?", "( a + b ) - c"),
            ("How many more tomatoes than peppers did {A} pick?", "a - b"),
        ),
        ("ba", "ca", "da"),
    ),
    Story(
        "{A} invited {a} people to a [picnic|barbecue|party]. {b} of them came, and {c} people came without being "
        "invited. {A} had made {d} sandwiches.",
        (
            ("How many of the invited people did not come?", "a - b"),
            ("How many people came [in all|altogether]?", "b + c"),
            ("How many more invited than uninvited people came?", "b - c"),
            ("If everyone who came ate one sandwich, how many sandwiches were left?", "d - ( b + c )"),
            (
                "If all invited people and nobody else had come and eaten one sandwich each, how many would have been left?",
                "d - a",
            ),
        ),
        ("ba", "cb", "ad"),
        enough="d - ( b + c )",
    ),
    Story(
        "A [zoo|wildlife park] has {a} birds. {b} of them are parrots, {c} are owls and the others are "
        "[flamingos|penguins]. It also has {d} monkeys.",
        (
            ("How many of the birds are neither parrots nor owls?", "( a - b ) - c"),
            ("How many of the birds are not parrots?", "a - b"),
            ("How many of the birds are not owls?", "a - c"),
            ("How many parrots and owls are there?", "b + c"),
            ("How many monkeys and birds are there [altogether|]?", "a + d"),
            ("How many of the monkeys and birds are not parrots?", "( a + d ) - b"),
            ("How many more parrots than monkeys are there?", "b - d"),
        ),
        ("db",),
        enough="( a - b ) - c",
    ),
    Story(
        "In a [library|bookstore], there are {a} novels and {b} [cookbooks|travel guides] on one shelf. On the next "
        "shelf, there are {c} novels and {d} comics.",
        (
            ("How many novels are on the two shelves?", "a + c"),
            ("How many books are on the first shelf?", "a + b"),
            ("How many books are on the second shelf?", "c + d"),
            ("How many books that are not comics are on the two shelves?", "( a + b ) + c"),
            ("How many fewer novels are on the second shelf than on the first?", "a - c"),
            ("How many more novels than other books are on the first shelf?", "a - b"),
        ),
        ("ca", "ba"),
    ),
    Story(
        "[A hen sits|Some hens sit|A goose sits] on {a} eggs. {b} chicks hatch on {day} and {c} on {day2}, and no "
        "chick hatches from the other eggs. The [farm|farmer] has {d} [cows|pigs].",
        (
            ("From how many eggs does no chick hatch?", "( a - b ) - c"),
            ("How many chicks are there in the end?", "b + c"),
            ("How many eggs were left after {day}?", "a - b"),
            ("How many more chicks hatch on {day} than on {day2}?", "b - c"),
        ),
        ("cb",),
        "abcd",
        "( a - b ) - c",
    ),
    Story(
        "A puzzle has {a} pieces. {A} has put {b} of them in [their|the right] place and {B} has put {c} others. {d} "
        "of the other pieces are lost.",
        (
            ("How many pieces have {A} and {B} put in place [together|]?", "b + c"),
            ("How many pieces of the puzzle are not lost?", "a - d"),
            ("How many pieces are not in place yet, the lost ones included?", "( a - b ) - c"),
            ("How many more pieces than {B} has {A} put in place?", "b - c"),
        ),
        ("cb",),
        enough="a - ( b + ( c + d ) )",
    ),
    Story(
        "[A truck|A van|The mail carrier] brings {a} parcels. {b} are for {A}'s street and the others for the rest "
        "of the town. {c} parcels in {A}'s street cannot be delivered because nobody is at home. {d} parcels for the "
        "rest of the town are heavy.",
        (
            ("How many parcels are for the rest of the town?", "a - b"),
            ("How many parcels are delivered in {A}'s street?", "b - c"),
            ("How many parcels for the rest of the town are not heavy?", "( a - b ) - d"),
            ("If all other parcels are delivered, how many are delivered [altogether|in all]?", "a - c"),
        ),
        ("cb",),
        enough="( a - b ) - d",
    ),
    Story(
        "A [building|house|hotel] has {a} apartments on {b} floors, with the same number on each floor. {c} of the "
        "apartments are empty[ and|,] {d} have a balcony.",
        (
            ("How many apartments are on each floor?", "a / b"),
            ("How many apartments are not empty?", "a - c"),
            ("How many apartments have no balcony?", "a - d"),
            ("How many more apartments have a balcony than are empty?", "d - c"),
        ),
        ("cd", "da"),
        "b",
    ),
    Story(
        "{a} children and {b} parents go on a [school trip|hike|boat tour]. {c} of the children wear a hat, and {d} "
        "of the parents do.",
        (
            ("How many people go along [in all|]?", "a + b"),
            ("How many of these people are not children with a hat?", "( a + b ) - c"),
            ("How many people wear a hat?", "c + d"),
            ("How many of the children wear no hat?", "a - c"),
            ("How many of the parents wear no hat?", "b - d"),
            ("How many more children than parents are there?", "a - b"),
            ("How many more children than parents wear a hat?", "c - d"),
        ),
        ("ba", "ca", "db", "dc"),
    ),
    Story(
        "On [the beach|a walk|the shore], {A} found {a} shells and {B} found {b}. [On the way home|Later], {A} lost "
        "{c} of {his} shells and {B} gave {d} of {her} shells to {C}.",
        (
            ("How many shells does {A} have [left|now]?", "a - c"),
            ("How many shells does {B} have [left|now]?", "b - d"),
            ("How many shells did {A} and {B} still have together after {A} had lost some?", "( a + b ) - c"),
            ("How many shells did {A} and {B} find [together|in all]?", "a + b"),
            ("How many more shells than {B} did {A} find?", "a - b"),
            ("How many shells do {A} and {B} have [left|now] [together|in all]?", "( a - c ) + ( b - d )"),
        ),
        ("ba", "ca", "db"),
    ),
    Story(
        "There are {a} cows on {A}'s farm[,|] and {b} of them are brown. There are {c} sheep[,|] and {d} of them are "
        "black.",
        (
            ("How many cows are not brown?", "a - b"),
            ("How many sheep are not black?", "c - d"),
            ("How many cows and sheep are there [altogether|on the farm|]?", "a + c"),
            ("How many fewer cows than sheep are there?", "c - a"),
            ("How many of the cows and sheep are not brown cows?", "( a + c ) - b"),
            ("How many of the animals are brown cows or black sheep?", "b + d"),
        ),
        ("ba", "dc", "ac"),
    ),
    Story(
        "There are {a} [passengers|people] on a train: {b} adults and some children. At the next stop, {c} adults "
        "get off and {d} children get on.",
        (
            ("How many children were on the train before the stop?", "a - b"),
            ("How many adults are on the train after the stop?", "b - c"),
            ("How many people are on the train after the stop?", "( a - c ) + d"),
            ("How many children are on the train after the stop?", "( a - b ) + d"),
            ("How many more children get on than adults get off?", "d - c"),
        ),
        ("ba", "cb", "cd"),
    ),
    Story(
        "{A}'s class [planted|put in] {a} trees and {b} bushes. In the winter, {c} of the trees died, and in spring, "
        "the class planted {d} more bushes.",
        (
            ("How many bushes did the class plant [altogether|in all]?", "b + d"),
            ("How many of the trees are alive?", "a - c"),
            ("How many of the trees and bushes from the start are alive, if no bush died?", "( a + b ) - c"),
            ("How many trees and bushes did the class plant at first?", "a + b"),
            ("How many fewer trees than bushes did the class plant at first?", "b - a"),
            ("How many trees and bushes did the class plant in all, with those of spring?", "( a + b ) + d"),
        ),
        ("ca", "ab"),
    ),
    Story(
        "{A} answered {a} questions on a quiz, {b} of them [right|correctly], and {B} answered {c} questions, {d} of "
        "them [right|correctly].",
        (
            ("How many wrong answers did {A} give?", "a - b"),
            ("How many wrong answers did {B} give?", "c - d"),
            ("How many right answers did {A} and {B} give [together|in all]?", "b + d"),
            ("How many more questions did {A} answer than {B}?", "a - c"),
            ("How many more right answers than {B} did {A} give?", "b - d"),
        ),
        ("ba", "dc", "ca", "db"),
        enough="150 - a",
    ),
    Story(
        "A hospital has {a} nurses and {b} doctors. {c} of the nurses work at night. Next year, {d} more doctors "
        "will come [and nobody will leave|].",
        (
            ("How many nurses do not work at night?", "a - c"),
            ("How many doctors will there be next year?", "b + d"),
            (
                "How many nurses and doctors will there be next year, if the number of nurses stays the same?",
                "( a + b ) + d",
            ),
            ("How many nurses and doctors do not work at night, if no doctor works at night?", "( a - c ) + b"),
            ("How many nurses and doctors are there now?", "a + b"),
            ("How many more nurses than doctors are there now?", "a - b"),
        ),
        ("ca", "ba"),
    ),
    Story(
        "[A parking lot has|In a parking lot, there are|Behind a hotel, there are] {a} cars and {b} motorcycles. {c} "
        "of the cars are white. An hour of parking costs ${d}.",
        (
            ("How many cars are not white?", "a - c"),
            ("How many vehicles are there?", "a + b"),
            ("How many fewer motorcycles than cars are there?", "a - b"),
            ("How many dollars do all the cars pay for an hour?", "a * d"),
            ("How many dollars do all the motorcycles pay for an hour?", "b * d"),
            ("How many dollars do all the vehicles pay for an hour?", "( a + b ) * d"),
            ("How many of the vehicles are not white cars?", "( a + b ) - c"),
        ),
        ("ca", "ba"),
        "d",
    ),
    Story(
        "{A} made {a} [muffins|cookies|rolls] with nuts and {b} without nuts. {His} family ate {c} of those with "
        "nuts, and {d} [friends|neighbors|guests] came to visit.",
        (
            ("How many did {A} make [altogether|in all]?", "a + b"),
            ("How many of those with nuts are left?", "a - c"),
            ("How many more did {A} make with nuts than without?", "a - b"),
            ("If none of those without nuts were eaten, how many are left altogether?", "( a + b ) - c"),
            (
                "If all of those without nuts are shared equally among the visitors, how many does each of them get?",
                "b / d",
            ),
        ),
        ("ca", "ba"),
        "d",
    ),
    Story(
        "A [bag|box|jar] holds {a} marbles[,|:] {b} red ones, {c} blue ones and some yellow ones. {A} [adds|puts in] "
        "{d} yellow marbles.",
        (
            ("How many yellow marbles were there at first?", "( a - b ) - c"),
            ("How many marbles were not red at first?", "a - b"),
            ("How many marbles are there now?", "a + d"),
            ("How many marbles are not red now?", "( a + d ) - b"),
            ("How many more blue than red marbles are there?", "c - b"),
            ("How many yellow marbles are there now?", "( ( a - b ) - c ) + d"),
        ),
        ("bc",),
        enough="( a - b ) - c",
    ),
    Story(
        "{A} has {a} stamps from [France|Spain|Italy] and {b} from [Japan|Brazil|Kenya]. {B} has {c} stamps, all "
        "from [Egypt|Canada|India]. {A} gives {B} {d} stamps from the first country.",
        (
            ("How many stamps did {A} have at first?", "a + b"),
            ("How many stamps does {B} have in the end?", "c + d"),
            ("How many stamps does {A} have in the end?", "( a + b ) - d"),
            ("At first, how many more stamps than {A} did {B} have?", "c - ( a + b )"),
            ("How many stamps from the first country does {A} have in the end?", "a - d"),
        ),
        ("da",),
        enough="c - ( a + b )",
    ),
    Story(
        "A [singer|band] has {a} fans in one town, and {b} of them come to the concert. From other towns, {c} fans "
        "come. A ticket costs ${d}.",
        (
            ("How many fans from the town stay at home?", "a - b"),
            ("How many dollars do all who come pay for their tickets together?", "( b + c ) * d"),
            ("How many fans are at the concert?", "b + c"),
            ("How many dollars do the fans from other towns pay for [their|the] tickets?", "c * d"),
            ("How many more fans come from the town than from other towns?", "b - c"),
        ),
        ("ba", "cb"),
        "d",
    ),
    Story(
        "A pet shop had {a} [hamsters|rabbits|mice] and {b} birds. It sold {c} birds and got {d} new "
        "[kittens|puppies].",
        (
            ("How many birds [are|were] left?", "b - c"),
            ("How many animals did it have at first?", "a + b"),
            ("How many animals did it have after the birds were sold, but before it got new ones?", "( a + b ) - c"),
            ("How many animals did it have in the end?", "( ( a + b ) - c ) + d"),
            ("How many more birds than other animals did it have at first?", "b - a"),
            ("How many more birds did it sell than it got new animals?", "c - d"),
        ),
        ("cb", "ab", "dc"),
    ),
    Story(
        "[At camp|In summer camp], {a} children can swim and {b} cannot. In the first week, {c} of those who cannot "
        "swim learn it. At night, {d} of the children sleep in a house and all others in tents.",
        (
            ("How many children cannot swim after the first week?", "b - c"),
            ("How many children can swim after the first week?", "a + c"),
            ("How many children are at the camp?", "a + b"),
            ("After the first week, how many more children can swim than could not at first?", "( a + c ) - b"),
            ("At first, how many more children could swim than could not?", "a - b"),
            ("How many children sleep in tents?", "( a + b ) - d"),
        ),
        ("cb", "ba", "da"),
        enough="300 - ( a + b )",
    ),
)
