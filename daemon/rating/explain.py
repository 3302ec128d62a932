"""One price with every part shown: what ``tollway rate price`` promises (INTERFACES, ``rate price``).

The parts always add up: ``connect_fee`` + the blocks' ``amount`` + ``rounding`` is ``charge``, all in the currency that
is charged; only a block's ``rate`` is in the table's, where the two differ by ``conversion``.
Blocks are shown at amounts cut at nine places, neighbours of one rate and band joined; the charge itself comes from
``charge`` alone, so that an explanation can never disagree with a bill.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from daemon.kernel.e164 import digits
from daemon.kernel.money import NANO, Rounding, divide
from daemon.rating.charge import bundle_units, charge, costs_money, paid_stretches
from daemon.rating.conversion import Conversion
from daemon.rating.formula import Stretch, converted
from daemon.rating.rate_table import Found
from daemon.rating.tariff import Gap, Tariff


class Status(Enum):
    """How pricing ended; the values are those of ``rate price`` and ``rate batch``."""

    RATED = "rated"
    UNRATED = "unrated"
    BLOCKED = "blocked"
    INVALID = "invalid"


_REASONS = {
    Status.RATED: "",
    Status.UNRATED: "destination_unrated",
    Status.BLOCKED: "destination_blocked",
    Status.INVALID: "destination_malformed",
}
assert _REASONS.keys() == set(Status)


@dataclass(frozen=True, slots=True)
class PricedBlock:
    """Joined blocks of one rate and band: seconds from answer, ``rate`` per minute and ``amount`` in nano-units."""

    from_second: int
    seconds: int
    rate: int
    band: str
    amount: int


@dataclass(frozen=True, slots=True)
class Priced:
    """A price and its parts, all amounts in nano-units; ``reason`` is the denial code where there is no price.

    ``rounding`` is what is left of the charge: the rounding of the total and, where it applies, the lift to the
    minimum charge. ``connect_fee`` is the fee this call pays: 0 for a free one. ``bundle_units`` were paid by a bundle.
    """

    status: Status
    reason: str
    prefix: str = ""
    destination: str = ""
    charge: int = 0
    currency: str = ""
    billed_seconds: int = 0
    connect_fee: int = 0
    blocks: tuple[PricedBlock, ...] = ()
    rounding: int = 0
    bundle_units: int = 0
    conversion: Conversion | None = None


def price(found: Found, number: str, seconds: int, units: int = 0, *, needs_number: bool = True) -> Priced:
    """Return the explained price of an answered call of ``seconds`` to a number; None is a number without a rate.

    Blocked comes before the duration: a call of 0 seconds to a blocked number is blocked (SPEC section 2). ``units`` of
    a bundle are used first. Usage that is found by its rate type alone needs no number.
    """
    if digits(number) is None and (needs_number or number):
        return _unpriced(Status.INVALID)
    if found is None:
        return _unpriced(Status.UNRATED)
    if isinstance(found, Gap):
        return Priced(Status.UNRATED, _REASONS[Status.UNRATED], found.prefix, found.destination)
    return _blocked(found) if found.blocked else _rated(found, seconds, units)


def _unpriced(status: Status) -> Priced:
    return Priced(status, _REASONS[status])


def _blocked(tariff: Tariff) -> Priced:
    reason = _REASONS[Status.BLOCKED]
    return Priced(Status.BLOCKED, reason, tariff.prefix, tariff.destination, currency=tariff.currency)


def _rated(tariff: Tariff, seconds: int, units: int) -> Priced:
    total, billed = charge(tariff, seconds, units)
    fee = cut(tariff, tariff.connect_fee) if costs_money(tariff, seconds, units) else 0
    blocks = priced_blocks(tariff, paid_stretches(tariff, seconds, units))
    return Priced(
        status=Status.RATED,
        reason=_REASONS[Status.RATED],
        prefix=tariff.prefix,
        destination=tariff.destination,
        charge=total,
        currency=tariff.charged_in,
        billed_seconds=billed,
        connect_fee=fee,
        blocks=blocks,
        rounding=total - fee - sum(block.amount for block in blocks),
        bundle_units=bundle_units(tariff, seconds, units),
        conversion=tariff.conversion,
    )


def cut(tariff: Tariff, exact: int, per: int = 1) -> int:
    """Return ``per``-ths of nano-units of a tariff's prices in the currency that is charged, cut at nine places."""
    if tariff.conversion is not None:
        exact, per = converted(exact, per, tariff.conversion.rate, NANO)
    return divide(exact, per, Rounding.DOWN)


def priced_blocks(tariff: Tariff, stretches: Iterable[Stretch]) -> tuple[PricedBlock, ...]:
    """Return runs of blocks, neighbours of one rate and band joined."""
    joined: list[PricedBlock] = []
    for position, length, blocks, rate, place in stretches:
        band = tariff.alternatives[place].band if tariff.alternatives else tariff.band
        seconds = blocks * length
        begins = position
        if joined and (joined[-1].rate, joined[-1].band) == (rate, band):
            begins, seconds = joined[-1].from_second, joined[-1].seconds + seconds
            joined.pop()
        amount = cut(tariff, seconds * rate, tariff.per)
        joined.append(PricedBlock(begins, seconds, rate, band, amount))
    return tuple(joined)
