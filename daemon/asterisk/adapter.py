"""Asterisk for the daemon: every switch that is configured, as the configuration is now, and one FastAGI listener.

A switch that is added is connected, one that is taken out is let go with its calls up, one that changes starts anew and
takes its calls over from the store. Of several daemons on one store one has a switch, its link and its questions alike:
the other answers none of them. Whether links are up is reported beside readiness, and is never part of it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import structlog

from daemon.asterisk.fastagi import FastAgiServer, ListensOn
from daemon.asterisk.switch import Switch
from daemon.authorize.catalog import Status
from daemon.charging.configuration import AsteriskSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, Outside, Store, StoreError

FOLLOW_SECONDS = 1.0  # how often the configuration is compared: what a command changes is followed within a second
RESOLVE_SECONDS = 60.0  # how long the addresses of a host's name are believed
MARK = "asterisk/"  # before an id where daemons agree who has a switch: a switch of another kind may have the same id

_log = structlog.get_logger("tollway.asterisk")
Claim = Callable[[Collection[str]], Awaitable[Collection[str]]]


class AsteriskAdapter:
    """All switches. ``switches`` gives the configuration in force; ``claim`` which of some names this daemon has."""

    def __init__(
        self, ocf: OnlineCharging, store: Store, claim: Claim, switches: Callable[[], Sequence[AsteriskSpec]],
        outside: Outside, counters: Counters,
    ) -> None:  # fmt: skip
        """Bind the ports; ``start`` listens and ``run`` connects."""
        self._ocf = ocf
        self._store = store
        self._claim = claim
        self._switches = switches
        self._outside = outside
        self._counters = counters
        self._running: dict[str, tuple[Switch, asyncio.Task[None]]] = {}
        self._addresses: dict[str, str] = {}  # an address and the id of its switch
        self._resolved: dict[str, tuple[float, frozenset[str]]] = {}
        self.server = FastAgiServer(self._switch_of, lambda: ocf.settings.ring_seconds, counters)

    def links_up(self) -> Mapping[str, bool]:
        """Return for each switch that this daemon serves whether its link is up; one without a secret has none."""
        return {name: switch.is_up for name, (switch, _) in self._running.items() if switch.spec.secret}

    def serves(self, address: str) -> bool:
        """Tell whether questions from an address are answered."""
        return self._switch_of(address) is not None

    async def start(self, listener: ListensOn) -> None:
        """Listen for questions. Raises OSError where the port is taken."""
        await self.server.start(listener)

    async def stop(self) -> None:
        """Stop listening."""
        await self.server.stop()

    async def run(self) -> None:
        """Follow the configuration for ever; when cancelled, finish what is being settled and let the calls run on."""
        try:
            while True:
                active = {spec.id: spec for spec in self._switches() if spec.status is Status.ACTIVE}
                await self._follow(await self._mine(active))
                await asyncio.sleep(FOLLOW_SECONDS)
        finally:
            await asyncio.gather(*(self._drop(name) for name in list(self._running)))

    def _switch_of(self, address: str) -> Switch | None:
        found = self._running.get(self._addresses.get(_plain(address), ""))
        return found[0] if found is not None else None

    async def _mine(self, wanted: Mapping[str, AsteriskSpec]) -> Mapping[str, AsteriskSpec]:
        """Return the switches that this daemon serves. While the store cannot say, those that it has."""
        try:
            held = await self._claim([MARK + name for name in wanted])
        except StoreError:
            held = [MARK + name for name in self._running]
        return {name: spec for name, spec in wanted.items() if MARK + name in held}

    async def _follow(self, wanted: Mapping[str, AsteriskSpec]) -> None:
        changed = [name for name, (switch, _) in self._running.items() if wanted.get(name) != switch.spec]
        await asyncio.gather(*(self._drop(name) for name in changed))
        for name, spec in wanted.items():
            if name not in self._running or self._running[name][1].done():
                self._start(spec)
        addresses: dict[str, str] = {}
        for name, spec in wanted.items():
            for address in await self._addresses_of(spec.host):
                addresses.setdefault(address, name)
        self._addresses = addresses
        hosts = {spec.host for spec in wanted.values()}
        self._resolved = {host: known for host, known in self._resolved.items() if host in hosts}

    async def _addresses_of(self, host: str) -> frozenset[str]:
        """Return the addresses of a host; while its name cannot be resolved, those that it had."""
        now = asyncio.get_running_loop().time()
        since, known = self._resolved.get(host, (-RESOLVE_SECONDS, frozenset()))
        if now - since < RESOLVE_SECONDS and known:
            return known
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            _log.warning("the name of a switch has no address", host=host, error=str(error))
            return known
        addresses = frozenset(_plain(str(each[4][0])) for each in found)
        self._resolved[host] = (now, addresses)
        return addresses

    def _start(self, spec: AsteriskSpec) -> None:
        died = self._running.get(spec.id)
        if died is not None and not died[1].cancelled():
            _log.error("a switch's task died and starts anew", switch=spec.id, error=repr(died[1].exception()))
        switch = Switch(spec, self._ocf, self._store, self._outside, self._counters)
        self._running[spec.id] = (switch, asyncio.create_task(switch.run(), name=f"asterisk {spec.id}"))

    async def _drop(self, name: str) -> None:
        _, task = self._running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _plain(address: str) -> str:
    """Return an address as every writing of it is written; an IPv4 one that came over IPv6 as IPv4."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
