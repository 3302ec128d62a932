"""A real store in a folder, an owner with a reseller, and calls of two levels charged by the real use cases."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import asyncpg

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.authorize.decision import Granted
from daemon.charging.call import Call
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    EndpointSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.charging.event import CallReport, Decided, MessageKey, Outcome
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO
from daemon.rating.deck import RateRow
from daemon.settings import StoreSettings, is_server
from daemon.store import LedgerStore, open_store
from daemon.store.check import check_store
from daemon.store.finding import Finding
from daemon.store.objects import Spec
from daemon.store.sqlite import connect
from tests.decks import read_deck

START: Instant = 1_790_000_000 * SECOND
RITA, TRUNK, ACME = Key("ray", "rita"), Key("main", "ray-trunk"), Key("main", "acme")
RETAIL, WHOLESALE, BUY, RAYS = Key("main", "retail"), Key("main", "trunk"), Key("main", "buy"), Key("ray", "retail")
OPENING = 1_000_000 * NANO  # what rita begins with
DECK = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n33,France,0.60,60,60\n"
DECKS = dict.fromkeys((RETAIL, RAYS), DECK) | {
    WHOLESALE: "prefix,rate\n44,0.30\n33,0.30\n",
    BUY: "prefix,rate\n44,0.10\n33,0.10\n",
}
SCENARIO: tuple[Spec, ...] = (
    TenantSpec("main", "USD"),
    TenantSpec("ray", "USD", "America/New_York", "main", "ray-trunk"),
    *(RateTableSpec(key.tenant, key.id, "USD") for key in DECKS),
    *(RatePlanSpec(key.tenant, key.id, (key.id,)) for key in (RETAIL, WHOLESALE, RAYS)),
    CarrierSpec("main", "carrier-a", "buy", "sofia/gateway/a/{number}"),
    AccountSpec("main", "acme", AccountKind.PREPAID, "USD", balance=25 * NANO, rate_plan=(PlanFrom("retail"),),
                identities=(EndpointSpec(sip_user="acme", password="wonder"),)),
    AccountSpec("main", "ray-trunk", AccountKind.POSTPAID, "USD", credit_limit=None, rate_plan=(PlanFrom("trunk"),)),
    AccountSpec("ray", "rita", AccountKind.PREPAID, "USD", balance=OPENING, rate_plan=(PlanFrom("retail"),)),
    NasSpec("gw1", "main", "127.0.0.1", "loopback-secret"),
)  # fmt: skip
URL_FILE = "store.url"  # in a test's folder, where its store is no file in it
LATER = (  # what takes a store of this release back to the one with buckets
    *(
        f"DROP TABLE {table}"
        for table in (
            "carrier_tally", "carrier_quality", "event", "voucher", "voucher_batch", "voucher_salt", "voucher_failure",
            "recovery_call", "recovery", "archive", "archive_kept", "opening", "spent_key",
        )
    ),
    "DROP INDEX entry_of_rule",
    *(f"ALTER TABLE account DROP COLUMN {column}" for column in ("month", "month_spent", "windows", "suspended_at")),
)  # fmt: skip
WITHOUT_BUCKETS = (  # and that to the one before; the last is a column of a table of it
    "DROP TABLE unit_grant", "DROP TABLE assertion", "DROP INDEX account_bucket_due",
    "ALTER TABLE account DROP COLUMN buckets", "ALTER TABLE account DROP COLUMN bucket_due",
    "ALTER TABLE entry DROP COLUMN bucket", "ALTER TABLE meter DROP COLUMN expires_at",
)  # fmt: skip
Connect = Callable[[Path], sqlite3.Connection]


def deck(text: str) -> list[RateRow]:
    """Return the rows of a deck's text."""
    rows, errors = read_deck(text, "deck.csv")
    assert not errors, errors
    return rows


def decks() -> dict[Key, Sequence[RateRow]]:
    """Return the decks of the scenario."""
    return {key: deck(text) for key, text in DECKS.items()}


@dataclass
class World:
    """A store, and the charging function over it; the clock is a test's."""

    store: LedgerStore
    now: Instant = START
    ids: int = 0
    asked: int = 0
    loaded: list[Catalog] = field(default_factory=list)
    prefix: str = "g"

    def __post_init__(self) -> None:
        outside = Outside(now=lambda: self.now, new_id=self.new_id)
        self.ocf = OnlineCharging(self.store, self, self, outside, ChargingSettings())

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.prefix}{self.ids}"

    def catalog(self) -> Catalog:
        return self.loaded[-1]

    async def append(self, record: dict[str, str]) -> None:
        raise AssertionError(f"no emergency here: {record}")

    async def load(self) -> None:
        self.loaded.append(await self.store.load_catalog(Emergency()))

    def attempt(self, call_id: str, payer: Key = RITA, to: str = "442071231234") -> CallAttempt:
        return CallAttempt("gw1", call_id, "main", "test", "gw1", Identity(account=str(payer)), to)

    async def ask(self, call_id: str, payer: Key = RITA) -> Granted:
        self.asked += 1
        message = MessageKey(f"ask:{call_id}:{self.asked}", call_id.encode())
        decided = await self.ocf.authorize(self.attempt(call_id, payer), message=message)
        assert isinstance(decided, Decided), decided
        assert isinstance(decided.decision, Granted), decided
        return decided.decision

    async def answer(self, call_id: str, payer: Key = RITA) -> Call:
        outcome = await self.ocf.answered(CallReport(self.attempt(call_id, payer), self.now))
        assert isinstance(outcome, Outcome), outcome
        assert outcome.call is not None, outcome
        return outcome.call

    async def end(self, call_id: str, seconds: int, payer: Key = RITA) -> Call:
        message = MessageKey(f"end:{call_id}:{self.asked}", call_id.encode())
        report = CallReport(
            self.attempt(call_id, payer), self.now, duration_us=seconds * SECOND, cause="NORMAL", message=message
        )
        outcome = await self.ocf.ended(report)
        assert isinstance(outcome, Outcome), outcome
        assert outcome.call is not None, outcome
        return outcome.call

    async def whole(self, call_id: str, seconds: int = 60, payer: Key = RITA) -> Call:
        """Play one call from its question to its end."""
        await self.ask(call_id, payer)
        await self.answer(call_id, payer)
        return await self.end(call_id, seconds, payer)

    async def balance(self, key: Key) -> int:
        view = await self.store.account_view(key)
        assert view is not None
        return view.standing.balance


def url_of(folder: Path) -> str:
    """Return the URL of a folder's store: a file in it, unless a file says which database."""
    said = folder / URL_FILE
    return said.read_text() if said.exists() else f"sqlite:///{folder}/tollway.db"


def settings(folder: Path, batch_max: int = 256, queue_max: int = 4096) -> StoreSettings:
    archive = f"{folder}/archive" if is_server(url_of(folder)) else ""
    return StoreSettings(url_of(folder), batch_max, queue_max, archive)


async def altered(folder: Path, *statements: str) -> None:
    """Change a folder's store by hand, past its constraints; each statement has to touch something."""
    url = url_of(folder)
    if not is_server(url):
        connection = connect(folder / "tollway.db")
        for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
            connection.execute(f"PRAGMA {pragma}")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        connection.close()
        return
    server = await asyncpg.connect(url)
    for table, name in await server.fetch(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype IN ('c', 'f') AND connamespace = current_schema()::regnamespace"
    ):
        await server.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for statement in statements:
        assert not (await server.execute(statement)).endswith(" 0"), statement
    await server.close()


async def findings(folder: Path) -> list[Finding]:
    """Return what does not hold of a folder's store."""
    store = await open_store(settings(folder), lambda: START)
    try:
        return await check_store(store)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def opened(
    folder: Path, connection: Connect = connect, *, batch_max: int = 256, queue_max: int = 4096, prefix: str = "g",
    stated: Mapping[Key, Sequence[RateRow]] = MappingProxyType({}),
) -> AsyncIterator[World]:  # fmt: skip
    """Open the store of a folder, made and filled where there is none."""
    clock: list[World] = []
    store = await open_store(
        settings(folder, batch_max, queue_max), lambda: clock[0].now if clock else START, create=True,
        connection=connection,
    )  # fmt: skip
    world = World(store, prefix=prefix)
    clock.append(world)
    try:
        if not (await store.load_configuration()).tenants:
            await store.apply(SCENARIO, {**decks(), **stated}, who="test")
        await world.load()
        yield world
    finally:
        await store.close()
