"""Accounts of every kind of endpoint, few enough names that they clash, and what a look through all of them finds."""

from collections.abc import Iterable
from ipaddress import ip_network

from hypothesis import strategies as st

from daemon.authorize.catalog import AccountKind, Catalog, Emergency, SipUser, Status
from daemon.authorize.dids import DidRange, DidRanges
from daemon.authorize.networks import Network, Networks
from daemon.charging.accounts import AccountIndex
from daemon.charging.configuration import (
    AccountSpec,
    Configuration,
    EndpointSpec,
    OverrideSpec,
    PlanFrom,
    TenantSpec,
    build_catalog,
)
from daemon.kernel.ids import Key

CONFIGURATION = Configuration(3, tenants=(TenantSpec("main", "USD"), TenantSpec("ray", "USD", "UTC", "main", "a0")))
NAMES = tuple(Key(tenant, f"a{place}") for tenant in ("main", "ray") for place in range(4))
NUMBERS = {("customer", *key): 100 + place for place, key in enumerate(NAMES)}
USERS, DIDS, PREFIXES = ("u0", 'u"1', "ü2"), ("4420", "4421"), ("", "7", "77")
ADDRESSES = ("10.0.0.1", "10.0.0.1/32", "10.0.0.0/24", "10.0.0.9/24", "10.0.0.0/8", "2001:db8::1", "2001:db8::/64")

endpoints = st.one_of(
    st.builds(EndpointSpec, sip_user=st.sampled_from(USERS), password=st.sampled_from(["", "p", '"identities":'])),
    st.builds(EndpointSpec, ip=st.sampled_from(ADDRESSES), tech_prefix=st.sampled_from(PREFIXES)),
    st.builds(EndpointSpec, caller=st.sampled_from(DIDS), via=st.sampled_from(["gw1", "gw2"])),
    st.builds(EndpointSpec, pin=st.sampled_from(["0", "1"]), via=st.sampled_from(["gw1", "gw2"])),
    st.builds(EndpointSpec, did=st.sampled_from(DIDS)),
    st.builds(
        EndpointSpec,
        did=st.sampled_from(DIDS),
        did_last=st.sampled_from(["", "4429"]),
        begins=st.sampled_from([0, 50]),
        ends=st.sampled_from([None, 90]),
    ),
    st.builds(
        EndpointSpec,
        sip_user=st.sampled_from(USERS),
        numbers=st.sampled_from(["e164", "national"]),
        country=st.sampled_from(["", "GB"]),
    ),
)
accounts = st.builds(
    lambda key, **more: AccountSpec(key.tenant, key.id, currency="USD", **more),
    st.sampled_from(NAMES), kind=st.sampled_from(AccountKind), balance=st.integers(-9, 9),
    status=st.sampled_from(Status), credit_limit=st.sampled_from([None, 0, 7]),
    rate_plan=st.sampled_from([(), (PlanFrom("retail"),)]), identities=st.lists(endpoints, max_size=3).map(tuple),
    overrides=st.sampled_from([(), (OverrideSpec("44", 9),)]), timezone=st.sampled_from(["UTC", "Europe/Paris"]),
)  # fmt: skip


def catalog_of(specs: Iterable[AccountSpec]) -> Catalog:
    """Return the catalog of accounts, built whole."""
    return build_catalog(
        Configuration(3, CONFIGURATION.tenants, accounts=tuple(specs)), {}, NUMBERS, Emergency()
    )  # fmt: skip


def catalog_by(index: AccountIndex) -> Catalog:
    """Return the catalog of an index."""
    return build_catalog(CONFIGURATION, {}, {}, Emergency(), index)


def claims_of(specs: Iterable[AccountSpec]) -> dict[str, dict[object, set[object]]]:
    """Return who claims what, by a look at every endpoint."""
    found: dict[str, dict[object, set[object]]] = {name: {} for name in ("pins", "sip_users", "callers", "dids")}
    for spec in specs:
        key = Key(spec.tenant, spec.id)
        for each in spec.identities:
            if each.sip_user:
                proof = SipUser(key, each.password, each.ha1)
                found["sip_users"].setdefault(each.sip_user, set()).add(proof)
            elif each.pin:
                found["pins"].setdefault((each.via, each.pin), set()).add(key)
            elif each.caller:
                found["callers"].setdefault((each.via, each.caller), set()).add(key)
            elif each.did and each.range is None:
                found["dids"].setdefault(each.did, set()).add(key)
    return found


def ranges_of(specs: Iterable[AccountSpec]) -> DidRanges:
    """Return the DID ranges of accounts, and their DIDs from a date."""
    return DidRanges.of(
        DidRange(*each.range, Key(spec.tenant, spec.id))
        for spec in specs
        for each in spec.identities
        if each.range is not None
    )


def networks_of(specs: Iterable[AccountSpec]) -> Networks:
    """Return the networks of accounts, each account once for each."""
    networks = set()
    for spec in specs:
        for each in spec.identities:
            if each.ip:
                found = ip_network(each.ip, strict=False)
                first, last = int(found.network_address), int(found.broadcast_address)
                networks.add(Network(found.version, first, last, each.tech_prefix, Key(spec.tenant, spec.id)))
    return Networks.of(sorted(networks, key=lambda network: network.account))
