"""Sees to it that calls of an account whose money is short end together, once a second for an account at most.

An account comes here when a call that several others run beside could not get a slice; it is looked at again when one
of them begins or ends, and when its standing is another: money came, whoever brought it. Whoever has a call's switch in
this process is told at once of what is wanted of it; elsewhere the store tells.
A new call that finds its money held by others waits until their switches have confirmed that they end earlier; a
customer who has one that rings gets no such room for the next: ringing is not paid for, and would cut those who talk.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence

import structlog

from daemon.authorize.quote import Limits, Quote
from daemon.charging.call import Call
from daemon.charging.ports import Book, Directory, Outside, Reads, Store, StoreError
from daemon.charging.settle import Terms
from daemon.charging.shares import Look, Sharing, askers_of, reads_of, rings_already, room_made, shared_out
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger.account import Standing

CALLS_MAX = 256  # calls of one account that share, 11 ms of work; where more run, all take blocks in turn
CALLS_READ_MAX = 16_384  # open calls read in one round, some 30 MB; accounts that have more take blocks in turn
ACCOUNTS_MAX = 4_096  # accounts whose money is watched; beyond, what comes to an account is used at its next renewal
ROUND_MAX = 64  # accounts looked at in one round: those that have waited longest
PACE_SECONDS = 0.25  # between two rounds, at least
WATCH_SECONDS = 1.0  # between two while nothing is known but that accounts are short: money may come from anywhere
WAITING_MAX = 8  # new calls that wait for the money of one account; one more is refused
TURN_SECONDS = 5.0  # how long one waits for those before it; with its second and ROOM_SECONDS, less than a peer waits
ROOM_SECONDS = 2.0  # how long a new call waits for switches to confirm: three commands take milliseconds
_NOT_OURS_TO_DIE_OF = (ArithmeticError, AssertionError, KeyError)

_log = structlog.get_logger("tollway.sharing")
Tell = Callable[[Call], None]  # what a road does with a call of its own that changed
Limited = Callable[[], tuple[Limits, Terms]]  # what a renewable call is limited by, as the settings are now


class Sharer:
    """All accounts that are short. Every method may raise StoreError, but ``run`` and those that only remember."""

    def __init__(self, store: Store, directory: Directory, outside: Outside, limited: Limited) -> None:
        """Bind the ports; ``run`` looks at what comes."""
        self._store, self._directory, self._outside, self._limited = store, directory, outside, limited
        self._roads: dict[str, tuple[Call, Tell]] = {}  # by grant; never more than calls run
        self._grants: dict[int, dict[str, None]] = {}  # those of the roads, by account: no walk over all that run
        self._poked: dict[int, None] = {}  # accounts to look at, in the order of waiting
        self._watched: dict[int, Standing] = {}  # those that are short, as they were left
        self._looked: dict[int, Instant] = {}  # when an account was looked at, for a second
        self._rooms: dict[int, asyncio.Lock] = {}  # accounts that new calls wait for
        self._waiting: dict[int, int] = {}  # how many wait for each of them
        self._wanted: dict[str, asyncio.Future[None]] = {}  # grants whose switch is to confirm
        self._wake = asyncio.Event()

    def follow(self, call: Call, tell: Tell) -> None:
        """Take note of who has the switch of a running call, until ``leave``."""
        self._forget(call.grant_id)
        self._roads[call.grant_id] = (call, tell)
        for level in call.levels:
            self._grants.setdefault(level.account, {})[call.grant_id] = None

    def leave(self, grant_id: str) -> None:
        """Forget a call that is over."""
        self._forget(grant_id)
        self.settled(grant_id)

    def _forget(self, grant_id: str) -> None:
        call, _ = self._roads.pop(grant_id, (None, None))
        for account in {level.account for level in call.levels} if call is not None else ():
            del self._grants[account][grant_id]
            if not self._grants[account]:
                del self._grants[account]

    def poke(self, accounts: Iterable[int]) -> None:
        """Have accounts looked at soon."""
        fresh = [account for account in accounts if account not in self._poked]
        for account in fresh[: ACCOUNTS_MAX - len(self._poked)]:
            self._poked[account] = None
            self._wake.set()

    def ended(self, call: Call) -> None:
        """Have the accounts of a call that ended looked at, where they are short."""
        self.poke(level.account for level in call.levels if level.account in self._watched)

    def confirmed(self, call: Call) -> None:
        """Take that the switch of a call has confirmed: what it let go of is given out at once, as was meant."""
        self.settled(call.grant_id)
        for level in call.levels:
            self._looked.pop(level.account, None)
        self.poke(level.account for level in call.levels)

    def settled(self, grant_id: str) -> None:
        """Take that nothing of a call is to be confirmed any more."""
        waiting = self._wanted.get(grant_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    @property
    def short(self) -> Collection[int]:
        """The accounts whose money is shared out."""
        return self._watched.keys()

    def may_yield(self, accounts: Collection[int]) -> bool:
        """Tell whether calls that can be told at once run on each of these accounts, and not too many wait for them."""
        if any(self._waiting.get(account, 0) >= WAITING_MAX for account in accounts):
            return False
        return all(account in self._grants for account in accounts)

    async def run(self) -> None:
        """Look at what comes, for ever."""
        while True:
            pause = PACE_SECONDS if self._poked else WATCH_SECONDS if self._watched else None
            # Not wait_for: where it is cancelled as the event is set, it forgets that it was.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.look()
            except StoreError as error:
                _log.warning("money is not shared out: the store cannot commit", error=str(error))
            await asyncio.sleep(PACE_SECONDS)

    async def look(self) -> None:
        """Look at the accounts whose second has passed; those that could not be looked at are, in the next round."""
        self.poke(await self._moved())
        now = self._outside.now()
        self._looked = {account: at for account, at in self._looked.items() if now - at < SECOND}
        ready = [each for each in self._poked if each not in self._looked and each not in self._rooms]
        due = dict.fromkeys(ready[:ROUND_MAX], now)
        if not due:
            return
        calls = await self._store.open_calls_of(tuple(due), CALLS_READ_MAX + 1)
        self._looked |= due
        for account in due:
            self._poked.pop(account, None)
        if len(calls) > CALLS_READ_MAX:
            _log.warning("too many calls run to share money out among them", accounts=len(due), calls=CALLS_READ_MAX)
            calls = ()
        await asyncio.gather(*(self._looked_at(account, _of(account, calls)) for account in due))

    async def _moved(self) -> list[int]:
        """Return the accounts that are short and whose standing is another than it was left."""
        if not self._watched:
            return []
        watched = dict(self._watched)
        reads = Reads(accounts=tuple(watched))
        found = await self._store.transact(reads, lambda book: {each: book.standing(each) for each in watched})
        return [account for account, standing in found.items() if standing != watched[account]]

    async def _looked_at(self, account: int, calls: Sequence[Call]) -> None:
        try:
            look = self._look()
            sharing, standing = await self._store.transact(
                reads_of(calls, (account,)), lambda book: _shared(book, account, calls, look)
            )
        except StoreError:
            self.poke((account,))
            raise
        except _NOT_OURS_TO_DIE_OF as error:
            self._watched.pop(account, None)
            _log.error("the money of an account cannot be shared out", account=account, error=repr(error))
            return
        if sharing.is_short and (account in self._watched or len(self._watched) < ACCOUNTS_MAX):
            self._watched[account] = standing
        else:
            self._watched.pop(account, None)
        self._tell(sharing.changed)

    def _look(self) -> Look:
        limits, terms = self._limited()
        return Look(self._directory.catalog(), limits, terms, self._outside.now())

    def _tell(self, calls: Iterable[Call]) -> None:
        for call in calls:
            road = self._roads.get(call.grant_id)
            if road is not None:
                road[1](call)

    @contextlib.asynccontextmanager
    async def room(self, quote: Quote, short: Collection[int]) -> AsyncIterator[None]:
        """Have calls that can be told at once end earlier, so that one more has money; go on when they have it so.

        ``short``: the accounts of the question that lack it. It is to be asked again inside: until it is, no other
        call waits for them. No room is made where the turn of this one does not come in time.
        """
        accounts = sorted(short)
        async with contextlib.AsyncExitStack() as alone:
            if await self._has_turn(alone, accounts):
                await self._make_room(quote, accounts)
            yield

    async def _has_turn(self, alone: contextlib.AsyncExitStack, accounts: Iterable[int]) -> bool:
        """Wait for the turn on each account, and tell whether it came in time."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                for account in accounts:  # in one order, so that no two wait for each other
                    await alone.enter_async_context(self._alone(account))
        except TimeoutError:
            return False
        return True

    async def _make_room(self, quote: Quote, accounts: Sequence[int]) -> None:
        if await self._rings_already(quote, accounts):
            return
        await self._its_second(accounts)
        calls = self._followed(accounts)
        reads = reads_of(calls, [level.account for level in quote.levels])
        grants, look = [call.grant_id for call in calls], self._look()
        try:
            wanted = await self._store.transact(reads, lambda book: room_made(book, grants, quote, look))
        except _NOT_OURS_TO_DIE_OF as error:
            _log.error("no room is made for a call", accounts=accounts, error=repr(error))
            return
        if wanted:
            self._looked |= dict.fromkeys(accounts, self._outside.now())
            await self._confirmed(wanted)
            self.poke(accounts)

    async def _rings_already(self, quote: Quote, accounts: Collection[int]) -> bool:
        """Tell whether who asks has a call that rings on this money, as the store has it: any daemon may have put it.

        One with so many open calls that they share nothing is taken to have one.
        """
        askers = askers_of(quote, accounts)
        calls = await self._store.open_calls_of(tuple(set(askers.values())), CALLS_MAX + 1)
        return len(calls) > CALLS_MAX or rings_already(calls, quote, askers)

    @contextlib.asynccontextmanager
    async def _alone(self, account: int) -> AsyncIterator[None]:
        """Keep the rounds, and other new calls, from an account."""
        lock = self._rooms.setdefault(account, asyncio.Lock())
        self._waiting[account] = self._waiting.get(account, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[account] -= 1
            if not self._waiting[account]:
                del self._waiting[account], self._rooms[account]

    async def _its_second(self, accounts: Iterable[int]) -> None:
        """Wait until a second has passed since each account was looked at."""
        now = self._outside.now()
        last = max(self._looked.get(account, 0) for account in accounts)
        if last > now - SECOND:
            await asyncio.sleep((last + SECOND - now) / SECOND)

    def _followed(self, accounts: Collection[int]) -> list[Call]:
        found = dict.fromkeys(grant for account in accounts for grant in self._grants.get(account, ()))
        return [self._roads[grant][0] for grant in itertools.islice(found, CALLS_MAX)]

    async def _confirmed(self, wanted: Sequence[Call]) -> None:
        """Tell the roads, and wait until each has confirmed or ended, or too long."""
        loop = asyncio.get_running_loop()
        waiting = {call.grant_id: loop.create_future() for call in wanted if call.grant_id in self._roads}
        if not waiting:
            return
        self._wanted |= waiting
        try:
            self._tell(wanted)
            await asyncio.wait(waiting.values(), timeout=ROOM_SECONDS)
        finally:
            for grant_id in waiting:
                self._wanted.pop(grant_id, None)


def _of(account: int, calls: Sequence[Call]) -> list[Call]:
    mine = [call for call in calls if any(level.account == account for level in call.levels)]
    return mine if len(mine) <= CALLS_MAX else []


def _shared(book: Book, account: int, calls: Sequence[Call], look: Look) -> tuple[Sharing, Standing]:
    sharing = shared_out(book, [call.grant_id for call in calls], account, look)
    return sharing, book.standing(account)
