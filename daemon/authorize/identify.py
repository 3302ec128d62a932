"""Who pays: the first kind of endpoint that matches decides, two accounts within it are ambiguous (SPEC section 1).

Only accounts of the peer's tenant and its descendants can be found. A caller number or a PIN counts only with the peer
that vouches for it. A SIP user with a credential must prove it; without one he is believed only from a trusted peer.
A DID is an account's by date.
"""

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import NamedTuple

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import AccountTerms, Catalog, SipUser
from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.authorize.networks import Claimed
from daemon.kernel.dialling import Dialling
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant

Found = AccountTerms | Denied


class Payer(NamedTuple):
    """Who pays, or why nobody can be told; ``tech_prefix`` is what a network endpoint that decided takes off."""

    found: Found
    tech_prefix: str = ""


def payer(catalog: Catalog, attempt: CallAttempt, at: Instant) -> Payer:
    """Return who pays for an attempt at an instant, and the tech prefix to take off; each endpoint is asked once."""
    for kind in _KINDS:
        found = kind(catalog, attempt)
        if found is not None:
            network = _network(catalog, attempt) if kind is _by_network else None
            return Payer(found, network.tech_prefix if network is not None else "")
    unknown = Denied(Denial.ACCOUNT_UNKNOWN, "no endpoint matches what the switch vouches for")
    return Payer(_by_did(catalog, attempt, at) or unknown)


def dialling_of(catalog: Catalog, attempt: CallAttempt, terms: AccountTerms) -> Dialling | None:
    """Return how the endpoint that found an account writes numbers; where it does not say, as the peer does."""
    own = _endpoint(catalog, attempt) if terms.dialling else None
    return (terms.dialling_of(*own) if own is not None else None) or attempt.dialling


def _endpoint(catalog: Catalog, attempt: CallAttempt) -> tuple[str, str] | None:
    """Return kind and text of the endpoint that matches; an explicit account and a DID say nothing of writing."""
    identity = attempt.identity
    if identity.account:
        return None
    if identity.pin:
        return "pins", f"{identity.via}/{identity.pin}"
    if _by_sip_user(catalog, attempt) is not None:
        return "sip_users", identity.sip_user
    network = _network(catalog, attempt)
    return (
        ("networks", network.text) if network is not None else ("callers", f"{identity.via}/{digits(identity.caller)}")
    )


def proved_by_password(attempt: CallAttempt) -> bool:
    """Tell of an attempt whose payer was found whether what it sent of a password decided."""
    identity = attempt.identity
    return identity.credential is not None and bool(identity.sip_user) and not identity.account and not identity.pin


def identify(catalog: Catalog, attempt: CallAttempt, at: Instant) -> Found:
    """Return the account that pays for an attempt at an instant, or why none can be told."""
    return payer(catalog, attempt, at).found


def named(catalog: Catalog, attempt: CallAttempt) -> Key | None:
    """Return the one account in sight that a record names, by itself or by a SIP user, or None where it names none.

    Nothing is proved by it: a record carries no credential. It only tells apart calls that were granted already.
    """
    identity = attempt.identity
    if identity.account:
        found = _by_account(catalog, attempt)
        return found.key if isinstance(found, AccountTerms) else None
    users = catalog.endpoints.sip_users.get(identity.sip_user, ()) if identity.sip_user else ()
    seen = {user.account for user in users if catalog.descends(user.account.tenant, attempt.tenant)}
    return next(iter(seen)) if len(seen) == 1 else None


def _by_account(catalog: Catalog, attempt: CallAttempt) -> Found | None:
    identity = attempt.identity
    if not identity.account:
        return None
    tenant, slash, name = identity.account.rpartition("/")
    key = Key(tenant if slash else identity.account_tenant or attempt.tenant, name)
    terms = catalog.accounts.get(key)
    if terms is None or not catalog.descends(key.tenant, attempt.tenant):
        return Denied(Denial.ACCOUNT_UNKNOWN, f"there is no account {key} within tenant {attempt.tenant}")
    return terms


def _by_pin(catalog: Catalog, attempt: CallAttempt) -> Found | None:
    identity = attempt.identity
    if not identity.pin:
        return None
    keys = catalog.endpoints.pins.get((identity.via, identity.pin), ())
    return _one(catalog, attempt, keys, "PIN") or Denied(Denial.ACCOUNT_UNKNOWN, "no account has this PIN by this peer")


def _by_sip_user(catalog: Catalog, attempt: CallAttempt) -> Found | None:
    identity = attempt.identity
    if not identity.sip_user:
        return None
    claims = catalog.endpoints.sip_users.get(identity.sip_user, ())
    users = [user for user in claims if catalog.descends(user.account.tenant, attempt.tenant)]
    if not users:
        # A credential for a user whom we do not know is a wrong credential, never a reason to try the next kind.
        return Denied(Denial.ACCOUNT_UNKNOWN, "no account has this SIP user") if identity.credential else None
    if len(users) > 1 and len({user.account for user in users}) > 1:
        return Denied(Denial.ACCOUNT_AMBIGUOUS, f"{len(users)} accounts claim this SIP user")
    return catalog.accounts[users[0].account] if _believed(identity, users[0]) else _disbelieved(identity, users[0])


def _believed(identity: Identity, user: SipUser) -> bool:
    if identity.credential is None:
        return identity.trusted
    return identity.credential.proves(user.password, user.ha1) or (
        identity.trusted and not user.password and not user.ha1
    )


def _disbelieved(identity: Identity, user: SipUser) -> Found | None:
    if identity.credential is None:
        return None  # a bare name proves nothing: it counts as not stated, and the next kind of endpoint decides
    return Denied(Denial.CREDENTIAL_WRONG, "the credential does not match the SIP user's password", user.account)


def _network(catalog: Catalog, attempt: CallAttempt) -> Claimed | None:
    """Return the longest network, and the longest tech prefix within it, that accounts in sight of the peer claim."""
    try:
        address = ip_address(attempt.identity.ip)
    except ValueError:
        return None
    called = attempt.called.removeprefix("+")
    for found in catalog.endpoints.networks.holding(address.version, int(address), called):
        seen = tuple(key for key in found.accounts if catalog.descends(key.tenant, attempt.tenant))
        if seen:
            return found._replace(accounts=seen)
    return None


def _by_network(catalog: Catalog, attempt: CallAttempt) -> Found | None:
    network = _network(catalog, attempt)
    return _one(catalog, attempt, network.accounts, "network") if network is not None else None


def _by_caller(catalog: Catalog, attempt: CallAttempt) -> Found | None:
    identity = attempt.identity
    caller = digits(identity.caller)
    if caller is None or not identity.via:
        return None
    return _one(catalog, attempt, catalog.endpoints.callers.get((identity.via, caller), ()), "caller number")


def _by_did(catalog: Catalog, attempt: CallAttempt, at: Instant) -> Found | None:
    did = digits(attempt.identity.did)
    return _one(catalog, attempt, catalog.endpoints.called(did, at), "called DID") if did is not None else None


def _one(catalog: Catalog, attempt: CallAttempt, keys: Iterable[Key], kind: str) -> Found | None:
    seen = sorted({key for key in keys if catalog.descends(key.tenant, attempt.tenant)})
    if not seen:
        return None
    if len(seen) > 1:
        return Denied(Denial.ACCOUNT_AMBIGUOUS, f"{len(seen)} accounts claim this {kind}")
    return catalog.accounts[seen[0]]


_KINDS: tuple[Callable[[Catalog, CallAttempt], Found | None], ...] = (
    _by_account, _by_pin, _by_sip_user, _by_network, _by_caller,
)  # fmt: skip
