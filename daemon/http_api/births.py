"""The series that a daemon shows from its start on, at 0, before anything was counted in them.

Prometheus takes a series that begins at 1 for one that did not rise: increase() and rate() miss the first event of each
set of labels, which is all there ever is of a suspected fraud. So what alerts read is there before it happens. The
labels are those of closed lists, and those of money the currencies of the configuration.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

from daemon.authorize.denial import Denial
from daemon.authorize.fraud_rule import FraudAct
from daemon.charging.call import SettledBy
from daemon.charging.configuration import Configuration
from daemon.charging.discarded import NAME, REASONS
from daemon.charging.fraud import FRAUD
from daemon.charging.voucher import Fault

ROADS: Final = ("asterisk", "esl", "http", "radius")
GRANTED: Final = "granted"
CURRENCIES_MAX: Final = (
    64  # currencies whose money is shown from the start; what is beyond begins with its first charge
)
MONEY: Final = ("tollway_charged_nano_total", "tollway_reversed_nano_total", "tollway_uncollected_nano_total")

_CODES = (GRANTED, *(denial.value for denial in Denial))
_ENDS = tuple(by.value for by in SettledBy if by is not SettledBy.NOBODY)
BORN: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "tollway_decisions_total": tuple(product(ROADS, _CODES)),
    "tollway_charges_total": tuple(product(ROADS, ("rated", "reversal"), _ENDS)),
    "tollway_events_total": tuple((FRAUD, act.value) for act in FraudAct),
    "tollway_suspensions_total": (("suspend",), ("resume",)),
    "tollway_tokens_refused_total": tuple((why,) for why in ("absent", "malformed", "unknown", "expired", "role")),
    "tollway_vouchers_total": tuple((word,) for word in ("redeemed", "repeated", *(fault.value for fault in Fault))),
    NAME: tuple((listener, reason) for listener, reasons in REASONS.items() for reason in reasons),
}
MEASURED: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "tollway_decision_seconds": tuple((road,) for road in ROADS),
    "tollway_event_lag_seconds": tuple((road,) for road in ROADS),
}


def currencies_of(configuration: Configuration) -> Iterator[str]:
    """Yield the currencies that money can be charged in, some of them twice.

    An account has its tenant's or a table's currency, or one that a stated rate leads to: no other can be charged.
    """
    yield from (tenant.currency for tenant in configuration.tenants)
    yield from (table.currency for table in configuration.rate_tables)
    for rate in configuration.conversions:
        yield from (rate.source, rate.target)
