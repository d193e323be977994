"""Names that users write: suggestions for wrong ones, and short forms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def suggest(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """Returns "Did you mean …? ", to put before "Received: …", for a name like some known ones.

    Args:
        name: what the user wrote, in any case.
        known: the known names.
        otherwise: the result if no known name is similar.
    """
    folded = {other.casefold(): other for other in sorted(known)}
    close = get_close_matches(str(name).casefold(), folded, n=3, cutoff=0.5)
    if not close:
        return otherwise
    return f"Did you mean {' or '.join(repr(folded[match]) for match in close)}? "


def choose_one(name: object, known: Iterable[str]) -> str:
    """Returns the question of `suggest`, or all known names if none is similar."""
    names = sorted(set(known))
    return suggest(name, names, f"Choose one of: {', '.join(names)}. ")


def last_part(name: str) -> str:
    """Returns the last part of a path or handle that is not a version.

    For https://tfhub.dev/google/electra_small/2, which ends in its version: electra_small.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part] or [name]
    return parts[-2] if parts[-1].isdecimal() and len(parts) > 1 else parts[-1]


def shown_names(names: Sequence[str], most: int = 5) -> str:
    """Lists names for a message."""
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")
