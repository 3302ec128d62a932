"""Who pays, from when, until when: events of one Asterisk in, what to charge out (SPEC section 4). Pure, no clock.

A channel that asked over FastAGI pays: from the answer of the side that it calls, and for an inbound service from its
own; until it hangs up, or until it goes on alone. A channel that nobody asked about pays nothing here.
Where such a channel calls again without asking, that call is charged too, as one that nobody authorised.
A channel is forgotten when it hangs up; ids of the last ones are kept, so that what comes late begins nothing.
"""

from dataclasses import dataclass, field, replace

from daemon.asterisk.events import CALLED_ANSWERED, HOLDING, UP, Event
from daemon.authorize.attempt import CallAttempt
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant

LEGS_MAX = 200_000  # channels of one switch that asked and are up; far above what one Asterisk carries (some 5,000)
CLOSED_MAX = 10_000  # channels known to have hung up: 10 s of them at 1,000 hang-ups a second
CALLED_MAX = 64  # called legs of one call that are remembered; a Dial has a few, a list of routes sixteen

_NAMES = frozenset({"DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Newstate", "Hangup"})


@dataclass(frozen=True, slots=True)
class Grant:
    """What a question got. ``dials`` are its routes' dial strings by number; ``grant_id`` is empty where none is held.

    ``renewable``: its limit inside the switch is ours to move. ``asked_at``: no answer before it is one of this call.
    """

    attempt: CallAttempt
    grant_id: str
    part: int
    dials: tuple[tuple[int, str], ...] = ()
    renewable: bool = True
    asked_at: Instant = 0

    @property
    def channel(self) -> str:
        """The Uniqueid of the channel that asked."""
        return self.attempt.call_id


@dataclass(frozen=True, slots=True)
class Paid:
    """One call that a channel pays, from ``answered_at``; ``route`` is the carrier's that answered, 0 for unknown."""

    grant: Grant
    answered_at: Instant
    route: int = 0

    @property
    def channel(self) -> str:
        """The Uniqueid of the channel that pays."""
        return self.grant.channel


@dataclass(frozen=True, slots=True)
class Began:
    """Charging begins."""

    paid: Paid


@dataclass(frozen=True, slots=True)
class Ended:
    """Charging ends. ``alive``: the channel itself goes on."""

    paid: Paid
    at: Instant
    cause: str
    alive: bool = False


@dataclass(frozen=True, slots=True)
class Vanished:
    """A paying channel is gone and no event told its end."""

    paid: Paid


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A granted channel is gone and nobody answered it; where it ``vanished``, nobody told whether anybody did."""

    grant: Grant
    at: Instant
    cause: str
    vanished: bool = False
    route: int = 0
    called: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """A granted channel calls by another of its routes than the one before, which has failed."""

    grant: Grant
    route: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Alone:
    """The side that answered is gone, or the bridge to it; within a moment the channel hangs up, or it goes on.

    It goes on alone, and pays no more, or with another: a Local channel steps out of its call when that is answered.
    """

    channel: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A channel hung up, and is forgotten."""

    channel: str


Intent = Began | Ended | Vanished | Unanswered | Tried | Alone | Closed


@dataclass(slots=True)
class _Leg:
    grant: Grant | None
    last: Grant  # what it asked for the last time
    paid: Paid | None = None
    called: str = ""  # the leg that answered, empty where that is not known
    bridge: str = ""  # the one that it is in
    gone_at: Instant = 0  # when it was left, 0 while it talks
    tried: int = 0
    calls: dict[str, int] = field(default_factory=dict)  # called legs since the grant, and the route of each


class Legs:
    """The channels of one switch that pay. Feed it every event in the order in which the switch sent them."""

    def __init__(self) -> None:
        """Start with no channel."""
        self._legs: dict[str, _Leg] = {}
        self._called_by: dict[str, str] = {}  # a leg that answered, and who called it
        self._closed: dict[str, None] = {}  # oldest first

    def __contains__(self, channel: str) -> bool:
        """Tell whether a channel is known and has not hung up."""
        return channel in self._legs

    def channels(self) -> list[str]:
        """Return every channel that is known, oldest first."""
        return list(self._legs)

    def grant_of(self, channel: str) -> Grant | None:
        """Return the grant of a channel that nobody has answered yet."""
        leg = self._legs.get(channel)
        return leg.grant if leg is not None else None

    def granted(self, grant: Grant, *, up: bool, at: Instant) -> list[Intent] | None:
        """Take what a question got; None where the channel is gone already, or there are too many.

        ``up``: the channel is answered itself, as after an announcement: an inbound service pays from now.
        """
        channel = grant.channel
        if channel in self._closed or (channel not in self._legs and len(self._legs) >= LEGS_MAX):
            return None
        leg = self._legs.setdefault(channel, _Leg(grant, grant))
        intents: list[Intent] = []
        if leg.paid is not None:
            intents.append(self._end(leg, leg.gone_at or at, "", alive=True))
        leg.grant, leg.last, leg.tried = grant, grant, 0
        leg.calls.clear()
        if up and _pays_itself(grant):
            self._begin(leg, grant, at, "", intents)
        return intents

    def withdrawn(self, channel: str) -> bool:
        """Take that a grant was not told after all; tell whether it was held until now."""
        leg = self._legs.get(channel)
        if leg is None or leg.grant is None:
            return False
        leg.grant = None
        return True

    def adopt(self, grant: Grant, answered_at: Instant | None) -> Paid | None:
        """Take over a call that an earlier daemon opened; return what it pays where it was answered."""
        leg = self._legs.setdefault(grant.channel, _Leg(None, grant))
        leg.last = grant
        if answered_at is None:
            leg.grant = grant
        elif leg.paid is None:
            leg.paid = Paid(grant, answered_at)
        return leg.paid

    def on_event(self, event: Event, at: Instant) -> list[Intent]:
        """Return what one event means for charging; ``at`` is its instant by our clock."""
        if event.name not in _NAMES:
            return []
        intents: list[Intent] = []
        if event.name == "Hangup":
            self._hung_up(event, at, intents)
            return intents
        leg = self._legs.get(event.uniqueid)
        if leg is None:
            return []
        if event.name == "DialBegin":
            _called(leg, event, at, intents)
        elif event.name == "DialEnd":
            if event.dial_status == CALLED_ANSWERED:
                self._answered(leg, event.called, at, intents)
        elif event.name == "BridgeEnter":
            self._entered(leg, event, at, intents)
        elif event.name == "BridgeLeave":
            leg.bridge = ""
            _left(leg, at, intents)
        elif event.state == UP and leg.grant is not None and leg.paid is None and _pays_itself(leg.grant):
            self._begin(leg, leg.grant, at, "", intents)
        return intents

    def vanished(self, channel: str, now: Instant) -> list[Intent]:
        """Return what it means that a channel is gone without an event of its end."""
        leg = self._legs.get(channel)
        if leg is None:
            return []
        intents: list[Intent] = [Vanished(leg.paid)] if leg.paid is not None else []
        leg.paid = None
        self._close(leg, now, "", intents, vanished=True)
        return intents

    def left_alone(self, channel: str) -> list[Intent]:
        """Return what it means that a channel still goes on a moment after the side that answered was gone."""
        leg = self._legs.get(channel)
        if leg is None or leg.paid is None or not leg.gone_at:
            return []
        if leg.bridge:  # with somebody else
            leg.gone_at = 0
            return []
        return [self._end(leg, leg.gone_at, "", alive=True)]

    def found(self, channel: str, bridge: str, answered_at: Instant, since: Instant) -> list[Intent]:
        """Return what a look at the switch means for a channel that is up: what happened while nobody listened.

        ``bridge`` is the one that it is in; ``answered_at`` is the earliest that can be said of a granted channel that
        is in one. A charge that began before ``since``, when we listened again, and is in none is over.
        """
        leg = self._legs.get(channel)
        if leg is None:
            return []
        intents: list[Intent] = []
        leg.bridge = bridge
        if leg.paid is None and leg.grant is not None and bridge:
            self._begin(leg, leg.grant, answered_at, "", intents)
        elif leg.paid is not None and not bridge and leg.paid.answered_at < since and not _pays_itself(leg.paid.grant):
            intents.append(Vanished(leg.paid))
            leg.paid = None
        return intents

    def _entered(self, leg: _Leg, event: Event, at: Instant, intents: list[Intent]) -> None:
        leg.bridge = event.bridge or leg.bridge
        if event.bridge_type == HOLDING:
            return
        if leg.paid is not None:
            leg.gone_at = 0
        elif leg.grant is not None:
            self._begin(leg, leg.grant, at, "", intents)

    def _answered(self, leg: _Leg, called: str, at: Instant, intents: list[Intent]) -> None:
        if leg.paid is not None:
            if _pays_itself(leg.paid.grant) or not leg.gone_at:
                return  # of legs that ring together the first to answer counts; an inbound service pays by itself
            intents.append(self._end(leg, leg.gone_at, "", alive=True))
        grant = leg.grant
        if grant is None:  # it calls again under a grant that was for the call before: nobody authorised this one
            attempt = replace(leg.last.attempt, routed=False)
            grant = replace(leg.last, attempt=attempt, grant_id="", part=leg.last.part + 1, dials=())
        elif _pays_itself(grant):
            return
        self._begin(leg, grant, at, called, intents)

    def _begin(self, leg: _Leg, grant: Grant, at: Instant, called: str, intents: list[Intent]) -> None:
        leg.paid = Paid(grant, at, leg.calls.get(called, 0) if called else 0)
        leg.grant, leg.last = None, grant
        leg.called, leg.gone_at = called, 0
        if called:
            self._called_by[called] = grant.channel
        intents.append(Began(leg.paid))

    def _end(self, leg: _Leg, at: Instant, cause: str, *, alive: bool) -> Ended:
        paid = leg.paid
        assert paid is not None
        self._called_by.pop(leg.called, None)
        leg.paid, leg.called, leg.gone_at = None, "", 0
        leg.calls.clear()
        return Ended(paid, max(at, paid.answered_at), cause, alive)

    def _hung_up(self, event: Event, at: Instant, intents: list[Intent]) -> None:
        caller = self._legs.get(self._called_by.pop(event.uniqueid, ""))
        if caller is not None and caller.called == event.uniqueid:
            caller.called = ""
            _left(caller, at, intents)
        leg = self._legs.get(event.uniqueid)
        if leg is None:
            self._remember(event.uniqueid)
            return
        if leg.paid is not None:
            intents.append(self._end(leg, leg.gone_at or at, event.cause, alive=False))
        self._close(leg, at, event.cause, intents)

    def _close(self, leg: _Leg, at: Instant, cause: str, intents: list[Intent], *, vanished: bool = False) -> None:
        channel = leg.last.channel
        if leg.grant is not None:
            intents.append(Unanswered(leg.grant, at, cause, vanished, leg.tried, bool(leg.calls)))
        self._called_by.pop(leg.called, None)
        del self._legs[channel]
        self._remember(channel)
        intents.append(Closed(channel))

    def _remember(self, channel: str) -> None:
        self._closed[channel] = None
        if len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]


def _pays_itself(grant: Grant) -> bool:
    return grant.attempt.direction is Direction.INBOUND


def _left(leg: _Leg, at: Instant, intents: list[Intent]) -> None:
    """Take that the call may be over; an inbound service goes on until its own hang-up."""
    if leg.paid is not None and not leg.gone_at and not _pays_itself(leg.paid.grant):
        leg.gone_at = at
        intents.append(Alone(leg.paid.channel))


def _called(leg: _Leg, event: Event, at: Instant, intents: list[Intent]) -> None:
    """Follow which route of its grant a channel calls by; of legs that ring together the last in the list counts."""
    if leg.grant is None or not event.called or len(leg.calls) >= CALLED_MAX:
        return
    route = _route(leg.grant, event)
    leg.calls[event.called] = route
    first = leg.grant.dials[0][0] if leg.grant.dials else 0
    if route > max(leg.tried, first):
        intents.append(Tried(leg.grant, route, at))
    leg.tried = max(leg.tried, route)


def _route(grant: Grant, event: Event) -> int:
    """Return the number of the route that a leg is called by, 0 where its dial string is none of the grant's.

    The manager tells the dial string without the technology, which the called channel's name begins with.
    """
    technology = event.called_channel.partition("/")[0]
    dialled = f"{technology}/{event.dial_string}"
    return next((number for number, dial in grant.dials if dial == dialled), 0)
