"""Addresses and networks of endpoints: the longest that holds an address first, the longest tech prefix within it.

Every network is found by its whole text, so that one among a million costs as much as one among ten: what is tried for
an address is each length of network and of tech prefix that is configured at all, of which there are few.
Pure; what claims a network may be any mapping, also one that is never held whole in another form.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.kernel.ids import Key


@dataclass(frozen=True, slots=True)
class Network:
    """An address or network as (first, last) integers of its family, and the tech prefix that must lead the number."""

    version: int
    first: int
    last: int
    tech_prefix: str
    account: Key

    @property
    def shape(self) -> "Shape":
        """How large it is, and how long its tech prefix."""
        return Shape(self.version, (self.last - self.first).bit_length(), len(self.tech_prefix))

    @property
    def text(self) -> str:
        """What it is found by."""
        return network_text(self.shape, self.first, self.tech_prefix)


class Shape(NamedTuple):
    """What is tried for an address: a family, the bits of a network that may differ, the length of a tech prefix."""

    version: int
    host_bits: int
    tech_length: int


class Claimed(NamedTuple):
    """A network with its tech prefix, all accounts that claim it, and the text by which it was found."""

    tech_prefix: str
    accounts: tuple[Key, ...]
    text: str = ""


def network_text(shape: Shape, first: int, tech_prefix: str) -> str:
    """Return the text by which a network is found; equal for two networks if they are one."""
    return f"{shape.version}/{shape.host_bits}/{first:x}/{tech_prefix}"


def in_order(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """Return shapes in the order in which they are tried: smaller networks first, longer tech prefixes within them."""
    return tuple(sorted(shapes, key=lambda shape: (shape.host_bits, -shape.tech_length, shape.version)))


@dataclass(frozen=True, slots=True)
class Networks:
    """All networks: who claims each by its text, the shapes that occur in order, and the tech prefixes that occur."""

    claims: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()
    tech_prefixes: Container[str] = frozenset()

    @classmethod
    def of(cls, networks: Iterable[Network]) -> "Networks":
        """Return the networks of a list, in any order."""
        listed = tuple(networks)
        claims: dict[str, tuple[Key, ...]] = {}
        for network in listed:
            claims[network.text] = (*claims.get(network.text, ()), network.account)
        shapes = in_order({network.shape for network in listed})
        return cls(claims, shapes, frozenset(network.tech_prefix for network in listed))

    def holding(self, version: int, address: int, called: str) -> Iterator[Claimed]:
        """Yield what holds an address and leads a number, the longest first; ``called`` is in digits without a plus."""
        for shape in self.shapes:
            if shape.version != version or shape.tech_length > len(called):
                continue
            tech_prefix = called[: shape.tech_length]
            first = address >> shape.host_bits << shape.host_bits
            text = network_text(shape, first, tech_prefix)
            found = self.claims.get(text)
            if found is not None:
                yield Claimed(tech_prefix, found, text)
