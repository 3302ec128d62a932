"""Plays the warnings of one running call: once each, at its second, to whoever the account says hears it.

What is played is the operator's alone: a file or a tone that is configured for the switch. A warning that came too late
(the daemon was away) is not played; one that moves later again, since money came, is played then as well.
"""

import structlog

from daemon.authorize.warning_terms import Hears, Warnings
from daemon.charging.call import Call
from daemon.charging.configuration import FreeswitchSpec
from daemon.charging.ocf import OnlineCharging
from daemon.esl import wire
from daemon.esl.link import LinkLost
from daemon.esl.road import Road
from daemon.esl.timers import ChannelGone, CommandRefused, checked
from daemon.kernel.instant import SECOND, Instant

LATE_SECONDS = 5  # seconds; a warning that is later says what is no longer so
AGAIN_SECONDS = 10  # seconds by which an end has to move before it is warned of again
LEGS = {Hears.CALLER: "aleg", Hears.CALLEE: "bleg", Hears.BOTH: "both"}  # of uuid_broadcast, of the leg that calls

_log = structlog.get_logger("tollway.esl")


class Warner:
    """The warnings of one charge; ``answered_at`` is by the switch's clock."""

    def __init__(
        self, ocf: OnlineCharging, road: Road, spec: FreeswitchSpec, channel: str, answered_at: Instant
    ) -> None:
        """Start with nothing played."""
        self._ocf, self._road, self._channel, self._answered_at = ocf, road, channel, answered_at
        self._tones = Warnings._fields, (spec.low_balance_tone, spec.cutoff_tone)
        self._played: dict[str, int] = {}  # the second of each that was played, or was too late

    def next_at(self, call: Call) -> Instant | None:
        """Return the instant of the next warning, None where there is none."""
        due = [second for name, second, _ in self._of(call) if self._is_due(name, second)]
        return self._answered_at + min(due) * SECOND if due else None

    async def play(self, call: Call, now: Instant) -> None:
        """Play what is due by now."""
        for name, second, tone in self._of(call):
            at = self._answered_at + second * SECOND
            if not self._is_due(name, second) or at > now:
                continue
            self._played[name] = second
            if now - at <= LATE_SECONDS * SECOND:
                await self._broadcast(call, tone)

    def _of(self, call: Call) -> list[tuple[str, int, str]]:
        names, tones = self._tones
        stated = zip(names, call.warnings, tones, strict=True)
        return [(name, second, tone) for name, second, tone in stated if second and tone]

    def _is_due(self, name: str, second: int) -> bool:
        before = self._played.get(name)
        return before is None or second >= before + AGAIN_SECONDS

    async def _broadcast(self, call: Call, tone: str) -> None:
        terms = self._ocf.catalog().accounts.get(call.payer)
        leg = LEGS[terms.warnings.hears if terms is not None else Hears.CALLER]
        try:
            checked(await self._road.api("uuid_broadcast", wire.uuid(self._channel), wire.played(tone), leg))
        except (LinkLost, ChannelGone) as error:
            _log.info("a warning was not played", call_id=self._channel, error=str(error))
        except (CommandRefused, wire.LocalWireError) as error:
            _log.warning("a warning was not played", call_id=self._channel, error=str(error))
