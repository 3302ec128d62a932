"""Identifiers: every id is unique within its tenant and travels as (tenant, id).

An id is 1 to 64 of ``A-Z a-z 0-9 . _ -``: it is a path segment of an export, a word of a command and a label of a
metric, so nothing in it may need escaping anywhere.
"""

import re
from enum import Enum
from typing import NamedTuple

ID_LENGTH_MAX = 64  # characters
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Key(NamedTuple):
    """The id of a thing within its tenant: an account, a plan, a table, a carrier."""

    tenant: str
    id: str

    def __str__(self) -> str:
        """Return ``tenant/id``."""
        return f"{self.tenant}/{self.id}"


class Direction(Enum):
    """Seen from the account that pays: it calls (outbound) or is called (inbound)."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


def is_id(text: str) -> bool:
    """Tell whether a text may serve as an id."""
    return _ID.fullmatch(text) is not None


def split_key(text: str, default_tenant: str) -> Key:
    """Return the key of ``ID`` or ``TENANT/ID``. Raises ValueError where a part is no id."""
    tenant, slash, name = text.rpartition("/")
    key = Key(tenant if slash else default_tenant, name)
    if not (is_id(key.tenant) and is_id(key.id)):
        raise ValueError(f"{text!r} is neither ID nor TENANT/ID (letters, digits, dot, underscore, hyphen)")
    return key
