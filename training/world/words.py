"""Every word of the world: colours, scenes, styles, people; nothing here draws.

Frozen with the world: tokenizers, CLIP and T5 are trained on exactly these words.
"""

from __future__ import annotations

# Colour word -> sRGB in 0..1. The last two are metals: attributes of objects only, never of walls.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.14, 0.16),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.98, 0.85, 0.18),
    "green": (0.20, 0.66, 0.28),
    "blue": (0.16, 0.40, 0.88),
    "purple": (0.52, 0.24, 0.76),
    "pink": (0.97, 0.52, 0.72),
    "brown": (0.50, 0.32, 0.19),
    "white": (0.95, 0.95, 0.94),
    "grey": (0.55, 0.56, 0.58),
    "black": (0.13, 0.13, 0.15),
    "golden": (0.92, 0.70, 0.20),
    "silver": (0.76, 0.78, 0.82),
}
METALS = ("golden", "silver")
WALL_COLOURS = tuple(c for c in COLOURS if c not in METALS)
COLOUR_NAMES = tuple(COLOURS)

# Scene kind -> (what objects stand on, what is behind). {g} and {b} are colour words, {gt} and {bt} textures.
SCENES: dict[str, tuple[str, str]] = {
    "room": ("on a {g} {gt}floor", "in front of a {b} {bt}wall"),
    "table": ("on a {g} {gt}table", "in front of a {b} {bt}wall"),
    "shelf": ("on a {g} shelf", "against a {b} {bt}wall"),
    "studio": ("on a {b} background", ""),
    "meadow": ("on a {g} meadow", "under a {b} sky"),
    "beach": ("on a beach by the sea", "under a {b} sky"),
    "road": ("on a road", "under a {b} sky"),
    "snow": ("in the snow", "under a {b} sky"),
    "desert": ("in the desert", "under a {b} sky"),
    "city": ("in a city street", "under a {b} sky"),
    "lake": ("on a lake", "under a {b} sky"),
}
SCENE_NAMES = tuple(SCENES)
INDOOR = ("room", "table", "shelf", "studio")
SKIES = ("blue", "grey", "pink", "orange", "white")
MEADOWS = ("green", "yellow", "brown")

# Texture -> the adjective that a caption may use, "" when there is nothing to say.
GROUND_TEXTURES = {"plain": "", "planks": "wooden ", "tiles": "tiled ", "checks": "checkered ", "carpet": ""}
WALL_TEXTURES = {"plain": "", "stripes": "striped ", "bricks": "brick ", "dots": "dotted ", "tiles": "tiled "}

# Style -> (prefix, suffix) of the caption.
STYLES: dict[str, tuple[str, str]] = {
    "day": ("", ""),
    "night": ("", ", at night"),
    "sunset": ("", ", at sunset"),
    "foggy": ("", ", in the fog"),
    "sepia": ("a sepia photo of ", ""),
    "sketch": ("a sketch of ", ""),
    "mono": ("a black and white photo of ", ""),
    "poster": ("a poster of ", ""),
}
STYLE_NAMES = tuple(STYLES)
GREY_STYLES = ("sepia", "sketch", "mono")  # nothing has a colour in these, so captions name none
DAY_PREFIXES = ("", "", "", "a photo of ", "a picture of ")

OCCLUDERS: dict[str, str] = {
    "fence": "behind a fence",
    "board": "behind a board",
    "crate": "behind a crate",
    "grass": "behind tall grass",
    "bush": "behind a bush",
    "bricks": "behind a brick wall",
    "bars": "behind bars",
    "rock": "behind a rock",
}
PROPS = ("mug", "sign")

# People. A style word maps to the phrase in which it stands; {c} is the hair colour.
HAIR_PHRASES: dict[str, str] = {
    "long": "long {c} hair",
    "short": "short {c} hair",
    "curly": "curly {c} hair",
    "wavy": "wavy {c} hair",
    "shaggy": "shaggy {c} hair",
    "shaved": "{c} hair with a shaved side",
    "afro": "a {c} afro",
    "bob": "a {c} bob",
    "bun": "a {c} bun",
    "pigtails": "{c} pigtails",
    "mohawk": "a {c} mohawk",
    "dreadlocks": "{c} dreadlocks",
    "balding": "a balding head with {c} hair",
    "bald": "a bald head",
}
HAIR_STYLES = tuple(HAIR_PHRASES)
HAIR_COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.13, 0.11, 0.12),
    "brown": (0.42, 0.25, 0.15),
    "blond": (0.90, 0.74, 0.40),
    "red": (0.78, 0.27, 0.12),
    "grey": (0.66, 0.66, 0.68),
    "pink": (0.94, 0.47, 0.65),
    "blue": (0.26, 0.46, 0.84),
}
SKINS: dict[str, tuple[float, float, float]] = {
    "pale": (0.98, 0.85, 0.76),
    "tan": (0.87, 0.65, 0.48),
    "brown": (0.65, 0.42, 0.27),
    "dark": (0.38, 0.25, 0.19),
}
BEARDS = ("none", "beard", "moustache", "goatee")
EYEWEAR = ("none", "glasses", "sunglasses")
NOUNS = ("man", "woman", "person")
EXPRESSIONS = {
    "happy": "laughing",
    "smiling": "smiling",
    "sad": "sad",
    "surprised": "surprised",
    "sleepy": "sleepy",
}
CLOTHES = {
    "blazer": "jacket", "sweater": "sweater", "hoodie": "hoodie", "overall": "overalls", "shirt": "shirt",
    "scoop": "shirt", "vneck": "shirt", "squared": "shirt", "rounded": "shirt", "checkered": "checkered shirt",
}  # fmt: skip
MARKER = "<|image|>"

# Nouns that take "some" instead of an article.
SOME = (
    "grapes", "cherries", "blueberries", "pancakes", "fries", "scissors", "jeans", "socks", "gloves", "glasses",
    "sunglasses", "goggles", "headphones", "milk", "popcorn", "bread", "cheese", "corn", "garlic", "broccoli", "honey",
    "chocolate", "beer", "soda", "salad", "stew", "candy",
)  # fmt: skip
FUNCTION_WORDS = (
    "a an and at with wearing holding some to the left right of next behind in front on printed style photo picture "
    "skin shirt mug wall sign head person man woman people two without"
)


def with_article(phrase: str, noun: str) -> str:
    """Put "a", "an" or "some" before a phrase whose head is ``noun``."""
    if noun in SOME:
        return f"some {phrase}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def join_list(items: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
