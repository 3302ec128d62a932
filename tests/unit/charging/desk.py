"""A charging desk for tests: a small catalog, a clock that a test moves, and the calls of every road in one line."""

from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import (
    AccountKind,
    AccountTerms,
    Carrier,
    Catalog,
    DatedPlan,
    Endpoints,
    SipUser,
    Tenant,
)
from daemon.charging.event import CallReport, Conflict, Decided, MessageKey, Outcome, Replay
from daemon.charging.ocf import UNWATCHED, OnlineCharging
from daemon.charging.ports import Outside, Watch
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO, Rounding, parse_nano
from daemon.ledger.account import Entry, EntryKind, Standing, entry_applied
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable
from tests.decks import read_deck
from tests.unit.charging.memory_store import MemoryStore

START: Instant = 1_790_000_000 * SECOND
RETAIL, TRUNK, BUY = Key("main", "retail"), Key("main", "trunk"), Key("main", "buy")
ALICE, BOB, TRUNK_ACCOUNT, RAY = Key("main", "alice"), Key("main", "bob"), Key("main", "ray-trunk"), Key("ray", "rita")
NUMBERS = {ALICE: 1, BOB: 2, TRUNK_ACCOUNT: 3, RAY: 4}
CARRIERS = {"cheap": 101, "dear": 102}

RETAIL_DECK = """prefix,destination,rate,first_seconds,next_seconds,connect_fee,blocked
44,UK,0.60,1,1,0,
33,France,0.60,60,60,0,
49,Germany,0.60,30,6,0.01,
1900,Premium,9.00,1,1,0,true
800,Free,0,1,1,0,
"""
TRUNK_DECK = "prefix,rate\n44,0.30\n33,0.30\n"
BUY_DECK = "prefix,rate\n44,0.10\n33,0.10\n49,0.70\n800,0\n"


def table(key: Key, text: str, **changes: object) -> RateTable:
    """Return a rate table of a deck's text."""
    rows, errors = read_deck(text, f"{key.id}.csv")
    assert not errors, errors
    made, errors = RateTable.from_rows(
        rows, table=key.id, version=1, currency="USD", decimals=4, rounding=Rounding.UP, duration_rounding=Rounding.UP
    )
    assert made is not None, errors
    return made


def account(key: Key, plan: Key, **changes: object) -> AccountTerms:
    """Return a prepaid account's terms."""
    terms = AccountTerms(
        number=NUMBERS[key], key=key, kind=AccountKind.PREPAID, currency="USD", zone=ZoneInfo("UTC"),
        plans=(DatedPlan(0, plan),), inbound_plans=(DatedPlan(0, plan),), margin_floor_percent=0,
    )  # fmt: skip
    return replace(terms, **changes)  # type: ignore[arg-type]


def catalog(**changes: object) -> Catalog:
    """Return the owner with two customers, a reseller with one, and two carriers."""
    tables = {RETAIL: table(RETAIL, RETAIL_DECK), TRUNK: table(TRUNK, TRUNK_DECK), BUY: table(BUY, BUY_DECK)}
    accounts = {
        ALICE: account(ALICE, RETAIL),
        BOB: account(BOB, RETAIL, kind=AccountKind.POSTPAID, credit_limit=None),
        TRUNK_ACCOUNT: account(TRUNK_ACCOUNT, TRUNK, kind=AccountKind.POSTPAID, credit_limit=100 * NANO),
        RAY: account(RAY, Key("ray", "retail")),
    }
    plans = {
        RETAIL: RatePlan("retail", (tables[RETAIL],)),
        TRUNK: RatePlan("trunk", (tables[TRUNK],)),
        Key("ray", "retail"): RatePlan("retail", (tables[RETAIL],)),
    }
    carriers = {
        "main": (
            Carrier(CARRIERS["cheap"], Key("main", "cheap"), BUY, "sofia/gateway/cheap/{number}", channels=2),
            Carrier(CARRIERS["dear"], Key("main", "dear"), RETAIL, "sofia/gateway/dear/{number}"),
        )
    }
    tenants = {
        "main": Tenant("main", "USD", ZoneInfo("UTC")),
        "ray": Tenant("ray", "USD", ZoneInfo("UTC"), "main", TRUNK_ACCOUNT),
    }
    endpoints = Endpoints(sip_users={"alice": (SipUser(ALICE, "wonder"),)}, callers={("gw1", "15551230001"): (BOB,)})
    made = Catalog(
        1, tenants, accounts, {terms.number: terms for terms in accounts.values()}, plans, tables, carriers, endpoints
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def with_account(base: Catalog, key: Key, **changes: object) -> Catalog:
    """Return a catalog in which one account has other terms."""
    accounts = dict(base.accounts)
    accounts[key] = replace(accounts[key], **changes)  # type: ignore[arg-type]
    return replace(base, accounts=accounts, by_number={terms.number: terms for terms in accounts.values()})


@dataclass
class Desk:
    """Holds the parts together; money is stated as text, seconds as they pass on the test's clock."""

    catalog_value: Catalog = field(default_factory=catalog)
    settings: ChargingSettings = field(default_factory=ChargingSettings)
    store: MemoryStore = field(default_factory=MemoryStore)
    now: Instant = START
    journal: list[dict[str, str]] = field(default_factory=list)
    ids: int = 0
    watch: Watch = UNWATCHED

    def __post_init__(self) -> None:
        outside = Outside(now=lambda: self.now, new_id=self._new_id)
        self.ocf = OnlineCharging(self.store, self, self, outside, self.settings, watch=self.watch)

    def _new_id(self) -> str:
        self.ids += 1
        return f"g{self.ids}"

    def catalog(self) -> Catalog:
        return self.catalog_value

    async def append(self, record: dict[str, str]) -> None:
        self.journal.append(record)

    def fund(self, key: Key, amount: str) -> None:
        """Give an account money."""
        number = NUMBERS[key]
        before = self.store.standings.get(number, Standing(number))
        entry = Entry(number, EntryKind.TOP_UP, self.now, amount=parse_nano(amount))
        after, entry = entry_applied(before, entry)
        self.store.standings[number] = after
        self.store.entries.append(entry)

    def standing(self, key: Key) -> Standing:
        return self.store.standings.get(NUMBERS[key], Standing(NUMBERS[key]))

    def store_standing(self, number: int) -> Standing:
        return self.store.standings.get(number, Standing(number))

    def carrier(self, name: str) -> Standing:
        return self.store.standings.get(CARRIERS[name], Standing(CARRIERS[name]))

    def attempt(self, call_id: str, to: str = "442071231234", payer: Key = ALICE, **changes: object) -> CallAttempt:
        """Return a question about a call of an account, on a road that renews unless ``changes`` say otherwise."""
        made = CallAttempt(
            id_domain="gw1", call_id=call_id, tenant="main", source="test", switch="gw1",
            identity=Identity(account=str(payer)), called=to, calling="15551230001",
        )  # fmt: skip
        return replace(made, **changes)  # type: ignore[arg-type]

    async def ask(self, call_id: str, to: str = "442071231234", payer: Key = ALICE, **changes: object) -> Decided:
        result = await self.ocf.authorize(self.attempt(call_id, to, payer, **changes))
        assert isinstance(result, Decided)
        return result

    def report(self, call_id: str, payer: Key = ALICE, to: str = "442071231234", **changes: object) -> CallReport:
        attempt = self.attempt(call_id, to, payer, **changes.pop("road", {}))  # type: ignore[arg-type]
        return replace(CallReport(attempt, self.now), **changes)  # type: ignore[arg-type]

    async def answer(self, call_id: str, **changes: object) -> Outcome:
        return _outcome(await self.ocf.answered(self.report(call_id, **changes)))  # type: ignore[arg-type]

    async def alive(self, call_id: str, *, renew: bool = False, **changes: object) -> Outcome:
        return _outcome(await self.ocf.alive(self.report(call_id, **changes), renew=renew))  # type: ignore[arg-type]

    async def end(self, call_id: str, **changes: object) -> Outcome:
        return _outcome(await self.ocf.ended(self.report(call_id, **changes)))  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)


def _outcome(reported: Outcome | Replay | Conflict) -> Outcome:
    assert isinstance(reported, Outcome)
    return reported


def key(text: str, body: bytes = b"body") -> MessageKey:
    """Return a message key."""
    return MessageKey(text, body)


RENEWABLE: dict[str, object] = {"renewable": True}
INBOUND: dict[str, object] = {"direction": Direction.INBOUND}
