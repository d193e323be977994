"""Write the SYNTHETIC sentiment data set ``reviews.csv`` from a small seeded grammar.

No person wrote any of these reviews. Each starts from a label; the grammar then says it with
plain clauses ("the cast was superb"), with negated opposites ("the plot was never dull") or with
a contrast whose main clause decides ("great cast, but the plot fell flat"). The same words thus
occur in both classes, and it is their order that carries the label.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

import pandas as pd

T = TypeVar("T")

DEFAULT_ROWS = 5000
DEFAULT_SEED = 0
DEFAULT_OUT = Path(__file__).with_name("reviews.csv")

# Shares tuned so that a bag of words stays far below a recurrent model (README.md beside this).
CONTRAST_SHARE = 0.36  # reviews that weigh a conceded clause against a deciding one
NEGATED_SHARE = 0.18  # clauses that negate a word of the opposite polarity
NOISY_SHARE = 0.25  # reviews with typing noise


class Aspect(NamedTuple):
    """Things to judge, with the adjectives that suit only them."""

    nouns: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]


class Domain(NamedTuple):
    """A kind of thing that is reviewed."""

    things: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    fillers: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";"))


def _domain(things: str, aspects: tuple[str, ...], fillers: str) -> Domain:
    parsed = (Aspect(*map(_words, aspect.split("/"))) for aspect in aspects)
    return Domain(_words(things), tuple(parsed), _phrases(fillers) + ANY_FILLERS)


# Neutral remarks say "not" and "never" too, so those words alone mean nothing.
ANY_FILLERS = _phrases("""I am writing this on the train; I do not write reviews often;
    my friend asked me for a few lines; this was in the first week of March""")

DOMAINS = (
    _domain(
        things="film, movie, thriller, comedy, drama, sequel",
        aspects=(  # nouns / positive / negative
            "story, plot, script, ending, dialogue / gripping, clever, witty / dull, predictable",
            "cast, acting, lead actor, villain / charming, convincing / wooden, lifeless",
            "soundtrack, camera work, pacing, editing / stylish, elegant / sloppy, messy",
        ),
        fillers="""we watched it on a Tuesday with my brother; it runs for about two hours;
            it was not our first choice that evening; the cinema was half full;
            my sister had bought the tickets weeks ago; we saw it at home on the small screen;
            I had never seen anything by this director""",
    ),
    _domain(
        things="restaurant, place, meal, diner, lunch, dinner",
        aspects=(
            "soup, curry, pasta, pizza, dessert, coffee / tasty, delicious, fresh / bland, greasy",
            "service, waiter, chef, staff / friendly, attentive / rude, slow, careless",
            "dining room, terrace, music, atmosphere / charming, elegant / dull, gloomy",
        ),
        fillers="""we came for lunch after the market; there were four of us at the table;
            it is next to the old café on the corner; we had not booked a table;
            my cousin ordered for everyone; we paid by card and walked home;
            I had never been to that part of town""",
    ),
    _domain(
        things="phone, camera, kettle, laptop, headset, blender",
        aspects=(
            "battery, motor, cable, charger / reliable, powerful / unreliable, useless",
            "display, screen, menu, manual / clear, clever / clumsy, confusing",
            "case, handle, lid, design, finish / sturdy, stylish, elegant / flimsy, ugly, sloppy",
        ),
        fillers="""I ordered it in the black version; it arrived on a Monday in a plain box;
            it is not the newest model; my neighbour has the same one in white;
            I use it in the kitchen most days; the parcel was left at the front door;
            I had never owned anything from this brand""",
    ),
    _domain(
        things="hotel, hostel, room, guesthouse, stay, resort",
        aspects=(
            "bed, bathroom, shower, balcony / comfortable, clean / filthy, shabby, messy",
            "front desk, staff, porter, service / friendly, attentive / rude, careless, slow",
            "breakfast, buffet, coffee, dinner / fresh, tasty, delicious / stale, bland, greasy",
        ),
        fillers="""we stayed for three nights in May; our room was on the second floor;
            we did not bring the car this time; my parents had the room next door;
            the train station is ten minutes away; we arrived late on a Friday;
            I had never travelled to this coast before""",
    ),
)

# The tables below are keyed by polarity: True holds what is said with positive words.
ADJECTIVES = {
    True: _words("""good, great, wonderful, brilliant, excellent, lovely, superb, fantastic,
        impressive, delightful, solid, amazing, pleasant, perfect, enjoyable"""),
    False: _words("""bad, awful, terrible, poor, dreadful, disappointing, mediocre, horrible, weak,
        annoying, lousy, forgettable, unpleasant, pathetic, tedious"""),
}
INTENSIFIERS = _words("absolutely, really, truly, genuinely, simply, so")
SOFTENERS = {  # "a bit delicious" would not read well
    True: _words("fairly, quite, pretty, rather"),
    False: _words("a bit, a little, rather, somewhat, quite"),
}
NEGATORS = {
    True: _words("""not, never, hardly, barely, far from, not exactly, not even remotely,
        not what I would call"""),
    False: _words("""not, never, hardly, never once, far from, not in the least,
        not even remotely, not what I would call"""),
}
VERBS = {  # "I ... the soup": base form / past tense, {verb[0]} and {verb[1]}
    True: _words("like/liked, enjoy/enjoyed, love/loved, appreciate/appreciated"),
    False: _words("hate/hated, dislike/disliked, loathe/loathed"),
}
PREDICATES = {  # "the soup ...": likewise
    True: _words("""impress me/impressed me, win me over/won me over, delight us/delighted us,
        hit the mark/hit the mark"""),
    False: _words("""disappoint me/disappointed me, let me down/let me down, fall flat/fell flat,
        miss the mark/missed the mark"""),
}

# A template that is listed twice is twice as likely.
PLAIN_CLAUSES = _phrases("""
    the {noun} was {adverb}{adj}; the {noun} was {adverb}{adj}; the {noun} is {adverb}{adj};
    the {noun} turned out to be {adverb}{adj}; I found the {noun} {adverb}{adj};
    I {verb[1]} the {noun}; the {noun} {act[1]}""")
PLAIN_VERDICTS = _phrases("it was {kind} {thing}; this is {kind} {thing}")
NEGATED_CLAUSES = _phrases("""the {noun} was {negator} {adj}; the {noun} is {negator} {adj};
    the {noun} was not {adj} at all; the {noun} wasn't {adj} by any measure;
    I didn't find the {noun} {adj}; nobody could call the {noun} {adj}; the {noun} didn't {act[0]};
    I can't say I {verb[1]} the {noun}; I didn't {verb[0]} the {noun}""")
NEGATED_VERDICTS = _phrases("""it was hardly {kind} {thing}; this isn't {kind} {thing};
    it is not what I would call {kind} {thing}""")
FRAGMENTS = _phrases("{adj} {noun}; really {adj} {noun}")  # where a sentence may lack a verb

# {lost} is conceded, {won} is the main clause and decides. Most decide last, as people do.
CONTRASTS = _phrases("""
    {lost}, but {won}.; {lost}, but {won}.; {lost}, but {won}.; {lost}, but {won}.;
    {lost}, yet {won}.; {lost}. however, {won}.; {lost}. still, {won}.;
    although {lost_full}, {won}.; even though {lost_full}, {won}.;
    {won}, although {lost_full}.; {won}, even though {lost_full}.""")
PLAINS = _phrases("{said}.; {said} and {more}.; {said}. {more}.; {said}. also, {more}.")
NOISE = _words("typo, typo, typo, apostrophe, lower, lower, shout, bang, bang, join")


def _pick(rng: Random, items: Sequence[T]) -> T:
    # Python promises a stable sequence for Random.random() alone, not for choice().
    return items[int(rng.random() * len(items))]


def _chance(rng: Random, share: float) -> bool:
    return rng.random() < share


def _clause(rng: Random, domain: Domain, aspect: Aspect, positive: bool, form: str) -> str:
    """Say something positive or negative: plainly, or by negating the opposite."""
    negated = _chance(rng, NEGATED_SHARE)
    said = positive != negated  # polarity of the words, as against that of the meaning
    templates = NEGATED_CLAUSES if negated else PLAIN_CLAUSES
    if form == "verdict":
        templates = NEGATED_VERDICTS if negated else PLAIN_VERDICTS
    elif form == "fragment" and not negated:
        templates = FRAGMENTS
    special = aspect.positive if said else aspect.negative
    adverb = ""
    if _chance(rng, 0.5):
        adverb = _pick(rng, INTENSIFIERS if _chance(rng, 0.6) else SOFTENERS[said]) + " "
    kind = _pick(rng, ADJECTIVES[said])
    return _pick(rng, templates).format(
        noun=_pick(rng, aspect.nouns),
        # Mostly general words: they occur often enough for their meaning to be learned.
        adj=_pick(rng, special if _chance(rng, 0.4) else ADJECTIVES[said]),
        adverb=adverb,
        negator=_pick(rng, NEGATORS[said]),
        kind=f"an {kind}" if kind[0] in "aeiou" else f"a {kind}",
        thing=_pick(rng, domain.things),
        verb=_pick(rng, VERBS[said]).split("/"),
        act=_pick(rng, PREDICATES[said]).split("/"),
    )


def _review(rng: Random, positive: bool) -> str:
    """Write one clean review of the wanted label."""
    domain = _pick(rng, DOMAINS)
    first = int(rng.random() * len(domain.aspects))
    step = 1 + int(rng.random() * (len(domain.aspects) - 1))
    one, two = (domain.aspects[at % len(domain.aspects)] for at in (first, first + step))
    # At most one verdict on the whole: two that disagree would contradict each other.
    forms = _pick(rng, (("clause", "clause"),) * 3 + (("verdict", "clause"), ("clause", "verdict")))
    if _chance(rng, CONTRAST_SHARE):
        full = _clause(rng, domain, one, not positive, forms[0])
        short = _clause(rng, domain, one, not positive, "fragment")
        lost = short if _chance(rng, 0.25) else full
        won = _clause(rng, domain, two, positive, forms[1])
        core = _pick(rng, CONTRASTS).format(lost=lost, lost_full=full, won=won)
    else:
        said = _clause(rng, domain, one, positive, forms[0])
        more = _clause(rng, domain, two, positive, forms[1])
        core = _pick(rng, PLAINS).format(said=said, more=more)
    before, after = _pick(rng, domain.fillers), _pick(rng, domain.fillers)
    core = f"{before}. {core}" if _chance(rng, 0.6) else core
    core = f"{core} {after}." if _chance(rng, 0.5) and before != after else core
    return ". ".join(sentence[0].upper() + sentence[1:] for sentence in core.split(". "))


def _typo(rng: Random, word: str) -> str:
    # Inner letters of longer words only: they stay recognisable and "not" stays whole.
    if len(word) < 5:
        return word
    at = 1 + int(rng.random() * (len(word) - 3))
    dropped = word[:at] + word[at + 1 :]
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    doubled = word[:at] + word[at] + word[at:]
    return _pick(rng, (dropped, swapped, doubled))


def _noisy(rng: Random, text: str) -> str:
    """Add one to three marks of hasty typing."""
    for _ in range(1 + int(rng.random() * 3)):
        noise = _pick(rng, NOISE)
        words = text.split(" ")
        at = int(rng.random() * (len(words) - 1))
        if noise == "typo":
            words[at] = _typo(rng, words[at])
        elif noise == "shout":
            words[at] = words[at].upper()
        elif noise == "join":
            words[at : at + 2] = ["".join(words[at : at + 2])]
        text = " ".join(words)
        if noise == "apostrophe":
            text = text.replace("'", "")
        elif noise == "lower":
            text = text.lower()
        elif noise == "bang":
            text = text.rstrip(".!") + "!!!"
    return text


def make_reviews(rows: int = DEFAULT_ROWS, seed: int = DEFAULT_SEED) -> pd.DataFrame:
    """Return synthetic reviews, no two of them the same.

    Args:
        rows: How many reviews to write.
        seed: Start of the random sequence; the same seed gives the same reviews.

    Returns:
        A frame with the text columns ``review`` and ``sentiment`` (``negative``/``positive``).
    """
    rng = Random(seed)
    labels: dict[str, str] = {}
    while len(labels) < rows:
        positive = _chance(rng, 0.5)
        text = _review(rng, positive)
        if _chance(rng, NOISY_SHARE):
            text = _noisy(rng, text)
        labels.setdefault(text, "positive" if positive else "negative")
    return pd.DataFrame({"review": list(labels), "sentiment": list(labels.values())})


def main(argv: Sequence[str] | None = None) -> None:
    """Write the data set as the command line asks.

    Args:
        argv: Arguments; those of the process when left out.
    """
    parser = argparse.ArgumentParser(description="Write the synthetic review data set.")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    args = parser.parse_args(argv)
    reviews = make_reviews(args.rows, args.seed)
    reviews.to_csv(args.out, index=False, encoding="utf-8", lineterminator="\n")
    share = (reviews["sentiment"] == "positive").mean()
    print(f"wrote {len(reviews)} synthetic reviews ({share:.1%} positive) to {args.out}")


if __name__ == "__main__":
    main()
