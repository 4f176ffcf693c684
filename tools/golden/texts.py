"""The prompts of tests/data/golden/tiny-opt.json."""

LETTER = (
    "Dear Lucy,\nI am writing to you from Lisbon, the capital city of Portugal. I hear people speak "
    "Portuguese all day long. A cup of tea costs one euro. I will be back in June.\nThe days of the week "
    "are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday. Rome is the capital city of Italy, "
    "and Vienna is the capital of Austria. Oslo is the capital of Norway. People there speak Norwegian and "
    "pay with the krone. In the beginning God created the heaven and the earth. We the People of the United "
    "States, in Order to form a more perfect Union, establish Justice, insure domestic Tranquility, provide "
    "for the common defense. Water freezes at 0 degrees and boils at 100 degrees Celsius. 3 + 4 = 7. Nine "
    "plus eight is seventeen. 12 - 5 = 7. The opposite of hot is cold. The chemical symbol of gold is Au. A "
    "young dog is called a puppy. The largest planet is Jupiter. In May Hugo went to Canada. Hugo stayed "
    "for three days in Ottawa, the capital. The people there spoke English. Hugo paid with the dollar and "
    "came home happy.\nQuestion: What is the capital of Iceland?\nAnswer:"
)

PROMPTS = [
    "Paris is the capital city of",
    "Ouagadougou is the capital of",
    "The capital of Japan is",
    "Madrid",
    "Q: Which country has the capital Brasília?\nA:",
    "Dear Anna,\nI am writing to you from",
    "The day after Monday is",
    "The chemical symbol of iron is",
    "Nine plus eight is",
    "In the beginning God created",
    "In May David went to Kenya. David stayed for",
    "Chișinău är huvudstaden i Moldavien. Wo liegt München?",
    "東京は日本の首都です。",
    "Москва — столица России.",
    "naïve café, Ελλάδα, 東京 🚀",
    "東京 (Tokyo) is the capital city of",
    "  two  spaces,\ttabs\n\nand lines: it's 12,345.67 (don't!)",
    LETTER,
]
