"""Which name and type an attribute number has: data files, chosen by the client's profile and the packet's code.

Numbers collide between switches (206 and 207 are a digest in an Access-Request and SIP tags in OpenSIPS accounting;
101 to 105 are SER's, or Error-Cause and RFC 5090), so there is no single dictionary. Files have FreeRADIUS's columns.
A value whose length does not fit its type is shown raw, never guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from daemon.radius.packet import VENDOR_SPECIFIC, Code, LocalPacketError, read_tlvs, vendor_key

BASE = (
    "rfc2865", "rfc2866", "rfc2869", "extensions", "rfc5090",
    "cisco", "quintum", "audiocodes", "audiocodes4923", "freeswitch", "digium",
)  # fmt: skip

# What lies over the base, for requests for access and their replies, and for accounting.
ACCESS: dict[str, tuple[str, ...]] = {
    "generic": ("sterman",),
    "cisco": ("sterman",),
    "kamailio": ("sterman", "proxy"),
    "opensips": ("sterman", "proxy"),
    "freeswitch": ("sterman",),
    "asterisk": ("sterman",),
    "sippy": ("sterman",),
    "audiocodes": ("sterman",),
}
ACCOUNTING: dict[str, tuple[str, ...]] = {
    "generic": (),
    "cisco": (),
    "kamailio": ("proxy", "sip"),
    "opensips": ("proxy", "opensips"),
    "freeswitch": (),
    "asterisk": (),
    "sippy": (),
    "audiocodes": (),
}
ALIASES = {"sterman": "generic", "sip-101": "kamailio"}  # names of overlays, accepted where a profile is
PROFILES = tuple(ACCESS)
assert ACCESS.keys() == ACCOUNTING.keys()

Shown = str | int | list[list[str]]


@dataclass(frozen=True, slots=True)
class Definition:
    """An attribute's name, key and type; ``members`` are the names of a tlv's own types."""

    name: str
    key: int
    kind: str
    hidden: bool = False
    members: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Definitions by key and by lower-case name, and the named values of each attribute."""

    by_key: dict[int, Definition]
    by_name: dict[str, Definition]
    values: dict[str, dict[str, int]]

    def shown(self, key: int, value: bytes) -> tuple[str, Shown]:
        """Return name and value for a reader; an unknown one as ``raw.N``, whole."""
        found = self.by_key.get(key)
        if found is not None:
            return found.name, _shown(found, value)
        if key > 255:
            inner = bytes((key & 255, len(value) + 2)) + value
            return f"raw.{VENDOR_SPECIFIC}", _raw((key >> 8).to_bytes(4, "big") + inner)
        return f"raw.{key}", _raw(value)

    def written(self, name: str, text: str) -> tuple[int, bytes]:
        """Return key and octets of a value written as text. Raises LocalPacketError."""
        if name.lower().startswith("raw."):
            return _raw_key(name), _octets(name, text)
        found = self.by_name.get(name.lower())
        if found is None:
            raise LocalPacketError(f"{name}: there is no such attribute in this profile's dictionary")
        return found.key, _written(found, text, self.values.get(found.name.lower(), {}))


def canonical(profile: str) -> str:
    """Return a profile's own name. Raises ValueError where there is none such."""
    name = ALIASES.get(profile, profile)
    if name not in ACCESS:
        raise ValueError(f"{profile!r} is no profile; there are {', '.join(PROFILES)}")
    return name


def dictionary(profile: str, code: int) -> Dictionary:
    """Return the dictionary for packets of a code from clients of a profile. Raises ValueError."""
    accounting = code in (Code.ACCOUNTING_REQUEST, Code.ACCOUNTING_RESPONSE)
    overlays = (ACCOUNTING if accounting else ACCESS)[canonical(profile)]
    return _merged(BASE + overlays)


@cache
def _merged(names: tuple[str, ...]) -> Dictionary:
    merged = Dictionary({}, {}, {})
    for name in names:
        part = _loaded(name)
        for definition in part.by_key.values():
            merged.by_key[definition.key] = definition
            merged.by_name[definition.name.lower()] = definition
        for attribute, values in part.values.items():
            merged.values.setdefault(attribute, {}).update(values)
    return merged


@cache
def _loaded(name: str) -> Dictionary:
    text = (resources.files("daemon.radius") / "dictionaries" / f"dictionary.{name}").read_text(encoding="utf-8")
    return read_dictionary(text.splitlines(), f"dictionary.{name}")


def read_dictionary(lines: Iterable[str], source: str) -> Dictionary:
    """Return the dictionary that lines of FreeRADIUS's columns describe. Raises ValueError with file and line."""
    made = Dictionary({}, {}, {})
    vendors: dict[str, int] = {}
    vendor, parent = 0, ""
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        match words:
            case []:
                continue
            case ["VENDOR", name, value]:
                vendors[name] = int(value)
            case ["BEGIN-VENDOR", name] if name in vendors:
                vendor = vendors[name]
            case ["END-VENDOR", _]:
                vendor = 0
            case ["BEGIN-TLV", name] if name.lower() in made.by_name:
                parent = name.lower()
            case ["END-TLV", _]:
                parent = ""
            case ["ATTRIBUTE", name, value, _] if parent:
                made.by_name[parent].members[int(value)] = name
            case ["ATTRIBUTE", name, value, kind, *flags] if kind in _KINDS:
                key = vendor_key(vendor, int(value)) if vendor else int(value)
                made.by_key[key] = made.by_name[name.lower()] = Definition(name, key, kind, "encrypt=1" in flags)
            case ["VALUE", attribute, name, value]:
                made.values.setdefault(attribute.lower(), {})[name.lower()] = int(value)
            case _:
                raise ValueError(f"{source}:{number}: {line.strip()!r} is no line of a dictionary")
    return made


_KINDS = frozenset({"string", "octets", "integer", "date", "integer64", "ipaddr", "ipv6addr", "tlv"})
_INTEGER_SIZES = {"integer": 4, "date": 4, "integer64": 8}


def _raw(value: bytes) -> str:
    return "0x" + value.hex()


def _shown(definition: Definition, value: bytes) -> Shown:
    kind = definition.kind
    if kind == "string" and not definition.hidden:
        return value.decode("utf-8", "replace")
    if _INTEGER_SIZES.get(kind) == len(value):
        return int.from_bytes(value, "big")
    if kind == "ipaddr" and len(value) == 4:
        return str(IPv4Address(value))
    if kind == "ipv6addr" and len(value) == 16:
        return str(IPv6Address(value))
    if kind == "tlv":
        return _members(definition, value)
    return _raw(value)


def _members(definition: Definition, value: bytes) -> Shown:
    found = read_tlvs(value)
    if found is None:
        return _raw(value)
    return [
        [definition.members.get(number, f"raw.{number}"), inner.decode("utf-8", "replace")] for number, inner in found
    ]


def _raw_key(name: str) -> int:
    number = name[4:]
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 256):
        raise LocalPacketError(f"{name}: raw.N names a type of 1 to 255")
    return int(number)


def _octets(name: str, text: str) -> bytes:
    if not text.startswith(("0x", "0X")):
        return text.encode()
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise LocalPacketError(f"{name}: {text!r} is not hexadecimal") from None


def _written(definition: Definition, text: str, values: dict[str, int]) -> bytes:
    kind, name = definition.kind, definition.name
    if kind in ("octets", "tlv"):
        return _octets(name, text)
    if kind in _INTEGER_SIZES:
        return _integer(name, text, values, _INTEGER_SIZES[kind])
    try:
        if kind == "ipaddr":
            return IPv4Address(text).packed
        if kind == "ipv6addr":
            return IPv6Address(text).packed
    except AddressValueError as error:
        raise LocalPacketError(f"{name}: {error}") from None
    return text.encode()


def _integer(name: str, text: str, values: dict[str, int], size: int) -> bytes:
    number = values.get(text.lower())
    if number is None:
        if not (text.isascii() and text.isdigit() and int(text) < 1 << 8 * size):
            raise LocalPacketError(f"{name}: {text!r} is neither one of its named values nor an integer that fits")
        number = int(text)
    return number.to_bytes(size, "big")
