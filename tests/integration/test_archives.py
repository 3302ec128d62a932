"""Closed months leave the store for files; what anybody sees of the ledger stays the same, and the check reads both."""

from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.billing_export.export import export_again
from daemon.billing_export.source import StoreSource
from daemon.billing_export.verify import verify_exports
from daemon.charging.configuration import AccountSpec, PlanFrom, TokenSpec
from daemon.charging.event import CallReport, Outcome
from daemon.charging.ports import Outside, StoreError, StoreUnavailable
from daemon.http_api.accounts import AccountDesk
from daemon.http_api.messages import TopUpRequest
from daemon.http_api.refusal import RequestRefused
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from daemon.ledger.bucket import BucketKind, Wanted
from daemon.store.administration import KeyConflict, Refused
from daemon.store.archive_files import PART_ROWS
from daemon.store.archives import month_begins
from daemon.store.check import check_store, findings
from daemon.store.link import Link
from tests.integration.archive_world import JANUARY, MONTH, NOW, archive_folder, archived, exported, lived, shown
from tests.integration.store_world import ACME, RITA, opened
from tests.integration.test_store_buckets import BOBBY, neighbour

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def _folder(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    del engine


async def test_what_left_the_store_is_seen_as_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        handed = await exported(world, tmp_path)
        before = await shown(world)
        done = await archived(world)
        assert [month.month for month in done] == ["2026-01", "2026-02"]
        assert all(month.entries and month.calls == 5 and month.records == 6 and not month.kept for month in done)
        assert await shown(world) == before
        assert await check_store(world.store) == []
        assert (await world.store.rows("SELECT count(*) FROM call"))[0][0] == 2 * 5
        assert await world.store.rows("SELECT min(at) FROM entry") > [(JANUARY + MONTH,)]
        assert await archived(world) == []
        again = await export_again(StoreSource(world.store), tmp_path / "exports", "main", 1)
        assert [each.manifest_sha256 for each in handed if each.tenant == "main"] == [again.manifest_sha256]
        assert await verify_exports(StoreSource(world.store), tmp_path / "exports") == []
        await world.whole("new", 5, ACME)
        assert await check_store(world.store) == []


async def test_a_month_of_many_files_is_one_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for table, rows in (("entry", 5), ("call", 2), ("record", 2)):
        monkeypatch.setitem(PART_ROWS, table, rows)
    monkeypatch.setattr("daemon.store.archiving.STEP_MIN", 2)
    monkeypatch.setattr("daemon.store.archiving.PAGE_CALLS", 3)
    monkeypatch.setattr("daemon.store.archiving.PAGE_ENTRIES", 4)
    monkeypatch.setattr("daemon.store.ledger_store.PAGE_ROWS", 3)
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        before = await shown(world)
        await archived(world)
        names = {path.name for path in (archive_folder(tmp_path) / "2026-02").iterdir()}
        assert {"entry-00004.parquet", "call-00003.parquet", "record-00003.parquet"} <= names
        assert await shown(world) == before
        assert await check_store(world.store) == []


async def test_aliases_leave_with_their_calls(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now = JANUARY
        report = CallReport(world.attempt("c1"), world.now, aliases=("x", "y"), duration_us=5 * SECOND)
        assert isinstance(await world.ocf.ended(report), Outcome)
        world.now += 6 * MONTH
        await exported(world, tmp_path)
        assert (await world.store.rows("SELECT count(*) FROM call_alias"))[0][0] == 2
        await archived(world)
        assert (await world.store.rows("SELECT count(*) FROM call_alias"))[0][0] == 0


async def test_archived_calls_and_entries_say_where_they_are(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        assert [month for month, _call in await world.store.find_archived_calls("m1-1")] == ["2026-02"]
        assert await world.store.find_calls("m1-1") == []
        assert await world.store.find_archived_calls("m3-1") == []
        places = [row["archive"] for row in await world.store.history(ACME)]
        assert sorted(set(map(str, places))) == ["", "2026-01", "2026-02"]
        newest = await world.store.history(ACME, 3)
        assert [row["archive"] for row in newest] == ["", "", ""]


async def test_a_month_whose_records_were_not_exported_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        with pytest.raises(StoreError, match=r"2026-01 cannot be archived: no finished export .*'tollway export run'"):
            await archived(world)
        assert not list(archive_folder(tmp_path).iterdir())
        await exported(world, tmp_path)
        assert len(await archived(world, before="2026-02")) == 1


async def test_months_that_a_late_report_may_need_stay(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        with pytest.raises(
            StoreError, match="2026-04 is too late: 3 months before this one are kept, so at most 2026-03"
        ):
            await archived(world, before="2026-04")
        assert [month.month for month in await archived(world, keep=1)][-1] == "2026-04"


async def test_a_top_up_sent_again_never_pays_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        balance = await world.balance(ACME)
        again = await world.store.credit(ACME, EntryKind.TOP_UP, 5 * NANO, key="top-0", who="test", reason="paid")
        assert again.repeated
        assert await world.balance(ACME) == balance
        with pytest.raises(KeyConflict, match="for a top up of 5"):
            await world.store.credit(ACME, EntryKind.TOP_UP, 6 * NANO, key="top-0", who="test", reason="paid")


async def test_a_top_up_over_http_sent_again_never_pays_twice(tmp_path: Path) -> None:
    """The answer is forgotten after two days, and the entry leaves with its month: the key stays spent."""
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        desk = AccountDesk(world.ocf, world.store, Outside(lambda: world.now, world.new_id))
        token, balance = TokenSpec("desk", "main", "billing", "0" * 64), await world.balance(ACME)
        for amount in ("5.00", "6.00"):
            with pytest.raises(RequestRefused) as refusal:
                await desk.top_up(token, "", "acme", "top-0", TopUpRequest(amount=amount, reason="paid"))
            assert refusal.value.status == 409
        assert await world.balance(ACME) == balance
        first, again = [
            await desk.top_up(token, "", "acme", "fresh", TopUpRequest(amount="1.00", reason="paid")) for _ in range(2)
        ]
        assert first == again
        assert await check_store(world.store) == []


async def test_a_key_that_was_spent_twice_is_named_and_keeps_no_month_from_leaving(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        spent = "UPDATE entry SET key = 'top-0' WHERE key = 'top-2'"  # as an older release let it be
        await world.store.administer(lambda link: link.execute(spent) and None)
        (fault,) = await check_store(world.store)
        assert fault.invariant == "spent keys"
        assert "is of a key that was spent before" in fault.detail
        world.now += MONTH
        await exported(world, tmp_path)
        assert [month.month for month in await archived(world)] == ["2026-03"]
        assert {fault.invariant for fault in await check_store(world.store)} == {"spent keys"}


async def test_a_late_report_on_an_archived_call_is_listed_and_never_charged(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        before = await shown(world)
        for _ in range(2):
            late = CallReport(world.attempt("m1-1"), JANUARY + MONTH + 99 * SECOND, duration_us=99 * SECOND)
            outcome = await world.ocf.ended(late)
            assert isinstance(outcome, Outcome)
            assert outcome.call is None
        assert await shown(world) == before
        (item,) = [item for item in await world.store.exceptions() if item["kind"] == "archived"]
        assert item["call_id"] == "m1-1"
        assert "99 seconds from 2026-02-10T12:00:00" in str(item["detail"])
        started = await world.ocf.answered(CallReport(world.attempt("never-seen"), JANUARY))
        assert isinstance(started, Outcome)
        assert started.call is None
        assert await check_store(world.store) == []


async def test_a_late_end_of_a_call_that_is_kept_still_corrects_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now = JANUARY + 2 * MONTH
        await world.ask("c1")
        await world.answer("c1")
        world.now += 2 * DAY
        await world.ocf.expire_due()
        await world.whole("old", 5)
        world.now += 3 * MONTH
        await exported(world, tmp_path)
        await archived(world)
        world.now += DAY
        assert (await world.end("c1", 100)).duration_us == 100 * SECOND
        assert await check_store(world.store) == []


async def test_a_call_that_changes_while_it_leaves_stays(tmp_path: Path) -> None:
    """A late report comes after the files were written: the call and its records stay, and count once."""
    async with opened(tmp_path) as world:
        world.now = JANUARY
        await world.ask("c1")
        await world.answer("c1")
        world.now += DAY
        await world.ocf.expire_due()
        await world.whole("c2", 5)
        world.now += 6 * MONTH
        await exported(world, tmp_path)
        plain = world.store.rows

        async def rows(query: str, parameters: object = ()) -> list[tuple[object, ...]]:
            if query.startswith("SELECT calls_done"):
                await world.end("c1", 7)
            return await plain(query, parameters)  # type: ignore[arg-type]

        world.store.rows = rows  # type: ignore[method-assign]
        (january, *_) = await archived(world)
        world.store.rows = plain  # type: ignore[method-assign]
        assert (january.calls, january.kept) == (2, 1)
        assert [call.duration_us for call in await world.store.find_calls("c1")] == [7 * SECOND]
        assert await world.store.find_archived_calls("c1") == []
        assert await check_store(world.store) == []
        world.now += 4 * MONTH
        await exported(world, tmp_path)
        assert sum(month.calls for month in await archived(world)) == 1
        assert [month for month, _call in await world.store.find_archived_calls("c1")] == ["2026-07"]
        assert await check_store(world.store) == []


async def test_two_do_not_archive_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as world, opened(tmp_path) as other:
        other.now = world.now
        await lived(world)
        await exported(world, tmp_path)
        async with other.store.alone_in_archiving():
            with pytest.raises(StoreUnavailable, match="another process archives from"):
                await archived(world)
        assert await archived(world)


async def test_another_stores_archive_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        theirs = archive_folder(tmp_path) / "2026-01"
        theirs.mkdir(parents=True)
        with pytest.raises(StoreError, match="2026-01 is there, and is not this store's"):
            await archived(world)
        assert list(theirs.iterdir()) == []


async def test_a_flipped_byte_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        for table in ("entry", "call", "record"):
            path = archive_folder(tmp_path) / "2026-01" / f"{table}-00001.parquet"
            written = path.read_bytes()
            middle = len(written) // 2
            path.write_bytes(written[:middle] + bytes([written[middle] ^ 1]) + written[middle + 1 :])
            found = await check_store(world.store)
            assert [(each.invariant, each.subject) for each in found] == [
                ("archives", f"2026-01/{path.name}"), ("archives", "sums"),
            ]  # fmt: skip
            assert found[0].detail == "it was altered: its SHA-256 is another one"
            path.write_bytes(written)


async def test_a_missing_file_month_or_manifest_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        month = archive_folder(tmp_path) / "2026-01"
        away = tmp_path / "away"
        for path, subject in (
            (month / "call-00001.parquet", "2026-01/call-00001.parquet"), (month / "manifest.json", "2026-01"),
            (month, "2026-01"), (month.parent, "2026-01"),
        ):  # fmt: skip
            path.rename(away)
            found = await check_store(world.store)
            assert found[0].subject == subject
            assert "missing" in found[0].detail
            with pytest.raises(StoreError, match="missing: put the archive back"):
                await world.store.find_archived_calls("m0-0")
            away.rename(path)
        assert await check_store(world.store) == []


async def test_a_manifest_written_anew_breaks_the_chain(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        path = archive_folder(tmp_path) / "2026-01" / "manifest.json"
        path.write_text(path.read_text().replace('"rows": 6', '"rows": 5'))
        assert "not the one that the store recorded" in (await check_store(world.store))[0].detail
        path.write_text("{}")
        assert "was altered" in (await check_store(world.store))[0].detail


class _RolledBackError(Exception):
    """Carries what was found out of a transaction that leaves nothing."""


async def test_what_stays_behind_is_held_against_the_files(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        await archived(world)
        for statement, invariant in (
            ("UPDATE opening SET balance = balance + 1", "openings"),
            ("UPDATE opening SET number = number + 1", "openings"),
            ("DELETE FROM spent_key WHERE key = 'top-0'", "spent keys"),
            ("UPDATE spent_key SET amount = 1 WHERE key = 'top-0'", "spent keys"),
            ("UPDATE spent_key SET bucket = 'other' WHERE key = 'top-0'", "spent keys"),
            ("UPDATE spent_key SET at = at + 1 WHERE key = 'top-0'", "spent keys"),
            ("UPDATE archive SET token = 'x' WHERE month = '2026-01'", "archives"),
            ("DELETE FROM archive WHERE month = '2026-01'", "archives"),
            ("DELETE FROM archive", "archives"),
            ("UPDATE archive SET calls_done = 0, is_done = 0", "records"),
        ):

            def work(link: Link, statement: str = statement) -> None:
                link.execute(statement)
                raise _RolledBackError({finding.invariant for finding in findings(link, archive_folder(tmp_path))})

            with pytest.raises(_RolledBackError) as broken:
                await world.store.administer(work)
            assert invariant in broken.value.args[0], statement
        assert await check_store(world.store) == []


async def test_a_row_in_both_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await lived(world)
        await exported(world, tmp_path)
        (call,) = await world.store.rows("SELECT * FROM call WHERE call_id = 'm0-0'")
        await archived(world)
        marks = ", ".join("?" * len(call))
        await world.store.administer(lambda link: link.execute(f"INSERT INTO call VALUES ({marks})", call) and None)
        found = await check_store(world.store)
        assert ("archives", f"call {call[0]}") in [(each.invariant, each.subject) for each in found]
        assert {each.invariant for each in found} == {"archives", "records"}, "its records are not in the store"


async def test_an_account_without_archives_has_its_history(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        assert [row["archive"] for row in await world.store.history(RITA)] == [""]
        assert await archived(world) == []


async def test_buckets_transfers_and_assertions_leave_with_their_entries(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world)
        world.now = JANUARY
        gift = Wanted("gift", BucketKind.PROMOTIONAL, 1, JANUARY + 6 * MONTH)
        await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="gift", who="w", reason="r", bucket=gift)
        await world.store.transfer(ACME, BOBBY, NANO, key="given", who="w", reason="r")
        await world.store.assert_balance(ACME, 25 * NANO, None, who="w", reason="r")
        await lived(world)
        await exported(world, tmp_path)
        before = await shown(world)
        assert [month.month for month in await archived(world)] == ["2026-01", "2026-02"]
        assert await shown(world) == before
        assert await check_store(world.store) == []
        assert (
            await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="gift", who="w", reason="r", bucket=gift)
        ).repeated
        with pytest.raises(KeyConflict):
            await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="gift", who="w", reason="r")
        assert (await world.store.transfer(ACME, BOBBY, NANO, key="given", who="w", reason="r")).repeated
        await world.store.create_object(
            AccountSpec("main", "other", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("retail"),)),
            who="w", reason="r",
        )  # fmt: skip
        for taker, amount in ((Key("main", "other"), NANO), (BOBBY, 2 * NANO)):
            with pytest.raises(KeyConflict):
                await world.store.transfer(ACME, taker, amount, key="given", who="w", reason="r")
        with pytest.raises(Refused, match="archived: state the balance at a later instant"):
            await world.store.assert_balance(ACME, 0, JANUARY, who="w", reason="r")
        view = await world.store.account_view(ACME)
        assert view is not None
        said = await world.store.assert_balance(ACME, view.standing.balance, world.now - 1, who="w", reason="r")
        assert said.holds
        await world.ocf.expire_due()
        await world.whole("new", 5, ACME)
        assert await check_store(world.store) == []
        await world.store.administer(
            lambda link: link.execute("UPDATE account SET buckets = replace(buckets, 'gift', 'left') WHERE id = 'acme'")
        )
        assert {finding.invariant for finding in await check_store(world.store)} == {"buckets"}


async def test_a_call_over_the_end_of_a_month_is_one_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now = month_begins("2026-02") - 10 * SECOND
        await world.ask("over", ACME)
        await world.answer("over", ACME)
        world.now += 30 * SECOND
        await world.end("over", 30, ACME)
        world.now = NOW
        await exported(world, tmp_path)
        assert [month.month for month in await archived(world, before="2026-02")] == ["2026-01"]
        assert await check_store(world.store) == []
        await archived(world)
        assert await check_store(world.store) == []


async def test_months_that_no_store_knows_are_named_where_nothing_was_archived(tmp_path: Path) -> None:
    """A backup of before the first archive, restored."""
    async with opened(tmp_path) as world:
        await lived(world)
        assert await check_store(world.store) == []
        (archive_folder(tmp_path) / "2026-01").mkdir(parents=True)
        (found,) = await check_store(world.store)
        assert (found.invariant, found.subject) == ("archives", "2026-01")
        assert "the store does not know of it" in found.detail
