"""Emergency numbers are granted from memory, before anybody is asked who pays (SPEC section 3).

Whole numbers, never prefixes: as received, less a configured tech prefix, and as the peer's way of writing reads them.
Where it is known from which country a call comes, that country's numbers count. They reserve nothing and wait for no
store; their limit is explicit and a day long.
"""

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Denied, Granted, Route
from daemon.authorize.identify import dialling_of, identify
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import DAY, Instant

EMERGENCY_SECONDS = 86_400  # seconds; the explicit limit of an emergency call (SPEC section 3)


def _emergency_number(catalog: Catalog, called: str, numbers: frozenset[str]) -> str | None:
    number = called.removeprefix("+")
    if number in numbers:
        return number
    if not number.endswith(catalog.emergency.endings):
        return None
    prefixes = catalog.endpoints.networks.tech_prefixes
    ends = (whole for whole in numbers if number.endswith(whole))
    # Of two that end the number the longer one is meant: it has the shorter prefix.
    return max((whole for whole in ends if number[: -len(whole)] in prefixes), key=len, default=None)


def is_emergency_number(catalog: Catalog, called: str) -> bool:
    """Tell whether a number as received, or less a configured tech prefix, is an emergency number of any country."""
    return _emergency_number(catalog, called, catalog.emergency.anywhere) is not None


def _of_attempt(catalog: Catalog, attempt: CallAttempt, now: Instant) -> str | None:
    """Return the emergency number of the caller's country that was called, or None."""
    read = attempt.dialling.normal(attempt.called) if attempt.dialling is not None else None
    dialled = (attempt.called,) if read is None or read == attempt.called else (attempt.called, read)
    forms = [form for form in dialled if form and is_emergency_number(catalog, form)]
    if not forms:
        return None  # the payer is not sought for other calls: that is for the decision to do, once
    numbers = catalog.emergency.of(_country(catalog, attempt, now))
    return next((whole for form in forms if (whole := _emergency_number(catalog, form, numbers)) is not None), None)


def _country(catalog: Catalog, attempt: CallAttempt, now: Instant) -> str:
    """Return where a call comes from: of the endpoint, else of its account, else of the peer; or nothing."""
    terms = identify(catalog, attempt, now)
    if isinstance(terms, Denied):
        return attempt.dialling.country if attempt.dialling is not None else ""
    dialling = dialling_of(catalog, attempt, terms)
    own = dialling.country if dialling is not None and dialling is not attempt.dialling else ""
    return own or terms.country or (attempt.dialling.country if attempt.dialling is not None else "")


def emergency(catalog: Catalog, attempt: CallAttempt, now: Instant) -> Granted | None:
    """Return the grant of an emergency number, from memory alone, or None where the number is no such number."""
    whole = _of_attempt(catalog, attempt, now) if attempt.direction is Direction.OUTBOUND else None
    if whole is None:
        return None
    dial = catalog.emergency.dial.replace("{number}", whole)
    routes = (Route(1, 0, Key(attempt.tenant, "emergency"), dial, ()),) if dial else ()
    return Granted(
        grant_id="", seconds=EMERGENCY_SECONDS, reserved=0, currency="", levels=(), routes=routes, called=whole,
        renewable=False, is_final=False, valid_until=now + DAY, emergency=True,
    )  # fmt: skip
