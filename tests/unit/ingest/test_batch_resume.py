"""A run that was interrupted goes on only where everything is as it was, and says the way out where it is not."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ingest import batch_run
from daemon.ingest.batch_columns import FileRefused, RunStopped
from daemon.ingest.batch_output import CsvOutput
from daemon.ingest.batch_rules import AccountRule, BatchRules, plan_mark
from daemon.ingest.batch_run import BatchOrder, kept_rows, price_file
from daemon.kernel.money import NANO
from daemon.rating.account_rates import AccountRates, ClassOfService
from daemon.rating.conversion import Conversions, StatedRate
from daemon.rating.exchange import Exchange
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import RatePlan
from tests.unit.ingest.batch_world import ACCOUNTS, PLAN, RULES, RULES_WITH_TIERS, VOICE, row, table_of

LINE = "x,447,2026-11-23T09:00:00Z,60,plain\n"


class Killed(Exception):
    """Ends a run as a kill does."""


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, ending: str = ".csv") -> BatchOrder:
    """Leave a run of twenty rows after ten of them."""
    monkeypatch.setattr(batch_run, "CHECKPOINT_CHUNKS", 1)
    source = folder / "in.csv"
    source.write_text("id,to,start,duration_seconds,account\n" + LINE * 20)
    order = BatchOrder(source, folder / f"out{ending}", RULES, chunk_rows=5)

    def progress(rows: int, _done: int, _total: int) -> None:
        if rows == 15:
            raise Killed

    with pytest.raises(Killed):
        price_file(order, progress)
    return order


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_what_was_priced_is_not_priced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    order = interrupted(tmp_path, monkeypatch, ending)
    seen: list[int] = []
    assert price_file(order, lambda rows, _done, _total: seen.append(rows)).rows == 20
    assert seen == [15, 20]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", f"out{ending}"]


def touch(order: BatchOrder) -> BatchOrder:
    os.utime(order.source, ns=(1, 1))
    return order


def lengthen(order: BatchOrder) -> BatchOrder:
    order.source.write_text(order.source.read_text() + LINE)
    return order


def new_deck(order: BatchOrder) -> BatchOrder:
    newer = table_of("voice", row("44", NANO))
    newer.policy = replace(newer.policy, version=2)
    return replace(order, rules=BatchRules(RatePlan("retail", (newer, *PLAN.tables[1:])), ACCOUNTS))


def new_account(order: BatchOrder) -> BatchOrder:
    return replace(order, rules=BatchRules(PLAN, {**ACCOUNTS, "late": AccountRule()}))


@pytest.mark.parametrize(
    ("change", "what"),
    [(touch, "the input"), (lengthen, "the input"), (new_deck, "the plan, a deck"), (new_account, "the plan, a deck")],
)
def test_what_changed_since_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[BatchOrder], BatchOrder], what: str
) -> None:
    order = change(interrupted(tmp_path, monkeypatch))
    with pytest.raises(FileRefused) as refusal:
        price_file(order)
    assert f"{what}" in str(refusal.value)
    assert "--restart" in str(refusal.value)
    assert not order.target.exists()
    seen: list[int] = []
    price_file(replace(order, restart=True), lambda rows, _done, _total: seen.append(rows))
    assert seen[0] == 5


def test_accounts_count_only_where_rows_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_mark(RULES, with_accounts=False)
    assert before == plan_mark(BatchRules(PLAN, {}), with_accounts=False)
    assert before != plan_mark(RULES, with_accounts=True)


@pytest.mark.parametrize(
    "rules",
    [
        BatchRules(RatePlan("retail", PLAN.tables[:2]), {}),
        BatchRules(RatePlan("retail", PLAN.tables[::-1]), {}),
        BatchRules(RatePlan("other", PLAN.tables), {}),
        BatchRules(RatePlan("retail", (), inherits=PLAN, markup=Markup(percent=1)), {}),
        BatchRules(PLAN, {"own": AccountRule(AccountRates(VOICE.policy, {"4420": 1}))}),
        BatchRules(PLAN, {"own": AccountRule(AccountRates(VOICE.policy, {}, ClassOfService("c", frozenset({"1"}))))}),
        BatchRules(PLAN, {"own": AccountRule(zone="Europe/Paris")}),
        BatchRules(RatePlan("retail", PLAN.tables[1:], on_net=PLAN.tables[:1]), {}),
        BatchRules(PLAN, {"own": AccountRule(exchange=Exchange("main", "EUR"))}),
    ],
)
def test_whatever_prices_changes_the_mark(rules: BatchRules) -> None:
    assert plan_mark(rules, with_accounts=True) != plan_mark(BatchRules(PLAN, {}), with_accounts=True)


def test_a_rate_between_currencies_changes_the_mark_where_an_account_may_need_it() -> None:
    def mark(rate: int, source: str = "USD") -> str:
        exchange = Exchange("main", "EUR", Conversions([StatedRate("main", source, "EUR", rate, 0)]))
        return plan_mark(BatchRules(PLAN, {"own": AccountRule(exchange=exchange)}), with_accounts=True)

    assert mark(NANO) == mark(NANO)
    assert mark(NANO) != mark(NANO + 1)
    assert mark(NANO, "GBP") == mark(NANO + 1, "GBP")  # the plan has no price in pounds


def test_own_numbers_count_only_where_the_plan_has_tables_for_them() -> None:
    own = frozenset({"44205"})
    on_net = RatePlan("retail", PLAN.tables, on_net=PLAN.tables[:1])
    plain, asked = (plan_mark(BatchRules(plan, {}, own), with_accounts=True) for plan in (PLAN, on_net))
    assert plain == plan_mark(BatchRules(PLAN, {}), with_accounts=True)
    assert asked != plan_mark(BatchRules(on_net, {}), with_accounts=True)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_part_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    order = interrupted(tmp_path, monkeypatch, ending)
    if ending == ".csv":
        os.truncate(tmp_path / "out.csv.partial", 10)
    else:
        (tmp_path / "out.parquet.parts" / "00000001.arrow").unlink()
    with pytest.raises(FileRefused, match="than when it was left; start anew with --restart"):
        price_file(order)
    assert price_file(replace(order, restart=True)).rows == 20


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b'{"source": 5}'])
def test_a_state_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    order = interrupted(tmp_path, monkeypatch)
    (tmp_path / "out.csv.state").write_bytes(octets)
    with pytest.raises(FileRefused, match="is no state of a batch; start anew with --restart"):
        price_file(order)


def test_a_state_of_another_release_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = interrupted(tmp_path, monkeypatch)
    state = tmp_path / "out.csv.state"
    state.write_bytes(state.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(FileRefused, match="another release"):
        price_file(order)


def test_without_what_was_written_a_run_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = interrupted(tmp_path, monkeypatch)
    (tmp_path / "out.csv.partial").unlink()
    seen: list[int] = []
    price_file(order, lambda rows, _done, _total: seen.append(rows))
    assert seen == [5, 10, 15, 20]


def test_two_runs_do_not_write_to_one_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = interrupted(tmp_path, monkeypatch)
    held = CsvOutput(order.target, b"id", 0)
    with pytest.raises(FileRefused, match="another run is writing"):
        price_file(replace(order, restart=True))
    held.close()


def test_an_input_that_changes_under_the_run_is_not_published(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,to,start,duration_seconds\nx,447,2026-11-23T09:00:00Z,60\n")

    def progress(_rows: int, _done: int, _total: int) -> None:
        source.write_text(source.read_text() + "more\n")

    with pytest.raises(FileRefused, match="changed while it was read"):
        price_file(BatchOrder(source, tmp_path / "out.csv", RULES), progress)
    assert not (tmp_path / "out.csv").exists()


def test_an_earlier_output_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.csv").write_text("earlier")
    order = interrupted(tmp_path, monkeypatch)
    assert order.target.read_text() == "earlier"
    price_file(order)
    assert order.target.read_text().count("\n") == 21


def test_a_device_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="no regular file"):
        price_file(BatchOrder(Path("/dev/null"), tmp_path / "out.csv", RULES))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("checkpoint", [1, 100])
def test_a_run_that_is_asked_to_stop_keeps_the_rows_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, checkpoint: int
) -> None:
    monkeypatch.setattr(batch_run, "CHECKPOINT_CHUNKS", checkpoint)
    source = tmp_path / "in.csv"
    source.write_text("id,to,start,duration_seconds,account\n" + LINE * 20)
    order = BatchOrder(source, tmp_path / f"out{ending}", RULES, chunk_rows=5)
    asked = iter((False, True))
    with pytest.raises(RunStopped) as stopped:
        price_file(order, stop=lambda: next(asked))
    assert stopped.value.rows == kept_rows(order.target) == 10
    seen: list[int] = []
    price_file(order, lambda rows, _done, _total: seen.append(rows))
    assert seen == [15, 20]
    whole = replace(order, target=tmp_path / f"whole{ending}")
    price_file(whole)
    assert order.target.read_bytes() == whole.target.read_bytes()


def test_every_chunk_is_kept_as_soon_as_it_is_priced(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,to,start,duration_seconds,account\n" + LINE * 20)
    order = BatchOrder(source, tmp_path / "out.csv", RULES, chunk_rows=5)
    kept: list[int] = []
    price_file(order, lambda _rows, _done, _total: kept.append(kept_rows(order.target)))
    assert kept == [0, 5, 10, 15]
    assert kept_rows(order.target) == 0


def test_many_volumes_of_tiers_put_the_state_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "CHECKPOINT_VOLUMES", 1)
    source = tmp_path / "in.csv"
    source.write_text("id,to,start,duration_seconds,account\n" + "x,81,2026-11-23T09:00:00Z,60,plain\n" * 20)
    order = BatchOrder(source, tmp_path / "out.csv", RULES_WITH_TIERS, chunk_rows=5)
    kept: list[int] = []
    price_file(order, lambda _rows, _done, _total: kept.append(kept_rows(order.target)))
    assert kept == [0, 0, 10, 10]
