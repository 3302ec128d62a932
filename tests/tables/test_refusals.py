"""Every row of the table of refusals, by the pure core: the use cases over a store in memory."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from daemon.authorize.attempt import CallAttempt, Identity, PlainPassword
from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.charging.event import CallReport, Decided
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.config_files.scenario_file import read_scenario
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant, parse_rfc3339
from daemon.ledger.account import Entry, EntryKind, Standing, entry_applied
from tests.tables.prices_world import catalog_of
from tests.tables.refusals_world import SCENARIO, Player, Question, Row, rows
from tests.unit.charging.memory_store import MemoryStore

START = parse_rfc3339("2026-10-05T12:00:00Z")
BY_LINK = (Denial.STORE_UNAVAILABLE, Denial.OVERLOADED)  # of the store and the queue, not of an account
CASES_MIN = 3


@dataclass
class Core:
    """Charging without a road: a catalog, a store in memory, a clock that a row moves."""

    found: Catalog
    store: MemoryStore = field(default_factory=MemoryStore)
    now: Instant = START
    ids: int = 0

    def __post_init__(self) -> None:
        outside = Outside(now=lambda: self.now, new_id=self.new_id)
        self.ocf = OnlineCharging(self.store, self, self, outside, ChargingSettings())

    def new_id(self) -> str:
        self.ids += 1
        return f"g{self.ids}"

    def catalog(self) -> Catalog:
        return self.found

    async def append(self, record: dict[str, str]) -> None:
        raise AssertionError(f"no emergency here: {record}")

    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    def fund(self, number: int, amount: int) -> None:
        after, entry = entry_applied(Standing(number), Entry(number, EntryKind.TOP_UP, self.now, amount=amount))
        self.store.standings[number] = after
        self.store.entries.append(entry)

    def attempt(self, call_id: str, question: Question) -> CallAttempt:
        stated = dict(question.identity)
        password = stated.pop("password", None)
        identity = Identity(account=question.account, **stated)  # type: ignore[arg-type]  # the table's own names
        if password is not None:
            identity = replace(identity, credential=PlainPassword(password))
        return CallAttempt(
            "gw", call_id, "main", "table", "gw", identity, question.to, direction=Direction(question.direction)
        )

    async def ask(self, call_id: str, question: Question) -> str:
        decided = await self.ocf.authorize(self.attempt(call_id, question))
        assert isinstance(decided, Decided)
        return decided.decision.denial.value if isinstance(decided.decision, Denied) else "granted"

    async def answer(self, call_id: str, question: Question) -> None:
        await self.ocf.answered(CallReport(self.attempt(call_id, question), self.now))

    async def end(self, call_id: str, question: Question, seconds: int) -> None:
        report = CallReport(self.attempt(call_id, question), self.now, duration_us=seconds * SECOND)
        await self.ocf.ended(report)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(SCENARIO)


@pytest.mark.parametrize("row", rows(), ids=str)
async def test_each_question_is_answered_with_its_word(row: Row, catalog: Catalog) -> None:
    core = Core(catalog)
    scenario, problems = read_scenario(SCENARIO, token_ids=("switch",))
    assert scenario is not None, problems
    for spec in scenario.accounts:
        number = next(terms.number for key, terms in catalog.accounts.items() if key == (spec.tenant, spec.id))
        core.fund(number, spec.balance)
    assert await Player(core.ask, core.answer, core.end, core.wait).code(row) == row.code


def test_every_code_has_its_cases() -> None:
    cases = Counter(row.code for row in rows())
    assert {denial: cases[denial.value] for denial in Denial if cases[denial.value] < CASES_MIN} == dict.fromkeys(
        BY_LINK, 0
    )
