"""Replays a captured stream through wire, legs, call control and the real store, on the clock of its own events."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.esl import events, wire
from daemon.esl.switch import Switch
from daemon.kernel.instant import Instant
from tests.integration.esl_world import DECK, SWITCH, World, until

BETWEEN = 65_536  # octets taken at once, as the link reads them


@dataclass
class EventClock:
    """The instant of the newest event heard."""

    now: Instant = 1_795_000_000_000_000

    def __call__(self) -> Instant:
        return self.now


@dataclass
class Replay:
    """A world and one switch in it that no link feeds."""

    world: World
    clock: EventClock
    switch: Switch

    def restart(self) -> None:
        """Go on with a switch's side that remembers nothing."""
        world = self.world
        self.switch = Switch(SWITCH, world.ocf, world.store, world.outside, world.tally)

    async def feed(self, data: bytes, size: int = BETWEEN) -> int:
        """Take a stream at full speed; return how many events it held."""
        connection = wire.EslConnection()
        count = 0
        for at in range(0, len(data), size):
            count += self._take(connection.receive_data(data[at : at + size]))
            await asyncio.sleep(0)
        await until(lambda: not self.switch.control.outstanding, 60)
        await self.world.settled(30)
        return count

    def _take(self, messages: Iterable[wire.Message]) -> int:
        count = 0
        for message in messages:
            if isinstance(message, wire.EventBody):
                event = events.decode(message)
                count += 1
            elif isinstance(message, wire.ApiResponse) and message.body.startswith(b'{"Event-Name"'):
                event = events.from_json(message.body)
            else:
                continue
            self.clock.now = max(self.clock.now, event.at)
            self.switch.on_event(event)
        return count


@asynccontextmanager
async def replaying(folder: Path, balances: dict[str, str], deck: str = DECK) -> AsyncIterator[Replay]:
    """Open a world for replays, and close it."""
    clock = EventClock()
    world = World(folder, now=clock)
    await world.open(balances, deck)
    switch = Switch(SWITCH, world.ocf, world.store, world.outside, world.tally)
    try:
        yield Replay(world, clock, switch)
    finally:
        await switch.control.stop()
        await world.close()
