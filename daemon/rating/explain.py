"""One price with every part shown: what ``tollway rate price`` promises (INTERFACES, ``rate price``).

The parts always add up: ``connect_fee`` + the blocks' ``amount`` + ``rounding`` is ``charge``.
Blocks are shown at amounts cut at nine places, neighbours of one rate and band joined; the charge itself comes from
``charge`` alone, so that an explanation can never disagree with a bill.
"""

from dataclasses import dataclass
from enum import Enum

from daemon.kernel.e164 import digits
from daemon.kernel.money import Rounding, divide
from daemon.rating.charge import charge
from daemon.rating.tariff import Tariff


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
    minimum charge. ``connect_fee`` is the fee this call pays: 0 for a free one.
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


def price(tariff: Tariff | None, number: str, seconds: int) -> Priced:
    """Return the explained price of an answered call of ``seconds`` to a number; None is a number without a rate.

    Blocked comes before the duration: a call of 0 seconds to a blocked number is blocked (SPEC section 2).
    """
    if digits(number) is None:
        return _unpriced(Status.INVALID)
    if tariff is None:
        return _unpriced(Status.UNRATED)
    if tariff.blocked:
        return _blocked(tariff)
    return _rated(tariff, seconds)


def _unpriced(status: Status) -> Priced:
    return Priced(status, _REASONS[status])


def _blocked(tariff: Tariff) -> Priced:
    reason = _REASONS[Status.BLOCKED]
    return Priced(Status.BLOCKED, reason, tariff.prefix, tariff.destination, currency=tariff.currency)


def _rated(tariff: Tariff, seconds: int) -> Priced:
    total, billed = charge(tariff, seconds)
    fee = tariff.connect_fee if seconds > tariff.free_seconds else 0
    blocks = _blocks(tariff, billed)
    return Priced(
        status=Status.RATED,
        reason=_REASONS[Status.RATED],
        prefix=tariff.prefix,
        destination=tariff.destination,
        charge=total,
        currency=tariff.currency,
        billed_seconds=billed,
        connect_fee=fee,
        blocks=blocks,
        rounding=total - fee - sum(block.amount for block in blocks),
    )


def _blocks(tariff: Tariff, billed: int) -> tuple[PricedBlock, ...]:
    """Return the joined blocks: one, as a rate has neither steps nor bands in this release."""
    if billed == 0:
        return ()
    amount = divide(billed * tariff.rate, 60, Rounding.DOWN)
    return (PricedBlock(tariff.included_seconds, billed, tariff.rate, "", amount),)
