"""What one call costs by a plan, as ``rate price`` asks it: found and priced as a live call is, without any effect."""

from dataclasses import dataclass
from decimal import Decimal

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.authorize.pricing import Service, exchange_of, usage_of
from daemon.charging.configuration import Configuration
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import Instant
from daemon.kernel.money import Rounding, divide
from daemon.rating.account_rates import AccountRates
from daemon.rating.explain import Priced, price
from daemon.rating.plan_trace import Asked, asked
from daemon.rating.rate_plan import MarkedTable
from daemon.rating.rate_table import Found
from daemon.rating.rate_type import BARE
from daemon.rating.tariff import Gap, Tariff

__all__ = ["Asked", "Priced", "PricedCall", "Question", "Tariff", "plans_asked", "priced_call"]


@dataclass(frozen=True, slots=True)
class Question:
    """What ``rate price`` is asked: one answered call of a duration in seconds, or usage of another rate type in units.

    ``volume`` is what the period had used before, for tables with tiers; an account is whose own prices apply.
    """

    plan: str
    number: str
    duration: Decimal
    at: Instant
    override: str = ""
    rate_type: str = ""
    account: str = ""
    volume: int = 0


@dataclass(frozen=True, slots=True)
class PricedCall:
    """A price, what it was made of, and how it was found.

    ``tariff`` is None where there is none; ``sold`` is what the plan says before the account's own prices, ``asked``
    every table of the plan in order. ``seconds`` are whole; ``lacking`` says what rate into the account's currency is
    not there.
    """

    priced: Priced
    tariff: Tariff | None
    seconds: int
    sold: Found = None
    asked: tuple[Asked, ...] = ()
    own: AccountRates | None = None
    on_net: bool = False
    lacking: str = ""


def plans_asked(configuration: Configuration, plan: Key) -> list[Key]:
    """Return the plans that a price depends on: the one asked, and those by which accounts' own are rounded."""
    own = {Key(spec.tenant, dated.plan) for spec in configuration.accounts for dated in spec.rate_plan}
    return [plan, *sorted(own)]


def priced_call(catalog: Catalog, plan_key: Key, account: AccountTerms | None, question: Question) -> PricedCall:
    """Return what a plan of a catalog asks, for an account's outbound call where one is named."""
    plan = catalog.plans[plan_key]
    called = digits(question.number) or ""
    volumes = {marked.table.id: question.volume for marked in (*plan.marked_tables, *map(MarkedTable, plan.on_net))}
    service = Service(question.override, question.rate_type, volumes)
    usage = usage_of(catalog, plan_key.tenant, Direction.OUTBOUND, called, question.at, service)
    own = account.rates if account is not None else None
    is_asked = bool(called) or not question.number
    found = plan.find(called, question.at, usage, own) if is_asked else None
    found, lacking = _charged_to(catalog, account, found, question.at)
    tariff = found if isinstance(found, Tariff) else None
    seconds = _whole_seconds(question.duration, tariff.duration_rounding if tariff is not None else Rounding.UP)
    return PricedCall(
        price(found, question.number, seconds, needs_number=question.rate_type in BARE), tariff, seconds,
        sold=plan.find(called, question.at, usage) if is_asked else None,
        asked=asked(plan, called, question.at, usage) if is_asked else (), own=own, on_net=usage.on_net,
        lacking=lacking,
    )  # fmt: skip


def _charged_to(catalog: Catalog, account: AccountTerms | None, found: Found, at: Instant) -> tuple[Found, str]:
    """Return what is found as an account is charged for it; where no rate allows that, an unrated time, and why."""
    if account is None or not isinstance(found, Tariff):
        return found, ""
    exchange = exchange_of(catalog, account)
    sold = exchange.sold(found, at, at)
    if sold or found.blocked:
        return (*sold, found)[0], ""
    return Gap(found.table, found.prefix, found.destination), exchange.lacking(found.currency, at)


def _whole_seconds(duration: Decimal, rounding: Rounding) -> int:
    """Return a duration of any number of decimals in whole seconds, rounded once, from its exact value."""
    numerator, denominator = duration.as_integer_ratio()
    return divide(numerator, denominator, rounding)
