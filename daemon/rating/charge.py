"""What an answered call of so many whole seconds costs: the formula on one tariff (SPEC section 2).

Whoever prices, authorises or explains a call comes here; a second formula would be a second truth.
A bundle's units are given away behind the included seconds: the first block begins where they end, and a call that they
cover to its end costs no money at all (PITFALLS section 3, case 9).
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from daemon.kernel.instant import SECOND
from daemon.kernel.money import DECIMALS_MAX, NANO, Rounding, divide, round_nano
from daemon.rating.formula import (
    InForce,
    Scalar,
    Stretch,
    billed_at_one_rate,
    converted,
    is_money,
    stretches,
)
from daemon.rating.tariff import FOREVER, NO_RATES, Charge, Plain, PlainTerms, Rates, Step, Tariff, Tier

_SCALAR = Scalar()
MINUTE_SECONDS = 60  # seconds
PLAIN_MAX = 4_096  # distinct plain prices that are kept, some 600 octets each; a deck of all the world has some hundred


NOTHING = Charge(0, 0)
_made = tuple.__new__  # what ``Charge`` calls itself, without a second call


class Changing:
    """What is in force where, for a tariff whose rate may change by step, tier or time band."""

    __slots__ = ("_alternatives", "_begins", "_span_starts", "_spans")

    def __init__(self, tariff: Tariff, begins: int) -> None:
        """Take the tariff and the position at which billing starts: tiers are counted from there."""
        one = (Rates(tariff.band, (Tier(0, (Step(0, tariff.rate, tariff.next_seconds),)),)),)
        self._alternatives = tariff.alternatives or one
        self._begins = begins
        self._spans = tariff.spans
        self._span_starts = [span.from_second for span in tariff.spans]

    def at(self, position: int, rates: int) -> InForce:
        """Return what is in force at a position; in a gap the rates that priced the last block."""
        place = bisect_right(self._span_starts, position)
        limit = self._span_starts[place] if place < len(self._span_starts) else FOREVER
        found = self._spans[place - 1].rates if place else 0
        if found != NO_RATES:
            rates = found
        tiers = self._alternatives[rates].tiers
        steps = tiers[0].steps
        if len(tiers) > 1:
            steps, limit = _tier_at(tiers, position - self._begins, limit - self._begins)
            limit += self._begins
        step = steps[0]
        for later in steps[1:]:
            if later.from_second > position:
                limit = min(limit, later.from_second)
                break
            step = later
        return InForce(step.rate, step.next_seconds, limit, rates)


def _tier_at(tiers: tuple[Tier, ...], units: int, limit: int) -> tuple[tuple[Step, ...], int]:
    """Return the steps of the tier that units from the start of billing have reached, and where it ends."""
    steps = tiers[0].steps
    for tier in tiers[1:]:
        if tier.from_unit > units:
            return steps, min(limit, tier.from_unit)
        steps = tier.steps
    return steps, limit


def charge(tariff: Tariff, seconds: int, units: int = 0) -> Charge:
    """Return the charge of an answered call of ``seconds``, of which a bundle pays up to ``units``.

    It is in the currency that the tariff is charged in, rounded there. One of 0 seconds and a free one cost nothing at
    all. A call within its included seconds still pays connect fee and minimum charge. ``blocked`` is the caller's to
    ask.
    """
    try:
        plain = tariff.plain
    except AttributeError:
        plain = _worked_out(tariff)
    if plain is None:
        return charge_of_any(tariff, seconds, units)
    if not units:
        # Every decision comes here some twenty times: half of them for the first block, half for all that it grants.
        if plain.after < seconds <= plain.until:
            return plain.block
        lately, found = plain.lately
        if seconds == lately:
            return found
        found = _charged(plain.terms, seconds, 0)
        plain.lately = (seconds, found)
        return found
    return _charged(plain.terms, seconds, units)


def _charged(terms: PlainTerms, seconds: int, units: int) -> Charge:
    """Return ``charge`` by what a plain tariff charges by: ``is_money`` and ``billed_at_one_rate`` of one call."""
    assert seconds >= 0, seconds
    free, included, billed, following, rate, fee, least, divisor, step = terms
    begins = included + units
    if seconds <= free or (units and seconds <= begins):
        return NOTHING
    rest = seconds - begins
    if rest > billed:
        billed -= (billed - rest) // following * following
    elif rest <= 0:
        billed = 0
    counted = billed * rate + fee
    return _made(Charge, ((counted if counted > least else least) // divisor * step, billed))


def _worked_out(tariff: Tariff) -> Plain | None:
    """Note with a tariff what ``charge`` needs of it, None where it has to look at it whole."""
    is_plain = not (tariff.alternatives or tariff.surcharge or tariff.surcharge_rate or tariff.conversion)
    plain = None
    if is_plain and tariff.rounding is Rounding.UP and min(tariff.rate, tariff.connect_fee, tariff.minimum_charge) >= 0:
        per, step = tariff.per, 10 ** (DECIMALS_MAX - tariff.decimals)
        up = per * step - 1  # what makes the division of ``_charged`` round up
        terms = PlainTerms(
            tariff.free_seconds, tariff.included_seconds, tariff.first_seconds, tariff.next_seconds, tariff.rate,
            per * tariff.connect_fee + up, per * tariff.minimum_charge + up, per * step, step,
        )  # fmt: skip
        plain = _plain_of(terms)
    object.__setattr__(tariff, "plain", plain)
    return plain


@lru_cache(maxsize=PLAIN_MAX)
def _plain_of(terms: PlainTerms) -> Plain:
    after, until = max(terms.free, terms.included), terms.included + terms.first
    block, minute = _charged(terms, max(after + 1, until), 0), _charged(terms, MINUTE_SECONDS, 0)
    return Plain(after, until, block, minute.amount, terms)


def minute_charge(tariff: Tariff) -> int:
    """Return the amount of ``charge`` for a call of 60 seconds, in nano-units: known of a plain tariff."""
    try:
        plain = tariff.plain
    except AttributeError:
        plain = _worked_out(tariff)
    return charge_of_any(tariff, MINUTE_SECONDS).amount if plain is None else plain.minute


def charge_of_any(tariff: Tariff, seconds: int, units: int = 0) -> Charge:
    """Return ``charge`` of a tariff of any form: with steps, tiers, bands, surcharges, a conversion, any rounding."""
    assert seconds >= 0, seconds
    begins = tariff.included_seconds + units
    if not costs_money(tariff, seconds, units):
        return NOTHING
    if tariff.alternatives:
        blocks, billed = 0, 0
        for _, length, count, rate, _ in paid_stretches(tariff, seconds, units):
            billed += count * length
            blocks += count * length * rate
    else:
        billed = billed_at_one_rate(_SCALAR, seconds - begins, tariff.first_seconds, tariff.next_seconds)
        blocks = billed * tariff.rate
    if tariff.surcharge or tariff.surcharge_rate:
        return _surcharged(tariff, blocks, billed)
    per, fee, least = tariff.per, tariff.connect_fee, tariff.minimum_charge
    exact = blocks + per * fee if fee else blocks
    if least and exact < per * least:
        exact = per * least
    if tariff.conversion is not None:
        exact, per = converted(exact, per, tariff.conversion.rate, NANO)
    return Charge(round_nano(exact, per, tariff.decimals, tariff.rounding), billed)


class Scale(NamedTuple):
    """What a price and a surcharge are multiplied by, to be added exactly: the one is converted, the other is not."""

    price: int
    surcharge: int


UNCONVERTED = Scale(1, 1)


def scale_of(tariff: Tariff) -> Scale:
    """Return the scale on which the prices of a tariff and its surcharges are counted together."""
    return UNCONVERTED if tariff.conversion is None else Scale(tariff.conversion.rate, NANO)


def _surcharged(tariff: Tariff, blocks: int, billed: int) -> Charge:
    """Return the charge of blocks with the surcharges.

    What is added to the rate counts towards the minimum charge, as the rate does; what is added to the call does not.
    """
    price, surcharge = scale_of(tariff)
    priced = price * (tariff.per * tariff.connect_fee + blocks) + surcharge * billed * tariff.surcharge_rate
    least = price * tariff.per * tariff.minimum_charge
    exact = max(priced, least) + surcharge * tariff.per * tariff.surcharge
    return Charge(round_nano(exact, tariff.per * surcharge, tariff.decimals, tariff.rounding), billed)


def costs_money(tariff: Tariff, seconds: int, units: int) -> bool:
    """Tell whether an answered call pays anything: not one of 0 seconds, a free one, or one that a bundle covers."""
    return bool(is_money(seconds, tariff.free_seconds, tariff.included_seconds + units, units))


def paid_stretches(tariff: Tariff, seconds: int, units: int = 0) -> Iterator[Stretch]:
    """Yield the runs of blocks that ``charge`` adds up; none of them where the call costs no money."""
    if costs_money(tariff, seconds, units):
        begins = tariff.included_seconds + units
        found = stretches(_SCALAR, Changing(tariff, begins), begins, tariff.first_seconds, seconds)
        yield from (stretch for stretch in found if stretch.blocks)


def duration_seconds(duration_us: int, rounding: Rounding) -> int:
    """Return the whole seconds of a duration measured in microseconds, rounded once.

    0 stays 0; a negative duration (a switch whose clock was set back) is 0 as well.
    """
    return divide(max(duration_us, 0), SECOND, rounding)


def first_paid_second(tariff: Tariff, units: int = 0) -> int:
    """Return the shortest duration, in seconds, that pays for a block: what an account must be able to afford."""
    free, begins = tariff.free_seconds, tariff.included_seconds + units
    return (free if free > begins else begins) + 1


def outlast_free(tariff: Tariff, units: int) -> bool:
    """Tell whether units pay for a call that is longer than a free one: those that do not are used by no free call."""
    return units > 0 and tariff.included_seconds + units > tariff.free_seconds


def bundle_units(tariff: Tariff, seconds: int, units: int) -> int:
    """Return how many of the units that a bundle has left a call of ``seconds`` uses: none of a free one's.

    A call that ends within its included seconds uses one, in the place of the fee and the minimum.
    """
    if seconds <= tariff.free_seconds:
        return 0
    return min(units, max(seconds - tariff.included_seconds, 1))


def block_end(tariff: Tariff, seconds: int, units: int = 0) -> int:
    """Return the longest duration in seconds that has begun the same blocks as a call of ``seconds`` (at least 1).

    It is the end of the paid block, of the included seconds or the bundle, or for a free call of the free seconds.
    """
    assert seconds >= 1, seconds
    begins = tariff.included_seconds + units
    if seconds <= tariff.free_seconds:
        return tariff.free_seconds
    return begins + charge(tariff, seconds, units).billed_seconds
