"""What a key may hold: each kind of value has one reader, which returns the finished value or says how to mend it.

The same declarations read the files and write the reference, so the documents cannot drift from the code.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from ipaddress import ip_network
from typing import Any

from daemon.config_files.positions import Document, Path_
from daemon.kernel.ids import is_id
from daemon.kernel.instant import InstantError, parse_rfc3339
from daemon.kernel.instant import zone as zone_of
from daemon.kernel.money import MoneyError, currency_code, parse_nano
from daemon.settings import Listener

TEXT_LENGTH_MAX = 4096  # characters of one value


class Unfit(ValueError):
    """A value that its key cannot take; the message says what would do."""


Read = Callable[[Any], Any]
REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is read, its default (REQUIRED for none), and what the reference says."""

    name: str
    read: Read
    default: Any
    meaning: str
    kind: str = ""


def text(value: Any) -> str:
    """Any text without control characters."""
    if not isinstance(value, str):
        raise Unfit(f"is a {_name(value)}; write a text in quotes")
    if len(value) > TEXT_LENGTH_MAX or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise Unfit("is too long or holds a control character")
    return value


def _name(value: Any) -> str:
    return {bool: "true or false", int: "whole number", float: "number with a point", str: "text", list: "list",
            dict: "table"}.get(type(value), type(value).__name__)  # fmt: skip


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Unfit(f"is a {_name(value)}; write true or false")
    return value


def whole(least: int, most: int) -> Read:
    """A whole number within bounds."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unfit(f"is a {_name(value)}; write a whole number from {least} to {most}")
        if not least <= value <= most:
            raise Unfit(f"{value} is out of range; write a whole number from {least} to {most}")
        return value

    return read


def money(value: Any) -> int:
    """An amount as a decimal text; nano-units."""
    if not isinstance(value, str):
        raise Unfit(f'is a {_name(value)}; money is a text such as "25.00"')
    try:
        return parse_nano(value)
    except MoneyError as error:
        raise Unfit(str(error)) from None


def positive_money(value: Any) -> int:
    """An amount of at least 0."""
    amount = money(value)
    if amount < 0:
        raise Unfit("is negative; write an amount of at least 0")
    return amount


def credit(value: Any) -> int | None:
    """An amount of at least 0, or "unlimited"."""
    return None if value == "unlimited" else positive_money(value)


def identifier(value: Any) -> str:
    """An id."""
    if not is_id(text(value)):
        raise Unfit(f"{value!r} is not an id: 1 to 64 letters, digits, dots, hyphens, underscores")
    return str(value)


def optional(read: Read) -> Read:
    """A value that may be an empty text, which states nothing."""
    return lambda value: "" if value == "" else read(value)


def currency(value: Any) -> str:
    """An ISO 4217 code."""
    try:
        return currency_code(text(value))
    except MoneyError as error:
        raise Unfit(str(error)) from None


def zone(value: Any) -> str:
    """A zone of the tz database."""
    try:
        zone_of(text(value))
    except InstantError as error:
        raise Unfit(str(error)) from None
    return str(value)


def instant(value: Any) -> int:
    """An RFC 3339 time with an offset, in quotes."""
    try:
        return parse_rfc3339(text(value))
    except InstantError as error:
        raise Unfit(str(error)) from None


def choice(options: type[Enum]) -> Read:
    """One of the words of an enumeration."""

    def read(value: Any) -> Enum:
        try:
            return options(value)
        except ValueError:
            words = ", ".join(str(option.value) for option in options)
            raise Unfit(f"{value!r} is not one of {words}") from None

    return read


def word(*options: str) -> Read:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in options:
            raise Unfit(f"{value!r} is not one of {', '.join(options)}")
        return str(value)

    return read


def listing(read: Read, most: int = 1000) -> Read:
    """A list of values."""

    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Unfit(f"is a {_name(value)}; write a list in square brackets")
        if len(value) > most:
            raise Unfit(f"has {len(value)} elements, at most {most}")
        return tuple(read(element) for element in value)

    return read_all


_DIGITS = re.compile(r"[0-9]{1,18}")


def number(value: Any) -> str:
    """Digits of a telephone number, in quotes."""
    if not isinstance(value, str) or _DIGITS.fullmatch(value.removeprefix("+")) is None:
        raise Unfit(f"{value!r} is not a number of 1 to 18 digits in quotes")
    return value.removeprefix("+")


def network(value: Any) -> str:
    """An IP address or network."""
    try:
        return str(ip_network(text(value), strict=False))
    except ValueError as error:
        raise Unfit(f"{error}; write an address or a network such as 192.0.2.0/24") from None


def listener(value: Any) -> Listener:
    """``host:port``, or an empty text for off."""
    if text(value) == "":
        return Listener()
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise Unfit(f'{value!r} is not "host:port"; an empty text turns the listener off')
    return Listener(host.strip("[]"), int(port))


def refused(why: str, *harmless: Any) -> Read:
    """A key that is known, and whose meaning this release cannot honour: anything but its default is refused."""

    def read(value: Any) -> Any:
        if value not in harmless:
            raise Unfit(f"this release does not know how to {why} yet: leave the key out")
        return value

    return read


def read_table(document: Document, path: Path_, value: object, keys: Sequence[Key]) -> dict[str, Any]:
    """Return the values of a table's keys, defaults filled in. Faults go to the document; what is unfit is left out."""
    if not isinstance(value, dict):
        document.report(path, f"is a {_name(value)}; write a table")
        return {}
    known = {key.name for key in keys}
    for name in value:
        if name not in known:
            document.report((*path, name), f"unknown key{_near(str(name), known)}")
    found: dict[str, Any] = {}
    for key in keys:
        _read_key(document, path, value, key, found)
    return found


def _read_key(document: Document, path: Path_, value: dict[str, Any], key: Key, found: dict[str, Any]) -> None:
    if key.name not in value:
        if key.default is REQUIRED:
            document.report(path, f"{key.name} is missing")
        else:
            found[key.name] = key.default
        return
    try:
        found[key.name] = key.read(value[key.name])
    except Unfit as error:
        document.report((*path, key.name), str(error))


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else "; the reference lists those that there are"
