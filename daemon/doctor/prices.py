"""Prices that end: rates without a successor, tables that price nothing, plans that end, and currencies between.

Only what something uses is judged: a table that no plan and no carrier names may be as empty as it likes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from daemon.charging.configuration import Configuration, conversions_of
from daemon.doctor.finding import Finding, ill, skipped, some, well
from daemon.kernel.ids import Key
from daemon.kernel.instant import NEVER, SECOND, Instant, format_rfc3339
from daemon.rating.conversion import Conversions
from daemon.store.health import TableHealth, ending_of, is_endless
from daemon.store.link import Link
from daemon.store.rate_faults import plan_currencies

AHEAD_DAYS: Final = 14  # days: a carrier's notice of new prices is seldom shorter than seven
AHEAD: Final[Instant] = AHEAD_DAYS * 86_400 * SECOND
Tables = Mapping[Key, TableHealth]
Lines = Mapping[Key, frozenset[Key]]  # of each plan, its tables and those that it inherits


def lines_of(configuration: Configuration) -> Lines:
    """Return the tables by which each plan prices, inherited ones too."""
    plans = {Key(spec.tenant, spec.id): spec for spec in configuration.rate_plans}
    lines: dict[Key, frozenset[Key]] = {}
    for key, spec in plans.items():
        line, following = {key}, spec
        tables = {Key(key.tenant, name) for name in (*spec.tables, *spec.on_net)}
        while following.inherits and (above := Key(key.tenant, following.inherits)) in plans and above not in line:
            line.add(above)
            following = plans[above]
            tables |= {Key(key.tenant, name) for name in following.tables}
        lines[key] = frozenset(tables)
    return lines


def users_of(configuration: Configuration, lines: Lines) -> dict[Key, list[str]]:
    """Return what uses each table that anything uses, by its name."""
    users: dict[Key, list[str]] = {}
    for plan, tables in lines.items():
        for table in sorted(tables):
            users.setdefault(table, []).append(f"plan {plan}")
    for carrier in configuration.carriers:
        users.setdefault(Key(carrier.tenant, carrier.rate_table), []).append(f"carrier {carrier.tenant}/{carrier.id}")
    return users


def decks(link: Link, known: Tables, configuration: Configuration, now: Instant) -> Iterator[Finding]:
    """Yield the tables in use without a rate in force, and the rates in them that end soon with none to follow."""
    horizon = now + AHEAD
    users = users_of(configuration, lines_of(configuration))
    if not users:
        yield skipped("decks", "there is no rate plan and no carrier")
        return
    faults = 0
    for table, names in users.items():
        for finding in _table_faults(link, table, names, known.get(table), now, horizon):
            faults += 1
            yield finding
    if not faults:
        coming = sorted(each.next_begin for key, each in known.items() if key in users and each.next_begin)
        then = f"; the next change of one is at {format_rfc3339(coming[0])}" if coming else ""
        yield well("decks", f"{len(users)} tables in use, none of whose rates ends within {AHEAD_DAYS} days{then}")


def _table_faults(
    link: Link, table: Key, names: list[str], found: TableHealth | None, now: Instant, horizon: Instant
) -> Iterator[Finding]:
    if found is None or not found.in_force:
        begins = found.next_begin if found is not None else None
        then = f"; the first begins at {format_rfc3339(begins)}" if begins else ""
        yield ill("decks", "empty", f"table {table} has no rate in force{then} (used by {some(names)})")
    elif found.next_end is not None and found.next_end <= horizon:
        ending = ending_of(link, table, now, horizon)
        if ending is not None:
            seen = f"table {table}: {ending.rates} rates end from {format_rfc3339(ending.first)} on with none to follow"
            yield ill("decks", "ending", f"{seen} (prefixes {some(ending.prefixes)}; used by {some(names)})")


def ending_plans(known: Tables, configuration: Configuration, now: Instant) -> dict[Key, Instant]:
    """Return the plans of which all rates end soon, each with the last end; one without any has ended."""
    ends: dict[Key, Instant] = {}
    for plan, tables in lines_of(configuration).items():
        last = max((known[table].last_end for table in tables if table in known), default=0)
        if not is_endless(last) and last <= now + AHEAD:
            ends[plan] = last
    return ends


def conversions(
    configuration: Configuration, currencies: Iterable[tuple[Key, str, Key]], now: Instant
) -> list[Finding]:
    """Return the rates between currencies that are lacking now, or end soon.

    ``currencies`` are the distinct plans and currencies of accounts: plan, currency, and one such account.
    """
    priced, rates = plan_currencies(configuration), conversions_of(configuration)
    wanted: dict[tuple[str, str, str], str] = {}
    for plan, currency, account in currencies:
        for source in priced.get(plan, ()):
            wanted.setdefault((plan.tenant, source, currency), f"account {account} by plan {plan}")
    pairs = sorted(pair for pair in wanted if pair[1] != pair[2])
    found = [each for pair in pairs for each in _pair_faults(rates, pair, wanted[pair], now)]
    return found or [well("conversions", f"{len(pairs)} rates between currencies are needed, and in force")]


def _pair_faults(rates: Conversions, pair: tuple[str, str, str], user: str, now: Instant) -> Iterator[Finding]:
    tenant, source, target = pair
    timeline = rates.timeline(tenant, source, target)
    rate = timeline.at(now) if timeline is not None else None
    named = f"{source} to {target} for tenant {tenant} (such as {user})"
    if timeline is None or rate is None:
        yield ill("conversions", "lacking", f"no rate is in force from {named}")
    elif rate.until < NEVER and rate.until <= now + AHEAD and timeline.at(rate.until) is None:
        yield ill("conversions", "ending", f"the rate ends at {format_rfc3339(rate.until)} from {named}")
