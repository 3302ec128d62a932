"""What a switch reports about a call, whichever road it came by, and what charging answers.

A report names the call by its id in its id domain, by a grant, or by an alias that its question carried.
It carries an attempt too, so that a call which nobody authorised finds its payer and is charged all the same.
"""

from dataclasses import dataclass

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.decision import Decision
from daemon.charging.call import Call
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant


@dataclass(frozen=True, slots=True)
class MessageKey:
    """The key that answers repeats with the same bytes, and a digest of the body that it must come with.

    ``of_call``: the key names an operation on a call id, which may come again for another call. Then it answers repeats
    for as long as they mean the same call, and a question with another body is a second question, not a conflict.
    """

    key: str
    body: bytes
    of_call: bool = False


@dataclass(frozen=True, slots=True)
class CallReport:
    """An answer, a sign of life or an end.

    ``at`` is the event's instant. ``part`` is 0 where the source does not count parts. ``duration_us`` is what the
    switch measured from answer to release, None where only instants are known. ``route`` is the carrier's route that
    answered, 0 where unknown. ``answered`` False says that the call ended without ever being answered. ``exact``: where
    a grant is named, no other call is meant. ``weak_aliases`` find only a call that no report has joined yet.
    ``own_token``: a tenant's own token tells it, whose instants are held against our clock. ``tried`` False says of a
    call that nobody answered that no carrier was asked for it either. ``payer`` is the account that the report names,
    None where it names none: of several calls of one id it means its own.
    """

    attempt: CallAttempt
    at: Instant
    grant_id: str = ""
    aliases: tuple[str, ...] = ()
    part: int = 0
    answered_at: Instant | None = None
    answered: bool = True
    duration_us: int | None = None
    switch_seconds: int | None = None
    cause: str = ""
    route: int = 0
    message: MessageKey | None = None
    settled_by: str = ""
    exact: bool = False
    weak_aliases: tuple[str, ...] = ()
    own_token: bool = False
    tried: bool = True
    payer: Key | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The message was answered before: these were the bytes."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key of an answered message came with another body; it is on the exception list."""

    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a report did. ``call`` is None where no payer could be found: then it is on the exception list.

    ``more_seconds`` counts what this report added to the grant. ``changed`` is False for a repeat. ``reply`` holds the
    bytes that the road made of it within the same transaction. ``short``: the accounts whose money no longer lasts for
    all that run on it.
    """

    call: Call | None
    changed: bool
    more_seconds: int = 0
    reply: bytes = b""
    short: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the bytes that the road made of it within the same transaction."""

    decision: Decision
    reply: bytes
    call: Call | None = None


Authorized = Decided | Replay | Conflict
Reported = Outcome | Replay | Conflict
