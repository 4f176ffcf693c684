#!/usr/bin/env python3
"""Makes tests/data/tokenizer: a small byte-level BPE like OPT's, and what transformers makes of many texts.

Needs transformers 5 and tokenizers; writes the same files every time.
Usage: make_tokenizer_fixtures.py [FOLDER]
"""

import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Tokenizer

VOCABULARY = 800
FIRST = ["<s>", "<pad>", "</s>", "<unk>"]  # as OPT's vocab.json begins
LAST = ["<mask>", "madeupword0000", "madeupword0001"]  # and ends

CORPUS = """
The pipeline reads the weights of each layer from the disk, sends them to the device and computes the next token.
It's a long way to the end of the street, and they're sure that we'll find the house; I'd say you've seen it before.
Paris is the capital city of France, and Berlin is the capital city of Germany. The river runs through the city.
In 1969 there were 12 of them; by 2024 there were 365, and 100 more came later. What happened to the other 27?
When the rain stopped, the children went out to the garden and looked for the stones that they had hidden there.
for (int i = 0; i < n; ++i) { total += values[i]; }  // the sum of all of the values
    def compute(self, inputs):\n        return self.weights @ inputs + self.bias\n
Die Straße führt über die Brücke zum Fluß, und die Kinder spielen draußen im schönen Garten.
Le garçon a mangé une pêche très mûre près de la forêt où l'été s'achève déjà.
El niño pequeño soñó que mañana vendría su tía a la montaña.
Съешь ещё немного хлеба и выпей чаю, пока солнце не село за горы. Столица этой страны стоит на большой реке.
Η θάλασσα είναι ήρεμη σήμερα και ο ουρανός είναι γαλανός.
الكتاب على الطاولة والقلم في الحقيبة، والمدينة كبيرة وجميلة جداً.
הילד קורא ספר בגינה והשמש זורחת על העיר הגדולה.
लड़का बगीचे में किताब पढ़ता है और सूरज शहर पर चमकता है।
เด็กผู้ชายอ่านหนังสืออยู่ในสวน และดวงอาทิตย์ส่องแสงเหนือเมือง
这个城市很大,河流穿过城市的中心。孩子们在花园里读书。
男の子は庭で本を読んでいます。この町はとても大きいです。
소년은 정원에서 책을 읽고 있고 도시는 매우 큽니다.
"""

SCRIPTS = [
    "",
    " ",
    "  ",
    "\n",
    "a",
    "Hello, world!",
    "The capital city of France is Paris.",
    "naïve café déjà vu",
    "Straße ẞ ﬁ ǅ ŉ",
    "مرحبا بالعالم، كيف الحال؟ ٣٤٥",
    "שלום עולם, מה שלומך?",
    "नमस्ते दुनिया १२३ क्षत्रिय",
    "வணக்கம் உலகம்",
    "สวัสดีชาวโลก ๑๒๓",
    "こんにちは世界、カタカナ。",
    "你好,世界!一二三",
    "안녕하세요 세계 ᄒ\u1161ᆫ",
    "Привет, мир! Ёлка",
    "Γειά σου Κόσμε ΐ ΰ",
    "გამარჯობა მსოფლიო",
    "ሰላም ልዑል",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
    "ᠮᠣᠩᠭᠣᠯ\u180eᠠ",
    "𐌰𐌱𐌲 𝔘𝔫𝔦 𝟘𝟙𝟚 𠮷野家 𞤀𞤣",
    "👩‍👩‍👧‍👦 👍🏽 🏴\U000e0067\U000e0062\U000e007f 🇫🇷🇩🇪 ❤️ 1️⃣",
    "e\u0301 a\u0308\u0304 Z̸̢̛a̶͠l̵͝g̷͘o \u0301alone",
    "½ ² ³ Ⅷ ٣ ⑦ ㊀ ৴ ௰ 〇 ¼cup x²y",
    "1,234.56 0x1F 3e-10 12ab34 1½",
    "_under_score_ __init__ a_b",
    "it's IT'S they're They'Re we'll WE'LL I'm I'd you've 'tis 's 't 're",
    "x'sy 1's 'S ''s ' s 'lll 'veal 'dd \u2019s don\u2019t 'm\u0301",
    " 's  's\n's\t't 'r e 'rE",
    "tabs\tand\t\ttabs \t mixed \t\n\n  \n lines\r\nand\r more\r\n\r\n",
    "   lead and trail   ",
    "a  b   c    d     e\n f \n\n g",
    " \u00a0 a \u00a0\u00a0b\u2003c\u3000\u3000d \u2028e\u2029 f",
    "\x00",
    "a\x00b \x00\x00 c",
    "\x01\x02 \x07\x08 \x0e \x1b[31m red \x7f\x80\x9f",
    "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff noncharacters",
    "\ue000\uf8ff\U000f0000 private",
    "\ufffd\ufffc\ufeff marks\u200b\u200c\u200d\u2060",
    "\U0001f600" * 5,
    "é" * 17,
    "ab" * 40,
    "a" * 100,
    " " * 65,
    "\n" * 33 + "x",
    "!" * 40,
    "?!?! ... --- *** === ///",
    "$€£¥ ±×÷ ←↑→↓ ∀∃∈ ™©®",
    "https://example.org/path?query=1&x=%20#frag",
    "print('hello')  # it's\n\treturn x[0]'s",
    "Ġ Ċ ĉ Ńá Ġthe âĢĻ",
    "a</s>b",
    "</s>",
    "</s></s> </s>",
    "</s",
    "< /s>",
    "<s>hi</s> <pad><unk><mask>",
    " <pad> x <pad>\n",
    "madeupword0000 madeupword0001",
    "<PAD>",
]
LOOK_ALIKES = [
    0x1C,
    0x1D,
    0x1E,
    0x1F,
    0x180E,
    0x200B,
    0x200C,
    0x200D,
    0x2060,
    0xFEFF,
    0x00,
    0x08,
    0x0E,
    0x84,
    0x86,
    0x2800,
    0x3164,
    0x115F,
]


def assigned(code_point):
    """Assigned in Unicode 14, Python 3.11's: every library here agrees about those."""
    return unicodedata.category(chr(code_point)) not in ("Cn", "Cs")


def white_space():
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [
        c
        for c in range(0x110000)
        if assigned(c)
        and len(pieces.pre_tokenize_str("!" + chr(c))) > 1
        and not unicodedata.category(chr(c)).startswith(("L", "N"))
    ]


def texts(rng):
    yield from SCRIPTS
    spaces = white_space()
    for c in spaces + LOOK_ALIKES:
        yield "a{0}b {0}c{0} d{0}{0}1{0}{0} {0}!{0}".format(chr(c))
    every = [c for c in range(0x110000) if assigned(c)]
    blocks = sorted({c >> 8 for c in every if c < 0xE000 or c > 0xF8FF and c < 0xF0000})
    rng.shuffle(blocks)
    for group in range(0, len(blocks), 12):  # a few characters of every 256
        chars = [
            rng.choice([c for c in range(b << 8, (b + 1) << 8) if assigned(c)])
            for b in blocks[group : group + 12]
        ]
        yield "".join(chr(c) + rng.choice(["", "", " ", "a", "1"]) for c in chars)
    seasoning = (
        [chr(c) for c in spaces + LOOK_ALIKES]
        + [" "] * 20
        + ["'s", "'ll", "'", "</s>", "<pad>", "\n", "a", "the", "9"]
    )
    yield from (line for line in CORPUS.splitlines() if line)
    for _ in range(150):
        yield "".join(
            rng.choice(seasoning) if rng.random() < 0.6 else chr(rng.choice(every))
            for _ in range(rng.randint(1, 30))
        )


def train(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(FIRST) - len(LAST),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    tokens = FIRST + sorted(trained["vocab"], key=trained["vocab"].get) + LAST
    vocabulary = {token: place for place, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    merges = "".join(" ".join(merge) + "\n" for merge in trained["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    names = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    special = {name: {"content": content, **flags} for name, content in names.items()}
    config = {"errors": "replace", "add_prefix_space": False, "add_bos_token": True}
    config |= {name: {**value, "__type": "AddedToken"} for name, value in special.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1) + "\n")


def check_second_oracle(folder, cases):
    """The tokenizers library itself, put together here, agrees where no special token is spelled out."""
    model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for case in cases:
        if not any(special in case["text"] for special in ("</s>", "<pad>")):
            assert [2] + tokenizer.encode(case["text"]).ids == case["ids"], case


def flagged(content, **flags):
    return {
        "content": content,
        "lstrip": False,
        "rstrip": False,
        "single_word": False,
        "normalized": True,
    } | flags


def typed(content, **flags):
    return {"__type": "AddedToken"} | flagged(content, **flags)


def variants():
    """Settings of added tokens, each with texts: the flags, and the files that state them."""
    base = {
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
        "pad_token": "<pad>",
        "add_bos_token": True,
    }
    yield "lstrip", {
        "tokenizer_config.json": base
        | {
            "bos_token": typed("</s>", lstrip=True),
            "eos_token": typed("</s>", lstrip=True),
            "unk_token": None,
        }
    }
    yield "rstrip", {"tokenizer_config.json": base | {"pad_token": typed("<pad>", rstrip=True)}}
    yield "single word", {
        "tokenizer_config.json": base
        | {"pad_token": typed("<pad>", single_word=True), "mask_token": typed("the", single_word=True)}
    }
    yield "prefix space", {"tokenizer_config.json": base | {"add_prefix_space": True}}
    yield "end", {"tokenizer_config.json": base | {"add_eos_token": True}}
    yield "no begin", {"tokenizer_config.json": base | {"add_bos_token": False}}
    yield "split special", {"tokenizer_config.json": base | {"split_special_tokens": True}}
    yield "decoder", {
        "tokenizer_config.json": base
        | {
            "added_tokens_decoder": {
                "2": flagged("</s>", special=True),
                "1": flagged("<pad>", special=False),
                "800": flagged("<x>", special=True),
                "801": flagged("<x><x>", special=False),
                "802": flagged("é x", special=False, lstrip=True),
                "803": flagged("other", special=False, normalized=False),
            }
        }
    }
    yield "map", {
        "tokenizer_config.json": {"add_bos_token": True},
        "special_tokens_map.json": base | {"pad_token": flagged("<mask>", lstrip=True, rstrip=True)},
    }
    yield "added", {"tokenizer_config.json": base, "added_tokens.json": {"<x>": 800, "other": 801, "</s>": 2}}


def encode_variants(folder, rng):
    made = []
    files = ["vocab.json", "merges.txt"]
    words = [
        "</s>",
        "<pad>",
        "<x>",
        "<x><x>",
        "<mask>",
        "the",
        "é x",
        "x",
        " ",
        " ",
        "\u3000",
        "\n",
        "1",
        "_",
        ".",
        "\u0301",
        "<",
        "other",
    ]
    for name, settings in variants():
        with tempfile.TemporaryDirectory() as place:
            for file in files:
                Path(place, file).write_bytes((folder / file).read_bytes())
            for file, content in settings.items():
                Path(place, file).write_text(json.dumps(content))
            tokenizer = GPT2Tokenizer.from_pretrained(place)
        cases = []
        for text in ["".join(rng.choice(words) for _ in range(rng.randint(1, 12))) for _ in range(20)]:
            ids = tokenizer.encode(text)
            cases.append(
                {
                    "text": text,
                    "ids": ids,
                    "decoded": tokenizer.decode(ids),
                    "skipped": tokenizer.decode(ids, skip_special_tokens=True),
                }
            )
        made.append({"name": name, "files": settings, "cases": cases})
    return made


def write_cases(path, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text("[\n" + lines + "\n]\n")


def main():
    default = Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizer"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(20)
    train(folder)
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    cases = [{"text": text, "ids": tokenizer.encode(text)} for text in texts(rng)]
    for case in cases:
        case["decoded"] = tokenizer.decode(case["ids"], skip_special_tokens=True)
        if case["decoded"] == case["text"]:
            del case["decoded"]  # absent: the text itself
    check_second_oracle(folder, cases)
    write_cases(folder / "encode.json", cases)

    sequences = [[rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 16))] for _ in range(150)]
    # Bytes of the high half, so that characters break off everywhere.
    high = [place for place in range(4, 260) if tokenizer.decode([place]) == "\ufffd"]
    sequences += [[rng.choice(high) for _ in range(rng.randint(1, 16))] for _ in range(150)]
    decoded = [
        {
            "ids": ids,
            "text": tokenizer.decode(ids),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        }
        for ids in sequences
    ]
    for case in decoded:
        if case["skipped"] == case["text"]:
            del case["skipped"]
    write_cases(folder / "decode.json", decoded)
    write_cases(folder / "variants.json", encode_variants(folder, rng))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{len(cases)} texts, {len(decoded)} sequences, {size} bytes in {folder}")


if __name__ == "__main__":
    main()
