"""The words that stories are filled with: people, things, places and days."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ALSO_WORDS", "COLOURS", "CONTAINERS", "DAYS", "MONTHS", "NAMES", "PLACES", "PRICED", "THINGS", "singular"]

_SHE = (
    "Abby Ada Alice Alma Amber Amelia Amy Andrea Angela Anna April Aria Ashley Audrey Ava Bella Beth Bianca Brenda Brianna "
    "Camila Carla Carmen Carol Cathy Chloe Claire Clara Cora Daisy Dana Daphne Debra Denise Diana Donna Dora Edith Elena "
    "Eliza Ella Ellen Elsa Emily Emma Erica Esther Eva Faith Fatima Fiona Gina Grace Greta Hannah Harper Hazel Heidi Helen "
    "Holly Ida Ingrid Irene Iris Isabel Ivy Jada Jane Janet Jasmine Jenna Jessica Jill Joanna Josie Joy Julia June Karen "
    "Katie Kayla Kelly Kendra Kiara Lana Laura Layla Leah Lena Lila Lily Linda Lisa Lola Lucy Lydia Mabel Maddie Maggie "
    "Mandy Maria Marina Martha Mary Maya Megan Melissa Mia Mila Molly Monica Nadia Nancy Naomi Natalie Nina Nora Olive "
    "Olivia Pamela Paula Penny Phoebe Priya Quinn Rachel Rebecca Renee Rita Rosa Rosie Ruby Ruth Sally Samantha Sandra Sara "
    "Selena Serena Sharon Sheila Shelby Sofia Sonia Stacy Stella Susan Sylvia Tanya Tara Tessa Tina Uma Vanessa Vera "
    "Victoria Viola Violet Wanda Wendy Willow Yara Yolanda Yvonne Zara Zoe"
)
_HE = (
    "Aaron Adam Ahmed Alan Albert Alex Alfred Andre Andrew Angelo Anton Arthur Asher Austin Barry Ben Bernard Bill Blake "
    "Bobby Boris Brad Brandon Brian Bruce Bruno Caleb Calvin Cameron Carl Carlos Cesar Charles Chris Clark Colin Connor "
    "Craig Curtis Damian Daniel Darius David Dean Dennis Derek Diego Dominic Donald Doug Duncan Dylan Earl Eddie Edgar Eli "
    "Elliot Emil Enzo Eric Ethan Evan Felix Finn Frank Fred Gabriel Gary Gavin George Gerald Glenn Gordon Greg Harold Harry "
    "Hector Henry Hugo Ian Ibrahim Isaac Ivan Jack Jacob Jake James Jared Jason Javier Jeff Jeremy Jerry Jesse Jim Joel John "
    "Jonah Jorge Jose Josh Juan Julian Justin Karl Keith Ken Kevin Kyle Lance Larry Leo Leon Levi Liam Logan Louis Lucas "
    "Luke Malcolm Manuel Marco Mario Mark Martin Mason Matt Max Michael Miguel Mike Miles Milo Nathan Neil Nelson Nick Noah "
    "Oliver Omar Oscar Otto Owen Patrick Paul Pedro Peter Philip Rafael Ralph Raymond Rex Ricardo Richard Rick Robert Rodney "
    "Roger Roland Roman Ron Ross Roy Ryan Sam Samuel Scott Sean Sebastian Simon Stan Steve Stuart Ted Terry Theo Thomas "
    "Tim Todd Tom Tony Travis Trevor Tyler Victor Vincent Walter Wayne Wesley William Wyatt Xavier Zach"
)
# Each name with the pronouns of its person: subject, object, possessive.
NAMES: Mapping[str, tuple[str, str, str]] = {
    **dict.fromkeys(_SHE.split(), ("she", "her", "her")),
    **dict.fromkeys(_HE.split(), ("he", "him", "his")),
}

# Names that are other words, too.
_ALSO = (
    "Amber April Art Austin Bill Blake Carol Clark Craig Daisy Dana Dawn Dean Earl Eva Faith Finn Frank Gene Grace Grant "
    "Harper Hazel Heidi Holly Ida Iris Ivy Jack Jade Jersey Jordan Joy June Lance Louis Mark Martin Mason Max Miles Nelson "
    "Olive Penny Phoenix Quinn Rex Roman Rose Ruby Sydney Victoria Viola Violet Wayne Willow"
)
ALSO_WORDS = frozenset(_ALSO.split())

# Things that a person can own, buy, give away and count, in the plural. The first ones are cheap.
_CHEAP = (
    "apples oranges bananas pears peaches lemons limes mangoes plums cookies cupcakes muffins donuts bagels brownies candies "
    "lollipops pencils pens erasers crayons markers notebooks folders rulers stickers stamps postcards envelopes marbles "
    "beads buttons ribbons balloons candles magnets keychains bracelets necklaces cups mugs plates bowls spoons forks "
    "napkins towels socks gloves scarves hats caps shirts books comics magazines puzzles toys dolls bottles lightbulbs "
    "batteries tulips roses daisies sandwiches burgers pies tacos pretzels"
)
PRICED = tuple(_CHEAP.split())
_OTHERS = (
    "shells rocks coins cards photos tickets tokens figurines acorns walnuts blocks bricks tiles seeds flowers eggs leaves "
    "feathers pinecones gems badges pins charms jars cans boxes bags baskets posters paintings"
)
THINGS = (*PRICED, *_OTHERS.split())
CONTAINERS = ("bags", "boxes", "baskets", "jars", "packs", "bins", "trays", "crates", "cartons", "bundles")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "pink", "purple", "brown", "orange", "gray", "silver")
PLACES = (
    "farm",
    "fair",
    "lake",
    "market",
    "park",
    "school",
    "store",
    "beach",
    "museum",
    "zoo",
    "library",
    "bakery",
    "mall",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_YEAR = "January February March April May June July August September October November December"
MONTHS = tuple(_YEAR.split())

_SINGULARS = {
    **{"leaves": "leaf", "scarves": "scarf", "mangoes": "mango", "boxes": "box", "peaches": "peach"},
    **{"candies": "candy", "daisies": "daisy", "batteries": "battery", "sandwiches": "sandwich"},
}


def singular(plural: str) -> str:
    """Of a word of this inventory."""
    return _SINGULARS.get(plural, plural.removesuffix("s"))
