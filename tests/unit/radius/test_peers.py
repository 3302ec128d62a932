"""Clients are found by their source address, the longest network first."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.configuration import NasSpec
from daemon.radius.peers import REMEMBERED_MAX, Peers

SPECS = [
    NasSpec("all", "main", "0.0.0.0/0", "s"),
    NasSpec("net", "main", "192.0.2.0/24", "s"),
    NasSpec("host", "main", "192.0.2.7", "s"),
    NasSpec("six", "main", "2001:db8::/32", "s"),
]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("192.0.2.7", "host"),
        ("192.0.2.8", "net"),
        ("198.51.100.1", "all"),
        ("::ffff:192.0.2.7", "host"),
        ("2001:db8::1", "six"),
        ("2001:db8::1%eth0", "six"),
        ("2001:db9::1", None),
        ("not an address", None),
    ],
)
def test_the_longest_network_wins(source: str, name: str | None) -> None:
    peers = Peers(SPECS)
    for _ in range(2):
        found = peers.find(source)
        assert (found.id if found else None) == name


def test_a_closed_client_is_none_and_leaves_its_address_to_another() -> None:
    closed = replace(SPECS[2], status=Status.CLOSED)
    found = Peers([closed, *SPECS[:2]]).find("192.0.2.7")
    assert found is not None
    assert found.id == "net"
    assert Peers([closed]).find("192.0.2.7") is None


def test_what_is_remembered_is_bounded() -> None:
    peers = Peers(SPECS)
    for number in range(REMEMBERED_MAX + 10):
        found = peers.find(f"10.0.{number >> 8}.{number & 255}")
        assert found is not None
    assert len(peers._remembered) == REMEMBERED_MAX
