"""What ``db check`` looks at in archives: the files and their chain, and that store and archives are one ledger.

Every file is held against its manifest, every manifest against what the store recorded and the month before; openings
and running balances are added up anew from archived entries; nothing is there twice. Parts are read one at a time.
What cannot be read is named, and so is what could therefore not be checked. It only reads.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from daemon.rating.bundle import Units
from daemon.store.archive_files import MANIFEST, PARTIAL, ArchiveFault, Manifest, is_month, part_faults
from daemon.store.archives import KEPT, MONTHS, Archives, Month, month_after, months_of
from daemon.store.link import Link

if TYPE_CHECKING:
    import polars as pl

ROWS: Final = 10_000  # rows of the store read at once
FOUND_MAX: Final = 1_000  # findings of one file that are named
SUMS: Final = {
    "balance": "amount", "reserved": "pending", "uncollected": "uncollected", "channels_in": "channels_in",
    "channels_out": "channels_out",
}  # fmt: skip
Found = tuple[str, str, str]  # invariant, subject, detail
Line = tuple[str, int]  # grant id and account
_INVARIANT: Final = "archives"


class _Metered(msgspec.Struct):
    """Of a record, what it used of meters; nothing where an older release wrote it."""

    metered: list[Units] = []


_metered = msgspec.json.Decoder(_Metered)


class ArchiveCheck:
    """The archives of one snapshot of a store."""

    def __init__(self, link: Link, folder: Path | None) -> None:
        """Read what the store knows of them, and look at every file."""
        months = months_of(link.execute(MONTHS).fetchall())
        kept = [(month, grant_id) for month, grant_id in link.execute(KEPT)] if months else []
        self._link = link
        self._archives = Archives(folder, months, kept)
        self._unfinished = {month.month for month in months if not month.is_written}
        self.faults = list(self._files() if self._archives.months else self._unknown(folder))

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has left the store."""
        return not self._archives.months

    def found(self) -> Iterator[Found]:
        """Yield every file and every sum that is not as it should be."""
        yield from self.faults
        if self.is_empty:
            yield from self._forgotten()
        elif self.faults:
            yield _INVARIANT, "sums", "openings, records, meters and keys were not checked: archives are not whole"
        else:
            yield from self._sums()
            yield from self._twice()

    # -- files

    def _files(self) -> Iterator[Found]:
        try:
            folder = self._archives.folder
        except ArchiveFault as error:
            yield _INVARIANT, "folder", str(error)
            return
        before: Month | None = None
        for month in self._archives.months:
            if before is not None and month.month != month_after(before.month):
                yield _INVARIANT, month_after(before.month), f"the month is missing: {month.month} follows"
            yield from self._month(folder, month, before)
            before = month
        yield from self._unknown(folder)

    def _unknown(self, folder: Path | None) -> Iterator[Found]:
        """Yield the months of a folder that the store does not know, as after a backup of before was restored."""
        if folder is None or not folder.is_dir():
            return
        known = {month.month for month in self._archives.months} | self._unfinished
        for name in sorted(path.name for path in folder.iterdir()):
            if name.removesuffix(PARTIAL) not in known and is_month(name.removesuffix(PARTIAL)):
                yield _INVARIANT, name, f"{folder / name}: the store does not know of it"

    def _month(self, folder: Path, month: Month, before: Month | None) -> Iterator[Found]:
        try:
            manifest = self._archives.manifest(month)
        except ArchiveFault as error:
            yield _INVARIANT, month.month, str(error)
            return
        if manifest.token != month.token or manifest.entries_until != month.entries_until:
            yield _INVARIANT, f"{month.month}/{MANIFEST}", "it is the manifest of another store"
        if (manifest.previous_manifest_sha256 or "") != (before.manifest_sha256 if before is not None else ""):
            yield _INVARIANT, f"{month.month}/{MANIFEST}", "it does not name the manifest of the month before"
        for part in manifest.parts:
            for fault in part_faults(folder, month.month, part):
                yield _INVARIANT, f"{month.month}/{part.name}", fault
        yield from _strangers(folder / month.month, manifest)

    def _forgotten(self) -> Iterator[Found]:
        """Yield openings and keys of archives that no row tells of."""
        for table in ("opening", "spent_key", "archive_kept"):
            count = self._link.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            if count:
                yield _INVARIANT, table, f"there are {count} rows, and nothing is archived"

    # -- sums

    def _sums(self) -> Iterator[Found]:
        """Entries go on from what their account had, openings are their sums, and their keys are known."""
        import polars as pl  # noqa: PLC0415 - loaded where there are archives

        totals = _nothing()
        words, numbers = dict.fromkeys(("key", "kind", "bucket"), pl.String), ("account", "amount", "at", "number")
        keyed = _frame([], words | dict.fromkeys(numbers, pl.Int64))
        for month in self._archives.months:
            for part in self._archives.manifest(month).of("entry"):
                rows = self._archives.left(month, "entry", [part])
                assert rows is not None, part
                frame = rows.collect()
                yield from _running(f"{month.month}/{part.name}", frame, totals)
                totals = _added(totals, frame)
                keyed = pl.concat([keyed, frame.filter(pl.col("key").is_not_null()).select(keyed.columns)])
        yield from self._openings(totals)
        yield from self._keys(keyed)

    def _openings(self, totals: "pl.DataFrame") -> Iterator[Found]:
        import polars as pl  # noqa: PLC0415 - as above

        names = ("number", *SUMS)
        query = f"SELECT account, {', '.join(names)} FROM opening ORDER BY account"
        stands = self._stored(query, dict.fromkeys(("account", *names), pl.Int64))
        both = totals.join(stands, on="account", how="full", suffix="_said", coalesce=True)
        differs = both.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_said")) for name in names))
        for row in differs.sort("account").head(FOUND_MAX).rows(named=True):
            for name in names:
                if row[name] != row[f"{name}_said"]:
                    detail = f"{name} is {row[f'{name}_said']}, its archived entries say {row[name]}"
                    yield "openings", f"account {row['account']}", detail

    def _keys(self, keyed: "pl.DataFrame") -> Iterator[Found]:
        names = list(keyed.columns)
        stands = self._stored(f"SELECT {', '.join(names)} FROM spent_key", keyed.schema)
        yield from self._spent_again()
        for told, rows in (
            ("is archived, and the store would take its key again", keyed.join(stands, on=names, how="anti")),
            ("is a spent key, and no archived entry has it", stands.join(keyed, on=names, how="anti")),
        ):
            found = rows.select("account", "key", "kind", "amount").head(FOUND_MAX)
            for account, key, kind, amount in found.iter_rows():
                yield "spent keys", f"account {account}, {key}", f"{kind} of {amount} {told}"

    def _spent_again(self) -> Iterator[Found]:
        """Yield the entries of the store under a key whose first entry is archived: one act that happened twice."""
        query = (
            "SELECT entry.number, entry.account, entry.key FROM entry JOIN spent_key"
            " ON spent_key.account = entry.account AND spent_key.key = entry.key ORDER BY entry.number LIMIT ?"
        )
        for number, account, key in self._link.execute(query, (FOUND_MAX,)).fetchall():
            yield "spent keys", f"account {account}, {key}", f"entry {number} is of a key that was spent before"

    def _twice(self) -> Iterator[Found]:
        """Yield what has left the store and is in it."""
        import polars as pl  # noqa: PLC0415 - as above

        done = max(month.entries_done for month in self._archives.months)
        count = self._link.execute("SELECT count(*) FROM entry WHERE number <= ?", (done,)).fetchone()[0]
        if count:
            yield _INVARIANT, "entries", f"{count} up to number {done} have left the store, and are in it"
        for table, number in (("call", "number"), ("record", "seq")):
            last = max((p.last for m in self._archives.months for p in self._archives.manifest(m).of(table)), default=0)
            query = f"SELECT {number} FROM {table} WHERE {number} <= ? ORDER BY {number}"
            here = self._stored(query, {number: pl.Int64}, (last,)).lazy()
            for month, rows in self._archives.each(table):
                both = rows.select(number, "grant_id").join(here, on=number, how="semi").head(FOUND_MAX).collect()
                for place, grant_id in both.rows():
                    yield _INVARIANT, f"{table} {place}", f"grant {grant_id} is in {month.month} and in the store"

    def _stored(self, query: str, schema: "Any", parameters: Sequence[object] = ()) -> "pl.DataFrame":
        import polars as pl  # noqa: PLC0415 - as above

        pages = [_frame(page, schema) for page in self._link.pages(query, parameters, ROWS)]
        return pl.concat([_frame([], schema), *pages])

    # -- what the looks at the store need

    def lines(self) -> dict[Line, list[int]]:
        """Return of each call and account whose archived entries and records differ: charged, recorded, and counts."""
        import polars as pl  # noqa: PLC0415 - as above

        found: dict[Line, list[int]] = {}
        if self.is_empty or self.faults:
            return found
        names = ("charged", "recorded", "entries", "records")
        for month in self._archives.months:
            entries, records = (self._archives.left(month, table) for table in ("entry", "record"))
            both = []
            if entries is not None:
                debits = entries.filter(pl.col("kind").is_in(["debit", "refund"]))
                both.append(debits.select(
                    "grant_id", "account", charged=pl.col("uncollected") - pl.col("amount"),
                    recorded=pl.lit(0, pl.Int64), entries=(pl.col("bucket") == "").cast(pl.Int64),
                    records=pl.lit(0, pl.Int64),
                ))  # fmt: skip
            if records is not None:
                both.append(records.select(
                    "grant_id", "account", charged=pl.lit(0, pl.Int64), recorded=pl.col("charge"),
                    entries=pl.lit(0, pl.Int64), records=pl.lit(1, pl.Int64),
                ))  # fmt: skip
            if not both:
                continue
            sums = pl.concat(both).group_by("grant_id", "account").agg(pl.col(*names).sum())
            differs = (pl.col("charged") != pl.col("recorded")) | (pl.col("entries") != pl.col("records"))
            for grant_id, account, *row in sums.filter(differs).collect(engine="streaming").iter_rows():
                known = found.setdefault((grant_id, account), [0, 0, 0, 0])
                found[grant_id, account] = [a + b for a, b in zip(known, row, strict=True)]
        return found

    def held(self) -> dict[Line, tuple[int, int]]:
        """Return what the archived entries of each call and account still hold: money and channels, where any."""
        import polars as pl  # noqa: PLC0415 - as above

        rows = self._summed(
            pl.col("grant_id") != "", ("grant_id", "account"),
            {"money": pl.col("pending"), "channels": pl.col("channels_in") + pl.col("channels_out")},
        )  # fmt: skip
        return {(grant_id, account): (money, channels) for grant_id, account, money, channels in rows}

    def buckets(self) -> dict[tuple[int, str], int]:
        """Return what the archived entries of each account's buckets add up to."""
        import polars as pl  # noqa: PLC0415 - as above

        rows = self._summed(pl.col("bucket") != "", ("account", "bucket"), {"amount": pl.col("amount")})
        return {(account, name): amount for account, name, amount in rows}

    def _summed(self, chosen: "pl.Expr", keys: tuple[str, str], sums: "dict[str, pl.Expr]") -> list[tuple[Any, ...]]:
        """Return the sums over all archived entries that are chosen, by two keys, where they are not all 0."""
        import polars as pl  # noqa: PLC0415 - as above

        found = []
        for month in self._archives.months if not self.faults else ():
            entries = self._archives.left(month, "entry")
            if entries is not None:
                summed = entries.filter(chosen).group_by(*keys).agg(**{name: each.sum() for name, each in sums.items()})
                found.append(summed.collect(engine="streaming"))
        if not found:
            return []
        whole = pl.concat(found).group_by(*keys).agg(pl.col(*sums).sum())
        return whole.filter(pl.any_horizontal(pl.col(name) != 0 for name in sums)).rows()

    def units_used(self) -> Counter[tuple[int, str, int]]:
        """Return what archived records used of meters, by account, meter and period."""
        import polars as pl  # noqa: PLC0415 - as above

        used: Counter[tuple[int, str, int]] = Counter()
        for month in self._archives.months if not self.faults else ():
            for part in self._archives.manifest(month).of("record"):
                rows = self._archives.left(month, "record", [part])
                assert rows is not None, part
                # A quote within a text of JSON stands behind a backslash: so only the field itself reads like this.
                metered = rows.filter(~pl.col("body").str.contains('"metered":[]', literal=True))
                for account, body in metered.select("account", "body").collect().iter_rows():
                    for units in _metered.decode(body).metered:
                        used[account, units.meter, units.period] += units.units
        return used


def _strangers(home: Path, manifest: Manifest) -> Iterator[Found]:
    named = {MANIFEST, *(part.name for part in manifest.parts)}
    for path in sorted(home.iterdir()):
        if path.name not in named:
            yield _INVARIANT, f"{manifest.month}/{path.name}", "the manifest does not name it"


def _frame(rows: Sequence[Sequence[Any]], schema: Any) -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415 - as above

    return pl.DataFrame(rows, schema=schema, orient="row")


def _nothing() -> "pl.DataFrame":
    import polars as pl  # noqa: PLC0415 - as above

    return _frame([], dict.fromkeys(("account", "number", *SUMS), pl.Int64))


def _added(totals: "pl.DataFrame", frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return what the entries of each account add up to, with those of one part more."""
    import polars as pl  # noqa: PLC0415 - as above

    more = frame.select("account", "number", **{name: pl.col(column) for name, column in SUMS.items()})
    both = pl.concat([totals, more])
    return both.group_by("account").agg(pl.col("number").max(), *(pl.col(name).sum() for name in SUMS))


def _running(subject: str, frame: "pl.DataFrame", totals: "pl.DataFrame") -> Iterator[Found]:
    """Yield the entries of a part that do not say what they left."""
    import polars as pl  # noqa: PLC0415 - as above

    before = totals.select("account", "balance", "reserved")
    lines = frame.sort("number").join(before, on="account", how="left", maintain_order="left").with_columns(
        **{
            name: pl.col(name).fill_null(0) + pl.col(SUMS[name]).cum_sum().over("account")
            for name in ("balance", "reserved")
        }
    )  # fmt: skip
    wrong = (pl.col("balance") != pl.col("balance_after")) | (pl.col("reserved") != pl.col("reserved_after"))
    chosen = lines.filter(wrong).select("number", "account", "balance_after", "balance", "reserved_after", "reserved")
    for number, account, said, balance, held, reserved in chosen.head(FOUND_MAX).iter_rows():
        detail = (
            f"account {account}: says balance {said} and reserved {held}, the entries add up to {balance}, {reserved}"
        )
        yield "running balances", f"entry {number} in {subject}", detail
