"""FreeSWITCH for the daemon: a link to every switch that is configured, as the configuration is now.

A switch that is added is connected, one that is taken out is let go with its calls up, one that changes starts anew and
takes its calls over from the store. Of several daemons on one store one has the link to a switch: two would renew each
other's calls and cut them. Whether links are up is reported beside readiness, and is never part of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog

from daemon.authorize.catalog import Status
from daemon.charging.configuration import FreeswitchSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, Outside, SharedStore, StoreError
from daemon.esl.switch import Switch

FOLLOW_SECONDS = 1.0  # how often the configuration is compared: what a command changes is followed within a second

Claim = Callable[[Collection[str]], Awaitable[Collection[str]]]

_log = structlog.get_logger("tollway.esl")


class EslAdapter:
    """All switches. ``switches`` gives the configuration in force."""

    def __init__(
        self, ocf: OnlineCharging, store: SharedStore, switches: Callable[[], Sequence[FreeswitchSpec]],
        outside: Outside, counters: Counters, claim: Claim | None = None, store_id: str = "",
    ) -> None:  # fmt: skip
        """Bind the ports; ``run`` connects. ``claim`` in the store's place, where it serves others' names too."""
        self._ocf = ocf
        self._store = store
        self._claim = claim or store.claimed
        self._switches = switches
        self._outside = outside
        self._counters = counters
        self._store_id = store_id
        self._running: dict[str, tuple[Switch, asyncio.Task[None]]] = {}

    def links_up(self) -> Mapping[str, bool]:
        """Return for each switch that this daemon serves whether its link is up."""
        return {name: switch.is_up for name, (switch, _) in self._running.items()}

    async def run(self) -> None:
        """Follow the configuration for ever; when cancelled, finish what is being settled and let the calls run on."""
        try:
            while True:
                active = {spec.id: spec for spec in self._switches() if spec.status is Status.ACTIVE}
                await self._follow(await self._mine(active))
                await asyncio.sleep(FOLLOW_SECONDS)
        finally:
            await asyncio.gather(*(self._drop(name) for name in list(self._running)))

    async def _mine(self, wanted: Mapping[str, FreeswitchSpec]) -> Mapping[str, FreeswitchSpec]:
        """Return the switches that this daemon serves. While the store cannot say, those that it has."""
        try:
            held = await self._claim(wanted.keys())
        except StoreError:
            held = self._running.keys()
        return {name: spec for name, spec in wanted.items() if name in held}

    async def _follow(self, wanted: Mapping[str, FreeswitchSpec]) -> None:
        changed = [name for name, (switch, _) in self._running.items() if wanted.get(name) != switch.spec]
        await asyncio.gather(*(self._drop(name) for name in changed))
        for name, spec in wanted.items():
            if name not in self._running or self._running[name][1].done():
                self._start(spec)

    def _start(self, spec: FreeswitchSpec) -> None:
        died = self._running.get(spec.id)
        if died is not None and not died[1].cancelled():
            _log.error("a switch's task died and starts anew", switch=spec.id, error=repr(died[1].exception()))
        switch = Switch(spec, self._ocf, self._store, self._outside, self._counters, self._store_id)
        self._running[spec.id] = (switch, asyncio.create_task(switch.run(), name=f"switch {spec.id}"))

    async def _drop(self, name: str) -> None:
        _, task = self._running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
