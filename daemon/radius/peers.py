"""Which client a datagram comes from: its source address, never what it says of itself (RFC 2865 sections 5.4, 5.32).

The longest network wins; an address that no client claims is unknown. The index is built once for each configuration.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from daemon.authorize.catalog import Status
from daemon.charging.configuration import NasSpec

REMEMBERED_MAX = 4096  # source addresses whose client is remembered; more than that are looked up each time


class Peers:
    """The clients of one configuration."""

    def __init__(self, specs: Sequence[NasSpec]) -> None:
        """Index the clients that are not closed; of two with one network the first stated wins."""
        active = (spec for spec in specs if spec.status is Status.ACTIVE)
        networks = [(ip_network(spec.address, strict=False), spec) for spec in active]
        self._networks: list[tuple[IPv4Network | IPv6Network, NasSpec]] = sorted(
            networks, key=lambda entry: -entry[0].prefixlen
        )
        self._remembered: dict[str, NasSpec | None] = {}
        self.specs = specs

    def find(self, source: str) -> NasSpec | None:
        """Return the client of a source address as the socket gives it, or None."""
        if source in self._remembered:
            return self._remembered[source]
        found = self._sought(source)
        if len(self._remembered) < REMEMBERED_MAX:
            self._remembered[source] = found
        return found

    def _sought(self, source: str) -> NasSpec | None:
        try:
            address = ip_address(source.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        for network, spec in self._networks:
            if address.version == network.version and address in network:
                return spec
        return None
