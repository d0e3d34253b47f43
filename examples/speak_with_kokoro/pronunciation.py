"""How else the same words are said: function words in their weak forms, accents, uneven tempo.

espeak gives each word its dictionary form, so that whatever Kokoro says is said with the same care
by everyone. Readers are not like that, and half of `small_en`'s errors were in frequent words.
"""

import re

import numpy as np

LOWEST_PITCH = 40.0  # Hz; below is no voice
VOWELS = "aeiouæɐɑɒɔəɚɛɜɪʊʌᵻ"

# Words as espeak's American and British say them, and what is left of them in running speech.
WEAK_FORMS = {
    said: weak.split()
    for forms, weak in {
        "ænd and": "ənd ən ən",
        "wʌz wɒz": "wəz",
        "wʌt": "wət",
        "ðæt ðat": "ðət",
        "ðɛm": "ðəm əm",
        "hæd had": "həd əd",
        "hæz": "həz əz",
        "hæv hav": "həv əv",
        "hiː": "hi i",
        "hɪz": "ɪz",
        "hɪm": "ɪm",
        "hɜː": "hɚ ɚ",
        "ʃiː": "ʃi",
        "wiː": "wi",
        "juː": "jʊ jə",
        "mˌaɪ": "mə",
        "æt at": "ət",
        "æz az": "əz",
        "ʌv ɒv": "əv ə",
        "fɔːɹ": "fɚ",
        "fɔː": "fə",
        "fɹʌm fɹɒm": "fɹəm",
        "bʌt": "bət",
        "wɜː": "wɚ wə",
        "kæn kan": "kən",
        "wɪl": "wəl",
        "ðɛɹ": "ðɚ",
        "sˌʌm": "səm",
    }.items()
    for said in forms.split()
}

# What one speaker says in place of what espeak does, as regular expressions.
ACCENTS = (
    ("ɪŋ(?= |$)", "ɪn"),
    ("ɾ", "t"),
    (f"(?<=[{VOWELS}ː])t(?=[ˈˌ]?[{VOWELS}])", "ɾ"),
    (f"ɹ(?![ˈˌ]?[{VOWELS}])", ""),
    ("ɚ", "ə"),
    ("(?<=[nslfkp])[td](?= )", ""),
    ("(?<= )h", ""),
    ("θ", "t"),
    ("θ", "f"),
    ("ð", "d"),
    ("z(?= |$)", "s"),
    ("v", "w"),
    ("(?<= )w", "v"),
    ("æ", "a"),
    ("æ", "ɛ"),
    ("ɛ", "ɪ"),
    ("ɛ", "e"),
    ("ɪ(?!ŋ)", "i"),
    ("iː", "ɪ"),
    ("ʌ", "ə"),
    ("ʌ", "ʊ"),
    ("ʊ", "u"),
    ("ɑː", "ɔː"),
    ("ɑː", "a"),
    ("ɔː", "ɑː"),
    ("ɔː", "o"),
    ("oʊ", "əʊ"),
    ("oʊ", "o"),
    ("əʊ", "oʊ"),
    ("eɪ", "e"),
    ("eɪ", "aɪ"),
    ("aɪ", "ɑː"),
    ("aɪ", "ɔɪ"),
    ("aʊ", "ɛʊ"),
    ("ɜː", "ɛ"),
    ("ᵻ", "ə"),
)


def pronounce_otherwise(phonemes: str, generator: np.random.Generator) -> str:
    """Changes phonemes as one speaker would: some words are weak, up to four accents are heard."""
    weakness = generator.uniform()
    accents = generator.choice(len(ACCENTS), generator.integers(0, 5), replace=False)
    shares = generator.uniform(0.5, 1.0, len(accents))
    *words, last = phonemes.split(" ")
    said = " ".join([*(weaken(word, weakness, generator) for word in words), last])
    for accent, share in zip(accents, shares, strict=True):
        said = replace_some(*ACCENTS[accent], said, share, generator)
    return said


def weaken(word: str, weakness: float, generator: np.random.Generator) -> str:
    """Returns a weak form of a word that has one, by the chance `weakness`."""
    if word not in WEAK_FORMS or generator.random() >= weakness:
        return word
    return str(generator.choice(WEAK_FORMS[word]))


def replace_some(
    pattern: str, instead: str, said: str, share: float, generator: np.random.Generator
) -> str:
    """Replaces about a share of what matches."""

    def replacement(match: re.Match) -> str:
        return instead if generator.random() < share else match.group()

    return re.sub(pattern, replacement, said)


def draw_tempo(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draws the speed of each of `count` tokens (count,): of all, of stretches, of each."""
    knots = generator.normal(0.0, 0.15, 2 + count // 12)
    stretches = np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
    each = generator.normal(0.0, 0.15, count)
    return (generator.uniform(0.8, 1.3) * np.exp(stretches + each)).astype(np.float32)


def draw_melody(pitch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws how high and how lively a pitch (count,) in Hz is; 0, without voice, stays."""
    voiced = pitch > LOWEST_PITCH
    if not voiced.any():
        return pitch
    middle = np.median(pitch[voiced])
    height = np.exp(generator.normal(0.0, 0.12))
    liveliness = generator.uniform(0.7, 1.4)
    changed = height * middle * (pitch[voiced] / middle) ** liveliness
    melody = pitch.copy()
    melody[voiced] = np.clip(changed, 55.0, 450.0)
    return melody
