"""How a stored account is cut, what older releases wrote, and what is kept of those that call."""

from dataclasses import replace

import msgspec
import pytest

from daemon.authorize.catalog import AccountKind, Emergency
from daemon.charging import account_views, accounts, configuration
from daemon.charging.accounts import AccountIndex, cut, whole
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    Configuration,
    EndpointSpec,
    TenantSpec,
    build_catalog,
    parts_of,
)
from daemon.charging.limits_stated import ChannelPackageSpec
from daemon.kernel.ids import Key
from tests.unit.charging.accounts_world import catalog_by

SPEC = AccountSpec(
    "main", "acme", AccountKind.POSTPAID, "USD", balance=-5, country='"balance":', class_of_service="office",
    identities=(EndpointSpec(sip_user='"identities":', password='],"class_of_service":'),),
)  # fmt: skip
BODY = msgspec.json.encode(SPEC)


def test_an_account_is_cut_into_what_was_agreed_and_its_endpoints() -> None:
    parts = cut("main/acme", BODY)
    assert parts is not None
    assert msgspec.json.decode(whole(parts[0]), type=AccountSpec) == replace(
        SPEC, tenant="", id="", balance=0, identities=()
    )
    assert msgspec.json.decode(parts[1], type=tuple[EndpointSpec, ...]) == SPEC.identities


@pytest.mark.parametrize("missing", ["kind", "balance", "identities", "class_of_service", "overrides", "status"])
def test_what_another_release_wrote_is_read_all_the_same(missing: str) -> None:
    kept = msgspec.json.decode(BODY)
    value = kept.pop(missing)
    if missing == "kind":  # of another order
        kept["kind"] = value
    written = msgspec.json.encode(kept)
    expected = msgspec.json.decode(written, type=AccountSpec)
    agreement, endpoints = parts_of("main/acme", written)
    assert msgspec.json.decode(endpoints, type=tuple[EndpointSpec, ...]) == expected.identities
    agreed = msgspec.json.decode(whole(agreement), type=AccountSpec)
    assert replace(agreed, tenant="main", id="acme") == replace(expected, balance=0, identities=())


def test_what_makes_no_sense_is_told() -> None:
    with pytest.raises(msgspec.DecodeError):
        parts_of("main/acme", b'{"tenant":"main"}')


def test_equal_agreements_are_held_once_and_few_terms_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_views, "TERMS_MAX", 2)
    draft = AccountIndex().draft()
    for place in range(5):
        spec = replace(SPEC, id=f"a{place}", balance=place)
        draft.put(f"main/a{place}", place, parts_of(f"main/a{place}", msgspec.json.encode(spec)))
    index = draft.finished()
    assert len({id(index.rows[name].agreement) for name in index.rows}) == 1
    catalog = catalog_by(index)
    first = catalog.accounts[Key("main", "a0")]
    assert catalog.by_number[0] is first
    for place in range(5):
        assert catalog.by_number[place].key == Key("main", f"a{place}")
    again = catalog.accounts[Key("main", "a0")]
    assert again == first
    assert again is not first, "a bounded number of terms is kept"


@pytest.mark.parametrize("kept", [1, 1_000])
def test_what_is_shared_is_what_was_agreed_and_nothing_of_an_accounts_own(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "AGREED_MAX", kept)
    tenants = TenantSpec("main", "USD"), TenantSpec("ray", "USD", "UTC", "main", "a0", low_balance_warning_seconds=60)
    places = [Key(tenant, name) for tenant in ("main", "ray") for name in ("a0", "a1")]
    dialling = EndpointSpec(sip_user="u", numbers="e164")
    specs = [replace(SPEC, tenant=key.tenant, id=key.id, country="GB", identities=()) for key in places]
    stated = Configuration(
        1, tenants=tenants, accounts=(*specs[:3], replace(specs[3], identities=(dialling,))),
        bundles=(BundleSpec("ray", "minutes", "a1", 100),),
        channel_packages=(ChannelPackageSpec("main", "more", "a1", 3),),
    )  # fmt: skip
    numbers = {("customer", *key): place for place, key in enumerate(places)}
    catalog = build_catalog(stated, {}, numbers, Emergency())
    terms = [catalog.accounts[key] for key in places]
    assert [(each.key, each.number) for each in terms] == [(key, place) for place, key in enumerate(places)]
    assert [len(each.bundles) for each in terms] == [0, 0, 0, 1]
    assert [len(each.packages) for each in terms] == [0, 1, 0, 0]
    assert [len(each.dialling) for each in terms] == [0, 0, 0, 1]
    assert [each.warnings.low_seconds for each in terms] == [0, 0, 60, 60]


def test_more_agreements_than_are_recognised_are_kept_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "AGREEMENTS_MAX", 1)
    draft = AccountIndex().draft()
    for place, country in enumerate(("FR", "DE", "FR")):
        spec = replace(SPEC, id=f"a{place}", country=country)
        draft.put(f"main/a{place}", place, parts_of(f"main/a{place}", msgspec.json.encode(spec)))
    countries = [catalog_by(draft.finished()).by_number[place].country for place in range(3)]
    assert countries == ["FR", "DE", "FR"]


def test_a_name_with_a_slash_is_nobodys() -> None:
    draft = AccountIndex().draft()
    draft.put("main/acme", 1, parts_of("main/acme", msgspec.json.encode(
        replace(SPEC, identities=(EndpointSpec(pin="1/2", via="gw"),)))))  # fmt: skip
    pins = catalog_by(draft.finished()).endpoints.pins
    assert pins["gw", "1/2"] == (Key("main", "acme"),)
    assert pins.get(("gw/1", "2")) is None
