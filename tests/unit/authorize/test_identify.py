"""Who pays: one row a case; the first kind that matches decides, and nothing that a caller wrote ever does."""

from dataclasses import replace

import pytest

from daemon.authorize.attempt import CallAttempt, Identity, PlainPassword
from daemon.authorize.catalog import AccountTerms, Catalog, Endpoints, SipUser
from daemon.authorize.decide import dialled, prepare
from daemon.authorize.decision import Denied
from daemon.authorize.dids import DidRange, DidRanges
from daemon.authorize.identify import identify, named
from daemon.authorize.networks import Network, Networks
from daemon.authorize.quote import Limits
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.ids import Key
from daemon.kernel.instant import NEVER
from tests.unit.charging.desk import ALICE, BOB, RAY, START, Desk, catalog

TEN = 10 << 24  # 10.0.0.0


def _network(first: int, last: int, prefix: str, account: Key) -> Network:
    return Network(4, first, last, prefix, account)


@pytest.fixture(scope="module")
def known() -> Catalog:
    endpoints = Endpoints(
        pins={("ivr", "4821"): (ALICE,), ("ivr", "0000"): (ALICE, BOB)},
        sip_users={
            "alice": (SipUser(ALICE, password="wonder"),),
            "twin": (SipUser(ALICE, password="a"), SipUser(BOB, password="b")),
            "open": (SipUser(BOB),),
            "rita": (SipUser(RAY, password="r"),),
        },
        networks=Networks.of(
            (
                _network(TEN + 1, TEN + 1, "77", ALICE),
                _network(TEN + 1, TEN + 1, "", BOB),
                _network(TEN + 9, TEN + 9, "", ALICE),
                _network(TEN + 9, TEN + 9, "", BOB),
                _network(TEN, TEN + 255, "", RAY),
            )
        ),
        callers={("gw1", "15551230001"): (BOB,)},
        dids={"442079460000": (ALICE,), "442079460001": (ALICE, BOB)},
        did_ranges=DidRanges.of(
            (
                DidRange("442079461000", "442079461999", 0, 100, ALICE),
                DidRange("442079461000", "442079461099", 100, NEVER, BOB),
                DidRange("442079461050", "442079461999", 100, NEVER, RAY),
            )
        ),
    )
    return replace(catalog(), endpoints=endpoints)


CASES = [
    # what the switch vouches for, tenant of the peer, who pays or why nobody does
    (Identity(account="alice"), "main", "main/alice"),
    (Identity(account="ray/rita"), "main", "ray/rita"),
    (Identity(account="rita", account_tenant="ray"), "main", "ray/rita"),
    (Identity(account="main/alice"), "ray", "account_unknown"),
    (Identity(account="nobody"), "main", "account_unknown"),
    (Identity(account="alice", pin="wrong"), "main", "main/alice"),
    (Identity(pin="4821", via="ivr"), "main", "main/alice"),
    (Identity(pin="4821", via="other"), "main", "account_unknown"),
    (Identity(pin="4821"), "main", "account_unknown"),
    (Identity(pin="0000", via="ivr"), "main", "account_ambiguous"),
    (Identity(sip_user="alice", credential=PlainPassword("wonder")), "main", "main/alice"),
    (Identity(sip_user="alice", credential=PlainPassword("wrong")), "main", "credential_wrong"),
    (Identity(sip_user="alice", credential=PlainPassword("")), "main", "credential_wrong"),
    (Identity(sip_user="alice", credential=PlainPassword("wonder")), "ray", "account_unknown"),
    (Identity(sip_user="alice"), "main", "account_unknown"),
    (Identity(sip_user="alice", trusted=True), "main", "main/alice"),
    (Identity(sip_user="alice", trusted=True, credential=PlainPassword("wrong")), "main", "credential_wrong"),
    (Identity(sip_user="open", trusted=True, credential=PlainPassword("any")), "main", "main/bob"),
    (Identity(sip_user="open", credential=PlainPassword("any")), "main", "credential_wrong"),
    (Identity(sip_user="twin", credential=PlainPassword("a")), "main", "account_ambiguous"),
    (Identity(sip_user="ghost", credential=PlainPassword("a"), ip="10.0.0.1"), "main", "account_unknown"),
    (Identity(sip_user="ghost", ip="10.0.0.1"), "main", "main/bob"),
    (Identity(sip_user="alice", ip="10.0.0.1"), "main", "main/bob"),
    (Identity(ip="10.0.0.200"), "main", "ray/rita"),
    (Identity(ip="10.0.0.1"), "ray", "ray/rita"),
    (Identity(ip="10.0.0.9"), "main", "account_ambiguous"),
    (Identity(ip="10.9.0.9"), "main", "account_unknown"),
    (Identity(ip="::1"), "main", "account_unknown"),
    (Identity(ip="not an address"), "main", "account_unknown"),
    (Identity(caller="+15551230001", via="gw1"), "main", "main/bob"),
    (Identity(caller="15551230001", via="gw2"), "main", "account_unknown"),
    (Identity(caller="15551230001"), "main", "account_unknown"),
    (Identity(caller="anonymous", via="gw1"), "main", "account_unknown"),
    (Identity(did="442079460000"), "main", "main/alice"),
    (Identity(did="442079460001"), "main", "account_ambiguous"),
    (Identity(did="442079460002"), "main", "account_unknown"),
    (Identity(), "main", "account_unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("identity", "tenant", "expected"), CASES)
def test_who_pays(known: Catalog, identity: Identity, tenant: str, expected: str) -> None:
    found = identify(known, Desk().attempt("c1", identity=identity, tenant=tenant), 0)
    shown = str(found.key) if isinstance(found, AccountTerms) else found.denial.value
    assert shown == expected


@pytest.mark.parametrize(
    ("identity", "called", "expected"),
    [
        (Identity(ip="10.0.0.1"), "77442071231234", "442071231234"),
        (Identity(ip="10.0.0.1"), "442071231234", "442071231234"),
        (Identity(ip="10.0.0.1"), "77", None),
        (Identity(account="alice", ip="10.0.0.1"), "77442071231234", "77442071231234"),
        (Identity(sip_user="alice", trusted=True, ip="10.0.0.1"), "77442071231234", "77442071231234"),
        (Identity(sip_user="nobody", trusted=True, ip="10.0.0.1"), "77442071231234", "442071231234"),
        (Identity(sip_user="alice", ip="10.0.0.1"), "77442071231234", "442071231234"),
        (Identity(), "44x", None),
    ],
)
def test_the_tech_prefix_of_the_matching_network_comes_off(
    known: Catalog, identity: Identity, called: str, expected: str | None
) -> None:
    assert _dialled(known, Desk().attempt("c1", called, identity=identity)) == expected


@pytest.mark.parametrize(
    ("did", "at", "tenant", "expected"),
    [
        ("442079461000", 99, "main", "main/alice"),
        ("+442079461000", 100, "main", "main/bob"),
        ("442079461050", 100, "main", "account_ambiguous"),
        ("442079461050", 100, "ray", "ray/rita"),
        ("442079462000", 100, "main", "account_unknown"),
    ],
)
def test_a_did_of_a_range_is_its_accounts_by_date(
    known: Catalog, did: str, at: int, tenant: str, expected: str
) -> None:
    found = identify(known, Desk().attempt("c1", identity=Identity(did=did), tenant=tenant), at)
    shown = str(found.key) if isinstance(found, AccountTerms) else found.denial.value
    assert shown == expected


NATIONAL, ABROAD = Dialling(Numbers.NATIONAL, "GB"), Dialling(Numbers.E164)
IN_FRANCE = Dialling(Numbers.NATIONAL, "FR")
LONDON = "442079460000"
WRITES = (
    ("sip_users", "alice", NATIONAL), ("pins", "ivr/4821", IN_FRANCE), ("callers", "gw1/15551230001", NATIONAL),
    ("networks", "4/0/a000001/77", NATIONAL),
)  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "peer", "called", "expected"),
    [
        (Identity(sip_user="alice", trusted=True), None, "02079460000", LONDON),
        (Identity(sip_user="alice", trusted=True), IN_FRANCE, "02079460000", LONDON),
        (Identity(sip_user="alice", trusted=True), None, "+33123456789", "33123456789"),
        (Identity(sip_user="nobody", trusted=True), None, "02079460000", "02079460000"),
        (Identity(pin="4821", via="ivr"), NATIONAL, "0123456789", "33123456789"),
        (Identity(pin="4821", via="ivr"), NATIONAL, "0033123456789", "33123456789"),
        (Identity(caller="+15551230001", via="gw1"), None, "02079460000", LONDON),
        (Identity(caller="anonymous", via="gw1"), None, "02079460000", "02079460000"),
        (Identity(ip="10.0.0.1"), None, "7702079460000", LONDON),
        (Identity(ip="10.0.0.1"), None, "77+442079460000", None),
        (Identity(ip="10.0.0.1"), None, "+77442079460000", LONDON),
        (Identity(ip="10.0.0.1"), ABROAD, "00442079460000", LONDON),
        (Identity(ip="10.0.0.1"), None, "77", None),
        (Identity(account="alice"), NATIONAL, "02079460000", LONDON),
        (Identity(account="alice"), ABROAD, "00442079460000", LONDON),
        (Identity(account="alice"), ABROAD, "+00442079460000", "00442079460000"),
        (Identity(account="alice"), ABROAD, "00", None),
    ],
)
def test_a_number_is_read_as_the_endpoint_writes_it_else_as_its_peer(
    known: Catalog, identity: Identity, peer: Dialling | None, called: str, expected: str | None
) -> None:
    attempt = replace(Desk().attempt("c1", called, identity=identity), dialling=peer)
    assert dialled(known, attempt, replace(known.accounts[ALICE], dialling=WRITES), START) == expected


def _dialled(known: Catalog, attempt: CallAttempt) -> str | None:
    return dialled(known, attempt, known.accounts[ALICE], START)


def test_a_malformed_number_is_refused_after_the_account(known: Catalog) -> None:
    answer = prepare(known, Desk().attempt("c1", "44 207"), 0, Limits())
    assert isinstance(answer, Denied)
    assert answer.denial.value == "destination_malformed"


@pytest.mark.parametrize(
    ("identity", "tenant", "account"),
    [
        (Identity(), "main", None),
        (Identity(account="alice"), "main", ALICE),
        (Identity(account="nobody"), "main", None),
        (Identity(account="main/alice"), "ray", None),
        (Identity(sip_user="alice"), "main", ALICE),
        (Identity(sip_user="nobody"), "main", None),
        (Identity(sip_user="twin"), "main", None),
        (Identity(sip_user="alice"), "ray", None),
        (Identity(sip_user="rita"), "ray", RAY),
    ],
)
def test_whom_a_record_names(known: Catalog, identity: Identity, tenant: str, account: Key | None) -> None:
    attempt = replace(Desk().attempt("c1"), identity=identity, tenant=tenant)
    assert named(known, attempt) == account
