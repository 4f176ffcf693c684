"""Simple facts besides countries: calendar, numbers, elements, planets, colours, opposites."""

import random

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = {
    "January": 31, "February": 28, "March": 31, "April": 30, "May": 31, "June": 30, "July": 31, "August": 31,
    "September": 30, "October": 31, "November": 30, "December": 31,
}  # fmt: skip
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
ELEMENTS = (
    "hydrogen:H helium:He lithium:Li beryllium:Be boron:B carbon:C nitrogen:N oxygen:O fluorine:F neon:Ne "
    "sodium:Na magnesium:Mg aluminium:Al silicon:Si phosphorus:P sulfur:S chlorine:Cl argon:Ar potassium:K "
    "calcium:Ca scandium:Sc titanium:Ti vanadium:V chromium:Cr manganese:Mn iron:Fe cobalt:Co nickel:Ni "
    "copper:Cu zinc:Zn gallium:Ga germanium:Ge arsenic:As selenium:Se bromine:Br krypton:Kr"
)
HEAVY_ELEMENTS = (
    "silver:Ag:47 tin:Sn:50 iodine:I:53 tungsten:W:74 platinum:Pt:78 gold:Au:79 mercury:Hg:80 lead:Pb:82"
)
COLOURS = {
    "snow": "white",
    "grass": "green",
    "blood": "red",
    "coal": "black",
    "milk": "white",
    "a lemon": "yellow",
    "a ripe tomato": "red",
    "the clear sky": "blue",
    "a carrot": "orange",
    "chocolate": "brown",
    "a frog": "green",
    "a raven": "black",
    "the Sun at noon": "yellow",
    "a flamingo": "pink",
    "an elephant": "grey",
    "a plum": "purple",
}
OPPOSITES = (
    "hot:cold big:small tall:short fast:slow old:young light:dark day:night up:down left:right open:closed "
    "early:late full:empty rich:poor wet:dry hard:soft high:low strong:weak good:bad happy:sad loud:quiet "
    "near:far thick:thin clean:dirty sweet:sour wide:narrow heavy:light true:false first:last north:south "
    "east:west"
)
YOUNG = (
    "dog:puppy cat:kitten cow:calf sheep:lamb horse:foal pig:piglet goat:kid hen:chick duck:duckling "
    "goose:gosling lion:cub bear:cub deer:fawn frog:tadpole swan:cygnet"
)
SIDES = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "heptagon": 7, "octagon": 8}
SEASONS = "spring summer autumn winter".split()


def spell(number: int) -> str:
    if number < 20:
        return SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{SMALL[hundreds]} hundred" + (f" and {spell(rest)}" if rest else "")


def pairs(text: str) -> list[list[str]]:
    return [word.split(":") for word in text.split()]


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def calendar() -> list[str]:
    said = ["A week has seven days.", "A year has twelve months.", "A day has twenty-four hours."]
    said += [
        "An hour has sixty minutes.",
        "A minute has sixty seconds.",
        f"The days of the week are {', '.join(DAYS)}.",
    ]
    for number, day in enumerate(DAYS):
        said.append(f"The day after {day} is {DAYS[(number + 1) % 7]}.")
        said.append(f"The day before {day} is {DAYS[(number + 6) % 7]}.")
        said.append(f"{day} is the {ORDINALS[number]} day of the week.")
    names = list(MONTHS)
    for number, (month, days) in enumerate(MONTHS.items()):
        said.append(f"{month} is the {ORDINALS[number]} month of the year. It has {days} days.")
        said.append(f"The month after {month} is {names[(number + 1) % 12]}.")
        said.append(f"The month before {month} is {names[(number + 11) % 12]}.")
    for number, season in enumerate(SEASONS):
        said.append(f"After {season} comes {SEASONS[(number + 1) % 4]}.")
    return said


def numbers() -> list[str]:
    said = [f"{n} is written {spell(n)}." for n in range(200)]
    said += [capitalized(f"{spell(n)} is followed by {spell(n + 1)}.") for n in range(100)]
    for a in range(1, 21):
        for b in range(1, 21):
            said.append(f"{a} + {b} = {a + b}.")
            said.append(capitalized(f"{spell(a)} plus {spell(b)} is {spell(a + b)}."))
            if a >= b:
                said.append(f"{a} - {b} = {a - b}.")
            if a <= 10 and b <= 10:
                said.append(f"{a} times {b} is {a * b}.")
    return said


def nature() -> list[str]:
    said = []
    light = [[name, symbol, number] for number, (name, symbol) in enumerate(pairs(ELEMENTS), 1)]
    for name, symbol, number in light + pairs(HEAVY_ELEMENTS):
        said.append(f"The chemical symbol of {name} is {symbol}.")
        said.append(f"The element {name} has the symbol {symbol} and the atomic number {number}.")
        said.append(f"{symbol} is the chemical symbol of {name}.")
    for number, planet in enumerate(PLANETS):
        said.append(f"{planet} is the {ORDINALS[number]} planet from the Sun.")
        said.append(f"The {ORDINALS[number]} planet from the Sun is {planet}.")
    said.append(f"The eight planets are {', '.join(PLANETS[:-1])} and {PLANETS[-1]}.")
    said += [
        "The largest planet is Jupiter.",
        "The smallest planet is Mercury.",
        "The Moon goes around the Earth.",
    ]
    said += ["Water freezes at 0 degrees and boils at 100 degrees Celsius.", "The Earth goes around the Sun."]
    for thing, colour in COLOURS.items():
        said.append(f"The colour of {thing} is {colour}.")
        said.append(capitalized(f"{thing} is {colour}."))
    for animal, young in pairs(YOUNG):
        said.append(f"A young {animal} is called {article(young)}.")
    return said


def words() -> list[str]:
    said = []
    for one, other in pairs(OPPOSITES):
        said.append(f"The opposite of {one} is {other}.")
        if other != "light" and one != "light":
            said.append(f"The opposite of {other} is {one}.")
    for shape, sides in SIDES.items():
        said.append(capitalized(f"{article(shape)} has {spell(sides)} sides."))
    return said


def all_facts() -> list[list[str]]:
    """Sentences in groups of one subject."""
    return [calendar(), numbers(), nature(), words()]


def document(groups: list[list[str]], draw: random.Random) -> str:
    group = draw.choice(groups)
    return draw.choice([" ", "\n"]).join(draw.sample(group, draw.choice([1, 1, 2, 3, 5])))
