"""A daemon's FreeSWITCH side over a real SQLite store: real charging, real links to a double of a switch."""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.authorize.catalog import AccountKind, Catalog, Emergency, Status
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    FreeswitchSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.esl.adapter import EslAdapter
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.kernel.money import parse_nano
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from tests.decks import read_deck
from tests.virtual_time import wall_us

DECK = """prefix,destination,rate,first_seconds,next_seconds
44,UK,0.60,1,1
33,France,0.60,1,1
1555,US test,0.60,1,1
49,Germany,0.60,30,6
39,Italy,0.60,60,60
81,Japan by two seconds,0.60,2,2
"""
BUY_DECK = "prefix,rate\n44,0.10\n33,0.10\n49,0.10\n39,0.10\n81,0.10\n"
BUY_B_DECK = BUY_DECK.replace("0.10", "0.12")
SWITCH = FreeswitchSpec("fs1", "main", strip_digits=1, charged_contexts=("public",), routing=False)


class Tally:
    """Implements charging.ports.Counters."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def count(self, name: str, **labels: str) -> None:
        self.counts[(name, *labels.values())] += 1


class Outbox:
    """Implements charging.ports.Journal in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, str]] = []

    async def append(self, record: dict[str, str]) -> None:
        self.lines.append(record)


@dataclass
class World:
    """The store and charging; ``start`` connects to a switch, ``kill`` drops the daemon where it stands."""

    folder: Path
    settings: ChargingSettings = field(default_factory=ChargingSettings)
    now: Callable[[], Instant] = wall_us
    switch: FreeswitchSpec = SWITCH
    tally: Tally = field(default_factory=Tally)
    journal: Outbox = field(default_factory=Outbox)

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._catalog: Catalog | None = None
        self._running: asyncio.Task[None] | None = None

    def catalog(self) -> Catalog:
        assert self._catalog is not None
        return self._catalog

    async def open(self, balances: Mapping[str, str], deck: str = DECK, status: Status = Status.ACTIVE) -> None:
        """Open the store with one prepaid account for each balance."""
        await self._open()
        accounts = [
            AccountSpec(
                "main", name, AccountKind.PREPAID, "USD", balance=parse_nano(balance), status=status,
                rate_plan=(PlanFrom("retail"),), inbound_rate_plan=(PlanFrom("retail"),),
            )
            for name, balance in balances.items()
        ]  # fmt: skip
        rows, errors = read_deck(deck, "retail.csv")
        buying, more = read_deck(BUY_DECK, "buy.csv")
        dearer, most = read_deck(BUY_B_DECK, "buy-b.csv")
        assert not errors + more + most, errors + more + most
        fixed = (
            TenantSpec("main", "USD"), RateTableSpec("main", "retail", "USD"), RateTableSpec("main", "buy", "USD"),
            RateTableSpec("main", "buy-b", "USD"),
            RatePlanSpec("main", "retail", ("retail",)),
            CarrierSpec("main", "carrier-a", "buy", "sofia/gateway/a/{number};transport=tcp"),
            CarrierSpec("main", "carrier-b", "buy-b", "sofia/gateway/b/{number}"),
        )  # fmt: skip
        decks = {Key("main", "retail"): rows, Key("main", "buy"): buying, Key("main", "buy-b"): dearer}
        await self.store.apply([*fixed, *accounts], decks, who="test")
        await self.reload()

    async def _open(self) -> None:
        url = f"sqlite:///{self.folder / 'tollway.db'}"
        self.store: LedgerStore = await open_store(StoreSettings(url), self.now, create=True)
        run = secrets.token_hex(10).upper()
        self.outside = Outside(now=self.now, new_id=lambda: f"{next(self._ids):06d}{run}")
        self.ocf = OnlineCharging(self.store, self, self.journal, self.outside, self.settings)

    async def reload(self) -> None:
        """Take what is configured in the store now."""
        self._catalog = await self.store.load_catalog(Emergency())

    def start(self, port: int) -> None:
        """Run the adapter against a switch on a port."""
        self.adapter = EslAdapter(
            self.ocf, self.store, lambda: [replace(self.switch, port=port)], self.outside, self.tally
        )
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self.adapter.run())
            parts.create_task(self.ocf.sharer.run())

    async def linked(self, seconds: float = 5.0) -> None:
        """Wait until the link is up."""
        await until(lambda: self.adapter.links_up().get(self.switch.id, False), seconds)

    async def stop(self) -> None:
        """Stop the adapter as a daemon that is asked to stop does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def restart(self, port: int) -> None:
        """Stop and start anew: nothing but the file is left."""
        await self.stop()
        await self.store.close()
        await self._open()
        await self.reload()
        self.start(port)
        await self.linked()

    async def close(self) -> None:
        await self.stop()
        await self.store.close()

    async def standing(self, account: str) -> tuple[int, int, int]:
        """Return balance, reserved money (nano-units) and channels in use."""
        view = await self.store.account_view(Key("main", account))
        assert view is not None
        return view.standing.balance, view.standing.reserved, view.standing.channels

    async def records(self) -> list[RatedCdr]:
        """Return every record."""
        return [record async for _, record in self.store.records("main", 0, 1 << 62)]

    async def exceptions(self, kinds: Iterable[str] = ()) -> list[dict[str, object]]:
        """Return the exception list, or those of some kinds."""
        wanted = set(kinds)
        return [item for item in await self.store.exceptions(100_000) if not wanted or item["kind"] in wanted]

    async def calls(self, call_id: str) -> list[Call]:
        """Return the calls of a channel."""
        return list(await self.store.find_calls(call_id))

    async def settled(self, seconds: float = 5.0) -> None:
        """Wait until no call is open."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while await self.store.open_calls():
            assert clock() < deadline, await self.store.open_calls()
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not condition():
        assert clock() < deadline, "waited too long"
        await asyncio.sleep(0.01)
