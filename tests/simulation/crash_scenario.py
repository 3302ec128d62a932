"""The scenario of the crash simulation, and what its calls should cost by arithmetic of its own.

An owner with a reseller and a reseller below that; prepaid and postpaid accounts, a daily bundle that rolls over, and a
table of graduated tiers. Nothing of the daemon prices here: fractions over the figures of DECKS, written from the rules
of docs/rates.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    CarrierSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.store.objects import Spec

ACME, BOB, CORP = Key("main", "acme"), Key("main", "bob"), Key("main", "corp")
RITA, SUZY = Key("ray", "rita"), Key("sub", "suzy")
RAY_TRUNK, SUB_TRUNK = Key("main", "ray-trunk"), Key("ray", "sub-trunk")
CHAINS = {ACME: (ACME,), BOB: (BOB,), CORP: (CORP,), RITA: (RITA, RAY_TRUNK), SUZY: (SUZY, SUB_TRUNK, RAY_TRUNK)}
OPENING = {ACME: 3 * NANO, BOB: 0, CORP: 0, RITA: 2 * NANO, SUZY: 1_000 * NANO}
POSTPAID = (BOB, CORP)
CREDIT = 60 * NANO  # of corp, which is granted from the journal where the world's operator chose so
BUNDLE_UNITS = 200  # seconds a day of acme's bundle, for numbers that begin with 44
TIER_FROM = 100  # seconds a day from which bob pays less


class Rate(NamedTuple):
    """What a row of a deck says: money as text, seconds."""

    rate: str
    first: int = 1
    next: int = 1
    fee: str = "0"
    minimum: str = "0"


TABLES: dict[Key, dict[str, Rate]] = {
    Key("main", "retail"): {
        "44": Rate("0.60"), "33": Rate("0.61", 60, 60, "0.01"), "49": Rate("0.37", 30, 6, "0", "0.25"),
    },
    Key("main", "wholesale"): {"44": Rate("0.30"), "33": Rate("0.313"), "49": Rate("0.171", 6, 6)},
    Key("ray", "retail"): {"44": Rate("0.55", 30, 6), "33": Rate("0.45", 60, 60), "49": Rate("0.35")},
    Key("ray", "wholesale"): {"44": Rate("0.42"), "33": Rate("0.41", 6, 6), "49": Rate("0.217")},
    Key("sub", "retail"): {"44": Rate("0.70", 1, 1, "0.02"), "33": Rate("0.80", 60, 60), "49": Rate("0.53", 10, 10)},
}  # fmt: skip
CARRIER, CHANNELS = Key("main", "carrier-a"), 7
BUY = {"44": Rate("0.10"), "33": Rate("0.11", 6, 6), "49": Rate("0.13", 30, 1)}
TIERED = Key("main", "tiered")
TIERS = ((0, "0.60"), (TIER_FROM, "0.45"))
TABLE_OF = {
    ACME: Key("main", "retail"), CORP: Key("main", "retail"), RAY_TRUNK: Key("main", "wholesale"),
    RITA: Key("ray", "retail"), SUB_TRUNK: Key("ray", "wholesale"), SUZY: Key("sub", "retail"),
}  # fmt: skip


def price(account: Key, number: str, seconds: int, bundle_units: int = 0, volume: int = 0) -> tuple[int, int]:
    """Return what one level of a call costs in nano-units, and the seconds that it is billed."""
    if seconds <= 0:
        return 0, 0
    if account == BOB:
        exact = Fraction(0)
        for (begins, rate), until in zip(TIERS, [*(tier for tier, _ in TIERS[1:]), None], strict=True):
            last = volume + seconds if until is None else min(until, volume + seconds)
            exact += max(0, last - max(begins, volume)) * Fraction(rate) / 60
        return _rounded_up(exact), seconds
    row = (BUY if account == CARRIER else TABLES[TABLE_OF[account]])[number[:2]]
    rest = seconds - bundle_units
    if rest <= 0:
        return 0, seconds
    blocks = max(0, -((row.first - rest) // row.next)) if rest > row.first else 0
    billed = row.first + blocks * row.next
    exact = max(Fraction(row.fee) + billed * Fraction(row.rate) / 60, Fraction(row.minimum))
    return _rounded_up(exact), billed


def _rounded_up(exact: Fraction) -> int:
    """Return nano-units of an amount, rounded up to four decimals as the tables do."""
    return -(-(exact.numerator * 10_000) // exact.denominator) * (NANO // 10_000)


def decks() -> dict[Key, str]:
    """Return the decks as files."""
    head = "prefix,rate,first_seconds,next_seconds,connect_fee,minimum_charge\n"
    made = {
        key: head + "".join(f"{prefix},{','.join(map(str, row))}\n" for prefix, row in rows.items())
        for key, rows in (*TABLES.items(), (Key("main", "buy"), BUY))
    }
    tiers = "".join(f"{prefix},{rate},{begins or ''}\n" for prefix in ("44", "33", "49") for begins, rate in TIERS)
    return made | {TIERED: f"prefix,rate,tier_from\n{tiers}"}


def _prepaid(key: Key, plan: str) -> AccountSpec:
    return AccountSpec(
        key.tenant, key.id, AccountKind.PREPAID, "USD", balance=OPENING[key], rate_plan=(PlanFrom(plan),)
    )


def _postpaid(key: Key, plan: str) -> AccountSpec:
    return AccountSpec(key.tenant, key.id, AccountKind.POSTPAID, "USD", credit_limit=None, rate_plan=(PlanFrom(plan),))


SCENARIO: Sequence[Spec] = (
    TenantSpec("main", "USD"),
    TenantSpec("ray", "USD", "UTC", "main", "ray-trunk"),
    TenantSpec("sub", "USD", "UTC", "ray", "sub-trunk"),
    *(RateTableSpec(key.tenant, key.id, "USD") for key in TABLES),
    RateTableSpec("main", "buy", "USD"),
    CarrierSpec("main", CARRIER.id, "buy", "sofia/gateway/a/{number}", channels=CHANNELS),
    RateTableSpec("main", "tiered", "USD", tiers="graduated", tier_period="day"),
    *(RatePlanSpec(key.tenant, key.id, (key.id,)) for key in (*TABLES, TIERED)),
    _prepaid(ACME, "retail"),
    _postpaid(BOB, "tiered"),
    replace(_postpaid(CORP, "retail"), credit_limit=CREDIT),
    _postpaid(RAY_TRUNK, "wholesale"),
    _prepaid(RITA, "retail"),
    _postpaid(SUB_TRUNK, "wholesale"),
    _prepaid(SUZY, "retail"),
    BundleSpec("main", "day", "acme", BUNDLE_UNITS, period="day", rollover=True, prefixes=("44",)),
    NasSpec("gw1", "main", "127.0.0.1", "loopback-secret"),
)
