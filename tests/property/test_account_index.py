"""An index of accounts after any changes is the one built whole, shows what a look through all accounts finds, and
leaves the one before it as it was.
"""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.authorize.catalog import AccountKind, Catalog
from daemon.charging.accounts import AccountIndex, Cutter, cut
from daemon.charging.configuration import AccountSpec, parts_of
from daemon.kernel.ids import Key
from tests.unit.charging.accounts_world import (
    NUMBERS,
    PREFIXES,
    accounts,
    catalog_by,
    catalog_of,
    claims_of,
    networks_of,
    ranges_of,
)

Known = dict[Key, AccountSpec]


def put(index: AccountIndex, specs: list[AccountSpec]) -> AccountIndex:
    """Return an index with accounts as they are stored."""
    draft = index.draft()
    for spec in specs:
        name = f"{spec.tenant}/{spec.id}"
        draft.put(name, NUMBERS["customer", spec.tenant, spec.id], parts_of(name, msgspec.json.encode(spec)))
    return draft.finished()


def shown(catalog: Catalog) -> list[Any]:
    """Return everything that a catalog shows of accounts and endpoints."""
    ends = catalog.endpoints
    mappings: list[Any] = [catalog.accounts, catalog.by_number, ends.pins, ends.sip_users, ends.callers, ends.dids,
                           ends.networks.claims]  # fmt: skip
    return [
        *({key: mapping[key] for key in mapping} for mapping in mappings),
        [len(mapping) for mapping in mappings], ends.did_ranges, ends.networks.shapes, sorted(catalog.postpaid()),
        [prefix in ends.networks.tech_prefixes for prefix in (*PREFIXES, "9")],
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.lists(accounts, max_size=4), max_size=5))
def test_an_index_with_changes_is_the_one_built_whole(changes: list[list[AccountSpec]]) -> None:
    index, known = AccountIndex(), Known()
    earlier: list[tuple[AccountIndex, Known]] = []
    for specs in changes:
        earlier.append((index, dict(known)))
        index = put(index, specs)
        known |= {Key(spec.tenant, spec.id): spec for spec in specs}
    whole = catalog_of(known.values())
    assert shown(catalog_by(index)) == shown(whole)
    assert index == put(AccountIndex(), list(known.values()))
    for before, then in earlier:
        assert shown(catalog_by(before)) == shown(catalog_of(then.values())), "who holds a catalog sees it as it was"


@settings(max_examples=60)
@given(st.lists(accounts, max_size=8))
def test_a_catalog_shows_what_a_look_through_all_accounts_finds(specs: list[AccountSpec]) -> None:
    known = {Key(spec.tenant, spec.id): spec for spec in specs}
    catalog = catalog_of(known.values())
    assert set(catalog.accounts) == set(known)
    for key, spec in known.items():
        terms = catalog.accounts[key]
        assert terms == catalog.by_number[NUMBERS["customer", *key]]
        assert (terms.kind, terms.status, terms.credit_limit) == (spec.kind, spec.status, spec.credit_limit)
        assert [dated.plan.id for dated in terms.plans] == [each.plan for each in spec.rate_plan]
        assert terms.zone.key == spec.timezone
        assert (terms.rates is not None) == bool(spec.overrides)
        assert len(terms.dialling) == sum(bool(each.numbers) for each in spec.identities)
    for name, expected in claims_of(known.values()).items():
        mapping = getattr(catalog.endpoints, name)
        assert {text: set(mapping[text]) for text in mapping} == expected
    assert catalog.endpoints.did_ranges == ranges_of(known.values())
    expected_networks, networks = networks_of(known.values()), catalog.endpoints.networks
    assert {text: networks.claims[text] for text in networks.claims} == expected_networks.claims
    assert networks.shapes == expected_networks.shapes
    for prefix in PREFIXES:
        assert (prefix in networks.tech_prefixes) == (prefix in expected_networks.tech_prefixes)
    postpaid = {NUMBERS["customer", *key] for key, spec in known.items() if spec.kind is AccountKind.POSTPAID}
    assert set(catalog.postpaid()) == postpaid


@given(st.lists(accounts, max_size=8))
def test_accounts_that_follow_one_another_are_cut_as_each_by_itself(specs: list[AccountSpec]) -> None:
    cutter = Cutter()
    for spec in specs:
        name, body = f"{spec.tenant}/{spec.id}", msgspec.json.encode(spec)
        assert cutter.parts(name, body) == cut(name, body) is not None
    assert cutter.parts("main/a0", b"{}") is None
