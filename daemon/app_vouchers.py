"""Vouchers as commands need them: the file of the codes of a new batch, and the listing of one.

The codes exist in two places only: in that file, which its owner alone can read, and in the hands of whoever bought.
The file has its name when all of it is on disk; what fails before leaves none.
"""

import csv
import os
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import IO, Any

from daemon.app_commands import Opened, Refused, clock, who
from daemon.charging.voucher import BATCH_SIZE_MAX, BUCKET_DAYS_MAX, Fault, NotRedeemed, Redeemed, VoucherTerms
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.ledger.bucket import BucketKind
from daemon.ledger.voucher_code import TYPED_LENGTH_MAX, printed, typed

__all__ = [
    "BATCH_SIZE_MAX", "BUCKET_DAYS_MAX", "TYPED_LENGTH_MAX", "BucketKind", "Fault", "NotRedeemed", "Redeemed",
    "VoucherTerms", "batches", "block", "clock", "create", "export", "failures", "redeem", "state_of", "typed",
    "voucher",
]  # fmt: skip
MODE = 0o600  # of a file of codes: its owner's alone


class CodeFile:
    """A CSV file of serials and codes, written aside."""

    def __init__(self, path: Path) -> None:
        """Open the file aside. Raises Refused where there is one of the name, or it cannot be written."""
        self._path = path
        self._aside = path.with_name(path.name + ".part")
        self._serial = 0
        if path.exists():
            raise Refused(f"{path} exists: codes are written into a new file")
        try:
            number = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
            os.fchmod(number, MODE)
        except OSError as error:
            raise Refused(f"{self._aside} cannot be written: {error.strerror}") from error
        self._file: IO[str] = os.fdopen(number, "w", encoding="ascii", newline="")
        self._file.write("serial,code\n")

    def write(self, codes: Sequence[str]) -> None:
        """Keep codes, in the order of their serials."""
        first, self._serial = self._serial + 1, self._serial + len(codes)
        self._file.writelines(f"{serial},{printed(code)}\n" for serial, code in enumerate(codes, first))

    def finish(self) -> None:
        """Make all of it durable under its name. Raises OSError where a file has come to be there meanwhile."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.link(self._aside, self._path)  # unlike a rename it overwrites nothing
        os.unlink(self._aside)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def void(self) -> None:
        """Take away what was written: the codes are good for nothing."""
        self._file.close()
        (self._aside if self._aside.exists() else self._path).unlink(missing_ok=True)


async def create(
    store: Opened, batch: Key, size: int, terms: VoucherTerms, out: Path, *, reason: str,
    progress: Callable[[int], None],
) -> None:  # fmt: skip
    """Make a batch, its codes in a new file. Raises Refused, StoreError."""
    codes = CodeFile(out)
    try:
        await store.store.create_vouchers(batch, size, terms, codes, who=who(), reason=reason, progress=progress)
    except OSError as error:
        codes.void()
        raise Refused(f"{out} cannot be written: {error.strerror or error}; no voucher can be redeemed") from error
    except BaseException:
        codes.void()
        raise


async def redeem(store: Opened, account: str, code: str) -> Redeemed | NotRedeemed:
    """Redeem a code, which ``typed`` has looked at. Raises Refused, StoreError."""
    return await store.store.redeem_voucher(await store.key(account), code, token="", who=who())


async def batches(store: Opened, batch: str = "") -> list[dict[str, Any]]:
    """Return all batches, or the one of a name. Raises Refused where there is none of it."""
    found = await store.store.voucher_batches(await store.key(batch) if batch else None)
    if batch and not found:
        raise Refused(f"there is no batch of vouchers {await store.key(batch)}")
    return found


async def voucher(store: Opened, batch: str, serial: int) -> dict[str, Any]:
    """Return one voucher. Raises Refused where there is none."""
    found = await store.store.voucher(await store.key(batch), serial)
    if found is None:
        raise Refused(f"batch {await store.key(batch)} has no serial {serial}")
    return found


async def block(store: Opened, batch: str, serials: tuple[int, int] | None, reason: str) -> int:
    """Block a batch or some serials of it; return how many could be redeemed before."""
    return await store.store.block_vouchers(await store.key(batch), serials, who=who(), reason=reason)


async def failures(store: Opened, limit: int) -> list[dict[str, Any]]:
    """Return the newest codes that were not redeemed, and why."""
    return await store.store.voucher_failures(limit)


def state_of(row: dict[str, Any], batch: dict[str, Any], now: Instant) -> str:
    """Return what has become of a voucher: redeemed, blocked, expired or unused."""
    if row["redeemed_at"]:
        return "redeemed"
    if row["blocked_at"] or batch["blocked_at"]:
        return "blocked"
    return "expired" if 0 < batch["expires_at"] <= now else "unused"


async def export(store: Opened, batch: str, write: Callable[[str], object]) -> None:
    """Write the vouchers of a batch as CSV, without codes: serial, state, tenant, account, redeemed_at."""
    (found,) = await batches(store, batch)
    now, names = clock(), ("serial", "blocked_at", "redeemed_at", "tenant", "account")
    write("serial,state,tenant,account,redeemed_at\n")

    def take(page: list[Any]) -> None:
        lines = StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        for values in page:
            row = dict(zip(names, values, strict=True))
            at = format_rfc3339(row["redeemed_at"]) if row["redeemed_at"] else ""
            state = state_of(row, found, now)
            writer.writerow((row["serial"], state, row["tenant"] or "", row["account"] or "", at))
        write(lines.getvalue())

    await store.store.voucher_rows(await store.key(batch), take)
