"""A real store with an owner and a reseller, calls charged by the real use cases, and copies to export from."""

import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.billing_export.source import StoreSource
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.charging.event import CallReport, Decided, Outcome
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant, parse_rfc3339
from daemon.kernel.money import NANO, parse_nano
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from tests.decks import read_deck

NIGHT: Instant = parse_rfc3339("2026-11-24T04:10:00Z")
EVENING: Instant = NIGHT - 6 * 3600 * SECOND

DECKS = {
    Key("main", "retail"): "prefix,destination,rate,first_seconds,next_seconds,connect_fee\n"
    '44,"UK, fixed",0.0313,30,6,0.01\n33,=France,0.0201,60,60,0\n',
    Key("main", "trunk"): "prefix,destination,rate\n44,UK,0.0107\n33,France,0.0091\n",
    Key("main", "buy"): "prefix,destination,rate\n44,UK,0.0053\n33,France,0.0047\n",
    Key("ray", "retail"): "prefix,destination,rate\n44,UK,0.0377\n33,France,0.0299\n",
}
ACME, RITA, TRUNK = Key("main", "acme"), Key("ray", "rita"), Key("main", "ray-trunk")
T = TypeVar("T")


def account(key: Key, plan: str, balance: str) -> AccountSpec:
    """Return a prepaid account."""
    return AccountSpec(
        key.tenant, key.id, AccountKind.PREPAID, "USD", balance=parse_nano(balance), rate_plan=(PlanFrom(plan),)
    )


SCENARIO: tuple[TenantSpec | RateTableSpec | RatePlanSpec | CarrierSpec | AccountSpec, ...] = (
    TenantSpec("main", "USD"),
    TenantSpec("ray", "USD", timezone="America/New_York", parent="main", account="ray-trunk"),
    *(RateTableSpec(key.tenant, key.id, "USD") for key in DECKS),
    *(RatePlanSpec(key.tenant, key.id, (key.id,)) for key in DECKS),
    CarrierSpec("main", "carrier-a", "buy", "sofia/gateway/a/{number}"),
    account(ACME, "retail", "5.00"),
    account(RITA, "retail", "0.10"),
    replace(account(TRUNK, "trunk", "0"), kind=AccountKind.POSTPAID, credit_limit=100 * NANO),
)


@contextlib.asynccontextmanager
async def opened_store(path: Path, *, create: bool = False) -> AsyncIterator[LedgerStore]:
    """Open a store, and close it."""
    store = await open_store(StoreSettings(url=f"sqlite:///{path}"), lambda: NIGHT, create=create)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[StoreSource]:
    """Open a store as the source of an export."""
    async with opened_store(path) as store:
        yield StoreSource(store)


@dataclass
class Office:
    """Charges calls through the real use cases over a real store; its clock is a test's."""

    store: LedgerStore
    catalog_value: Catalog
    now: Instant = EVENING
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def open(cls, store: LedgerStore) -> "Office":
        return cls(store, await store.load_catalog(Emergency()))

    def __post_init__(self) -> None:
        outside = Outside(now=lambda: self.now, new_id=lambda: f"g{next(self.ids)}")
        self.ocf = OnlineCharging(self.store, self, self, outside, ChargingSettings())

    def catalog(self) -> Catalog:
        return self.catalog_value

    async def append(self, record: dict[str, str]) -> None:
        raise AssertionError(record)

    def attempt(self, call_id: str, payer: Key, to: str, calling: str) -> CallAttempt:
        return CallAttempt(
            id_domain="gw1", call_id=call_id, tenant="main", source="test", switch="gw1",
            identity=Identity(account=payer.id, account_tenant=payer.tenant), called=to, calling=calling,
        )  # fmt: skip

    async def call(
        self, call_id: str, payer: Key, to: str, duration_us: int, calling: str = "+15551230001", *, asked: bool = True
    ) -> Outcome:
        """Ask, answer, and end a call after its duration; without ``asked`` nobody asked, and it is charged anyway."""
        attempt = self.attempt(call_id, payer, to, calling)
        if asked:
            decided = await self.ocf.authorize(attempt)
            assert isinstance(decided, Decided)
            assert decided.call is not None, decided
        await self.ocf.answered(CallReport(attempt, self.now))
        return await self.end(attempt, duration_us)

    async def end(self, attempt: CallAttempt, duration_us: int) -> Outcome:
        """Report the end of a call."""
        self.now += duration_us
        outcome = await self.ocf.ended(
            CallReport(attempt, self.now, duration_us=duration_us, cause="NORMAL_CLEARING", switch_seconds=7)
        )
        assert isinstance(outcome, Outcome)
        return outcome


@dataclass(frozen=True)
class Place:
    """A store of its own and a directory to export into."""

    home: Path

    @property
    def store(self) -> Path:
        return self.home / "tollway.db"

    @property
    def exports(self) -> Path:
        return self.home / "exports"


@dataclass(frozen=True)
class Desk:
    """A prepared store, and where its copies go."""

    home: Path
    master: Path

    def copied(self, name: str) -> Place:
        """Return a place with a fresh copy of the store."""
        place = Place(self.home / name)
        place.home.mkdir()
        shutil.copyfile(self.master, place.store)
        return place

    def copies(self, of: Iterable[T]) -> Iterator[tuple[Place, T]]:
        """Yield each with a fresh copy of its own, removed when the next is asked for."""
        for one in of:
            place = self.copied("copy")
            yield place, one
            shutil.rmtree(place.home)


async def founded(path: Path) -> None:
    """Make a store that holds the scenario."""
    async with opened_store(path, create=True) as store:
        decks = {}
        for key, text in DECKS.items():
            rows, errors = read_deck(text, f"{key.id}.csv")
            assert not errors, errors
            decks[key] = rows
        await store.apply(SCENARIO, decks, who="test")


async def prepared(home: Path) -> Desk:
    """Make a store with a few calls at both levels, folded into one file."""
    master = home / "master.db"
    await founded(master)
    async with opened_store(master) as store:
        office = await Office.open(store)
        await office.call("c-1", ACME, "442071231234", 62_800_000)
        await office.call("c-2", RITA, "33140000000", 30_000_001, calling='=HYPERLINK("http://x")')
        await office.call("c-3", ACME, "33140000000", 61_000_000, calling="a\nb,c")
    connection = sqlite3.connect(master)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Desk(home, master)
