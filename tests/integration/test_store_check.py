"""Each invariant of the ledger is broken by hand, and the check names it; a sound store has no finding at all."""

from pathlib import Path

import pytest

from daemon.charging.ports import StoreError
from daemon.store.check import FINDINGS_MAX, check_file, check_store
from tests.integration.store_world import ACME, START, altered, findings, opened


@pytest.fixture
async def lived_in(tmp_path: Path, engine: str) -> Path:
    """Return the folder of a store, on each engine, with settled, open, voided and reversed calls."""
    async with opened(tmp_path) as world:
        await world.whole("c1")
        await world.whole("c2", 30, ACME)
        await world.ask("c3")
        await world.ask("c4", ACME)
        await world.answer("c4", ACME)
        await world.ask("c5")
        await world.end("c5", 0)
        world.now += 3 * 86_400_000_000
        await world.ocf.expire_due()  # c4 is settled by an estimate …
        await world.end("c4", 100, ACME)  # … which its late end reverses
        await world.ask("c6")
        batch = await world.store.begin_stored_batch("ray", START, "UTC")
        await world.store.finish_batch("ray", batch.sequence, "ab" * 32)
        await world.store.begin_stored_batch("ray", START, "UTC")
        assert await check_store(world.store) == []
    del engine
    return tmp_path


async def broken(folder: Path, *statements: str) -> list[tuple[str, str]]:
    """Break a store by hand, past its constraints; return the invariants and subjects that the check names."""
    await altered(folder, *statements)
    return [(finding.invariant, finding.subject) for finding in await findings(folder)]


async def test_the_store_has_all_that_can_break(lived_in: Path) -> None:
    async with opened(lived_in) as world:
        states = {row[0] for row in await world.store.rows("SELECT state FROM call")}
        kinds = {row[0] for row in await world.store.rows("SELECT kind FROM entry")}
        statuses = {row[0] for row in await world.store.rows("SELECT status FROM record")}
    assert states == {"settled", "granted", "voided", "expired"}
    assert {"reserve", "debit", "release", "expire", "refund", "top_up"} <= kinds
    assert statuses == {"rated", "reversal"}


@pytest.mark.parametrize("field", ["balance", "uncollected"])
async def test_a_standing_that_is_not_the_sum_of_its_entries(lived_in: Path, field: str) -> None:
    found = await broken(lived_in, f"UPDATE account SET {field} = {field} + 7 WHERE id = 'acme'")
    assert found == [("standings", "customer main/acme (2)")]


@pytest.mark.parametrize("field", ["reserved", "channels_in", "channels_out"])
async def test_what_is_held_without_an_open_call(lived_in: Path, field: str) -> None:
    found = await broken(lived_in, f"UPDATE account SET {field} = {field} + 1 WHERE id = 'carrier-a'")
    assert found == [("standings", "carrier main/carrier-a (1)"), ("open calls", "main/carrier-a")]


async def test_an_entry_that_was_altered(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE entry SET amount = amount - 5 WHERE number = (SELECT max(number) FROM entry"
                   " WHERE kind = 'debit' AND account = (SELECT number FROM account WHERE id = 'acme'))")  # fmt: skip
    assert [invariant for invariant, _subject in found] == ["standings", "running balances", "records"]


async def test_an_entry_that_says_another_balance(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE entry SET balance_after = 1 WHERE number = 2")
    assert found == [("running balances", "entry 2")]


async def test_an_open_call_that_is_gone(lived_in: Path) -> None:
    found = await broken(lived_in, "DELETE FROM call WHERE call_id = 'c6'")
    assert {invariant for invariant, _subject in found} == {"open calls", "held by calls"}
    accounts = {subject for invariant, subject in found if invariant == "open calls"}
    assert accounts == {"main/ray-trunk", "ray/rita", "main/carrier-a"}


async def test_entries_that_hold_for_another_call(lived_in: Path) -> None:
    newest = (
        "(SELECT max(number) FROM entry WHERE pending > 0 AND account = (SELECT number FROM account WHERE id = 'rita'))"
    )
    found = await broken(lived_in, f"UPDATE entry SET grant_id = 'g1' WHERE number = {newest}")
    assert {invariant for invariant, _subject in found} == {"held by calls"}
    assert len({subject for _invariant, subject in found}) == 2, "one that holds too much, one that holds nothing"


async def test_a_call_whose_columns_do_not_say_what_its_body_says(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE call SET is_open = 1, due_at = 5 WHERE call_id = 'c1'")
    assert ("calls", "grant g1") in found


async def test_a_debit_without_its_record(lived_in: Path) -> None:
    found = await broken(lived_in, "DELETE FROM record WHERE grant_id = 'g1' AND tenant = 'ray'")
    assert set(found) == {("records", "grant g1")}


async def test_a_record_without_its_debit(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE record SET charge = charge + 1 WHERE grant_id = 'g1' AND tenant = 'main'")
    assert {invariant for invariant, _subject in found} == {"records"}
    assert ("records", "grant g1") in found


async def test_a_reversal_that_is_gone(lived_in: Path) -> None:
    found = await broken(lived_in, "DELETE FROM record WHERE status = 'reversal'")
    assert {invariant for invariant, _subject in found} == {"records"}


@pytest.mark.parametrize(
    ("index", "statement", "subject"),
    [
        ("entry_by_key", "INSERT INTO entry (account, kind, at, grant_id, amount, pending, uncollected, channels_in,"
         " channels_out, balance_after, reserved_after, key, who, reason) SELECT account, kind, at, grant_id, 0, 0, 0,"
         " 0, 0, (SELECT balance FROM account WHERE id = 'acme'), (SELECT reserved FROM account WHERE id = 'acme'),"
         " key, who, reason FROM entry WHERE key = 'opening' AND account ="
         " (SELECT number FROM account WHERE id = 'acme')", "entry (2, opening)"),
    ],
)  # fmt: skip
async def test_a_key_that_is_there_twice(lived_in: Path, index: str, statement: str, subject: str) -> None:
    found = await broken(lived_in, f"DROP INDEX {index}", statement)
    assert {("schema", "entry"), ("unique keys", subject)} <= set(found)
    assert {invariant for invariant, _subject in found} == {"schema", "unique keys", "entries"}


async def test_a_fraction_of_a_nano_unit_where_a_column_takes_it(lived_in: Path, engine: str) -> None:
    found = await broken(lived_in, "UPDATE record SET cost = 0.5 WHERE grant_id = 'g1' AND tenant = 'ray'")
    assert {invariant for invariant, _subject in found} == (
        {"whole numbers", "records"} if engine == "sqlite" else {"records"}
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET body = replace(body, '\"charge\":', '\"charge\":9') WHERE grant_id = 'g1'",
        "UPDATE record SET body = 'no JSON' WHERE grant_id = 'g1'",
        "UPDATE record SET tenant = 'main' WHERE grant_id = 'g1' AND tenant = 'ray'",
        "UPDATE record SET currency = 'EUR' WHERE grant_id = 'g1'",
        "UPDATE call SET body = replace(body, '\"posted\":[{\"charge\":', '\"posted\":[{\"charge\":9')"
        " WHERE grant_id = 'g1'",
    ],
)  # fmt: skip
async def test_what_is_handed_off_is_what_was_charged(lived_in: Path, statement: str) -> None:
    found = await broken(lived_in, statement)
    assert {invariant for invariant, _subject in found} == {"records"}, found


async def test_a_record_of_another_time_than_its_entries(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE record SET settled_at = settled_at + 1 WHERE grant_id = 'g1'")
    assert {invariant for invariant, _subject in found} == {"records", "entries"}


@pytest.mark.parametrize("column", ["requested_at = requested_at + 1", "switch = 'other'", "due_at = due_at + 1"])
async def test_a_column_of_a_call_that_its_body_does_not_say(lived_in: Path, column: str) -> None:
    found = await broken(lived_in, f"UPDATE call SET {column} WHERE grant_id = 'g1'")
    assert found == [("calls", "grant g1")]


async def test_an_entry_and_a_call_of_nobody(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE account SET number = 99 WHERE id = 'ray-trunk'")
    assert {"references", "standings", "open calls"} <= {invariant for invariant, _subject in found}
    found = await broken(lived_in, "DELETE FROM account WHERE number = 99")
    assert ("references", "account main/ray-trunk") in found


async def test_a_gap_between_batches(lived_in: Path) -> None:
    found = await broken(lived_in, "UPDATE export_batch SET after_seq = after_seq - 1 WHERE sequence = 2")
    assert found == [("export batches", "ray-00000002")]


async def test_another_schema(lived_in: Path) -> None:
    async with opened(lived_in) as world:
        await altered(lived_in, "UPDATE alembic_version SET version_num = '0000'")
        found = await check_store(world.store)
    assert [(finding.invariant, finding.subject) for finding in found] == [("schema", "alembic_version")]


async def test_findings_are_bounded(lived_in: Path) -> None:
    many = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1200)"
        " INSERT INTO account (role, tenant, id, balance) SELECT 'customer', 'main', 'a' || x, 5 FROM n"
    )
    found = await broken(lived_in, many)
    assert len(found) == FINDINGS_MAX + 1
    assert found[-1] == ("standings", "and more")


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        check_file(tmp_path / "nothing.db")
    (tmp_path / "text.db").write_text("a text " * 1000)
    with pytest.raises(StoreError, match="no SQLite file"):
        check_file(tmp_path / "text.db")


async def test_a_call_whose_row_cannot_be_read_is_named_and_keeps_no_other_from_expiry(lived_in: Path) -> None:
    await altered(lived_in, "UPDATE call SET body = '{}' WHERE call_id = 'c6'")
    assert any("cannot be read" in finding.detail for finding in await findings(lived_in))
    async with opened(lived_in, prefix="after") as world:
        await world.ask("c7")
        world.now += 4 * 86_400_000_000
        resolved = await world.ocf.expire_due()
        assert "c7" in {call.call_id for call in resolved}
        assert len(world.store.unreadable) == 1
        assert "c6" not in {call.call_id for call in await world.store.open_calls()}
