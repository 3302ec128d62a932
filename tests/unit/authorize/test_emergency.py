"""Emergency numbers by country: of the endpoint, else of its account, else of the peer; never as prefixes."""

from dataclasses import replace

import pytest

from daemon.authorize.attempt import Identity
from daemon.authorize.catalog import Catalog, Emergency, Endpoints, SipUser
from daemon.authorize.emergency import emergency, is_emergency_number
from daemon.authorize.networks import Network, Networks
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.ids import Direction
from tests.unit.charging.desk import ALICE, BOB, START, Desk, catalog

GB, US = Dialling(Numbers.NATIONAL, "GB"), Dialling(Numbers.NATIONAL, "US")

COUNTRIES = {"GB": frozenset({"112", "999"}), "US": frozenset({"911"})}


@pytest.fixture(scope="module")
def known() -> Catalog:
    made = catalog()
    accounts = dict(made.accounts)
    accounts[ALICE] = replace(accounts[ALICE], country="GB", dialling=(("sip_users", "us", US),))
    endpoints = Endpoints(
        sip_users={"alice": (SipUser(ALICE),), "us": (SipUser(ALICE),), "bob": (SipUser(BOB),)},
        networks=Networks.of([Network(4, 1, 1, "77", BOB)]),
    )
    return replace(made, accounts=accounts, endpoints=endpoints, emergency=Emergency(countries=COUNTRIES))


@pytest.mark.parametrize(
    ("user", "peer", "called", "expected"),
    [
        ("alice", None, "999", "999"),
        ("alice", None, "911", None),
        ("alice", US, "911", None),
        ("alice", None, "77999", "999"),
        ("alice", None, "+112", "112"),
        ("alice", None, "1120", None),
        ("alice", None, "1122071231234", None),
        ("us", None, "911", "911"),
        ("us", None, "999", None),
        ("bob", None, "911", "911"),
        ("bob", None, "999", "999"),
        ("bob", GB, "911", None),
        ("bob", GB, "999", "999"),
        ("nobody", None, "911", "911"),
        ("nobody", GB, "911", None),
        ("nobody", GB, "112", "112"),
        ("nobody", Dialling(Numbers.E164), "00112", "112"),
        ("nobody", None, "00112", None),
        ("alice", None, "11;2", None),
        ("alice", GB, "44112", None),
    ],
)
def test_the_callers_country_tells_which_numbers_count(
    known: Catalog, user: str, peer: Dialling | None, called: str, expected: str | None
) -> None:
    identity = Identity(sip_user=user, trusted=True)
    attempt = replace(Desk().attempt("c1", called, identity=identity), dialling=peer)
    granted = emergency(known, attempt, START)
    assert (granted.called if granted is not None else None) == expected
    assert emergency(known, replace(attempt, direction=Direction.INBOUND), START) is None


def test_the_number_of_any_country_passes_the_limit_in_flight(known: Catalog) -> None:
    assert [number for number in ("112", "911", "999", "77911", "000") if is_emergency_number(known, number)] == [
        "112", "911", "999", "77911",
    ]  # fmt: skip


def test_a_number_of_one_country_alone_is_one_behind_a_tech_prefix_too(known: Catalog) -> None:
    made = replace(known, emergency=Emergency(countries={"AU": frozenset({"000"})}))
    assert [number for number in ("000", "77000", "78000", "7000") if is_emergency_number(made, number)] == [
        "000", "77000",
    ]  # fmt: skip
    attempt = Desk().attempt("c1", "77000", identity=Identity(sip_user="nobody", trusted=True))
    granted = emergency(made, replace(attempt, dialling=Dialling(Numbers.E164, "AU")), START)
    assert granted is not None
    assert granted.called == "000"
