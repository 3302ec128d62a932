"""One charge from answer to end: reserves slice after slice ahead of need, cuts when the money ends, settles.

Our own cut is precise: a Hangup at answer and granted seconds, again and again until the channel is gone. The
AbsoluteTimeout inside the switch stands half a second behind it, for a daemon or a link that is away by then.
Money is reserved before the timer is moved. What the store refuses for now is tried again: an end is never dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from daemon.asterisk.ami_wire import LocalAmiError
from daemon.asterisk.legs import Ended, Paid, Vanished
from daemon.asterisk.link import ActionRefused, ChannelGone, LinkLost
from daemon.asterisk.reports import Reporter
from daemon.asterisk.road import Road
from daemon.charging.call import Call, CallState
from daemon.charging.event import Outcome, Reported
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import StoreError
from daemon.kernel.instant import SECOND, Instant

AHEAD_SECONDS_MAX = 20.0  # how long before its end a slice is renewed at most
AHEAD_SECONDS_MIN = 0.3  # at least: a commit and an action
AHEAD_SHARE = 3  # a third of the slice, within these two
ASK_AGAIN_SECONDS = 1.0  # money may arrive until the last second; SPEC section 3: at most once a second
HANG_UP_AGAIN_SECONDS = 2.0  # a channel that was told to hang up is gone within a fraction of it
STORE_AGAIN_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # waits between attempts; the last one for ever

_log = structlog.get_logger("tollway.asterisk")
T = TypeVar("T")


async def persisted(work: Callable[[], Awaitable[T]], what: str, channel: str) -> T:
    """Return what ``work`` gives as soon as the store can commit it, however long that takes."""
    attempt = 0
    while True:
        try:
            return await work()
        except StoreError as error:
            _log.warning("waiting for the store", what=what, call_id=channel, error=str(error))
        await asyncio.sleep(STORE_AGAIN_SECONDS[min(attempt, len(STORE_AGAIN_SECONDS) - 1)])
        attempt += 1


class ChargingSession:
    """The life of one charge; ``run`` returns when it is settled."""

    def __init__(self, ocf: OnlineCharging, reporter: Reporter, road: Road, paid: Paid) -> None:
        """Bind the parts; ``run`` charges."""
        self.paid = paid
        self.call: Call | None = None
        self._ocf = ocf
        self._reporter = reporter
        self._road = road
        self._over: Ended | Vanished | None = None
        self._wake = asyncio.Event()
        self._cut = False
        self._armed: Instant = 0  # the limit that the timer in the switch stands for
        self._wanted: Call | None = None  # as the store has the call now: longer, or wanted shorter

    @property
    def grant_ids(self) -> set[str]:
        """The grants that this charge is known by; more than one where a call was opened anew."""
        return {self.paid.grant.grant_id, self.call.grant_id if self.call is not None else ""} - {""}

    @property
    def is_over(self) -> bool:
        """Tell whether the call has ended; only its settlement may be outstanding."""
        return self._over is not None

    def end(self, how: Ended | Vanished) -> None:
        """Tell that the call is over."""
        self._over = self._over or how
        self._wake.set()

    def cut(self) -> None:
        """Tell that a person wants the call ended now."""
        self._cut = True
        self._wake.set()

    def linked(self) -> None:
        """Tell that the link is back: the timer in the switch may be an old one."""
        self._armed = 0
        self._wake.set()

    def share(self, call: Call) -> None:
        """Tell how the store has the call: it may go on longer, or others of its account need its money."""
        known = self.call
        if known is not None and (call.wanted or call.granted_seconds > known.granted_seconds):
            self._wanted = call
            self._wake.set()

    async def run(self, call: Call | None = None) -> None:
        """Charge the call. ``call`` where it is open in the store already."""
        if call is None and self._over is None:
            report = self._reporter.begin(self.paid)
            call = _call_of(await self._until_stored(lambda: self._ocf.answered(report), "answer"))
        self.call = call
        if call is not None and call.state is CallState.ANSWERED:
            self._ocf.sharer.follow(call, self.share)
            self.share(call)
            try:
                await self._meter(call)
            finally:
                self._ocf.sharer.leave(call.grant_id)
        await self._ended()
        await self._settle()

    async def prove_life(self, at: Instant) -> None:
        """Record that the call was up at an instant: the link that told so is gone."""
        if self.call is None or self._over is not None:
            return
        report = self._reporter.sign_of_life(self.paid, self.call.grant_id, at)
        try:
            await self._ocf.alive(report)
        except StoreError as error:
            _log.warning("sign of life not recorded", call_id=self.paid.channel, error=str(error))

    async def _until_stored(self, work: Callable[[], Awaitable[Reported]], what: str) -> Reported | None:
        """Return what the store committed, or None where the call was over before it could."""
        attempt = 0
        while self._over is None:
            try:
                return await work()
            except StoreError as error:
                _log.warning("waiting for the store", what=what, call_id=self.paid.channel, error=str(error))
            await self._sleep(STORE_AGAIN_SECONDS[min(attempt, len(STORE_AGAIN_SECONDS) - 1)])
            attempt += 1
        return None

    async def _meter(self, call: Call) -> None:
        """Keep the call within its money until it is over."""
        if call.emergency:
            return
        limit = self._limit(call)
        renew_at = limit - _ahead(call.granted_seconds)
        alive_at = self._road.now() + self._interim_us
        while self._over is None:
            now = self._road.now()
            if self._cut or now >= limit:
                await self._hang_up()
                return
            if self._wanted is not None and self._road.is_up:
                limit = await self._shared(limit)
                renew_at = limit - _ahead((limit - now) // SECOND)
                continue
            if self._armed != limit:
                await self._arm(limit)
            if now >= renew_at:
                more = await self._renewed()
                call = self.call or call
                limit = self._limit(call)
                renew_at = limit - _ahead(more) if more else now + int(ASK_AGAIN_SECONDS * SECOND)
                alive_at = now + self._interim_us
            elif now >= alive_at:
                await self._alive(now)
                alive_at = now + self._interim_us
            if self._armed == limit or not self._road.is_up:
                await self._sleep((min(limit, renew_at, alive_at) - self._road.now()) / SECOND)

    async def _alive(self, now: Instant) -> None:
        if self._road.is_up:  # else nobody knows whether it still runs, and what nobody knows is proof of nothing
            await self.prove_life(now)

    @property
    def _interim_us(self) -> int:
        return self._ocf.settings.interim_seconds * SECOND

    def _limit(self, call: Call) -> Instant:
        return self.paid.answered_at + call.granted_seconds * SECOND

    async def _renewed(self) -> int:
        """Reserve one slice more; return its seconds, 0 where there is no more or nothing could be asked."""
        if not self._road.is_up:
            return 0  # the timer in the switch could not be moved, so the money would be held for nothing
        assert self.call is not None
        report = self._reporter.sign_of_life(self.paid, self.call.grant_id, self._road.now())
        try:
            outcome = await self._ocf.alive(report, renew=True)
        except StoreError as error:
            _log.warning("slice not renewed", call_id=self.paid.channel, error=str(error))
            return 0
        call = _call_of(outcome)
        if call is None:
            return 0
        more = call.granted_seconds - self.call.granted_seconds
        self.call = call
        self._cut = self._cut or call.cut
        return max(more, 0) if call.state is CallState.ANSWERED else 0

    async def _shared(self, limit: Instant) -> Instant:
        """Go on as long as the store has the call now, or end earlier; return the limit.

        Money is let go of only when the switch has the shorter timer, and only the store says how much.
        """
        heard, self._wanted = self._wanted, None
        assert heard is not None
        assert self.call is not None
        if heard.granted_seconds > self.call.granted_seconds:
            self.call = heard
        used = -(-(self._road.now() - self.paid.answered_at) // SECOND)
        seconds = max(heard.wanted, used + 1)
        if not heard.wanted or seconds >= self.call.granted_seconds:
            return self._limit(self.call)
        if not await self._arm(self.paid.answered_at + seconds * SECOND):
            return limit
        try:
            call = (await self._ocf.shortened(heard.grant_id, seconds)).call
        except StoreError as error:
            _log.warning("a shorter limit is not recorded", call_id=self.paid.channel, error=str(error))
            return limit  # the store wants it still, and says so again
        self.call = call if call is not None and call.state is CallState.ANSWERED else self.call
        return self._limit(self.call)

    async def _arm(self, limit: Instant) -> bool:
        """Move the timer inside the switch, and tell whether it was. Where that fails the earlier one stands."""
        try:
            await self._road.move_timer(self.paid.channel, limit)
        except LinkLost:
            return False  # tried again when the link is back
        except ChannelGone:
            _log.info("no timer for a channel that is gone", call_id=self.paid.channel)
        except (ActionRefused, LocalAmiError) as error:
            _log.error("timer not moved", call_id=self.paid.channel, error=str(error))
        else:
            self._armed = limit
            return True
        self._armed = limit
        return False

    async def _hang_up(self) -> None:
        """End the channel, again and again until it is gone."""
        while self._over is None:
            try:
                await self._road.hang_up(self.paid.channel)
            except ChannelGone:
                await self._sleep(HANG_UP_AGAIN_SECONDS / 4)
                if self._over is None:
                    await self._road.confirm(self.paid.channel)
            except (LinkLost, ActionRefused, LocalAmiError) as error:
                _log.warning("channel not ended yet", call_id=self.paid.channel, error=str(error))
            await self._sleep(HANG_UP_AGAIN_SECONDS)

    async def _ended(self) -> None:
        while self._over is None:
            await self._sleep(float(self._ocf.settings.interim_seconds))
            if self._over is None and self._cut:
                await self._hang_up()

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the call is over or something about it changed."""
        if self._over is not None:
            return
        try:
            async with asyncio.timeout(max(seconds, 0.0)):  # wait_for may forget that it was cancelled
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _settle(self) -> None:
        over = self._over
        assert over is not None
        grant_id = self.call.grant_id if self.call is not None else self.paid.grant.grant_id
        if isinstance(over, Vanished):
            await self._recover(grant_id)
            return
        report = self._reporter.end(over, grant_id)
        await persisted(lambda: self._ocf.ended(report), "end", self.paid.channel)

    async def _recover(self, grant_id: str) -> None:
        """Settle at the last proof of life; a call that the store could not take yet is opened first."""
        if self.call is None:
            report = self._reporter.begin(self.paid)
            call = _call_of(await persisted(lambda: self._ocf.answered(report), "answer", self.paid.channel))
            grant_id = call.grant_id if call is not None else ""
        if grant_id:
            await persisted(lambda: self._ocf.recover(grant_id), "recovery", self.paid.channel)


def _call_of(outcome: Reported | None) -> Call | None:
    return outcome.call if isinstance(outcome, Outcome) else None


def _ahead(step_seconds: int) -> int:
    """Return how many microseconds before its end a slice of so many seconds is renewed."""
    seconds = min(max(step_seconds / AHEAD_SHARE, AHEAD_SECONDS_MIN), AHEAD_SECONDS_MAX)
    return int(seconds * SECOND)
