"""An override pattern is a regular expression that an operator writes and every call is held against: it stays quick.

What it is held against has at most OVERRIDE_LENGTH_MAX characters, and what could multiply is counted: no group is
repeated, groups and repetitions are few, nothing refers back. So the tries stay below a million, whatever the value.
"""

import re
from typing import Final

PATTERN_LENGTH_MAX: Final = 128  # characters; ours: a list of twenty services
OVERRIDE_LENGTH_MAX: Final = 64  # characters of an override value; a longer one matches no pattern
GROUPS_MAX: Final = 4  # groups of a pattern; the alternatives of each multiply
REPETITIONS_MAX: Final = 3  # * + ? and {m,n} of a pattern; each tries every length of a value

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|\(\?|\(|\)|\{[0-9]*,?[0-9]*\}|[*+?]|.", re.DOTALL)


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with an override pattern and how to mend it, empty where nothing is."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return f"has {len(pattern)} characters; write at most {PATTERN_LENGTH_MAX}"
    try:
        re.compile(pattern)
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
    return f"has {groups} groups; write at most {GROUPS_MAX}" if groups > GROUPS_MAX else ""


def _is_repetition(token: str) -> bool:
    return token in ("*", "+", "?") or (token.startswith("{") and len(token) > 1)
