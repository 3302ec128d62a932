"""Networks: the longest that holds the address and leads the number first, and every account that claims it."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.catalog import Emergency, Endpoints
from daemon.authorize.emergency import is_emergency_number
from daemon.authorize.networks import Claimed, Network, Networks
from daemon.kernel.ids import Key
from tests.unit.charging.desk import ALICE, BOB, RAY, catalog


def _network(text: str, tech_prefix: str, account: Key) -> Network:
    found = ip_network(text)
    first, last = int(found.network_address), int(found.broadcast_address)
    return Network(found.version, first, last, tech_prefix, account)


KNOWN = Networks.of(
    (
        _network("10.0.0.0/8", "", RAY), _network("10.1.0.0/16", "77", ALICE), _network("10.1.0.0/16", "", BOB),
        _network("10.1.0.7", "7", ALICE), _network("10.1.0.7", "7", BOB), _network("2001:db8::/32", "", BOB),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("address", "called", "expected"),
    [
        ("10.1.0.7", "7744", [("7", (ALICE, BOB)), ("77", (ALICE,)), ("", (BOB,)), ("", (RAY,))]),
        ("10.1.0.7", "44", [("", (BOB,)), ("", (RAY,))]),
        ("10.1.0.8", "7744", [("77", (ALICE,)), ("", (BOB,)), ("", (RAY,))]),
        ("10.2.0.1", "7", [("", (RAY,))]),
        ("11.0.0.1", "7", []),
        ("2001:db8::9", "", [("", (BOB,))]),
        ("::a01:7", "7744", []),
    ],
)
def test_what_holds_an_address_comes_longest_first(
    address: str, called: str, expected: list[tuple[str, tuple[Key, ...]]]
) -> None:
    found = ip_address(address)
    held = KNOWN.holding(found.version, int(found), called)
    assert [(each.tech_prefix, each.accounts) for each in held] == expected


def test_none_are_found_among_none() -> None:
    assert list(Networks().holding(4, 1, "44")) == []


def _looked_through(networks: Iterable[Network], version: int, address: int, called: str) -> list[Claimed]:
    """Return the same by looking at every network."""
    fitting = [
        each for each in networks
        if each.version == version and each.first <= address <= each.last and called.startswith(each.tech_prefix)
    ]  # fmt: skip
    ordered = sorted(fitting, key=lambda each: (each.last - each.first, -len(each.tech_prefix)))
    grouped: dict[tuple[int, str], list[Key]] = {}
    for each in ordered:
        grouped.setdefault((each.last - each.first, each.tech_prefix), []).append(each.account)
    return [Claimed(tech_prefix, tuple(keys)) for (_, tech_prefix), keys in grouped.items()]


@st.composite
def some_networks(draw: st.DrawFn) -> list[Network]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        bits = draw(st.integers(24, 32))
        text = f"10.0.{draw(st.integers(0, 3))}.{draw(st.integers(0, 255))}/{bits}"
        network = str(ip_network(text, strict=False))
        found.append(
            _network(network, draw(st.sampled_from(["", "7", "77", "8"])), draw(st.sampled_from([ALICE, BOB])))
        )
    return found


@given(some_networks(), st.integers(0, 1023), st.sampled_from(["", "7", "7744", "844", "44"]))
def test_it_is_what_a_look_at_every_network_finds(networks: list[Network], host: int, called: str) -> None:
    address = (10 << 24) + host
    held = [each._replace(text="") for each in Networks.of(networks).holding(4, address, called)]
    assert held == _looked_through(networks, 4, address, called)


def test_an_emergency_number_is_known_behind_a_tech_prefix_that_is_configured() -> None:
    endpoints = Endpoints(networks=KNOWN)
    found = replace(catalog(), endpoints=endpoints, emergency=Emergency(frozenset({"112", "12"})))
    assert is_emergency_number(found, "+112")
    assert is_emergency_number(found, "77112")
    assert is_emergency_number(found, "7112")
    assert not is_emergency_number(found, "8112")
    assert not is_emergency_number(replace(found, endpoints=Endpoints()), "77112")
