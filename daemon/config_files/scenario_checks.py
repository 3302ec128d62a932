"""What no single key can tell: ids that clash, references that dangle, money that does not fit together.

Each check reports at the key that a person would change, once for each fault, and passes over what is faulty already.
"""

from collections.abc import Collection
from ipaddress import ip_network
from typing import Any, Final

from daemon.authorize.catalog import AccountKind, OverChannels, Status
from daemon.config_files.currency_checks import check_currencies
from daemon.config_files.did_checks import check_dids
from daemon.config_files.kinds import UNSTATED, Site, is_loopback
from daemon.config_files.limit_keys import check_limits
from daemon.config_files.objects import TENANT_DEPTH_MAX, Entry, Objects
from daemon.config_files.rate_checks import check_prices
from daemon.config_files.scenario_keys import IDENTITY_KINDS
from daemon.kernel.dialling import is_country
from daemon.kernel.ids import is_id
from daemon.kernel.instant import Instant
from daemon.rating.conversion import StatedRate

# Printed in manuals, and tried first by every scanner.
WELL_KNOWN_SECRETS: Final = frozenset(("testing123", "cluecon", "secret", "cisco", "radius", "amp111", "mysecret"))
BEARER_MARK: Final = "token:"  # leads a via that names a token, which the store holds and no file can prove


def check(
    objects: Objects, document_site: Site, token_ids: Collection[str], now: Instant | None = None,
    stored: Collection[StatedRate] | None = None,
) -> None:  # fmt: skip
    """Report every fault between the objects of a file. ``token_ids``: the tokens that exist, for ``via``.

    Rates between currencies have to be in force at ``now``, or for None only to be stated; ``stored`` are those of the
    store, None where it is not looked at.
    """
    _check_ids(objects)
    _check_owner(objects, document_site)
    for tenant in objects.of("tenant"):
        _check_tenant(objects, tenant)
    _check_cycles(objects)
    check_prices(objects)
    check_currencies(objects, now, stored)
    check_limits(objects)
    for carrier in objects.of("carrier"):
        _check_carrier(objects, carrier)
    for account in objects.of("account"):
        _check_account(objects, account)
        _check_identities(objects, account, token_ids)
    _check_endpoints(objects)
    _check_peers(objects)


# -- ids and tenants


def _check_ids(objects: Objects) -> None:
    for entry in objects:
        first = objects.find(entry.kind, entry.key)
        if entry.id and first is not None and first is not entry:
            (entry.site / "id").report(f"is the id of the {entry.kind} in line {first.line} too; give each its own")
        if entry.tenant:
            objects.refer(entry.site / "tenant", "tenant", "", entry.tenant)


def _check_owner(objects: Objects, document_site: Site) -> None:
    tenants = objects.of("tenant")
    owners = [tenant for tenant in tenants if tenant.get("parent") == ""]
    if not tenants:
        (document_site / "tenant").report("there is no tenant; add a [[tenant]] without a parent, the owner")
    # Where all have a parent, one closes a circle or names a tenant that is not there: that is what is reported.
    for tenant in owners[1:]:
        message = f"has no parent, and so has the tenant in line {owners[0].line}; one is the owner, give this a parent"
        (tenant.site / "parent").report(message)


def _check_tenant(objects: Objects, tenant: Entry) -> None:
    parent, account = tenant.get("parent"), tenant.get("account")
    if parent:
        objects.refer(tenant.site / "parent", "tenant", "", parent)
    if parent and account == "":
        (tenant.site / "account").report(f"is missing; name the tenant's own account with {parent}")
    if parent == "" and account:
        (tenant.site / "account").report("belongs to a tenant with a parent; take it out or state the parent")
    if parent and account and parent != tenant.id:
        _check_trunk(objects, tenant, parent, account)


def _check_trunk(objects: Objects, tenant: Entry, parent: str, account: str) -> None:
    trunk = objects.refer(tenant.site / "account", "account", parent, account)
    if trunk is None:
        return
    sharing = objects.trunk_of(parent, account)
    if sharing is not None and sharing is not tenant:
        (tenant.site / "account").report(f"is the account of tenant {sharing.id} too; each tenant has its own")


def _check_cycles(objects: Objects) -> None:
    for cycle in _cycles(objects):
        tenant = objects.tenant(cycle[0])
        if tenant is not None:
            written = " -> ".join([*cycle, cycle[0]])
            (tenant.site / "parent").report(f"closes a circle: {written}; every tenant descends from the owner")
    for tenant in objects.of("tenant"):
        if len(objects.ancestors(tenant.id)) > TENANT_DEPTH_MAX:
            (tenant.site / "parent").report(f"lies deeper than {TENANT_DEPTH_MAX} tenants; flatten the tree")


def _cycles(objects: Objects) -> list[list[str]]:
    """Return each circle of parents once, its tenants from the one that stands first in the file."""
    done: set[str] = set()
    cycles: list[list[str]] = []
    for tenant in objects.of("tenant"):
        line: dict[str, int] = {}
        name = tenant.id
        while name and name not in done and name not in line:
            line[name] = len(line)
            name = objects.parent(name)
        if name in line:
            cycles.append(list(line)[line[name] :])
        done |= line.keys()
    return cycles


# -- prices


def _check_carrier(objects: Objects, carrier: Entry) -> None:
    if carrier.tenant and objects.owner and carrier.tenant != objects.owner:
        message = (
            f"is not the owner {objects.owner}, and this release routes by the owner's carriers alone; take it out"
        )
        (carrier.site / "tenant").report(message)
        return
    name = carrier.get("rate_table")
    if not (carrier.tenant and name):
        return
    objects.refer(carrier.site / "rate_table", "rate_table", carrier.tenant, name)


# -- accounts


def _check_account(objects: Objects, account: Entry) -> None:
    _check_credit(account, "kind", "credit_limit")
    _check_credit(account, "inbound_kind", "inbound_credit_limit")
    if account.get("inbound_kind") is None and account.values.get("inbound_credit_limit", UNSTATED) is not UNSTATED:
        (account.site / "inbound_credit_limit").report("belongs to an inbound_kind; state it or take the limit out")
    surcharges = (account.get("channel_surcharge"), account.get("channel_surcharge_per_minute"))
    if account.get("over_channels") is OverChannels.SURCHARGE and surcharges == (0, 0):
        message = "lets calls over the channels through for nothing; state channel_surcharge or take it out"
        (account.site / "over_channels").report(message)
    for name in ("rate_plan", "inbound_rate_plan"):
        _check_plans(objects, account, account.site / name, account.get(name))


def _check_credit(account: Entry, of_kind: str, of_limit: str) -> None:
    kind, limit = account.get(of_kind), account.values.get(of_limit, 0)
    if kind is AccountKind.POSTPAID and limit is UNSTATED:
        message = 'is missing; a postpaid account states how far it may owe, such as "100.00", or "unlimited"'
        (account.site / of_limit).report(message)
    if kind is AccountKind.PREPAID and limit is None:
        (account.site / of_limit).report('cannot be "unlimited" for a prepaid account; state an amount')


def _check_plans(objects: Objects, account: Entry, site: Site, stated: Any) -> None:
    if not stated or not account.tenant:
        return
    if isinstance(stated, str):
        _check_plan_of(objects, account, site, stated)
        return
    begins: set[int] = set()
    for place, dated in enumerate(stated):
        if dated.get("plan"):
            _check_plan_of(objects, account, site / place / "plan", dated["plan"])
        if dated.get("from") in begins:
            (site / place / "from").report("is the start of an earlier plan of this list too; give each its own")
        begins |= {dated["from"]} if "from" in dated else set()


def _check_plan_of(objects: Objects, account: Entry, site: Site, name: str) -> None:
    objects.refer(site, "rate_plan", account.tenant, name)


# -- who pays


def _check_identities(objects: Objects, account: Entry, token_ids: Collection[str]) -> None:
    for place, identity in enumerate(account.get("identities") or ()):
        site = account.site / "identities" / place
        if identity.get("via"):
            _check_via(objects, account, site / "via", identity["via"], token_ids)
        known = account.get("country") is None or is_country(account.get("country"))
        if identity.get("numbers") == "national" and identity.get("country") == "" and not known:
            message = 'is missing, and the account states none whose numbers are known; numbers = "national" needs it'
            (site / "country").report(message)
        if identity.get("ip", "").endswith("/0"):
            (site / "ip").report("is every address there is; name the networks that the calls come from")


def _check_via(objects: Objects, account: Entry, site: Site, via: str, token_ids: Collection[str]) -> None:
    if not is_id(via.removeprefix(BEARER_MARK)) or _is_network(via):
        site.report('is no id; this release takes the id of a nas or switch, or "token:ID", and no network')
        return
    if via.startswith(BEARER_MARK):
        return
    peers = [peer for peer in objects.peers_of(via) if peer.tenant]
    if not peers and via not in token_ids:
        site.report(
            f'there is no nas, freeswitch or asterisk {via}; mend the id, or write "token:{via}" if it is a token'
        )
    elif peers and not any(objects.sees(peer.tenant, account.tenant) for peer in peers) and account.tenant:
        site.report(f"{peers[0]} does not carry calls of tenant {account.tenant}; move it to a tenant above")


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text, strict=False))
    except ValueError:
        return False


def _check_endpoints(objects: Objects) -> None:
    """Report endpoints that two accounts claim before one peer, and those that one account states twice."""
    peers = {peer.tenant for kind in ("nas", "freeswitch", "asterisk") for peer in objects.of(kind)}
    seen: dict[tuple[str, ...], dict[str, Entry]] = {}
    for account in objects.of("account"):
        for place, identity in enumerate(account.get("identities") or ()):
            endpoint = _endpoint(identity)
            if endpoint is None or not account.tenant:
                continue
            claims = seen.setdefault(endpoint, {})
            _claim(objects, account, account.site / "identities" / place / endpoint[0], peers, claims)
    check_dids(objects, peers)


def _claim(objects: Objects, account: Entry, site: Site, peers: set[str], claims: dict[str, Entry]) -> None:
    """Enter a claim at every tenant that sees it; ``claims`` holds the first claimant that each tenant sees."""
    above = objects.ancestors(account.tenant)
    # An account of another tenant is a rival only before a peer that may name both.
    rival = claims.get(account.tenant) or next((claims[name] for name in above if name in peers & claims.keys()), None)
    if rival is account:
        site.report("stands in this account twice; keep one")
    elif rival is not None and rival.key != account.key:
        site.report(f"is that of {rival} in line {rival.line} too; a call could not tell who pays, keep one")
    for name in above:
        claims.setdefault(name, account)


def _endpoint(identity: dict[str, Any]) -> tuple[str, ...] | None:
    kind = next((kind for kind in IDENTITY_KINDS if identity.get(kind)), None)
    if kind in (None, "did") or (kind in ("caller", "pin") and not identity.get("via")):
        return None
    return (kind, identity[kind], identity.get("via", "").removeprefix(BEARER_MARK), identity.get("tech_prefix", ""))


# -- peers


def _check_peers(objects: Objects) -> None:
    for nas in objects.of("nas"):
        _check_secret(nas, "secret", nas.get("address"))
    for switch in objects.of("freeswitch"):
        _check_secret(switch, "password", switch.get("host"))
    for switch in objects.of("asterisk"):
        _check_secret(switch, "secret", switch.get("host"))
    _check_addresses(objects)
    _check_switches(objects)
    _check_questioners(objects)
    _check_id_domains(objects)


def _check_secret(peer: Entry, name: str, host: str | None) -> None:
    if host and not is_loopback(host) and str(peer.get(name)).casefold() in WELL_KNOWN_SECRETS:
        (peer.site / name).report(f"is well known and {host} is not loopback; write a {name} of your own")


def _open(objects: Objects, kind: str) -> list[Entry]:
    """Return the entries of a kind of peer that are not closed: what a closed one had, another may have."""
    return [peer for peer in objects.of(kind) if peer.get("status") is not Status.CLOSED]


def _check_addresses(objects: Objects) -> None:
    """Report networks of RADIUS clients that overlap: a packet must have one secret."""
    placed = [(ip_network(nas.get("address")), nas) for nas in _open(objects, "nas") if nas.get("address")]
    placed.sort(key=lambda pair: (pair[0].version, int(pair[0].network_address), pair[0].prefixlen))
    around: tuple[Any, Entry] | None = None  # networks nest or lie apart: the outermost one that is still open
    for network, second in placed:
        if around is None or around[0].version != network.version or not around[0].overlaps(network):
            around = (network, second)
        else:
            first = around[1]
            earlier, later = sorted((first, second), key=lambda nas: nas.line)
            message = f"overlaps the address of {earlier} in line {earlier.line}; a packet has one client"
            (later.site / "address").report(message)


def _check_switches(objects: Objects) -> None:
    seen: dict[tuple[str, int], Entry] = {}
    for switch in _open(objects, "freeswitch"):
        host, port = switch.get("host"), switch.get("port")
        if not host or not port:
            continue
        first = seen.setdefault((str(host), int(port)), switch)
        if first is not switch:
            switch.site.report(f"is {host}:{port}, as {first} in line {first.line} is; one link serves one switch")


def _check_questioners(objects: Objects) -> None:
    """Report switches that ask over FastAGI from one address: it is all that tells them apart."""
    seen: dict[str, Entry] = {}
    for switch in _open(objects, "asterisk"):
        host = switch.get("host")
        if not host:
            continue
        first = seen.setdefault("127.0.0.1" if host == "localhost" else str(host).casefold(), switch)
        if first is not switch:
            message = f"is {host}, as that of {first} in line {first.line} is; FastAGI knows a switch by its address"
            (switch.site / "host").report(message)


def _check_id_domains(objects: Objects) -> None:
    """Report peers of two tenants that share an id domain by the accident of equal ids."""
    seen: dict[str, Entry] = {}
    for peer in (*objects.of("nas"), *objects.of("freeswitch"), *objects.of("asterisk")):
        domain = peer.get("id_domain") or peer.id
        first = seen.setdefault(domain, peer)
        stated = peer.get("id_domain") and first.get("id_domain")
        if domain and peer.tenant != first.tenant and not stated:
            message = f"is {domain}, that of {first} in line {first.line} of another tenant; state one of its own"
            (peer.site / "id_domain").report(message)
