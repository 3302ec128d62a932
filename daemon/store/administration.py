"""What persons change: objects of the configuration, money, status, tokens; who, when and why is kept with each.

Every change is one transaction on the writing connection and bumps the revision that running daemons follow.
Applying the same scenario twice changes nothing; objects that a file does not name are left alone.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import msgspec

from daemon.authorize.catalog import Catalog, Emergency, Status
from daemon.charging.configuration import (
    AccountSpec,
    AsteriskSpec,
    CarrierSpec,
    Configuration,
    FreeswitchSpec,
    NasSpec,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    TokenSpec,
    build_catalog,
)
from daemon.charging.ports import StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.kernel.money import format_nano
from daemon.ledger import posting
from daemon.ledger.account import Entry, EntryKind, Standing
from daemon.rating.deck import RateRow
from daemon.store.decks import DeckChange, DeckDifference, Decks, import_rows
from daemon.store.handoff import Handoff

T = TypeVar("T")
Spec = (
    TenantSpec
    | RateTableSpec
    | RatePlanSpec
    | CarrierSpec
    | AccountSpec
    | NasSpec
    | FreeswitchSpec
    | AsteriskSpec
    | TokenSpec
)
KINDS: dict[str, type[Spec]] = {
    "tenant": TenantSpec, "rate_table": RateTableSpec, "rate_plan": RatePlanSpec, "carrier": CarrierSpec,
    "account": AccountSpec, "nas": NasSpec, "freeswitch": FreeswitchSpec, "asterisk": AsteriskSpec, "token": TokenSpec,
}  # fmt: skip
_SECRET = frozenset({"password", "ha1", "secret", "pin", "sha256"})
_STANDING = ", ".join(Standing._fields).replace("account", "number", 1)


class Refused(StoreError):
    """What was asked cannot be done as asked; the message says why. Nothing was changed."""


class KeyConflict(Refused):
    """An idempotency key was used before with another amount or account."""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that differs: ``act`` is create or change; ``detail`` names the fields, secrets without values."""

    act: str
    kind: str
    key: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What an apply changed, or would change."""

    objects: tuple[ObjectChange, ...]
    decks: tuple[DeckDifference, ...]
    unchanged: int

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing differs."""
        return not self.objects and not any(deck.is_change for deck in self.decks)


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as ``account show`` prints it; money in nano-units."""

    spec: AccountSpec
    standing: Standing

    @property
    def available(self) -> int | None:
        """What a new call may reserve, None where credit is unlimited."""
        limit = self.spec.credit_limit
        held = self.standing.reserved + self.standing.uncollected
        return None if limit is None else self.standing.balance + limit - held


@dataclass(frozen=True, slots=True)
class Credited:
    """A top-up or adjustment: ``repeated`` where its key had been used for the same before."""

    view: AccountView
    amount: int
    repeated: bool


def kind_of(spec: Spec) -> str:
    """Return the kind of an object."""
    return next(kind for kind, made in KINDS.items() if isinstance(spec, made))


def _place(spec: Spec) -> tuple[str, str, str]:
    tenant = "" if isinstance(spec, TenantSpec) else spec.tenant
    return kind_of(spec), tenant, spec.id


def _shown(place: tuple[str, str, str]) -> str:
    return f"{place[1]}/{place[2]}" if place[1] else place[2]


def _changed_fields(old: Spec, new: Spec) -> str:
    names = [f.name for f in fields(new) if getattr(old, f.name) != getattr(new, f.name) and f.name != "balance"]
    parts = []
    for name in names:
        quiet = name in _SECRET or name == "identities"
        parts.append(name if quiet else f"{name}: {getattr(old, name)} -> {getattr(new, name)}")
    return ", ".join(parts)


class Administration(Decks, Handoff):
    """The administrative half of the store; the other half gives ``administer`` and ``rows``."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        """Take the clock that dates every change."""
        super().__init__(now)

    # -- configuration

    async def load_configuration(self) -> Configuration:
        """Return every object that is configured, with the revision."""
        rows = await self.rows("SELECT kind, tenant, id, body FROM config_object ORDER BY kind, tenant, id")
        revision = await self.revision()
        found: dict[str, list[Spec]] = {kind: [] for kind in KINDS}
        for kind, _tenant, _id, body in rows:
            found[str(kind)].append(msgspec.json.decode(body, type=KINDS[str(kind)]))
        groups = {
            name: tuple(found[kind])
            for kind, name in (
                ("tenant", "tenants"), ("rate_table", "rate_tables"), ("rate_plan", "rate_plans"),
                ("carrier", "carriers"), ("account", "accounts"), ("nas", "nas"), ("freeswitch", "freeswitch"),
                ("asterisk", "asterisk"), ("token", "tokens"),
            )
        }  # fmt: skip
        return Configuration(revision, **groups)  # type: ignore[arg-type]

    async def load_catalog(self, emergency: Emergency) -> Catalog:
        """Return the catalog of what is configured now, decks included."""
        configuration = await self.load_configuration()
        tables = {Key(spec.tenant, spec.id): await self.rate_table(spec) for spec in configuration.rate_tables}
        rows = await self.rows("SELECT role, tenant, id, number FROM account")
        numbers = {(str(role), str(tenant), str(name)): int(str(number)) for role, tenant, name, number in rows}
        return build_catalog(configuration, tables, numbers, emergency)

    async def revision(self) -> int:
        """Return the revision of the configuration."""
        rows = await self.rows("SELECT value FROM meta WHERE name = 'revision'")
        return int(str(rows[0][0])) if rows else 0

    async def changed(self, revision: int) -> bool:
        """Tell whether the configuration is another than at a revision."""
        return await self.revision() != revision

    async def apply(
        self,
        objects: Iterable[Spec],
        decks: Mapping[Key, Sequence[RateRow]],
        *,
        who: str,
        reason: str = "apply",
        dry_run: bool = False,
    ) -> Difference:
        """Make the objects of a scenario so; ``dry_run`` only tells what would differ. Raises Refused."""
        wanted = list(objects)
        now = self._now()

        def work(connection: sqlite3.Connection) -> Difference:
            changes, unchanged = [], 0
            for spec in wanted:
                change = _apply_object(connection, spec, who, reason, now)
                changes += [change] if change is not None else []
                unchanged += change is None
            change_of = {
                key: import_rows(connection, key, rows, DeckChange("replace", None, who, "scenario"), now)
                for key, rows in decks.items()
            }
            difference = Difference(tuple(changes), tuple(change_of.values()), unchanged)
            if dry_run:
                raise _DryRun(difference)
            if not difference.is_empty:
                _bump(connection)
            return difference

        try:
            return await self.administer(work)
        except _DryRun as told:
            return told.difference  # type: ignore[return-value]

    async def import_deck(
        self,
        table: Key,
        rows: Sequence[RateRow],
        change: DeckChange,
        *,
        dry_run: bool = False,
    ) -> DeckDifference:
        """Import a deck into a configured table, whole or not at all. Raises Refused."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> DeckDifference:
            if _object(connection, "rate_table", table.tenant, table.id) is None:
                raise Refused(f"there is no rate table {table}")
            difference = import_rows(connection, table, rows, change, now)
            if dry_run:
                raise _DryRun(difference)
            if difference.is_change:
                _bump(connection)
            return difference

        try:
            return await self.administer(work)
        except _DryRun as told:
            return told.difference  # type: ignore[return-value]

    # -- accounts

    async def account_view(self, key: Key) -> AccountView | None:
        """Return an account with its standing, None where there is none."""
        query = (
            f"SELECT body, {_STANDING} FROM config_object JOIN account USING (tenant, id)"
            " WHERE kind = 'account' AND role = 'customer' AND tenant = ? AND id = ?"
        )
        rows = await self.rows(query, key)
        return _view(rows[0]) if rows else None

    async def account_views(self, tenants: Sequence[str] = ()) -> list[AccountView]:
        """Return all accounts of some tenants, or of all."""
        query = (
            f"SELECT body, {_STANDING} FROM config_object JOIN account USING (tenant, id)"
            " WHERE kind = 'account' AND role = 'customer' ORDER BY tenant, id"
        )
        views = [_view(row) for row in await self.rows(query)]
        return [view for view in views if not tenants or view.spec.tenant in tenants]

    async def create_object(self, spec: Spec, *, who: str, reason: str) -> None:
        """Configure one new object. Raises Refused where it exists."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            if _object(connection, *_place(spec)) is not None:
                raise Refused(f"{kind_of(spec)} {_shown(_place(spec))} exists")
            _apply_object(connection, spec, who, reason, now)
            _bump(connection)

        await self.administer(work)

    async def set_status(self, key: Key, status: Status, *, who: str, reason: str) -> AccountView:
        """Suspend, resume or close an account. Raises Refused."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            spec = _object(connection, "account", key.tenant, key.id)
            if not isinstance(spec, AccountSpec):
                raise Refused(f"there is no account {key}")
            if _apply_object(connection, replace(spec, status=status), who, reason, now) is not None:
                _bump(connection)

        await self.administer(work)
        view = await self.account_view(key)
        assert view is not None, key
        return view

    async def credit(self, account: Key, kind: EntryKind, amount: int, *, key: str, who: str, reason: str) -> Credited:
        """Top up or adjust; the same key and amount again changes nothing. Raises Refused, KeyConflict."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            standing = _standing(connection, account)
            earlier = connection.execute(
                "SELECT kind, amount FROM entry WHERE account = ? AND key = ?", (standing.account, key or None)
            ).fetchone()
            if earlier is not None:
                if tuple(earlier) != (kind.value, amount):
                    raise KeyConflict(f"key {key!r} was used for {format_nano(earlier[1])} before")
                return True
            for after, entry in posting.credit(standing, kind, amount, now, key=key, who=who, reason=reason):
                write_posting(connection, after, entry)
            return False

        repeated = await self.administer(work)
        view = await self.account_view(account)
        assert view is not None, account
        return Credited(view, amount, repeated)

    async def entries(self, key: Key, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest entries of an account, oldest first."""
        names = (
            "number", "kind", "at", "grant_id", "amount", "pending", "uncollected", "channels_in", "channels_out",
            "balance_after", "reserved_after", "key", "who", "reason",
        )  # fmt: skip
        query = (
            f"SELECT {', '.join('entry.' + name for name in names)} FROM entry JOIN account"
            " ON account.number = entry.account WHERE role = 'customer' AND tenant = ? AND id = ?"
            " ORDER BY entry.number DESC LIMIT ?"
        )
        rows = await self.rows(query, (*key, limit))
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    async def changes_of(self, kind: str, key: Key) -> list[dict[str, object]]:
        """Return who changed an object, when, what and why."""
        names = ("at", "act", "detail", "who", "reason")
        query = f"SELECT {', '.join(names)} FROM audit WHERE kind = ? AND tenant = ? AND id = ? ORDER BY number"
        return [dict(zip(names, row, strict=True)) for row in await self.rows(query, (kind, *key))]

    # -- tokens

    async def create_token(
        self, tenant: str, role: str, *, name: str = "", who: str, reason: str = ""
    ) -> tuple[str, str]:
        """Return the id and the text of a new token; only its SHA-256 is kept. A token of that name is replaced."""
        text = "tw_" + secrets.token_urlsafe(32)
        spec = TokenSpec(name or "t" + secrets.token_hex(4), tenant, role, hashlib.sha256(text.encode()).hexdigest())
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            if _object(connection, "tenant", "", tenant) is None:
                raise Refused(f"there is no tenant {tenant}")
            _apply_object(connection, spec, who, reason or "token create", now)
            _bump(connection)

        await self.administer(work)
        return spec.id, text

    async def revoke_token(self, tenant: str, name: str, *, who: str, reason: str) -> None:
        """Make a token worthless. Raises Refused where there is none."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            spec = _object(connection, "token", tenant, name)
            if not isinstance(spec, TokenSpec):
                raise Refused(f"there is no token {tenant}/{name}")
            _apply_object(connection, replace(spec, revoked=True), who, reason, now)
            _bump(connection)

        await self.administer(work)

    async def exceptions(self, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest items of the exception list."""
        names = ("number", "kind", "tenant", "source", "switch", "call_id", "detail", "at")
        rows = await self.rows(f"SELECT {', '.join(names)} FROM exceptional ORDER BY number DESC LIMIT ?", (limit,))
        return [dict(zip(names, row, strict=True)) for row in rows]


class _DryRun(Exception):
    """Carries a difference out of a transaction that is rolled back."""

    def __init__(self, difference: object) -> None:
        super().__init__("dry run")
        self.difference = difference


def _view(row: tuple[Any, ...]) -> AccountView:
    spec = msgspec.json.decode(row[0], type=AccountSpec)
    return AccountView(spec, Standing._make(row[1:]))


def _object(connection: sqlite3.Connection, kind: str, tenant: str, name: str) -> Spec | None:
    row = connection.execute(
        "SELECT body FROM config_object WHERE kind = ? AND tenant = ? AND id = ?", (kind, tenant, name)
    ).fetchone()
    return msgspec.json.decode(row[0], type=KINDS[kind]) if row is not None else None


def _bump(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('revision', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
    )


def _apply_object(
    connection: sqlite3.Connection, spec: Spec, who: str, reason: str, now: Instant
) -> ObjectChange | None:
    place = _place(spec)
    earlier = _object(connection, *place)
    if earlier is not None and isinstance(spec, AccountSpec) and isinstance(earlier, AccountSpec):
        spec = replace(spec, balance=earlier.balance)  # the opening balance is given once
    if earlier == spec:
        return None
    _forbid(earlier, spec)
    connection.execute(
        "INSERT OR REPLACE INTO config_object (kind, tenant, id, body) VALUES (?, ?, ?, ?)",
        (*place, msgspec.json.encode(spec)),
    )
    act = "create" if earlier is None else "change"
    detail = _changed_fields(earlier, spec) if earlier is not None else ""
    connection.execute(
        "INSERT INTO audit (at, kind, tenant, id, act, detail, who, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, *place, act, detail, who, reason),
    )
    if earlier is None:
        _open_account(connection, spec, who, now)
    return ObjectChange(act, place[0], _shown(place), detail)


def _forbid(earlier: Spec | None, spec: Spec) -> None:
    """Refuse a change that would make figures of the past mean something else."""
    if earlier is None or isinstance(
        spec, NasSpec | FreeswitchSpec | AsteriskSpec | TokenSpec | RatePlanSpec | CarrierSpec
    ):
        return
    for name in ("currency", "parent", "kind"):
        if getattr(earlier, name, None) != getattr(spec, name, None):
            raise Refused(f"{kind_of(spec)} {_shown(_place(spec))}: {name} cannot be changed once it is in use")


def _open_account(connection: sqlite3.Connection, spec: Spec, who: str, now: Instant) -> None:
    if not isinstance(spec, AccountSpec | CarrierSpec):
        return
    role = "customer" if isinstance(spec, AccountSpec) else "carrier"
    connection.execute("INSERT INTO account (role, tenant, id) VALUES (?, ?, ?)", (role, spec.tenant, spec.id))
    if isinstance(spec, AccountSpec) and spec.balance:
        standing = _standing(connection, Key(spec.tenant, spec.id))
        kind = EntryKind.TOP_UP if spec.balance > 0 else EntryKind.ADJUST
        for after, entry in posting.credit(
            standing, kind, spec.balance, now, key="opening", who=who, reason="opening balance"
        ):
            write_posting(connection, after, entry)


def _standing(connection: sqlite3.Connection, key: Key) -> Standing:
    row = connection.execute(
        f"SELECT {_STANDING} FROM account WHERE role = 'customer' AND tenant = ? AND id = ?", key
    ).fetchone()
    if row is None:
        raise Refused(f"there is no account {key}")
    return Standing._make(row)


def write_posting(connection: sqlite3.Connection, standing: Standing, entry: Entry) -> None:
    """Write one entry and the standing after it, outside a batch."""
    connection.execute(
        "UPDATE account SET " + ", ".join(f"{name} = ?" for name in Standing._fields[1:]) + " WHERE number = ?",
        (*standing[1:], standing[0]),
    )
    names = Entry._fields
    values = [getattr(entry, name) for name in names]
    values[names.index("kind")] = entry.kind.value
    values[names.index("key")] = entry.key or None
    connection.execute(f"INSERT INTO entry ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
