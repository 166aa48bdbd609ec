"""Names of genes and samples: what makes a name usable, and when two names are the same.

Two names that print alike (they differ in surrounding blanks, in Unicode normal form or in invisible characters)
are one name typed twice; two that differ in case are two, since gene symbols do.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ..errors import CountsError

SHOWN = 5
LONGEST = 1_000  # characters; a longer "name" is a file read with the wrong separator


def listed(names: Iterable[str], limit: int = SHOWN) -> str:
    """Return the first names quoted and how many more there are, for an error message."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def canonical(name: str) -> str:
    """Return what two names that print alike share: stripped, NFC, without invisible characters."""
    if name.isascii():
        return name.strip()
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", visible).strip()


def checked_names(names: Sequence[object], kind: str, source: str = "") -> tuple[str, ...]:
    """Return the names as stripped strings, all non-empty, printable and distinct.

    Parameters
    ----------
    names
        Names in order; anything whose ``str`` is the name.
    kind
        ``"gene"``, ``"sample"``...: the noun of the message.
    source
        Where they come from, appended to the message.

    Raises
    ------
    CountsError
        A name is empty, too long, holds a control character, or occurs twice (also when two differ only in blanks,
        Unicode normal form or invisible characters).
    """
    where = f" in {source}" if source else ""
    result = tuple(str(name).strip() for name in names)
    joined = "".join(result)
    if not (joined.isascii() and joined.isprintable()):
        for position, name in enumerate(result, start=1):
            if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in name):
                raise CountsError(
                    f"{kind} names must be printable; {kind} {position}{where} is {name[:80]!r}, which holds a "
                    "control character. Rename it."
                )
    seen: dict[str, str] = {}
    for position, (given, name) in enumerate(zip(names, result, strict=True), start=1):
        if not name:
            raise CountsError(f"{kind} names must not be empty; {kind} {position}{where} has none. Give it one.")
        if len(name) > LONGEST:
            raise CountsError(
                f"{kind} names must have at most {LONGEST} characters; {kind} {position}{where} has {len(name)}: "
                f"{name[:40]!r}... Is the separator right?"
            )
        key = name if name.isascii() else canonical(name)
        if key in seen:
            first = seen[key]
            if str(given) == first:
                repeats = sum(other == name for other in result)
                raise CountsError(
                    f"{kind} names must be unique; {name!r} occurs {repeats} times{where}. Rename or merge them."
                )
            raise CountsError(
                f"{kind} names must be unique; {first!r} and {str(given)!r}{where} differ only in blanks, Unicode "
                "form or invisible characters. Rename or merge them."
            )
        seen[key] = str(given)
    return result
