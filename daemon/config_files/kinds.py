"""What a key may hold: each kind of value has one reader, which returns the finished value or reports the fault.

The kinds read the files and write the reference, so that documents cannot drift from code.
A list or table reports every fault inside it, each at its own place. Texts that may be secrets are never quoted.
A key that this release knows and cannot honour takes its harmless values only, and says so of every other.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Any, Final, Protocol

from daemon.config_files.positions import Document, KeyPath
from daemon.kernel.dialling import is_country
from daemon.kernel.ids import is_id
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.instant import zone as zone_of
from daemon.kernel.money import NANO, currency_code, parse_nano
from daemon.settings import Listener

TEXT_LENGTH_MAX: Final = 1_024  # characters of one value; the longest dial string or path is a quarter of it
QUOTED_LENGTH_MAX: Final = 60  # characters of a value that a message repeats
ELEMENTS_MAX: Final = 10_000  # elements of a list; ours: an account of that many numbers is a tenant of its own
SECRET_LENGTH_MAX: Final = 128  # octets; User-Password of RFC 2865 section 5.2 holds no more


class Unfit(ValueError):
    """A value that its key cannot take; the message says what would do."""


class _Mark(Enum):
    FAULT = "fault"
    REQUIRED = "required"
    UNSTATED = "unstated"


FAULT: Final = _Mark.FAULT  # what a kind returns after it reported why
REQUIRED: Final = _Mark.REQUIRED  # the default of a key that must be stated
UNSTATED: Final = _Mark.UNSTATED  # the default of a key whose default depends on others


@dataclass(frozen=True, slots=True)
class Site:
    """Where a value stands."""

    document: Document
    path: KeyPath = ()

    def __truediv__(self, part: str | int) -> "Site":
        """Return the place of a key or an element within this value."""
        return Site(self.document, (*self.path, part))

    def report(self, message: str) -> None:
        """Note a problem here."""
        self.document.report(self.path, message)

    def states(self, name: str) -> bool:
        """Tell whether the file states a key of this table, as anything but an empty text."""
        return self.document.value((*self.path, name)) not in (None, "")


class Kind(Protocol):
    """A kind of value; ``type`` is its name in the reference, with its unit and range."""

    @property
    def type(self) -> str:
        """Return what the reference calls it."""

    def read(self, site: Site, value: object) -> Any:
        """Return the finished value, or FAULT after every fault of it was reported."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; ``parse`` returns it finished or raises ValueError with the mend."""

    type: str
    parse: Callable[[object], object]

    def read(self, site: Site, value: object) -> Any:
        """Return the finished value or FAULT."""
        try:
            return self.parse(value)
        except ValueError as error:
            site.report(str(error))
            return FAULT


@dataclass(frozen=True, slots=True)
class Many:
    """A list of values of one kind."""

    element: Kind
    least: int = 0
    most: int = ELEMENTS_MAX

    @property
    def type(self) -> str:
        """Return what the reference calls it."""
        return f"list of {self.element.type}"

    def read(self, site: Site, value: object) -> Any:
        """Return a tuple or FAULT."""
        if not isinstance(value, list):
            site.report(f"{_is(value)}; write a list in square brackets")
            return FAULT
        if not self.least <= len(value) <= self.most:
            site.report(f"has {len(value)} elements; write {self.least} to {self.most}")
            return FAULT
        found = tuple(self.element.read(site / place, each) for place, each in enumerate(value))
        return FAULT if FAULT in found else found


@dataclass(frozen=True, slots=True)
class Named:
    """A table whose keys are texts of the operator's own, each with a value of one kind."""

    element: Kind
    name_length_max: int

    @property
    def type(self) -> str:
        """Return what the reference calls it."""
        return f"table of text = {self.element.type}"

    def read(self, site: Site, value: object) -> Any:
        """Return a tuple of (text, value) by text, or FAULT."""
        if not isinstance(value, dict):
            site.report(f'{_is(value)}; write a table such as {{ "text" = … }}')
            return FAULT
        if len(value) > ELEMENTS_MAX:
            site.report(f"has {len(value)} keys; write at most {ELEMENTS_MAX}")
            return FAULT
        for name in value:
            if not name.isprintable() or not name.strip() or len(name) > self.name_length_max:
                (site / name).report(f"is no text of 1 to {self.name_length_max} characters that can be printed")
                return FAULT
        found = tuple((name, self.element.read(site / name, value[name])) for name in sorted(value))
        return FAULT if any(read is FAULT for _, read in found) else found


@dataclass(frozen=True, slots=True)
class Either:
    """One value, or a list for what changes with time."""

    single: Kind
    several: Kind

    @property
    def type(self) -> str:
        """Return what the reference calls it."""
        return f"{self.single.type}, or {self.several.type}"

    def read(self, site: Site, value: object) -> Any:
        """Read by the kind that the value looks like."""
        return (self.several if isinstance(value, list) else self.single).read(site, value)


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key: what it may hold, its default, and what it means; ``default_text`` where the default is a rule."""

    name: str
    kind: Kind
    default: object
    meaning: str
    default_text: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with known keys; reading gives a dict of the good values, and no key that was faulty."""

    keys: tuple[ConfigKey, ...]
    check: Callable[[Site, dict[str, Any]], None] | None = None
    type: str = "table"

    def read(self, site: Site, value: object) -> Any:
        """Return the good values, defaults filled in, or FAULT where the value is no table."""
        if not isinstance(value, dict):
            site.report(f"{_is(value)}; write a table")
            return FAULT
        known = [key.name for key in self.keys]
        for name in value:
            if name not in known:
                (site / name).report(unknown_key(name, known))
        found: dict[str, Any] = {}
        for key in self.keys:
            read = self._read_key(site / key.name, value, key)
            if read is not FAULT:
                found[key.name] = read
        if self.check is not None:
            self.check(site, found)
        return found

    @staticmethod
    def _read_key(site: Site, table: dict[str, object], key: ConfigKey) -> object:
        if key.name in table:
            return key.kind.read(site, table[key.name])
        if key.default is REQUIRED:
            site.report(f"is missing; write {key.name} = {_example(key.kind)}")
            return FAULT
        return key.default


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return what to say of a key that nobody knows."""
    names = list(known)
    near = get_close_matches(name[:QUOTED_LENGTH_MAX], names, 1)
    return "is an unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}")


def _example(kind: Kind) -> str:
    return f"… ({kind.type})"


def _is(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number with a point", str: "a text",
             list: "a list", dict: "a table", datetime: "a date with a time"}  # fmt: skip
    return f"is {names.get(type(value), 'a date or a time')}"


def quoted(value: str) -> str:
    """Return a value as a message repeats it, cut to QUOTED_LENGTH_MAX."""
    return repr(value if len(value) <= QUOTED_LENGTH_MAX else value[:QUOTED_LENGTH_MAX] + "…")


# -- texts


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{_is(value)}; write a text in quotes")
    if len(value) > TEXT_LENGTH_MAX:
        raise Unfit(f"has {len(value)} characters; write at most {TEXT_LENGTH_MAX}")
    if not value.isprintable():
        raise Unfit("holds a line break or another control character; take it out")
    return value


def _non_empty(value: object) -> str:
    if not (written := _text(value)).strip():
        raise Unfit("is empty; write a text or leave the key out")
    return written


TEXT: Final = Scalar("text", _text)
NON_EMPTY: Final = Scalar("text", _non_empty)


def matching(type_: str, pattern: str, mend: str, *, secret: bool = False, optional: bool = False) -> Scalar:
    """Return the kind of texts that match a pattern as a whole; ``optional``: or are empty."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: object) -> str:
        written = _text(value)
        if not (optional and not written) and compiled.fullmatch(written) is None:
            raise Unfit(mend if secret else f"{quoted(written)} {mend}")
        return written

    return Scalar(type_, parse)


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{_is(value)}; write a text in quotes")
    if not 1 <= len(value.encode()) <= SECRET_LENGTH_MAX or not value.isprintable():
        raise Unfit(f"is not a text of 1 to {SECRET_LENGTH_MAX} octets without control characters")
    return value


SECRET: Final = Scalar(f"text of 1 to {SECRET_LENGTH_MAX} octets, secret", _secret)


def _identifier(value: object) -> str:
    if not is_id(written := _text(value)):
        raise Unfit(f"{quoted(written)} is no id; write 1 to 64 letters, digits, dots, hyphens, underscores")
    return written


IDENTIFIER: Final = Scalar("id", _identifier)
OPTIONAL_IDENTIFIER: Final = Scalar("id", lambda value: "" if value == "" else _identifier(value))

COUNTRY: Final = matching("two capital letters, ISO 3166", "[A-Z]{2}", "is no ISO 3166 code such as US", optional=True)


def _zone(value: object) -> str:
    zone_of(written := _text(value))
    return written


ZONE: Final = Scalar("zone of the tz database", _zone)
CURRENCY: Final = Scalar("ISO 4217 code", lambda value: currency_code(_text(value)))


def choice(options: type[Enum], *without: Enum) -> Scalar:
    """Return the kind of an enumeration's words, without some of them."""
    words = {str(option.value): option for option in options if option not in without}
    return Scalar(" or ".join(words), lambda value: words[_word(value, words)])


def words(*options: str) -> Scalar:
    """Return the kind of some words, of which one may be empty."""
    return Scalar(" or ".join(option or "nothing" for option in options), lambda value: _word(value, options))


def _word(value: object, options: Iterable[str]) -> str:
    if (written := _text(value)) not in options:
        raise Unfit(f"{quoted(written)} is not one of {', '.join(filter(None, options))}")
    return written


# -- numbers and money


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit(f"{_is(value)}; write true or false")
    return value


FLAG: Final = Scalar("true or false", _flag)


def whole(least: int, most: int, unit: str) -> Scalar:
    """Return the kind of whole numbers within bounds."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unfit(f"{_is(value)}; write a whole number from {least} to {most} without quotes")
        if not least <= value <= most:
            raise Unfit(f"is {str(value)[:QUOTED_LENGTH_MAX]}; write a whole number from {least} to {most}")
        return value

    return Scalar(f"{unit}, {least} to {most}", parse)


def _amount(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        written = str(value) if re.fullmatch(r"-?[0-9]{1,10}(\.[0-9]{1,9})?", str(value)) else "25.00"
        raise Unfit(f'{_is(value)}; write money as a text: "{written}"')
    return parse_nano(_text(value))


def _not_negative(value: object) -> int:
    if (amount := _amount(value)) < 0:
        raise Unfit("is negative; write an amount of 0 or more")
    return amount


def _positive(value: object) -> int:
    if (amount := _amount(value)) <= 0:
        raise Unfit("is 0 or less; write an amount of more than 0")
    return amount


MONEY: Final = Scalar("money", _amount)
MONEY_FROM_ZERO: Final = Scalar("money, 0 or more", _not_negative)
MONEY_ABOVE_ZERO: Final = Scalar("money, more than 0", _positive)
CREDIT: Final = Scalar(
    'money, 0 or more, or "unlimited"', lambda value: None if value == "unlimited" else _not_negative(value)
)


def _above_zero(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Unfit(f'{_is(value)}; write a decimal as a text, such as "1.0853"')
    if (amount := _amount(value)) <= 0:
        raise Unfit("is not above 0; write how many units of the one currency a unit of the other is")
    return amount


RATIO: Final = Scalar("decimal as a text, above 0", _above_zero)


def percentage(least: int, most: int) -> Scalar:
    """Return the kind of decimals within bounds, in percent; a value is nano-percent."""

    def parse(value: object) -> int:
        if not least * NANO <= (percent := _amount(value)) <= most * NANO:
            raise Unfit(f'is out of range; write a percentage from "{least}" to "{most}"')
        return percent

    return Scalar(f"decimal as a text, percent, {least} to {most}", parse)


PERCENT: Final = percentage(-100, 100)


def _instant(value: object) -> int:
    if isinstance(value, datetime) and value.tzinfo is not None:
        # TOML's own offset date-time is RFC 3339 too, and its microseconds are exact.
        return parse_rfc3339(value.isoformat())
    if isinstance(value, datetime):
        raise Unfit("has no offset; write an RFC 3339 time such as 2026-01-01T00:00:00Z")
    return parse_rfc3339(_text(value))


INSTANT: Final = Scalar("RFC 3339 time", _instant)


# -- telephony and networks


def _number(value: object) -> str:
    written = _text(value).removeprefix("+")
    if re.fullmatch("[0-9]{1,18}", written) is None:
        ranged = re.fullmatch(r"[0-9]+ *[-:] *\+?[0-9]+", written) is not None
        alone = "; only a did may be a range" if ranged else ""
        raise Unfit(f"{quoted(written)} is not a number of 1 to 18 digits{alone}")
    return written


NUMBER: Final = Scalar("number of 1 to 18 digits", _number)


def _number_or_range(value: object) -> str:
    first, hyphen, last = _text(value).partition("-")
    if not hyphen:
        return _number(value)
    first, last = _number(first), _number(last)
    if len(first) != len(last) or first > last:
        raise Unfit(f"{quoted(f'{first}-{last}')} is no range; its last number has as many digits and is no less")
    return f"{first}-{last}" if first != last else first


NUMBER_OR_RANGE: Final = Scalar("number of 1 to 18 digits, or FIRST-LAST", _number_or_range)


def _country(value: object) -> str:
    if (written := _text(value)) and not is_country(written):
        raise Unfit(f"{quoted(written)} is no ISO 3166 code of a country whose numbers are known, such as US")
    return written


NUMBERED_COUNTRY: Final = Scalar("two capital letters, ISO 3166", _country)


def _network(value: object) -> str:
    written = _text(value)
    try:
        found = ip_network(written)
    except ValueError:
        raise Unfit(f"{quoted(written)} is no {_nearest_network(written)}") from None
    return str(found.network_address if found.prefixlen == found.max_prefixlen else found)


def _nearest_network(written: str) -> str:
    try:
        return f"network; its address has bits beyond the mask, write {ip_network(written, strict=False)}"
    except ValueError:
        return "address such as 192.0.2.10 nor a network such as 192.0.2.0/24"


NETWORK: Final = Scalar("address or network", _network)
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def _host(value: object) -> str:
    written = _text(value)
    if len(written) > 253 or not (_is_address(written) or _is_host_name(written)):
        raise Unfit(f"{quoted(written)} is no host; write an address or a name")
    return written


def _is_address(written: str) -> bool:
    try:
        return bool(ip_address(written))
    except ValueError:
        return False


def _is_host_name(written: str) -> bool:
    # Four groups of digits that are no address are a slip, not a name.
    return _HOST.fullmatch(written) is not None and not re.fullmatch("[0-9.]+", written)


HOST: Final = Scalar("host", _host)


def is_loopback(host: str) -> bool:
    """Tell whether a host or network lies within this machine."""
    if host == "localhost":
        return True
    try:
        return ip_network(host).is_loopback
    except ValueError:
        return False


def _listener(value: object) -> Listener:
    if not (written := _text(value)):
        return Listener()
    host, colon, port = written.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    plain = re.fullmatch("[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535
    if not colon or not plain or not (_is_address(bare) or _is_host_name(bare)) or (":" in bare and bare == host):
        raise Unfit(f'{quoted(written)} is not "host:port" such as "127.0.0.1:1812"; an empty text is off')
    return Listener(bare, int(port))


LISTENER: Final = Scalar("host:port, empty: off", _listener)
_DIAL = re.compile(r"[A-Za-z0-9/@:._+=;*#~-]{1,255}", re.ASCII)  # nothing that a switch would take apart or run


def _dial(value: object) -> str:
    written = _text(value)
    if _DIAL.fullmatch(written.replace("{number}", "1")) is None:
        raise Unfit("a dial string is 1 to 255 letters, digits and any of / @ : . _ + = ; * # ~ - beside {number}")
    return written


def _dial_with_number(value: object) -> str:
    if "{number}" not in (written := _dial(value)):
        raise Unfit("lacks {number}; write it where the dialled digits belong")
    return written


DIAL: Final = Scalar("dial string with {number}", _dial_with_number)
OPTIONAL_DIAL: Final = Scalar(
    "dial string, with {number} or without", lambda value: "" if value == "" else _dial(value)
)


# -- known, and not honoured by this release


def refused(why: str, *harmless: object) -> Scalar:
    """Return the kind of a key whose meaning this release cannot honour: only harmless values are taken."""

    def parse(value: object) -> object:
        if not any(type(value) is type(each) and value == each for each in harmless):
            raise Unfit(f"this release {why}; leave the key out")
        return value

    return Scalar("not in this release", parse)
