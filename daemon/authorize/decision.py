"""The answer to a question: granted with what is reserved for it, or denied with one code. Both are values."""

from dataclasses import dataclass

from daemon.authorize.denial import Denial
from daemon.authorize.warning_terms import NEVER_WARNED, Warnings
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.kernel.quickly_made import quickly_made
from daemon.rating.bundle import Bundle, Units, volume_meter
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import Tariff


@quickly_made
@dataclass(frozen=True, slots=True)
class Level:
    """One level of the chain: who pays, by which tariffs in force within the grant's validity, and what is held.

    ``bundles`` fit the call (their prefixes are taken off), in the order of use; ``units`` are held of them.
    ``tiered`` names the tables whose tiers the account's volume chooses, and the period of each. ``conversions`` are
    those in force at which the charge of the level above is a cost in this currency, none where it is in the same.
    ``watched``: the fraud rules of the account whose windows count what is held.
    """

    account: int
    key: Key
    currency: str
    tariffs: tuple[Tariff, ...]
    reserved: int = 0
    bundles: tuple[Bundle, ...] = ()
    units: tuple[Units, ...] = ()
    tiered: tuple[tuple[str, str], ...] = ()
    conversions: tuple[Conversion, ...] = ()
    watched: tuple[str, ...] = ()

    @property
    def meters(self) -> tuple[tuple[int, str], ...]:
        """The meters that concern it: the account's number and their names."""
        if not self.bundles and not self.tiered:
            return ()
        names = [bundle.meter for bundle in self.bundles] + [volume_meter(*each) for each in self.tiered]
        return tuple((self.account, name) for name in names)


@quickly_made
@dataclass(frozen=True, slots=True)
class Route:
    """A carrier that may take the call; ``number`` is its place in the list from 1.

    Its tariffs are in its own currency; ``conversions`` make that of the uppermost level of it, none where it is that.
    """

    number: int
    account: int
    carrier: Key
    dial: str
    tariffs: tuple[Tariff, ...]
    conversions: tuple[Conversion, ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True)
class Granted:
    """Seconds from answer that are reserved at every level; ``is_final`` where no renewal can follow."""

    grant_id: str
    seconds: int
    reserved: int
    currency: str
    levels: tuple[Level, ...]
    routes: tuple[Route, ...]
    called: str
    renewable: bool
    is_final: bool
    valid_until: Instant
    emergency: bool = False
    warnings: Warnings = NEVER_WARNED


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal. ``reason`` is a sentence for the operator; ``available`` the payer's money where it fell short.

    ``by``: the account, and the id of its fraud rule that refused this very call, of whichever level.
    """

    denial: Denial
    reason: str
    account: Key | None = None
    available: int | None = None
    by: tuple[Key, str] | None = None


Decision = Granted | Denied


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an explanation: a rule that took part, whether it let the call pass, and the values compared."""

    name: str
    passed: bool
    detail: str
    level: Key | None = None  # the account whose rule it is where that is not the payer's: shown to its tenant only
