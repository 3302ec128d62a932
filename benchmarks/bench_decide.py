"""What one decision costs: who pays, rates of a two-level chain, five carriers, limits, margins, money; and no I/O.

Prints microseconds of this process's CPU for each whole decision (``prepare`` and ``decide``), the best of several
passes, at decks of several sizes and numbers of accounts. Beside them stands what cannot be left out: the prefix found
in each of the seven tables that such a call is priced by. Goal: 60 us, and within 1.3 times over all sizes.
"""

import random
import sys
from time import process_time

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Granted
from daemon.authorize.quote import Limits, Quote
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    Configuration,
    EndpointSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    build_catalog,
    policy_of,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO
from daemon.ledger.account import Standing
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_table import RateTable

SIZES = ((1_000, 100), (100_000, 10_000), (1_000_000, 100_000))  # prefixes of the retail deck, accounts
CARRIERS = 5
BUY_PREFIXES = 1_000  # of each carrier's deck and of the wholesale one
DECISIONS = 4_000  # a pass
PASSES = 5
GOAL_US = 60.0
START: Instant = 1_790_000_000 * SECOND
MILLI = NANO // 1_000


def _table(configuration: Configuration, spec: RateTableSpec, prefixes: list[str], rate: int) -> RateTable:
    terms = Terms(first_seconds=6, next_seconds=6)
    made, _ = RateTable.of(policy_of(spec, 1, configuration), [RateRow(p, rate, terms=terms) for p in prefixes])
    assert made is not None
    return made


def _prefixes(generator: random.Random, count: int) -> list[str]:
    made = {str(generator.randrange(1, 10)) for _ in range(9)} | {str(first) for first in range(1, 10)}
    while len(made) < count:
        made.add(str(generator.randrange(1, 10 ** generator.randrange(2, 9))))
    return sorted(made)[: max(count, len(made))]


def world(prefixes: int, accounts: int) -> Catalog:
    """Return a reseller with so many accounts below an owner with five carriers; floors at both levels."""
    generator = random.Random(20_261_126)
    buys = [RateTableSpec("main", f"buy-{place}", "USD") for place in range(CARRIERS)]
    tables = [RateTableSpec("ray", "retail", "USD"), RateTableSpec("main", "wholesale", "USD"), *buys]
    retail = [
        AccountSpec(
            "ray", f"a{place}", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("retail"),), channels_total=30,
            calls_per_second=100, daily_spend=1_000 * NANO, max_call_charge=50 * NANO, margin_floor_percent=5 * NANO,
            identities=(EndpointSpec(sip_user=f"u{place}", password="secret"),),
        )
        for place in range(accounts)
    ]  # fmt: skip
    trunk = AccountSpec(
        "main", "ray-trunk", AccountKind.POSTPAID, "USD", credit_limit=10_000 * NANO,
        rate_plan=(PlanFrom("wholesale"),), channels_total=3_000, margin_floor_percent=3 * NANO,
    )  # fmt: skip
    configuration = Configuration(
        1,
        tenants=(TenantSpec("main", "USD"), TenantSpec("ray", "USD", parent="main", account="ray-trunk")),
        rate_tables=tuple(tables),
        rate_plans=(RatePlanSpec("ray", "retail", ("retail",)), RatePlanSpec("main", "wholesale", ("wholesale",))),
        carriers=tuple(
            CarrierSpec("main", f"c{place}", f"buy-{place}", "sofia/gateway/c/{number}", channels=500)
            for place in range(CARRIERS)
        ),
        accounts=(*retail, trunk),
    )
    few = _prefixes(generator, BUY_PREFIXES)
    decks = {Key("ray", "retail"): _table(configuration, tables[0], _prefixes(generator, prefixes), 30 * MILLI)}
    decks[Key("main", "wholesale")] = _table(configuration, tables[1], few, 20 * MILLI)
    for place, spec in enumerate(buys):
        decks[Key("main", spec.id)] = _table(configuration, spec, few, (10 + place) * MILLI)
    carriers = {("carrier", "main", spec.id): 2_000_000 + place for place, spec in enumerate(configuration.carriers)}
    customers = {
        ("customer", spec.tenant, spec.id): place for place, spec in enumerate(configuration.accounts, start=1)
    }
    return build_catalog(configuration, decks, customers | carriers, Emergency())


def microseconds(catalog: Catalog, accounts: int) -> tuple[float, float]:
    """Return the CPU of one decision, and of the seven look-ups in it, each the best of its passes."""
    generator = random.Random(7)
    attempts = [_attempt(generator, place, accounts) for place in range(DECISIONS)]
    standings = [Standing(number, balance=20 * NANO) for number in range(accounts + 2)]
    carriers = Standing(0)
    limits = Limits()

    def standing(number: int) -> Standing:
        return standings[number] if number < len(standings) else carriers

    whole, lookups = [], []
    for _ in range(PASSES):
        began = process_time()
        for attempt in attempts:
            quote = prepare(catalog, attempt, START, limits)
            assert isinstance(quote, Quote)
            decision = decide(quote, standing, limits, START, "g")
            assert isinstance(decision, Granted)
        whole.append(process_time() - began)
        tables = list(catalog.tables.values())
        began = process_time()
        for attempt in attempts:
            for table in tables:
                table.match(attempt.called, START)
        lookups.append(process_time() - began)
    return min(whole) / DECISIONS * 1e6, min(lookups) / DECISIONS * 1e6


def _attempt(generator: random.Random, place: int, accounts: int) -> CallAttempt:
    identity = Identity(sip_user=f"u{generator.randrange(accounts)}", trusted=True)
    called = str(generator.randrange(10**10, 10**11))
    return CallAttempt("gw1", f"c{place}", "main", "radius", "gw1", identity, called, calling="15551230001")


def main() -> None:
    """Print the figures; a smaller world where the command line says so."""
    sizes = SIZES[:1] if "--small" in sys.argv[1:] else SIZES
    print(f"{'prefixes':>10}{'accounts':>10}{'decision us':>13}{'look-ups us':>13}{'to the first':>14}")
    first = 0.0
    for prefixes, accounts in sizes:
        whole, lookups = microseconds(world(prefixes, accounts), accounts)
        first = first or whole
        print(f"{prefixes:>10,}{accounts:>10,}{whole:>13.1f}{lookups:>13.1f}{whole / first:>14.2f}")
    print(f"goal: {GOAL_US:g} us at every size, within 1.3 times of the first")


if __name__ == "__main__":
    main()
