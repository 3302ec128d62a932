"""Emergency numbers are granted from memory, before anybody is asked who pays (SPEC section 3).

Whole numbers, never prefixes: as received, and less a configured tech prefix. They reserve nothing and wait for no
store; their limit is explicit and a day long.
"""

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Granted, Route
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import DAY, Instant

EMERGENCY_SECONDS = 86_400  # seconds; the explicit limit of an emergency call (SPEC section 3)


def _emergency_number(catalog: Catalog, called: str) -> str | None:
    number = called.removeprefix("+")
    if number in catalog.emergency.numbers:
        return number
    if not number.endswith(tuple(catalog.emergency.numbers)):
        return None
    prefixes = catalog.endpoints.networks.tech_prefixes
    ends = (whole for whole in catalog.emergency.numbers if number.endswith(whole))
    # Of two that end the number the longer one is meant: it has the shorter prefix.
    return max((whole for whole in ends if number[: -len(whole)] in prefixes), key=len, default=None)


def is_emergency_number(catalog: Catalog, called: str) -> bool:
    """Tell whether a number as received, or less a configured tech prefix, is an emergency number."""
    return _emergency_number(catalog, called) is not None


def emergency(catalog: Catalog, attempt: CallAttempt, now: Instant) -> Granted | None:
    """Return the grant of an emergency number, from memory alone, or None where the number is no such number."""
    whole = _emergency_number(catalog, attempt.called)
    if whole is None or attempt.direction is not Direction.OUTBOUND:
        return None
    dial = catalog.emergency.dial.replace("{number}", whole)
    routes = (Route(1, 0, Key(attempt.tenant, "emergency"), dial, ()),) if dial else ()
    return Granted(
        grant_id="", seconds=EMERGENCY_SECONDS, reserved=0, currency="", levels=(), routes=routes, called=whole,
        renewable=False, is_final=False, valid_until=now + DAY, emergency=True,
    )  # fmt: skip
