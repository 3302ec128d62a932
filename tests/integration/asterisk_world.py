"""A daemon's Asterisk side over a real SQLite store: real charging, a real FastAGI port, real links to a manager."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.asterisk.adapter import AsteriskAdapter
from daemon.charging.configuration import AsteriskSpec
from daemon.charging.session import ChargingSettings
from daemon.settings import Listener
from tests.asterisk_double.double import SECRET, AsteriskDouble, Channel
from tests.integration.esl_world import DECK, World, until

ASTERISK = AsteriskSpec("ast1", "main", secret=SECRET, routing=False)
UK = "442071231234"
# Compressed: blocks are reserved one at a time, so that a few seconds of money take several renewals.
QUICK = ChargingSettings(slice_seconds=2, block_seconds_min=1, ring_seconds=5)


@dataclass
class AsteriskWorld(World):
    """The store and charging, and the adapter; ``agi`` is the port of its questions."""

    asterisk: AsteriskSpec = ASTERISK

    def start(self, port: int) -> None:
        """Run the adapter against a manager on a port."""
        spec = replace(self.asterisk, port=port)
        self.road = AsteriskAdapter(self.ocf, self.store, self.store.claimed, lambda: [spec], self.outside, self.tally)
        self._running = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        await self.road.start(Listener("127.0.0.1", 0))
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self.road.run())
                parts.create_task(self.ocf.sharer.run())
        finally:
            await self.road.stop()

    @property
    def agi(self) -> int:
        return self.road.server.port

    @property
    def is_linked(self) -> bool:
        return self.road.links_up().get(self.asterisk.id, False)

    async def linked(self, seconds: float = 5.0) -> None:
        """Wait until the link is up."""
        await until(lambda: self.is_linked, seconds)

    def discarded(self, listener: str, reason: str) -> int:
        return self.tally.counts["tollway_discarded_total", listener, reason]


@asynccontextmanager
async def running(
    folder: Path, balance: str, settings: ChargingSettings = QUICK, deck: str = DECK, spec: AsteriskSpec = ASTERISK
) -> AsyncIterator[tuple[AsteriskWorld, AsteriskDouble]]:
    """Serve a double with one account, acme, and close everything."""
    world = AsteriskWorld(folder, settings, asterisk=spec)
    await world.open({"acme": balance}, deck)
    async with AsteriskDouble() as switch:
        world.start(switch.port)
        try:
            await (world.linked() if spec.secret else until(lambda: world.agi > 0 and world.road.serves("127.0.0.1")))
            yield world, switch
        finally:
            await world.close()


async def answered(world: AsteriskWorld, switch: AsteriskDouble, account: str = "acme", number: str = UK) -> Channel:
    """Ask, ring and answer a call, and wait until charging has begun."""
    call = switch.call()
    told = await switch.ask(call, world.agi, account, number)
    assert told["TOLLWAY_RESULT"] == "GRANTED", told
    switch.ring(call)
    await asyncio.sleep(0.2)
    before = world.tally.counts["tollway_reports_total", "asterisk", "answer"]
    switch.answer(call)
    await until(lambda: world.tally.counts["tollway_reports_total", "asterisk", "answer"] > before)
    return call
