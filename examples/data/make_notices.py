"""Write the SYNTHETIC data set ``notices.jsonl``: short notices with the names in them marked.

No person wrote them, and nobody in them exists. Each row has a text and its spans, as
``[start, end, label]`` in characters: people, places, organisations and dates. Names are put
together from parts, so that many of those in a test part are in no training row; "Hartham" may be a
person, a place or the place's club, and only the words around it tell which.
"""

import argparse
import json
import re
from pathlib import Path
from random import Random

DEFAULT_OUT = Path(__file__).with_name("notices.jsonl")

FIRST = [
    "Ada",
    "Ben",
    "Clara",
    "Dev",
    "Edith",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Mira",
    "Noor",
    "Otto",
    "Priya",
]
STEMS = [
    "Ash",
    "Brook",
    "Clay",
    "Dun",
    "El",
    "Fair",
    "Glen",
    "Hart",
    "Ken",
    "Lang",
    "Mill",
    "Nor",
    "Oak",
    "Pen",
    "Red",
    "Stan",
    "Thorn",
    "Wal",
]
PLACE_ENDS = ["ford", "ham", "ton", "wick", "bury", "dale", "mouth", "by"]
SURNAME_ENDS = ["ford", "ham", "ton", "man", "er", "son", "well", "by"]
KINDS = [
    "Bakery",
    "Choir",
    "Ferries",
    "Foundry",
    "Insurance",
    "Library",
    "Rovers",
    "School",
    "Theatre",
    "Water",
]
MONTHS = ["January", "March", "April", "May", "June", "August", "October", "November"]

CLAUSES = (
    "{person} of {place} has joined {organisation}",
    "{organisation} will open a second branch in {place} on {date}",
    "on {date} {person} spoke at {organisation} in {place}",
    "{person} and {person} walked from {place} to {place}",
    "the road between {place} and {place} is closed until {date}",
    "{organisation} thanks {person} for forty years of work",
    "{person} was elected chair of {organisation}",
    "trains to {place} do not run on {date}",
    "{club} beat {club} by {count} points",
    "{club} lost to {club} at home",
    "{person} said that nobody in {place} had been asked",
    "{person} found a ring near {place} and returned it on {date}",
    "{place} expects {count} guests of {organisation}",
    "the soup at the market was praised by all {count} guests",
    "rain delayed the start by {count} minutes",
    "visitors from {place} found {person} at home on {date}",
)


def _name(kind: str, random: Random) -> str:
    stem = random.choice(STEMS)
    if kind == "person":
        surname = stem + random.choice(SURNAME_ENDS)
        return random.choice(
            (f"{random.choice(FIRST)} {surname}", f"{stem[0]}. {surname}", surname)
        )
    if kind in ("place", "club"):  # a club goes by the name of its town
        return random.choice(("", "", "", "Upper ", "Saint ")) + stem + random.choice(PLACE_ENDS)
    if kind == "organisation":
        return f"{stem}{random.choice(PLACE_ENDS)} {random.choice(KINDS)}"
    if kind == "count":
        return str(random.randint(3, 99))
    return f"{random.randint(1, 28)} {random.choice(MONTHS)}"


def make_notices(rows: int = 1500, seed: int = 0) -> list[dict[str, object]]:
    """Returns rows of a ``text`` and its ``spans``; no text occurs twice, whatever its capitals."""
    random = Random(seed)
    notices: dict[str, dict[str, object]] = {}
    while len(notices) < rows:
        text, spans = "", []
        sentence = ", and ".join(random.sample(CLAUSES, random.choice((1, 1, 2))))
        for part in re.split(r"(\{\w+\})", sentence):
            if part.startswith("{"):
                kind, part = part[1:-1], _name(part[1:-1], random)
                if kind != "count":
                    label = "organisation" if kind == "club" else kind
                    spans.append([len(text), len(text) + len(part), label])
            text += part
        text = text[:1].upper() + text[1:] + "."
        if random.random() < 0.3:  # typed in haste: capitals no longer give the names away
            text = text.lower()
        notices.setdefault(text.lower(), {"text": text, "spans": spans})
    return list(notices.values())


def main(arguments: list[str] | None = None) -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    given = parser.parse_args(arguments)
    notices = make_notices(given.rows, given.seed)
    given.out.write_text("".join(json.dumps(n) + "\n" for n in notices), "utf-8", newline="\n")
    print(f"{len(notices)} synthetic notices in {given.out.name}")


if __name__ == "__main__":
    main()
