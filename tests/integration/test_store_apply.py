"""What persons change: scenarios, accounts, money, tokens; each change once, on record, and nothing left dangling."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind, Emergency, Status
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    ConversionSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, format_rfc3339
from daemon.kernel.money import NANO, NANO_MAX
from daemon.ledger.account import EntryKind
from daemon.rating.deck import RateRow
from daemon.store import audit
from daemon.store.administration import KeyConflict
from daemon.store.objects import ObjectChange, Refused, Spec
from daemon.store.schema import metadata
from tests.integration.store_world import (
    ACME,
    OPENING,
    RETAIL,
    RITA,
    SCENARIO,
    START,
    World,
    deck,
    decks,
    findings,
    opened,
)

pytestmark = pytest.mark.usefixtures("engine")


def with_changed(key: Key, **changes: object) -> list[Spec]:
    """Return the scenario with one account changed."""
    return [
        replace(spec, **changes) if isinstance(spec, AccountSpec) and (spec.tenant, spec.id) == key else spec  # type: ignore[arg-type]
        for spec in SCENARIO
    ]


async def applied(world: World, specs: Sequence[Spec] = SCENARIO, *, dry_run: bool = False) -> list[ObjectChange]:
    difference = await world.store.apply(specs, decks(), who="clerk", dry_run=dry_run)
    assert not any(table.is_change for table in difference.decks)
    return list(difference.objects)


async def test_the_same_scenario_again_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        before = await world.store.load_configuration()
        difference = await world.store.apply(SCENARIO, decks(), who="clerk")
        assert difference.is_empty
        assert difference.unchanged == len(SCENARIO)
        assert not await world.store.changed(before.revision)
        assert await world.store.load_configuration() == before
        assert await world.balance(ACME) == 25 * NANO
        versions = await world.store.rows("SELECT rate_table, version FROM deck_version")
        assert {version for _table, version in versions} == {1}
    assert await findings(tmp_path) == []


async def test_an_opening_balance_is_given_once_and_is_an_entry(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        assert await applied(world, with_changed(ACME, balance=99 * NANO)) == []
        assert await world.balance(ACME) == 25 * NANO
        entries = await world.store.entries(ACME)
        assert [(entry["kind"], entry["amount"], entry["key"], entry["who"]) for entry in entries] == [
            ("top_up", 25 * NANO, "opening", "test")
        ]


async def test_a_changed_field_is_named_and_on_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        before = await world.store.load_configuration()
        limit = replace(before.accounts[0], credit_limit=5 * NANO)
        made = await applied(world, with_changed(ACME, credit_limit=5 * NANO), dry_run=True)
        assert not await world.store.changed(before.revision), "a dry run changes nothing"
        assert await applied(world, with_changed(ACME, credit_limit=5 * NANO)) == made
        assert made == [ObjectChange("change", "account", "main/acme", "credit_limit: 0.00 -> 5.00")]
        after = await world.store.load_configuration()
        assert after.accounts == (limit, *before.accounts[1:])
        assert after.revision == before.revision + 1
        record = (await world.store.changes_of("account", ACME))[-1]
        assert (record["who"], record["act"], record["reason"], record["at"]) == ("clerk", "change", "apply", START)


async def test_secrets_are_named_without_their_values(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        changed = with_changed(ACME, identities=())
        assert [change.detail for change in await applied(world, changed)] == ["identities"]


async def test_objects_that_a_file_does_not_name_are_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        before = await world.store.load_configuration()
        difference = await world.store.apply([SCENARIO[0]], {}, who="clerk")
        assert difference.is_empty
        assert (await world.store.load_configuration()).accounts == before.accounts


async def test_what_a_person_changed_stays_until_the_file_states_something_new(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.store.set_status(ACME, Status.SUSPENDED, who="guard", reason="fraud")
        difference = await world.store.apply(SCENARIO, decks(), who="clerk")
        assert difference.is_empty
        assert difference.kept == (ObjectChange("keep", "account", "main/acme", "status: suspended"),)
        view = await world.store.account_view(ACME)
        assert view is not None
        assert view.spec.status is Status.SUSPENDED
        # Another field of the file moves, and the status is still the guard's.
        await applied(world, with_changed(ACME, credit_limit=NANO))
        view = await world.store.account_view(ACME)
        assert view is not None
        assert (view.spec.status, view.spec.credit_limit) == (Status.SUSPENDED, NANO)
        await applied(world, with_changed(ACME, credit_limit=NANO, status=Status.CLOSED))
        view = await world.store.account_view(ACME)
        assert view is not None
        assert view.spec.status is Status.CLOSED
        acts = [(change["who"], change["reason"]) for change in await world.store.changes_of("account", ACME)]
        assert acts == [("test", "apply"), ("guard", "fraud"), ("clerk", "apply"), ("clerk", "apply")]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (TenantSpec("other", "USD"), "only the owner has none"),
        (TenantSpec("sub", "USD", parent="nobody", account="x"), "there is no tenant nobody"),
        (TenantSpec("sub", "USD", parent="main", account="x"), "there is no account main/x"),
        (TenantSpec("sub", "EUR", parent="main", account="acme"), "its account with its parent is in USD"),
        (RatePlanSpec("main", "new", ("nowhere",)), "one of its tables nowhere does not exist"),
        (CarrierSpec("main", "new", "nowhere", "x"), "there is no rate table nowhere"),
        (AccountSpec("main", "new", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("no"),)), "no rate plan no"),
        (AccountSpec("main", "new", AccountKind.PREPAID, "EUR", rate_plan=(PlanFrom("retail"),)), "is in EUR"),
        (RateTableSpec("nobody", "new", "USD"), "there is no tenant nobody"),
        (RateTableSpec("main", "retail", "EUR"), "currency is USD and cannot be changed to EUR"),
        (TenantSpec("main", "EUR"), "currency is USD and cannot be changed"),
    ],
)
async def test_what_the_daemon_could_not_load_is_refused_whole(tmp_path: Path, spec: Spec, fault: str) -> None:
    async with opened(tmp_path) as world:
        before = await world.store.load_configuration()
        with pytest.raises(Refused, match=fault):
            await world.store.apply([AccountSpec("main", "fine", AccountKind.PREPAID, "USD"), spec], {}, who="clerk")
        assert await world.store.load_configuration() == before
        await world.store.load_catalog(Emergency())


async def test_a_catalog_is_built_anew_only_where_a_deck_changed(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        before = world.catalog()
        await world.store.set_status(ACME, Status.SUSPENDED, who="guard", reason="fraud")
        await world.load()
        assert world.catalog().accounts[ACME].status is Status.SUSPENDED
        assert all(world.catalog().tables[key] is before.tables[key] for key in before.tables)
        await world.store.apply(SCENARIO, {RETAIL: deck("prefix,rate\n44,0.70\n")}, who="clerk")
        await world.load()
        assert [key for key in before.tables if world.catalog().tables[key] is not before.tables[key]] == [RETAIL]


async def test_a_deck_that_a_file_changed_is_on_record_with_its_author(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        dearer = {RETAIL: deck("prefix,rate\n44,0.70\n")}
        await world.store.apply(SCENARIO, dearer, who="clerk", reason="dearer by contract")
        wanted = audit.Wanted(kind="rate_table", key=RETAIL)
        listed = await world.store.reading(lambda link: audit.listed(link, wanted))
        (told,) = [change for change in listed if change["act"] == "rates"]
        assert (told["detail"], told["who"]) == ("version 2 (replace)", "clerk")
        assert told["reason"] == "dearer by contract"


async def test_a_table_without_a_deck_prices_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.store.create_object(RateTableSpec("main", "empty", "USD"), who="clerk", reason="")
        await world.load()
        assert len(world.catalog().tables[Key("main", "empty")]) == 0


async def test_a_top_up_counts_once_for_its_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for repeated in (False, True, True):
            done = await world.store.credit(ACME, EntryKind.TOP_UP, 5 * NANO, key="k", who="clerk", reason="cash")
            assert (done.repeated, done.view.standing.balance) == (repeated, 30 * NANO)
        with pytest.raises(KeyConflict, match=r"for a top up of 5\.00"):
            await world.store.credit(ACME, EntryKind.TOP_UP, 6 * NANO, key="k", who="clerk", reason="cash")
        with pytest.raises(KeyConflict):
            await world.store.credit(ACME, EntryKind.ADJUST, 5 * NANO, key="k", who="clerk", reason="cash")
        assert await world.balance(ACME) == 30 * NANO
        assert (
            await world.store.credit(RITA, EntryKind.TOP_UP, NANO, key="k", who="clerk", reason="")
        ).repeated is False
        for _ in range(2):  # without a key each counts
            await world.store.credit(ACME, EntryKind.ADJUST, -NANO, key="", who="clerk", reason="goodwill")
        assert await world.balance(ACME) == 28 * NANO
        last = (await world.store.entries(ACME))[-1]
        assert (last["who"], last["reason"], last["at"], last["key"]) == ("clerk", "goodwill", START, None)
    assert await findings(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "amount", "key"),
    [
        (EntryKind.TOP_UP, 0, ""),
        (EntryKind.TOP_UP, -1, ""),
        (EntryKind.ADJUST, 0, ""),
        (EntryKind.TOP_UP, 1, "k" * 201),
    ],
)
async def test_a_credit_that_means_nothing_is_refused(tmp_path: Path, kind: EntryKind, amount: int, key: str) -> None:
    async with opened(tmp_path) as world:
        with pytest.raises(Refused):
            await world.store.credit(ACME, kind, amount, key=key, who="clerk", reason="")
        with pytest.raises(Refused, match="there is no account main/nobody"):
            await world.store.credit(Key("main", "nobody"), EntryKind.TOP_UP, 1, key="", who="clerk", reason="")


async def test_a_balance_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        with pytest.raises(Refused, match="64 bits"):
            await world.store.credit(ACME, EntryKind.TOP_UP, NANO_MAX, key="", who="clerk", reason="")
        assert await world.balance(ACME) == 25 * NANO


async def test_money_that_arrives_pays_a_debt_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1", ACME)
        await world.answer("c1", ACME)
        await world.end("c1", 9_000, ACME)  # 90.00 of which 25.00 can be paid
        view = await world.store.account_view(ACME)
        assert view is not None
        assert (view.standing.balance, view.standing.uncollected, view.available) == (0, 65 * NANO, -65 * NANO)
        done = await world.store.credit(ACME, EntryKind.TOP_UP, 70 * NANO, key="k", who="clerk", reason="")
        assert (done.view.standing.balance, done.view.standing.uncollected) == (5 * NANO, 0)
    assert await findings(tmp_path) == []


async def test_accounts_are_created_once_listed_and_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        spec = AccountSpec("main", "new", AccountKind.POSTPAID, "USD", balance=-NANO, credit_limit=None)
        await world.store.create_object(spec, who="clerk", reason="a customer")
        with pytest.raises(Refused, match="account main/new exists"):
            await world.store.create_object(spec, who="clerk", reason="again")
        with pytest.raises(Refused, match="there is no tenant nobody"):
            await world.store.create_object(replace(spec, tenant="nobody"), who="clerk", reason="")
        views = await world.store.account_views()
        assert [(view.spec.tenant, view.spec.id) for view in views] == [
            ("main", "acme"), ("main", "new"), ("main", "ray-trunk"), ("ray", "rita"),
        ]  # fmt: skip
        assert [view.spec.id for view in await world.store.account_views(["ray"])] == ["rita"]
        assert (views[1].available, views[1].standing.balance) == (None, -NANO)
        assert await world.store.account_view(Key("main", "nobody")) is None
        with pytest.raises(Refused):
            await world.store.set_status(Key("main", "nobody"), Status.CLOSED, who="clerk", reason="")


async def test_a_token_is_kept_as_its_digest_and_revoked(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        name, text = await world.store.create_token("ray", "switch", name="pbx", who="clerk")
        assert name == "pbx"
        tokens = (await world.store.load_configuration()).tokens
        assert [(token.tenant, token.sha256) for token in tokens] == [
            ("ray", hashlib.sha256(text.encode()).hexdigest())
        ]
        for table in metadata.tables:
            rows = await world.store.rows(f"SELECT * FROM {table}")
            assert not any(text in (value.decode() if isinstance(value, bytes) else str(value))
                           for row in rows for value in row)  # fmt: skip
        await world.store.revoke_token("ray", "pbx", who="clerk", reason="lost")
        assert (await world.store.load_configuration()).tokens[0].revoked
        with pytest.raises(Refused):
            await world.store.revoke_token("ray", "nobody", who="clerk", reason="lost")
        with pytest.raises(Refused):
            await world.store.create_token("nobody", "switch", who="clerk")


async def test_batches_for_invoicing_are_cut_in_the_order_of_commits(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        assert await world.store.export_tenants() == ["main", "ray"]
        await world.whole("c1")
        first = await world.store.begin_stored_batch("ray", START, "UTC")
        assert (first.sequence, first.after_seq, first.begins, first.manifest_sha256) == (1, 0, 0, "")
        await world.whole("c2")
        assert await world.store.begin_stored_batch("ray", START + 1, "UTC") == first
        found = [record async for record in world.store.records("ray", first.after_seq, first.until_seq)]
        assert [record.call_id for _seq, record in found] == ["c1"]
        await world.store.finish_batch("ray", 1, "ab" * 32)
        await world.store.finish_batch("ray", 1, "ab" * 32)
        second = await world.store.begin_stored_batch("ray", START - 5, "UTC")
        assert (second.sequence, second.after_seq, second.begins) == (2, first.until_seq, first.until)
        assert second.until == first.until, "a clock that fell back cuts no period before its beginning"
        assert second.previous_manifest_sha256 == "ab" * 32
        found = [record async for record in world.store.records("ray", second.after_seq, second.until_seq)]
        assert [record.call_id for _seq, record in found] == ["c2"]
        assert len(await world.store.stored_batches("ray")) == 2
    assert await findings(tmp_path) == []


async def test_calls_are_found_by_their_id_and_by_when_they_are_due(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")
        world.now += 1
        await world.ask("c2")
        assert [call.call_id for call in await world.store.open_calls()] == ["c1", "c2"]
        due = (await world.store.open_calls())[0].due_at
        assert await world.store.due_calls(due - 1, 10) == []
        assert [call.call_id for call in await world.store.due_calls(due, 10)] == ["c1"]
        assert [call.call_id for call in await world.store.due_calls(due + 1, 1)] == ["c1"]
        assert [call.grant_id for call in await world.store.find_calls("c2")] == [
            call.grant_id for call in await world.store.find_calls((await world.store.open_calls())[1].grant_id)
        ]
        await world.end("c1", 0)
        assert [call.call_id for call in await world.store.open_calls()] == ["c2"]
        assert await world.balance(RITA) == OPENING


async def test_open_calls_are_found_by_who_pays_at_any_level(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")
        await world.ask("c2")
        await world.ask("c3")
        await world.end("c3", 0)
        (call, _) = await world.store.open_calls()
        for level in call.levels:
            found = await world.store.open_calls_of((level.account,), 10)
            assert [each.call_id for each in found] == ["c1", "c2"], level.key
        assert [each.call_id for each in await world.store.open_calls_of(call.accounts, 1)] == ["c1"]
        assert await world.store.open_calls_of((call.levels[0].account * 10 + 9,), 10) == []
        assert {route.account for route in call.routes}.isdisjoint(level.account for level in call.levels)
        assert await world.store.open_calls_of(tuple(route.account for route in call.routes) or (0,), 10) == []


async def test_rows_of_a_deck_travel_whole(tmp_path: Path) -> None:
    text = (
        "prefix,destination,rate,connect_fee,first_seconds,next_seconds,free_seconds,included_seconds,minimum_charge,"
        "effective_from,effective_to,rate_type,blocked\n"
        '44,"UK, fixed",0.123456789,0.01,30,6,5,10,0.02,2026-01-01T00:00:00Z,2030-01-01T00:00:00Z,per_minute,yes\n'
    )
    wanted: list[RateRow] = deck(text)
    async with opened(tmp_path) as world:
        await world.store.create_object(RateTableSpec("main", "t", "USD"), who="clerk", reason="")
        await world.store.apply([], {Key("main", "t"): wanted}, who="clerk")
        await world.load()
        tariff = world.catalog().tables[Key("main", "t")].match("441", START)
        assert tariff is not None
        terms = wanted[0].terms
        assert (tariff.rate, tariff.destination, tariff.blocked, tariff.deck_version) == (
            123_456_789,
            "UK, fixed",
            True,
            1,
        )
        assert (tariff.connect_fee, tariff.first_seconds, tariff.next_seconds, tariff.free_seconds) == terms[:4]
        assert (tariff.included_seconds, tariff.minimum_charge) == terms[4:6]


@pytest.mark.usefixtures("engine")
async def test_a_changed_rate_is_told_as_people_write_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        begins = world.now + DAY
        rate = ConversionSpec("main", "EUR", "USD", 1_085_000_000, begins)
        await world.store.apply([rate], {}, who="ann")
        difference = await world.store.apply([replace(rate, rate=1_090_000_000, ends=begins + DAY)], {}, who="ann")
        (change,) = difference.objects
        assert change.detail == f"rate: 1.085 -> 1.09, ends: never -> {format_rfc3339(begins + DAY)}"
