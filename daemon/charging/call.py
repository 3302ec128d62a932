"""A call as charging keeps it from the grant to the settlement: one row, one charge key, frozen values.

Its charge key (id domain, call id, attempt, part, payer, direction) makes it one charge, whoever reports it.
The tariffs travel with it, so that it can be priced from itself alone. What it holds at each level is always
``charge`` of all the seconds granted so far, never a sum of slices rounded one by one.
It is a Struct, as every value that a store keeps: made, changed and encoded in a fraction of the time. A field that has
its default is not encoded; ``gc=False``, because frozen values hold nothing that leads back to them.
"""

from enum import Enum

import msgspec

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.decision import Granted, Level, Route
from daemon.authorize.warning_terms import NEVER_WARNED, Warnings
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger.bucket import Buckets
from daemon.rating.bundle import Units

CALL_ID_LENGTH_MAX = 253  # octets; the longest value that a RADIUS attribute can carry (RFC 2865 section 5)


class CallState(Enum):
    """GRANTED until answered; ANSWERED until its end; then SETTLED (charged), VOIDED (never answered) or EXPIRED."""

    GRANTED = "granted"
    ANSWERED = "answered"
    SETTLED = "settled"
    VOIDED = "voided"
    EXPIRED = "expired"


OPEN_STATES = (CallState.GRANTED, CallState.ANSWERED)

# What may follow what. A settled call is settled again only by reversal: an estimate gives way to a report.
TRANSITIONS: dict[CallState, frozenset[CallState]] = {
    CallState.GRANTED: frozenset(CallState),
    CallState.ANSWERED: frozenset({CallState.ANSWERED, CallState.SETTLED}),
    CallState.SETTLED: frozenset({CallState.ANSWERED, CallState.SETTLED}),
    CallState.VOIDED: frozenset({CallState.ANSWERED, CallState.SETTLED, CallState.GRANTED}),
    CallState.EXPIRED: frozenset({CallState.ANSWERED, CallState.SETTLED}),
}
assert TRANSITIONS.keys() == set(CallState)


class SettledBy(Enum):
    """Who or what told how long the call was."""

    NOBODY = ""
    HANGUP = "hangup"
    OWN_LIMIT = "own_limit"
    RECOVERY = "recovery"
    END_UNKNOWN = "end_unknown"
    NAS_REBOOT = "nas_reboot"
    NEXT_PART = "next_part"


ESTIMATES = frozenset({SettledBy.RECOVERY, SettledBy.END_UNKNOWN, SettledBy.NAS_REBOOT, SettledBy.NEXT_PART})


class Posted(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one level's settlement posted, in nano-units; ``charge`` contains ``uncollected``.

    ``units`` were used of bundles; ``volume`` is what the call added to the meter of its table's tiers. ``buckets``
    are those that paid, each with what it paid and its terms then: a reversal gives it back to them.
    """

    charge: int
    uncollected: int
    units: tuple[Units, ...] = ()
    volume: tuple[Units, ...] = ()
    buckets: Buckets = ()


class Call(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """``route`` is the number of the carrier's route whose channel the call holds, 0 for none.

    ``dialled`` is the number as received, where ``called`` is not the same digits. ``twin`` is
    the grant by which the called side of the same call pays. ``counted_at`` is the instant in whose minute fraud rules
    count its end, 0 where none does. ``wanted``: the seconds in all to which its switch is to shorten it, since other
    calls of the account share its money; ``told``: those that a peer was told which moves its timer itself. Until the
    switch has confirmed them the call holds what it held. 0: none. ``overrun_us``: how late our own cut was, unbilled.
    ``tried``: its end was told, and nobody answered by the route in use. ``route_told``: its answer told the route.
    ``hearsay``: what became of its attempts was told by a tenant that the carriers are not of. ``told_at``: when the
    peer was first told what ``told`` says.
    """

    grant_id: str
    id_domain: str
    call_id: str
    attempt: int
    part: int
    tenant: str
    source: str
    switch: str
    direction: Direction
    called: str
    calling: str
    override: str
    leg: str
    state: CallState
    authorised: bool
    renewable: bool
    reports_answer: bool
    granted_seconds: int
    requested_at: Instant
    last_seen_at: Instant
    due_at: Instant
    levels: tuple[Level, ...]
    routes: tuple[Route, ...] = ()
    route: int = 0
    aliases: tuple[str, ...] = ()
    joined: bool = False
    started: bool = False
    emergency: bool = False
    cut: bool = False
    interims: int = 0
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    duration_us: int = 0
    settled_by: SettledBy = SettledBy.NOBODY
    posted: tuple[Posted, ...] = ()
    revision: int = 0
    dialled: str = ""
    twin: str = ""
    counted_at: Instant = 0
    tried: bool = False
    wanted: int = 0
    told: int = 0
    warnings: Warnings = NEVER_WARNED
    overrun_us: int = 0
    route_told: bool = False
    hearsay: bool = False
    told_at: Instant = 0

    @property
    def payer(self) -> Key:
        """The retail account."""
        return self.levels[0].key

    @property
    def is_open(self) -> bool:
        """Tell whether the call still holds money and channels."""
        return self.state in OPEN_STATES

    @property
    def carrier(self) -> Route | None:
        """The route whose channel the call holds."""
        return next((route for route in self.routes if route.number == self.route), None)

    @property
    def accounts(self) -> tuple[int, ...]:
        """The numbers of the accounts and carriers that this call touches."""
        return tuple([level.account for level in self.levels] + [route.account for route in self.routes])

    @property
    def meters(self) -> tuple[tuple[int, str], ...]:
        """The account and the name of each meter that this call touches."""
        return tuple(meter for level in self.levels for meter in level.meters)

    @property
    def told_seconds(self) -> int:
        """The seconds after which whoever has the call ends it, as far as it was told."""
        return min(self.granted_seconds, self.told) if self.told else self.granted_seconds

    @property
    def limit_at(self) -> Instant | None:
        """The instant at which the granted seconds end, once answered."""
        return None if self.answered_at is None else self.answered_at + self.granted_seconds * SECOND

    def moved(self, state: CallState, **changes: object) -> "Call":
        """Return the call in another state. Asserts that the state machine allows it."""
        assert state in TRANSITIONS[self.state], (self.state, state)
        return self.changed(state=state, **changes)

    def changed(self, **changes: object) -> "Call":
        """Return the call with other values."""
        return msgspec.structs.replace(self, **changes)

    def as_granted(self) -> Granted:
        """Return the grant that this call holds, as a decision."""
        return Granted(
            grant_id=self.grant_id, seconds=self.granted_seconds, reserved=self.levels[0].reserved,
            currency=self.levels[0].currency, levels=self.levels, routes=self.routes, called=self.called,
            renewable=self.renewable, is_final=not self.renewable, valid_until=self.due_at, emergency=self.emergency,
            warnings=self.warnings,
        )  # fmt: skip


def new_call(attempt: CallAttempt, granted: Granted, number: int, part: int, now: Instant) -> Call:
    """Return the call of a grant, not yet answered; nothing is held for it yet."""
    return Call(
        grant_id=granted.grant_id, id_domain=attempt.id_domain, call_id=attempt.call_id, attempt=number, part=part,
        tenant=attempt.tenant, source=attempt.source, switch=attempt.switch, direction=attempt.direction,
        called=granted.called, calling=attempt.calling, override=attempt.override, leg=attempt.leg,
        state=CallState.GRANTED, authorised=True, renewable=granted.renewable, reports_answer=attempt.reports_answer,
        granted_seconds=granted.seconds, requested_at=now, last_seen_at=now, due_at=granted.valid_until,
        levels=granted.levels, routes=granted.routes, route=granted.routes[0].number if granted.routes else 0,
        aliases=attempt.aliases,
        dialled=attempt.called if attempt.called.removeprefix("+") != granted.called else "",
    )  # fmt: skip
