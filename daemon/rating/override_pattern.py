"""An override pattern is a regular expression that an operator writes and every call is held against: it stays quick.

What it is held against has at most OVERRIDE_LENGTH_MAX characters, no group is repeated, and nothing refers back. A try
is then a choice among the alternatives of each group and of the places, never falling, at which the value is begun and
each repetition ends: their product is what TRIES_MAX bounds.
"""

import re
import warnings
from math import comb
from typing import Final

PATTERN_LENGTH_MAX: Final = 128  # characters; ours: a list of twenty services
OVERRIDE_LENGTH_MAX: Final = 64  # characters of an override value; a longer one matches no pattern
GROUPS_MAX: Final = 4  # groups of a pattern; the alternatives of each multiply
REPETITIONS_MAX: Final = 3  # * + ? and {m,n} of a pattern; each tries every length of a value
TRIES_MAX: Final = 1_000_000  # tries of a pattern at one value; ours: three repetitions anywhere, a tenth of a second

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|\(\?|\(|\)|\{[0-9]*,?[0-9]*\}|[*+?]|.", re.DOTALL)


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with an override pattern and how to mend it, empty where nothing is."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return f"has {len(pattern)} characters; write at most {PATTERN_LENGTH_MAX}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except FutureWarning:
        return r"has a bracket or a doubled sign within a set, whose meaning will change; write \ before it"
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    return _slow(_TOKEN.findall(pattern))


def _slow(tokens: list[str]) -> str:
    """Return why a pattern might run for long; ``tokens`` are those of one that compiles."""
    if any(token.startswith("\\") and token[1].isdigit() for token in tokens) or "(?" in tokens:
        return "refers back or looks around; write plain groups ( ) or (?: ) only"
    repeats = [place for place, token in enumerate(tokens) if _is_repetition(token)]
    if any(place and tokens[place - 1] == ")" for place in repeats):
        return "repeats a group, which can run for ever; write its alternatives out"
    if len(repeats) > REPETITIONS_MAX:
        return f"has {len(repeats)} repetitions; write at most {REPETITIONS_MAX} of * + ? {{m,n}}"
    groups = tokens.count("(") + tokens.count("(?:")
    if groups > GROUPS_MAX:
        return f"has {groups} groups; write at most {GROUPS_MAX}"
    tries = _tries(tokens, len(repeats))
    if tries > TRIES_MAX:
        mend = "write fewer alternatives or repetitions, or begin it with ^"
        return f"may take {tries} tries at one value, above {TRIES_MAX}; {mend}"
    return ""


def _tries(tokens: list[str], repetitions: int) -> int:
    """Return how often a pattern may begin anew at most: alternatives multiply, and places never fall."""
    alternatives, open_groups = 1, [1]
    for each in tokens:
        if each in ("(", "(?:"):
            open_groups.append(1)
        elif each == ")":
            alternatives *= open_groups.pop()
        elif each == "|":
            open_groups[-1] += 1
    whole = open_groups[0]
    places = repetitions + (tokens[:1] != ["^"] or whole > 1)
    return alternatives * whole * comb(OVERRIDE_LENGTH_MAX + places, places)


def _is_repetition(token: str) -> bool:
    return token in ("*", "+", "?") or (token.startswith("{") and len(token) > 1)
