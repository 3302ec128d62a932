"""Batches of vouchers: made a piece at a time, so that no call waits for a million of them, and then published at once.

Until a batch is published, with all of its vouchers and its file, no code of it is good for anything; what an
interrupted run left is taken away by the next of that name. What happens to one voucher is in ``voucher_acts``.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from daemon.charging.configuration import BundleSpec, TenantSpec
from daemon.charging.ports import StoreError
from daemon.charging.voucher import (
    BATCH_SIZE_MAX,
    BUCKET_DAYS_MAX,
    Fault,
    NotRedeemed,
    Redeemed,
    VoucherTerms,
)
from daemon.kernel.ids import Key
from daemon.ledger.voucher_code import NUMBERS, code_of
from daemon.rating.bundle import ONCE
from daemon.store import objects, voucher_acts
from daemon.store.account_acts import Act
from daemon.store.handoff import Handoff
from daemon.store.link import Link
from daemon.store.objects import Refused
from daemon.store.voucher_acts import BUCKET_LENGTH_MAX, DIGEST_SIZE, digest_of, salt_of

T = TypeVar("T")
PIECE: Final = 10_000  # vouchers of one transaction: a tenth of a second for whoever waits for the store
PAGE_ROWS: Final = 1_000  # vouchers of an export in memory at once
_COLUMNS: Final = ("digest", "batch", "serial", "blocked_at", "redeemed_at")
_BATCH: Final = (
    "tenant", "id", "at", "size", "amount", "currency", "units", "bundle", "bucket", "bucket_kind", "bucket_days",
    "expires_at", "blocked_at", "is_published", "who", "reason",
)  # fmt: skip
_VOUCHER: Final = ("serial", "blocked_at", "redeemed_at", "tenant", "account")
FAILURE: Final = ("at", "tenant", "account", "token", "reason", "batch", "serial")
_DROP: Final = "DELETE FROM voucher WHERE batch = ? AND serial BETWEEN ? AND ?"
_DROP_BATCH: Final = "DELETE FROM voucher_batch WHERE number = ?"
Progress = Callable[[int], None]  # told how many vouchers are written


class KeepsCodes(Protocol):
    """Where the codes of a batch go, this once."""

    def write(self, codes: Sequence[str]) -> None:
        """Keep codes, in the order of their serials."""

    def finish(self) -> None:
        """Make all that was written durable. Raises OSError."""


class Vouchers(Handoff):
    """The store's side of vouchers."""

    async def reading(self, work: Callable[[Link], T]) -> T:
        """Run work that reads much in a thread; given by the engine."""
        raise StoreError("an engine gives this")

    async def create_vouchers(
        self, batch: Key, size: int, terms: VoucherTerms, codes: KeepsCodes, *, who: str, reason: str,
        progress: Progress,
    ) -> None:  # fmt: skip
        """Make a batch and give away its codes; what fails leaves nothing that can be redeemed. Refused, OSError."""
        _refuse_unusable(size, terms, self._now())
        await self._clear(batch)
        act = Act("", who, reason, self._now())
        number, salt = await self.administer(lambda link: _begun(link, batch, size, terms, act))
        made = await asyncio.to_thread(_made, salt, size)
        for done in range(0, size, PIECE):
            piece = made[done : done + PIECE]
            await asyncio.to_thread(codes.write, [each[DIGEST_SIZE:].decode() for each in piece])
            rows = [(each[:DIGEST_SIZE], number, serial, 0, 0) for serial, each in enumerate(piece, done + 1)]
            await self.administer(lambda link, rows=rows: link.insert("voucher", _COLUMNS, rows))  # type: ignore[misc]
            progress(done + len(rows))
        await asyncio.to_thread(codes.finish)
        await self.administer(lambda link: _published(link, batch, number, size, act))

    async def _clear(self, batch: Key) -> None:
        """Take away what an interrupted run left under this name, a piece at a time. Raises Refused for a batch."""
        query = "SELECT number, size FROM voucher_batch WHERE tenant = ? AND id = ?"
        for number, size in await self.rows(query, batch):
            for done in range(0, size, PIECE):
                piece = (number, done + 1, done + PIECE)
                await self.administer(lambda link, piece=piece: _dropped(link, batch, _DROP, piece))  # type: ignore[misc]
            await self.administer(lambda link, number=number: _dropped(link, batch, _DROP_BATCH, (number,)))  # type: ignore[misc]

    async def redeem_voucher(
        self, account: Key, code: str, *, token: str, who: str
    ) -> Redeemed | NotRedeemed:  # fmt: skip
        """Redeem a code, as ``voucher_code.typed`` gives it; nothing happens where the account cannot take it."""
        act = Act("", who, "", self._now())
        try:
            return await self.administer(lambda link: voucher_acts.redeem(link, account, code, token, act))
        except Refused as refused:
            return NotRedeemed(Fault.ACCOUNT, detail=str(refused))

    async def block_vouchers(self, batch: Key, serials: tuple[int, int] | None, *, who: str, reason: str) -> int:
        """Block a batch, or serials of it from first to last; return how many could be redeemed. Raises Refused."""
        act = Act("", who, reason, self._now())
        return await self.administer(lambda link: voucher_acts.block(link, batch, serials, act))

    async def voucher_batches(self, batch: Key | None = None) -> list[dict[str, Any]]:
        """Return the batches, the newest last, each with its terms and how many are redeemed or blocked."""
        where, values = ("", ()) if batch is None else ("WHERE tenant = ? AND id = ?", tuple(batch))
        query = (
            f"SELECT {', '.join(_BATCH)}, (SELECT count(*) FROM voucher WHERE batch = number AND account IS NOT NULL),"
            " (SELECT count(*) FROM voucher WHERE batch = number AND voucher.blocked_at > 0)"
            f" FROM voucher_batch {where} ORDER BY number"
        )
        rows = await self.rows(query, values)
        return [dict(zip((*_BATCH, "redeemed", "blocked"), row, strict=True)) for row in rows]

    async def voucher(self, batch: Key, serial: int) -> dict[str, Any] | None:
        """Return one voucher of a batch, None where there is none."""
        rows = await self.rows(f"{_vouchers_of()} AND serial = ?", (*batch, serial))
        return dict(zip(_VOUCHER, rows[0], strict=True)) if rows else None

    async def voucher_rows(self, batch: Key, take: Callable[[list[Any]], None]) -> None:
        """Hand over the vouchers of a batch by serial, a page at a time: ``serial, blocked_at, redeemed_at, tenant,
        account``."""

        def work(link: Link) -> None:
            for page in link.pages(f"{_vouchers_of()} ORDER BY serial", batch, PAGE_ROWS):
                take(page)

        await self.reading(work)

    async def voucher_failures(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest codes that were not redeemed, and why, oldest first."""
        query = (
            "SELECT at, tenant, id, token, reason, batch, serial FROM voucher_failure"
            " JOIN account ON account.number = voucher_failure.account ORDER BY voucher_failure.number DESC LIMIT ?"
        )
        return [dict(zip(FAILURE, row, strict=True)) for row in reversed(await self.rows(query, (limit,)))]


def _vouchers_of() -> str:
    return (
        "SELECT serial, voucher.blocked_at, redeemed_at, account.tenant, account.id FROM voucher JOIN voucher_batch"
        " ON voucher_batch.number = voucher.batch LEFT JOIN account ON account.number = voucher.account"
        " WHERE voucher_batch.tenant = ? AND voucher_batch.id = ?"
    )


def _refuse_unusable(size: int, terms: VoucherTerms, now: int) -> None:
    if not 1 <= size <= BATCH_SIZE_MAX:
        raise Refused(f"a batch has 1 to {BATCH_SIZE_MAX} vouchers")
    if bool(terms.amount) == bool(terms.units) or terms.amount < 0 or bool(terms.units) != bool(terms.bundle):
        raise Refused("a voucher is worth money (more than 0), or units of a bundle")
    if not 0 <= terms.bucket_days <= BUCKET_DAYS_MAX or (terms.bucket_days and not terms.bucket):
        raise Refused(f"bucket days are those of a bucket, at most {BUCKET_DAYS_MAX}")
    if terms.bucket and (terms.units or len(terms.bucket) > BUCKET_LENGTH_MAX):
        raise Refused(f"a bucket is for money, and its name has at most {BUCKET_LENGTH_MAX} characters")
    if terms.expires_at is not None and terms.expires_at <= now:
        raise Refused("these vouchers would have expired already: state an expiry to come")


def _dropped(connection: Link, batch: Key, statement: str, values: tuple[int, ...]) -> None:
    """Take away a piece of an unfinished batch. Refused where it is finished by now: somebody made it meanwhile."""
    query = f"SELECT is_published FROM voucher_batch WHERE number = ?{connection.locking}"
    row = connection.execute(query, values[:1]).fetchone()
    if row is not None and row[0]:
        raise Refused(f"there is a batch {batch} already: choose another name")
    connection.execute(statement, values)


def _begun(connection: Link, batch: Key, size: int, terms: VoucherTerms, act: Act) -> tuple[int, bytes]:
    """Enter a batch that is being made, and return its number and the salt of the store's codes."""
    tenant = objects.found(connection, ("tenant", "", batch.tenant))
    if not isinstance(tenant, TenantSpec):
        raise Refused(f"there is no tenant {batch.tenant}")
    currency = (terms.currency or tenant.currency) if terms.amount else ""
    if terms.bundle:
        _refuse_bundle(connection, batch.tenant, terms.bundle)
    values = (
        *batch, act.now, size, terms.amount, currency, terms.units, terms.bundle, terms.bucket,
        terms.bucket_kind.value, terms.bucket_days, terms.expires_at or 0, 0, 0, act.who, act.reason,
    )  # fmt: skip
    connection.insert("voucher_batch", _BATCH, [values])
    query = "SELECT number FROM voucher_batch WHERE tenant = ? AND id = ?"
    return int(connection.execute(query, batch).fetchone()[0]), salt_of(connection)


def _refuse_bundle(connection: Link, tenant: str, bundle: str) -> None:
    spec = objects.found(connection, ("bundle", tenant, bundle))
    if not isinstance(spec, BundleSpec) or spec.period != ONCE:
        raise Refused(f'tenant {tenant} has no bundle {bundle} with period = "{ONCE}", whose units could be given')


def _made(salt: bytes, size: int) -> list[bytes]:
    """Return what is kept of new codes, each with its code behind it, in order.

    Serials follow that order, so that a store writes each page once and not with every piece anew; some 80 octets each.
    """
    codes = (code_of(secrets.randbelow(NUMBERS)) for _ in range(size))
    return sorted(digest_of(salt, code) + code.encode() for code in codes)


def _published(connection: Link, batch: Key, number: int, size: int, act: Act) -> None:
    # The row is taken first: whoever takes an unfinished batch away waits for it, and then finds it finished.
    query = "UPDATE voucher_batch SET is_published = 1 WHERE number = ? AND is_published = 0 RETURNING number"
    mine = connection.execute(query, (number,)).fetchone()
    (there,) = connection.execute("SELECT count(*) FROM voucher WHERE batch = ?", (number,)).fetchone()
    if there != size or mine is None:
        raise Refused(f"somebody else made a batch {batch} meanwhile: this one is void")
    detail = f"{size} vouchers"
    objects.note(connection, ("voucher_batch", *batch), "create", detail, act.who, act.reason, act.now)
