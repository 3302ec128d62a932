"""What sharing does to the calls of one account, on the working copies of one transaction.

Where the account's money no longer lasts a slice for all that run on it, each gets its part of it: one that may go on
longer holds more at once, as far as money is free; one that has to end earlier gives nothing back before its switch has
confirmed the shorter timer. Calls that ring, and those whose limit cannot be moved, keep what they hold.
Pure functions over a Book.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Level
from daemon.authorize.duration import first_block, held_for, seconds_for, spendable
from daemon.authorize.metering import held_units
from daemon.authorize.quote import Limits, Quote, Standings
from daemon.authorize.sharing import Share, common_end, kept, newcomer
from daemon.charging import fraud, settle
from daemon.charging.call import Call, CallState
from daemon.charging.ports import Book, Reads
from daemon.charging.warning import ANY_SECONDS, with_warnings
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant

READ_SECONDS = 2  # seconds; an update sooner after a shorter quota was told may have been sent before that was read
AHEAD_SECONDS = 1  # seconds; the least between telling a switch and the end that it is told


@dataclass(frozen=True, slots=True)
class Sharing:
    """One look at an account: its calls that hold more or are wanted shorter, and whether money is short for them."""

    changed: tuple[Call, ...]
    is_short: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What an account is looked at with."""

    catalog: Catalog
    limits: Limits
    terms: settle.Terms
    now: Instant

    @property
    def horizon(self) -> Instant:
        """The end of one slice: where all can have it, nothing is shared."""
        assert self.limits.slice_seconds is not None, self.limits
        return self.now + self.limits.slice_seconds * SECOND


def is_sharing(book: Book, call: Call) -> bool:
    """Tell whether a call takes part: it talks, its limit can be moved, and no other call has to end with it."""
    if call.state is not CallState.ANSWERED or not call.renewable or call.emergency or call.cut or call.twin:
        return False
    if call.direction is Direction.OUTBOUND:
        return True
    return all(other.twin != call.grant_id for other in book.calls(call.id_domain, call.call_id))


def reads_of(calls: Iterable[Call], accounts: Iterable[int]) -> Reads:
    """Return what a look at accounts needs: their calls, and the other side of one that somebody calls."""
    calls = list(calls)
    known = dict.fromkeys([*accounts, *(level.account for call in calls for level in call.levels)])
    sides = {(call.id_domain, call.call_id): None for call in calls if call.direction is Direction.INBOUND}
    return Reads(accounts=tuple(known), grants=tuple(call.grant_id for call in calls), calls=tuple(sides))


def short_of(book: Book, call: Call, left_seconds: int, slice_seconds: int) -> tuple[int, ...]:
    """Return the accounts that several calls run on, where a call could not get a slice ahead of what it has used."""
    if not call.renewable or left_seconds >= slice_seconds:
        return ()
    return tuple(level.account for level in call.levels if book.standing(level.account).channels > 1)


def shared_out(book: Book, grants: Iterable[str], account: int, look: Look) -> Sharing:
    """Give each call of an account that runs its part of the money: more at once, less by asking its switch."""
    calls = _calls(book, grants)
    if len(calls) < 2:
        return Sharing(tuple(_unasked(book, calls)), is_short=False)
    shares = [_share(book, call, account, look) for call in calls]
    end = common_end(shares, _money(book, calls, account, look), look.now, look.horizon)
    if end == look.horizon:
        return Sharing(tuple(_unasked(book, calls)), is_short=False)
    end = look.now if end is None else end
    parts = sorted(zip(calls, shares, strict=True), key=lambda part: part[0].limit_at or 0)  # the soonest over is first
    given = [_given(book, call, share.granted(end), look) for call, share in parts]
    # Only now is it known what is free beside them, by which they are warned.
    warned = [with_warnings(book, look.catalog, call, look.now) for call in given]
    changed = [call for call, (before, _) in zip(warned, parts, strict=True) if call != before]
    return Sharing(tuple(_saved(book, call) for call in changed), is_short=True)


def lacking(standings: Standings, quote: Quote, block_seconds_min: int, now: Instant) -> tuple[int, ...]:
    """Return the accounts of a question whose free money does not pay for one block of a grant."""
    return tuple(
        level.account
        for terms, level in zip(quote.chain, quote.levels, strict=True)
        if held_for(level, newcomer(level, now, block_seconds_min).most)
        > spendable(terms, standings(terms.number), (), now)
    )


def room_made(book: Book, grants: Iterable[str], quote: Quote, look: Look) -> tuple[Call, ...]:
    """Want calls shorter, so that one more gets a block at every level; return them, none where not even its first
    paid one can be had.
    """
    calls, wanted = _calls(book, grants), dict[str, int]()
    short = lacking(book.standing, quote, look.limits.block_seconds_min, look.now)
    for terms, level in zip(quote.chain, quote.levels, strict=True):
        if level.account not in short:
            continue
        free = spendable(terms, book.standing(level.account), (), look.now)
        asking = newcomer(level, look.now, look.limits.block_seconds_min)
        mine = [call for call in calls if _level(call, level.account) is not None]
        shares = [_share(book, call, level.account, look) for call in mine]
        held = sum(_held(call, level.account) for call in mine)
        end = common_end([*shares, asking], free + held, look.now, look.horizon)
        if end is None and first_block(level) > free:
            return ()
        if end is None:
            continue
        for call, share in zip(mine, shares, strict=True):
            seconds = share.granted(end)
            wanted[call.grant_id] = min(seconds, wanted.get(call.grant_id, seconds))
    shorter = [call for call in calls if wanted.get(call.grant_id, call.granted_seconds) < call.granted_seconds]
    return tuple(_saved(book, call.changed(wanted=wanted[call.grant_id], told=0)) for call in shorter)


def askers_of(quote: Quote, short: Collection[int]) -> dict[int, int]:
    """Return, by each account of a question that is short, its customer that asks: the account below, or itself."""
    accounts = [level.account for level in quote.levels]
    below = zip(accounts, [accounts[0], *accounts], strict=False)
    return {account: asker for account, asker in below if account in short}


def rings_already(calls: Iterable[Call], quote: Quote, askers: Mapping[int, int]) -> bool:
    """Tell whether a customer that asks holds money that is short for a call which nobody has answered yet.

    A call that this question replaces gives back what it holds, and is not meant.
    """
    asked = quote.attempt
    side = (asked.id_domain, asked.call_id, asked.direction, asked.tenant)
    return any(
        call.state is CallState.GRANTED
        and (call.id_domain, call.call_id, call.direction, call.tenant) != side
        and any(_held(call, account) and _level(call, asker) is not None for account, asker in askers.items())
        for call in calls
    )


def confirmed(book: Book, call: Call, seconds: int, look: Look) -> Call:
    """Return a call whose switch ends it after ``seconds``: it holds no more than these, or than it is wanted to now.

    What it has used meanwhile, and the block it is in, it keeps. Where it may go on longer than ``seconds``, its switch
    is told so again.
    """
    if call.state is not CallState.ANSWERED or not call.wanted:
        return call
    least = max(call.wanted, _kept(call, look))
    holds = min(call.granted_seconds, max(seconds, least))
    if holds < call.granted_seconds:
        call = settle.regranted(book, look.catalog, call, holds, look.now)
    call = call.changed(wanted=least if least < holds else 0, told=0)
    call = with_warnings(book, look.catalog, call, look.now)
    return _saved(book, call.changed(due_at=settle.due_at(call, look.terms)))


def quoted(book: Book, call: Call, asked_at: Instant, look: Look) -> Call:
    """Return a call whose peer asks for its quota and moves its timer itself: told the shorter one.

    Who asks again, READ_SECONDS later by its own instant and by our clock, has had the answer before: that confirms
    what it told. One that asks sooner is told the same again, and confirms nothing.
    """
    if call.told:
        is_read = min(asked_at, look.now) >= call.told_at + READ_SECONDS * SECOND
        return confirmed(book, call, call.told, look) if is_read else call
    wanted = max(call.wanted, _kept(call, look))
    wanted = wanted if wanted < call.granted_seconds else 0
    return _saved(book, call.changed(wanted=wanted, told=wanted, told_at=look.now))


def _calls(book: Book, grants: Iterable[str]) -> list[Call]:
    found = (book.call(grant_id) for grant_id in grants)
    return [call for call in found if call is not None and is_sharing(book, call)]


def _level(call: Call, account: int) -> Level | None:
    return next((level for level in call.levels if level.account == account), None)


def _held(call: Call, account: int) -> int:
    level = _level(call, account)
    return level.reserved if level is not None else 0


def _money(book: Book, calls: Iterable[Call], account: int, look: Look) -> int:
    """Return what the calls may hold together: what they hold, and what is free, in the direction that has less."""
    standing, terms, calls = book.standing(account), look.catalog.by_number[account], list(calls)
    free = min(spendable(terms.facing(direction), standing, (), look.now) for direction in {c.direction for c in calls})
    return free + sum(_held(call, account) for call in calls)


def _share(book: Book, call: Call, account: int, look: Look) -> Share:
    level = _level(call, account)
    assert level is not None, call
    assert call.answered_at is not None, call
    units = held_units(level)
    least = kept(level, _used(call, look), call.granted_seconds, units)
    most = min(_most(book, call, each, each is level, look) for each in call.levels)
    if fraud.ends(book, look.catalog, call, look.now):
        most = call.granted_seconds
    return Share(level, call.answered_at, least, max(least, most), units)


def _used(call: Call, look: Look) -> int:
    """Return the seconds that a call will have used by the time that its switch can be told anything."""
    assert call.answered_at is not None, call
    return -(-max(0, look.now - call.answered_at) // SECOND) + AHEAD_SECONDS


def _kept(call: Call, look: Look) -> int:
    """Return the seconds that a call keeps at any of its levels."""
    used = _used(call, look)
    return max(kept(level, used, call.granted_seconds, held_units(level)) for level in call.levels)


def _most(book: Book, call: Call, level: Level, is_shared: bool, look: Look) -> int:
    """Return how long a call may be for one level: by its money too, unless that is what is shared."""
    limits = Limits(max_grant_seconds=ANY_SECONDS)
    if not is_shared:
        return settle.payable(book, look.catalog, call, level, 0, limits, look.now)
    terms = look.catalog.by_number[level.account].facing(call.direction)
    return seconds_for(level, None, 0, 0, terms, limits, held_units(level))


def _given(book: Book, call: Call, seconds: int, look: Look) -> Call:
    """Return a call with its part: what is more of it is held at once, what is less is wanted of its switch."""
    if seconds < call.granted_seconds:
        return call if seconds == call.wanted else call.changed(wanted=seconds, told=0)
    if seconds > call.granted_seconds:
        call = settle.extended_to(book, look.catalog, call, seconds, look.now)
    return call.changed(due_at=settle.due_at(call, look.terms), wanted=0, told=0)


def _unasked(book: Book, calls: Iterable[Call]) -> Iterable[Call]:
    """Yield those that were wanted shorter, and are not any more."""
    return [_saved(book, call.changed(wanted=0, told=0)) for call in calls if call.wanted]


def _saved(book: Book, call: Call) -> Call:
    book.save_call(call)
    return call
