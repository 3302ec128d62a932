r"""The hostile corpora: tables that a person reads and extends, in a notation for octets that no text can hold.

A table is a TOML file of ``[[case]]``, each with a name, what is sent, and why it is hostile. What is sent is a literal
text in which ``\r``, ``\n``, ``\t``, ``\0``, ``\xHH`` and ``\\`` stand for one octet each, ``<<N of TEXT>>`` for a text
N times, ``<<NAME>>`` for what the test says that it stands for. A line of the table ends as the protocol's lines do.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).parent / "tables" / "hostile"
CASES_MIN = 30  # of each corpus
_ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([rnt0\\]))")
_REPEAT = re.compile(rb"<<(\d+) of (.*?)>>", re.DOTALL)

Case = Mapping[str, Any]


def cases(corpus: str) -> list[Case]:
    """Return the cases of a corpus, in the table's order; their names are different."""
    found: list[Case] = tomllib.loads((FOLDER / corpus / "cases.toml").read_text(encoding="utf-8"))["case"]
    assert len({case["name"] for case in found}) == len(found) >= CASES_MIN, corpus
    assert all(case["why"] for case in found), corpus
    return found


def octets(written: str, line_end: bytes = b"\n", names: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return the octets that a case's text stands for."""
    text = written.encode().replace(b"\n", line_end)
    for name, value in names.items():
        text = text.replace(b"<<%b>>" % name.encode(), value)
    text = _REPEAT.sub(lambda found: found[2] * int(found[1]), text)
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else _ESCAPES[found[2]], text)
