"""Who pays, from when, until when: events of one switch in, what to charge out (SPEC section 4). Pure, no clock.

A leg that carries an account pays for each call that it makes, from the answer of the side it calls; a leg that the
switch itself originated pays for its own destination from its own answer, and so does an inbound service.
A leg that another leg called never pays for that call; a loopback leg never pays. Instants are the switch's own.
A leg is forgotten when it has hung up; of the last ones their ids are kept, so that what comes late begins nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from daemon.esl import dialplan
from daemon.esl.dialplan import Rules
from daemon.esl.events import Event, instant, whole_seconds
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant

LEGS_MAX = 200_000  # legs of one switch; far above max-sessions of the largest switches (some 10,000)
CLOSED_MAX = 10_000  # legs known to have hung up: 5 s of them at 1,000 calls a second; late events come within it
CALLED_MAX = 256  # called legs that one leg remembers having dealt with; a dialler's loop stays bounded


class Role(Enum):
    """What a leg turned out to be when it hung up."""

    PAYER = "payer"
    CALLED = "called"
    LOOPBACK = "loopback"
    UNPAID = "unpaid"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a question about a leg got: the number is frozen by it. ``route``: whose channel is held, 0 for none."""

    grant_id: str
    part: int
    number: str
    route: int = 0


@dataclass(frozen=True, slots=True)
class Paid:
    """One call that one leg pays. ``part`` counts the calls of the leg; ``route`` is the carrier's that answered."""

    channel: str
    part: int
    account: str
    tenant: str
    number: str
    calling: str
    direction: Direction
    override: str
    answered_at: Instant
    route: int = 0
    grant_id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A parked channel asks for a decision."""

    event: Event


@dataclass(frozen=True, slots=True)
class Began:
    """Charging begins."""

    paid: Paid


@dataclass(frozen=True, slots=True)
class Ended:
    """Charging ends. ``alive``: the leg itself goes on. ``switch_seconds``: the switch's own count, None for none."""

    paid: Paid
    at: Instant
    duration_us: int
    cause: str
    switch_seconds: int | None
    alive: bool


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A granted leg is gone and nobody ever answered it; where it ``vanished``, nobody told whether anybody did.

    ``route`` is the last that was tried, 0 where no leg named one; ``called``: it called somebody at all.
    """

    channel: str
    grant: Grant
    at: Instant
    cause: str
    vanished: bool = False
    route: int = 0
    called: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """A granted leg calls by another of its routes than the one before, which has failed."""

    channel: str
    grant: Grant
    route: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Unpaid:
    """An answered caller's leg of a charged context had no account: an exception, never silently free."""

    channel: str
    number: str
    calling: str
    answered_at: Instant
    at: Instant
    cause: str
    switch_seconds: int | None


@dataclass(frozen=True, slots=True)
class Unclear:
    """A called leg answered, but its caller was not heard since: where nothing follows soon, ask about the caller."""

    channel: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """A paid call's leg is gone and no event told its end."""

    paid: Paid


@dataclass(frozen=True, slots=True)
class Closed:
    """A leg hung up, and is forgotten."""

    channel: str
    role: Role


Intent = Asked | Began | Ended | Unanswered | Tried | Unpaid | Unclear | Vanished | Closed

HANGING_UP = frozenset({"CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"})
CLOSING = frozenset({"CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"})
SNAPSHOT = "CHANNEL_DATA"  # the event that uuid_dump answers with
_DEAD_STATES = frozenset({"CS_HANGUP", "CS_REPORTING", "CS_DESTROY"})
TELLING = HANGING_UP | {
    "CHANNEL_CREATE", "CHANNEL_OUTGOING", "CHANNEL_ORIGINATE", "CHANNEL_PARK", "CHANNEL_UNPARK", "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_EXECUTE",
    "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CALL_UPDATE", SNAPSHOT,
}  # fmt: skip


@dataclass(slots=True)
class _Paying:
    """A running charge. ``called`` is the leg that answered, empty for the leg's own answer or while unknown."""

    paid: Paid
    called: str
    own: bool
    destination: str
    adopted: bool = False
    bridged_at: Instant = 0
    unbridged: bool = False
    joined: bool = False
    called_gone_at: Instant = 0
    called_cause: str = ""
    called_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class _Called:
    """The other side of a call: a leg that a leg called."""

    channel: str
    number: str
    created_at: Instant
    answered_at: Instant
    route: int


@dataclass(slots=True)
class _Leg:
    channel: str
    direction: str = ""
    loopback: bool = False
    originator: str = ""
    has_variables: bool = False
    first_destination: str = ""
    transferred: bool = False
    destination: str = ""
    dialled: str = ""
    stated: str = ""
    calling: str = ""
    account: str = ""
    tenant: str = ""
    carried_at: Instant = 0
    carried_at_end: bool = False
    lacked_at: Instant = 0
    paid_direction: Direction = Direction.OUTBOUND
    from_answer: bool = False
    override: str = ""
    route: int = 0
    created_at: Instant = 0
    profile_at: Instant = 0
    answered_at: Instant = 0
    answered_turn: int = 0
    hung_up_at: Instant = 0
    heard_turn: int = 0
    moved_at: Instant = 0
    last_end: Instant = 0
    grant: Grant | None = None
    tried: int = 0  # the last route of its grant that a leg was called by
    called_any: bool = False  # since its grant
    next_part: int = 1
    own_begun: bool = False
    paid_once: bool = False
    called_someone: bool = False
    in_charged_context: bool = False
    used_destination: str = ""
    used_stated: str = ""
    used_called: str = ""
    other: _Called | None = None
    dealt_with: dict[str, None] = field(default_factory=dict)
    calls: list[_Paying] = field(default_factory=list)

    @property
    def originated(self) -> bool:
        """The switch itself made this leg, for nobody's call."""
        return self.direction == "outbound" and self.has_variables and not self.originator

    @property
    def own_number(self) -> str:
        """What an outbound leg was dialled to: no dialplan read it, so none of it is the dialplan's."""
        return digits(self.first_destination) or ""


class Legs:
    """The legs of one switch. Feed it every event and snapshot in the order in which the switch sent them."""

    def __init__(self, rules: Rules) -> None:
        """Start with no leg."""
        self.rules = rules
        self._legs: dict[str, _Leg] = {}
        self._called_by: dict[str, dict[str, None]] = {}
        self._closed: dict[str, Instant] = {}  # channel to its hang-up, oldest first
        self._turn = 0

    def __contains__(self, channel: str) -> bool:
        """Tell whether a leg is known and has not hung up."""
        return channel in self._legs and not self._legs[channel].hung_up_at

    def channels(self) -> list[str]:
        """Return every leg that is known, oldest first."""
        return list(self._legs)

    def paid(self) -> list[Paid]:
        """Return the calls that are being charged."""
        return [paying.paid for leg in self._legs.values() for paying in leg.calls]

    def granted(self, channel: str, grant: Grant) -> bool:
        """Take what a question got; False where the leg is gone, so that the grant must be let go."""
        leg = self._legs.get(channel)
        if leg is None or leg.hung_up_at:
            return False
        leg.grant, leg.tried, leg.called_any = grant, 0, False
        leg.next_part = max(leg.next_part, grant.part)
        return True

    def grant_of(self, channel: str) -> Grant | None:
        """Return the grant of a leg that nobody has answered yet."""
        leg = self._legs.get(channel)
        return leg.grant if leg is not None else None

    def adopt(self, paid: Paid, *, answered: bool) -> None:
        """Take over a call that an earlier daemon opened; the leg's snapshot follows and fills in the rest."""
        leg = self._legs.setdefault(paid.channel, _Leg(paid.channel))
        leg.next_part = max(leg.next_part, paid.part + 1)
        leg.paid_once = True
        if not answered:
            leg.grant = Grant(paid.grant_id, paid.part, paid.number, paid.route)
        elif all(paying.paid.part != paid.part for paying in leg.calls):
            leg.calls.append(_Paying(paid, "", own=False, destination="", adopted=True))

    def is_unclear(self, channel: str) -> bool:
        """Tell whether a leg still was not heard since a leg that it called answered."""
        leg = self._legs.get(channel)
        return leg is not None and any(self._stale(leg, called) for called in self._called(leg))

    def on_event(self, event: Event) -> list[Intent]:
        """Return what one event, or one snapshot, means for charging."""
        if event.name not in TELLING or not event.channel:
            return []
        leg = self._known(event)
        if leg is None:
            return []
        self._turn += 1
        intents: list[Intent] = []
        self._learn(leg, event)
        if event.name == "CHANNEL_PARK" and self.rules.asks(event):
            intents.append(Asked(event))
        self._follow(leg, event, intents)
        self._pay(leg, intents)
        caller = self._legs.get(leg.originator) if leg.originator else None
        if caller is not None:
            _try(caller, leg, event, intents)
            self._pay(caller, intents)
        if event.name in CLOSING:
            self._close(leg, event, intents)
        return intents

    def vanished(self, channel: str, now: Instant) -> list[Intent]:
        """Return what it means that a leg is gone without an event of its end. ``now`` by the switch's clock."""
        leg = self._legs.get(channel)
        if leg is None:
            return []
        if leg.hung_up_at:  # CHANNEL_HANGUP was heard, only what follows it was lost
            return self._ended_all(leg, leg.hung_up_at, "", None) + self._forgotten(leg, leg.hung_up_at, "")
        intents: list[Intent] = [Vanished(paying.paid) for paying in leg.calls]
        leg.calls.clear()
        return intents + self._forgotten(leg, now, "", vanished=True)

    def _known(self, event: Event) -> _Leg | None:
        leg = self._legs.get(event.channel)
        if leg is not None:
            return leg
        if event.name == "CHANNEL_DESTROY" or (event.name == SNAPSHOT and event.state in _DEAD_STATES):
            return None
        if instant(event.created) <= self._closed.get(event.channel, -1):
            return None  # a leg that hung up; one that was made later only uses its id again
        if len(self._legs) >= LEGS_MAX:
            self._evict()
        leg = self._legs[event.channel] = _Leg(event.channel)
        return leg

    def _evict(self) -> None:
        """Forget the oldest leg that pays nothing; a link that loses every hang-up is resynchronised anyway."""
        oldest = next((leg for leg in self._legs.values() if not leg.calls and leg.grant is None), None)
        if oldest is not None:
            self._forget(oldest)

    def _learn(self, leg: _Leg, event: Event) -> None:
        leg.heard_turn = self._turn
        leg.direction = leg.direction or event.direction
        leg.loopback = leg.loopback or bool(event.loopback_leg) or event.channel_name.startswith("loopback/")
        leg.calling = event.calling or leg.calling
        leg.created_at = leg.created_at or instant(event.created) or event.at
        self._learn_originator(leg, event)
        self._learn_destination(leg, event)
        if event.has_variables:
            self._learn_variables(leg, event)
        if not leg.answered_at and (answered_at := instant(event.answered)):
            leg.answered_at, leg.answered_turn = answered_at, self._turn
        if leg.answered_at and event.context in self.rules.charged_contexts:
            leg.in_charged_context = True
        if event.name in HANGING_UP and not leg.hung_up_at:
            leg.hung_up_at = instant(event.hung_up) or event.at
        self._learn_other(leg, event)

    def _learn_originator(self, leg: _Leg, event: Event) -> None:
        if leg.originator or leg.direction != "outbound":
            return
        made = event.name in ("CHANNEL_OUTGOING", "CHANNEL_CREATE", "CHANNEL_ORIGINATE")
        leg.originator = event.originator or (event.other if made and event.other_type == "originator" else "")
        if leg.originator:
            self._called_by.setdefault(leg.originator, {})[leg.channel] = None

    def _learn_destination(self, leg: _Leg, event: Event) -> None:
        if not event.destination:
            return
        if not leg.first_destination:
            leg.first_destination = event.destination
            leg.transferred = event.profile_index not in ("", "1") and leg.direction == "outbound"
        if event.destination != leg.destination:
            leg.destination = event.destination
            leg.transferred = leg.transferred or event.destination != leg.first_destination
            if leg.direction == "inbound" or leg.transferred:
                leg.dialled = digits(self.rules.stripped(event.destination)) or leg.dialled
        leg.profile_at = instant(event.profile_created) or leg.profile_at

    def _learn_variables(self, leg: _Leg, event: Event) -> None:
        leg.has_variables = True
        account = self.rules.account(event)
        if account and not leg.account:
            leg.carried_at, leg.carried_at_end = event.at, event.name in HANGING_UP
        elif not account:
            leg.lacked_at = event.at
        leg.account, leg.tenant = account, self.rules.tenant(event)
        leg.stated = self.rules.stated(event)
        leg.paid_direction = dialplan.direction(event)
        leg.from_answer = dialplan.pays_from_answer(event)
        leg.override = event.tollway_override
        leg.route = dialplan.route(event) or leg.route

    def _learn_other(self, leg: _Leg, event: Event) -> None:
        """Keep what an event of a caller tells of the leg that it called: that leg's own events may be lost."""
        if event.other_type != "originatee" or event.other_direction != "outbound":
            return
        known = self._legs.get(event.other)
        if known is not None and known.originator != leg.channel:
            return  # joined by uuid_bridge, not called
        leg.other = _Called(
            event.other, digits(event.other_destination) or "", instant(event.other_created),
            instant(event.other_answered), known.route if known is not None else 0,
        )  # fmt: skip

    def _follow(self, leg: _Leg, event: Event, intents: list[Intent]) -> None:
        """Follow the leg's running calls: bridged, unbridged, gone to another destination."""
        for paying in list(leg.calls):
            paying.destination = paying.destination or leg.destination
            if event.name == "CHANNEL_BRIDGE":
                _bridged(paying, event)
            elif event.name == "CHANNEL_UNBRIDGE" and event.bridge_b == paying.called:
                paying.unbridged = True
                paying.joined = _elsewhere(event, paying.called)
            if leg.destination != paying.destination and not (paying.own and leg.originated):
                self._moved(leg, paying, event, intents)
        self._left_alone(leg, intents)

    def _moved(self, leg: _Leg, paying: _Paying, event: Event, intents: list[Intent]) -> None:
        moved_at = leg.profile_at or event.at
        if moved_at <= paying.paid.answered_at:
            paying.destination = leg.destination  # it went there before the answer, and this is how we heard
            return
        leg.moved_at = moved_at
        leg.dialled = digits(self.rules.stripped(leg.destination)) or ""
        leg.own_begun = leg.own_begun and not paying.own
        self._end(leg, paying, moved_at, event.cause, None, intents)

    def _left_alone(self, leg: _Leg, intents: list[Intent]) -> None:
        """End the calls whose called leg hung up while the caller goes on by himself, in a menu or a mailbox."""
        for paying in list(leg.calls):
            if paying.called_gone_at and paying.unbridged and not paying.joined and not leg.hung_up_at:
                at, cause, seconds = paying.called_gone_at, paying.called_cause, paying.called_seconds
                self._end(leg, paying, at, cause, seconds, intents)

    def _pay(self, leg: _Leg, intents: list[Intent]) -> None:
        """Begin to charge what this leg now owes."""
        if leg.loopback:
            return
        for called in self._called(leg):
            leg.called_someone = True
            if self._stale(leg, called) and leg.grant is None:
                intents.append(Unclear(leg.channel))
        if not (leg.account or leg.grant is not None or leg.calls):
            return
        if leg.originated or leg.from_answer:
            self._pay_own(leg, intents)
        if not leg.from_answer:
            for called in self._called(leg):
                self._pay_called(leg, called, intents)

    def _pay_own(self, leg: _Leg, intents: list[Intent]) -> None:
        if leg.own_begun or not leg.answered_at:
            return
        number = leg.stated or (leg.own_number if leg.originated else leg.dialled) or leg.destination
        adopted = next((paying for paying in leg.calls if paying.adopted and not paying.called), None)
        if adopted is not None and (leg.from_answer or adopted.paid.number == digits(number)):
            adopted.own, adopted.adopted, leg.own_begun = True, False, True
            return
        if not leg.account and leg.grant is None:
            return
        answered_at = max(leg.answered_at, leg.moved_at, self._carried_from(leg, leg.created_at))
        leg.own_begun = True
        self._begin(leg, _Paying(self._paid(leg, number, answered_at, 0), "", True, leg.destination), intents)

    def _pay_called(self, leg: _Leg, called: _Called, intents: list[Intent]) -> None:
        if called.channel in leg.dealt_with or (self._stale(leg, called) and leg.grant is None):
            return
        if self._absorbed(leg, called, intents) or not (leg.account or leg.grant is not None):
            return
        running = [paying for paying in leg.calls if not paying.own]
        # Legs that ring together are one call: the first to answer. A leg called once that call is up is another.
        if any(not paying.bridged_at or called.created_at < paying.bridged_at for paying in running):
            return
        answered_at = max(called.answered_at, leg.last_end, self._carried_from(leg, called.created_at))
        _deal_with(leg, called.channel)
        if leg.hung_up_at and answered_at > leg.hung_up_at:
            return
        paid = self._paid(leg, self._number(leg, called), answered_at, called.route)
        leg.used_destination, leg.used_stated, leg.used_called = leg.destination, leg.stated, called.number
        self._begin(leg, _Paying(paid, called.channel, False, leg.destination), intents)

    def _absorbed(self, leg: _Leg, called: _Called, intents: list[Intent]) -> bool:
        """Tell whether a called leg is the one of a call that was adopted, whose other side was not known."""
        adopted = next((paying for paying in leg.calls if paying.adopted), None)
        if adopted is None:
            return False
        adopted.adopted = False
        if called.created_at > adopted.paid.answered_at:  # called after the adopted call was answered: the next one
            self._end(leg, adopted, called.created_at, "", None, intents)
            return False
        adopted.called = called.channel
        adopted.bridged_at = max(called.answered_at, adopted.paid.answered_at)
        _deal_with(leg, called.channel)
        leg.used_destination, leg.used_stated, leg.used_called = leg.destination, leg.stated, called.number
        return True

    def _called(self, leg: _Leg) -> Iterable[_Called]:
        """Return the answered legs that a leg called: those whose events we have, and the one that its own name."""
        found: dict[str, _Called] = {}
        for channel in self._called_by.get(leg.channel, ()):
            other = self._legs[channel]
            if other.answered_at:
                number = other.own_number
                found[channel] = _Called(channel, number, other.created_at, other.answered_at, other.route)
        if leg.other is not None and leg.other.answered_at and leg.other.channel not in found:
            found[leg.other.channel] = leg.other
        return found.values()

    def _stale(self, leg: _Leg, called: _Called) -> bool:
        """Tell whether the caller was not heard since the called leg answered, so that what we know may be old."""
        other = self._legs.get(called.channel)
        return called.channel not in leg.dealt_with and other is not None and leg.heard_turn < other.answered_turn

    def _carried_from(self, leg: _Leg, since: Instant) -> Instant:
        """Return the instant from which the leg is known to carry its account, 0 for always.

        A leg that runs ``bridge`` runs no other application, so an account first seen on its way through a call was
        there when the call was made. One first seen on the hang-up was set some time after it was last seen missing.
        """
        if leg.lacked_at <= since or leg.grant is not None:
            return 0
        return leg.lacked_at if leg.carried_at_end else leg.carried_at

    def _number(self, leg: _Leg, called: _Called) -> str:
        again = called.number != leg.used_called and bool(leg.used_destination)
        if leg.stated and not (again and leg.stated == leg.used_stated):
            return leg.stated
        repeated = again and leg.destination == leg.used_destination
        return (not repeated and leg.dialled) or called.number or leg.dialled or leg.destination

    def _paid(self, leg: _Leg, number: str, answered_at: Instant, route: int) -> Paid:
        grant = leg.grant
        return Paid(
            channel=leg.channel, part=grant.part if grant is not None else leg.next_part, account=leg.account,
            tenant=leg.tenant, number=grant.number if grant is not None else digits(number) or number,
            calling=leg.calling, direction=leg.paid_direction, override=leg.override, answered_at=answered_at,
            route=route, grant_id=grant.grant_id if grant is not None else "",
        )  # fmt: skip

    def _begin(self, leg: _Leg, paying: _Paying, intents: list[Intent]) -> None:
        leg.grant = None
        leg.next_part = max(leg.next_part, paying.paid.part + 1)
        leg.paid_once = True
        leg.calls.append(paying)
        intents.append(Began(paying.paid))

    def _end(
        self, leg: _Leg, paying: _Paying, at: Instant, cause: str, switch_seconds: int | None, intents: list[Intent]
    ) -> None:
        leg.calls.remove(paying)
        leg.last_end = max(leg.last_end, at)
        duration_us = max(0, at - paying.paid.answered_at)
        intents.append(Ended(paying.paid, at, duration_us, cause, switch_seconds, not leg.hung_up_at))

    def _close(self, leg: _Leg, event: Event, intents: list[Intent]) -> None:
        at = instant(event.hung_up) or leg.hung_up_at or event.at
        seconds = whole_seconds(event.billsec)
        intents += self._ended_all(leg, at, event.cause, seconds)
        if self._owes_an_account(leg):
            number = leg.stated or leg.dialled or leg.destination
            intents.append(Unpaid(leg.channel, number, leg.calling, leg.answered_at, at, event.cause, seconds))
        caller = self._legs.get(leg.originator)
        intents += self._forgotten(leg, at, event.cause)
        self._remember(leg.channel, at)
        if caller is not None:
            for paying in caller.calls:
                if paying.called == leg.channel:
                    paying.called_gone_at, paying.called_cause, paying.called_seconds = at, event.cause, seconds
            self._left_alone(caller, intents)

    def _remember(self, channel: str, hung_up_at: Instant) -> None:
        self._closed.pop(channel, None)
        self._closed[channel] = hung_up_at
        if len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]

    def _ended_all(self, leg: _Leg, at: Instant, cause: str, switch_seconds: int | None) -> list[Intent]:
        intents: list[Intent] = []
        for paying in list(leg.calls):
            self._end(leg, paying, at, cause, switch_seconds, intents)
        return intents

    def _owes_an_account(self, leg: _Leg) -> bool:
        if leg.paid_once or leg.account or leg.loopback or not leg.in_charged_context:
            return False
        return leg.direction == "inbound" or leg.originated or leg.called_someone

    def _forgotten(self, leg: _Leg, at: Instant, cause: str, *, vanished: bool = False) -> list[Intent]:
        intents: list[Intent] = []
        if leg.grant is not None:
            intents.append(Unanswered(leg.channel, leg.grant, at, cause, vanished, leg.tried, leg.called_any))
        intents.append(Closed(leg.channel, self._role(leg)))
        self._forget(leg)
        return intents

    def _role(self, leg: _Leg) -> Role:
        if leg.loopback:
            return Role.LOOPBACK
        if leg.paid_once:
            return Role.PAYER
        if self._owes_an_account(leg):
            return Role.UNPAID
        return Role.CALLED if leg.originator else Role.FREE

    def _forget(self, leg: _Leg) -> None:
        del self._legs[leg.channel]
        siblings = self._called_by.get(leg.originator)
        if siblings is not None:
            siblings.pop(leg.channel, None)
            if not siblings:
                del self._called_by[leg.originator]


def _try(caller: _Leg, called: _Leg, event: Event, intents: list[Intent]) -> None:
    """Follow which route of its grant a leg calls by; of legs that ring together the last in the list counts."""
    if caller.grant is None or caller.hung_up_at:
        return
    caller.called_any = True
    if called.route > max(caller.tried, caller.grant.route):
        intents.append(Tried(caller.channel, caller.grant, called.route, event.at))
    caller.tried = max(caller.tried, called.route)


def _bridged(paying: _Paying, event: Event) -> None:
    if event.bridge_b == paying.called:
        paying.bridged_at = paying.bridged_at or event.at
        paying.unbridged = False
    elif paying.called_gone_at and not paying.bridged_at:
        paying.unbridged = True  # it answered and was dropped; another one is talked to


def _elsewhere(event: Event, called: str) -> bool:
    """Tell whether an unbridged leg was joined to another one, by uuid_bridge or an attended transfer."""
    partner = event.signal_bond or event.other
    return partner not in ("", called)


def _deal_with(leg: _Leg, channel: str) -> None:
    if len(leg.dealt_with) >= CALLED_MAX:
        del leg.dealt_with[next(iter(leg.dealt_with))]
    leg.dealt_with[channel] = None
