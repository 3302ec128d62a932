"""What persons change: objects of the configuration, money, status, tokens; who, when and why is kept with each.

Every change is one transaction on the writing connection and bumps the revision that running daemons follow.
Applying the same scenario twice changes nothing; objects that a file does not name are left alone.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from daemon.authorize.catalog import Catalog, Emergency, Status
from daemon.authorize.suspension import suspended_by
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    Configuration,
    RateTableSpec,
    TenantSpec,
    TokenSpec,
    build_catalog,
    policy_of,
)
from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.ledger import posting
from daemon.ledger.account import EntryKind, Standing
from daemon.ledger.bucket import Wanted
from daemon.rating.bundle import Bundle, Meter, left, period_number, turned
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import RateTable
from daemon.store import account_acts, loading, objects
from daemon.store.account_acts import Act, Assertion, KeyConflict
from daemon.store.deck_import import DeckChange, DeckDifference, DeckPlan
from daemon.store.deck_versions import prefix_count
from daemon.store.decks import Decks, Progress, Staged, deck_digest
from daemon.store.events import Events
from daemon.store.link import Link
from daemon.store.loading import Known
from daemon.store.objects import KINDS, ObjectChange, Refused, Spec, kind_of, no_account, write_posting
from daemon.store.standing_row import READ, standing_of
from daemon.store.stated_objects import make_all_as_stated
from daemon.store.vouchers import Vouchers

__all__ = [
    "KINDS", "AccountView", "Administration", "Assertion", "Credited", "Difference", "KeyConflict", "ObjectChange",
    "Refused", "Spec", "Transferred", "UnitsView", "kind_of", "write_posting",
]  # fmt: skip

T = TypeVar("T")
SCENARIO = "scenario"  # the source of a deck that a scenario file names
_STANDING = ", ".join(READ)
ENTRY_NAMES = (
    "number", "kind", "at", "grant_id", "amount", "pending", "uncollected", "channels_in", "channels_out",
    "balance_after", "reserved_after", "key", "who", "reason", "bucket",
)  # fmt: skip
_ACCOUNTS = (
    f"SELECT body, {_STANDING} FROM config_object JOIN account USING (tenant, id)"
    " WHERE kind = 'account' AND role = 'customer'"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """What an apply changed, or would change. ``kept``: what a person changed since, and the file states as before."""

    objects: tuple[ObjectChange, ...]
    decks: tuple[DeckDifference, ...]
    unchanged: int
    kept: tuple[ObjectChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing differs."""
        return not self.objects and not any(deck.is_change for deck in self.decks)


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as ``account show`` prints it; money in nano-units. What has expired ``at`` then is not in it."""

    spec: AccountSpec
    standing: Standing
    at: Instant = 0

    @property
    def available(self) -> int | None:
        """What a new call may reserve, None where credit is unlimited."""
        limit = self.spec.credit_limit
        held = self.standing.reserved + self.standing.uncollected
        return None if limit is None else self.standing.balance + limit - held

    @property
    def suspended_by(self) -> str:
        """What suspended it: ``fraud_rule``, ``person``, ``balance``, or nothing, which is empty."""
        return suspended_by(self.spec.status, self.standing, self.spec.empty_limit)


@dataclass(frozen=True, slots=True)
class UnitsView:
    """What an account has of a bundle: units of the period that runs, or, where it has none, those given once."""

    bundle: str
    unit: str
    period: str
    left: int
    used: int
    held: int
    carried: int  # into the period; of a bundle without one: given
    expires_at: Instant | None


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer: ``repeated`` where its key had been used for the same before."""

    giver: AccountView
    taker: AccountView
    amount: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Credited:
    """A top-up or adjustment: ``repeated`` where its key had been used for the same before."""

    view: AccountView
    amount: int
    repeated: bool


class Administration(Decks, Events, Vouchers):
    """The administrative half of the store; the other half gives ``administer`` and ``rows``."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        """Take the clock that dates every change."""
        super().__init__(now)
        self._known: Known | None = None
        self._learning = asyncio.Lock()

    # -- configuration

    async def load_configuration(self) -> Configuration:
        """Return every object that is configured, with the revision; accounts too, however many there are."""
        revision = await self.revision()  # read first: a change between the two is then seen as one, never missed
        rows = await self.rows("SELECT kind, body FROM config_object ORDER BY kind, tenant, id")
        return objects.configuration_of(revision, rows)

    async def configuration_but_accounts(self) -> Configuration:
        """Return every object that is configured but the accounts, with the revision."""
        revision = await self.revision()
        return replace(await self.reading(objects.others), revision=revision)

    async def owner(self) -> str:
        """Return the id of the tenant without a parent, empty where there is none yet."""
        rows = await self.rows("SELECT body FROM config_object WHERE kind = 'tenant' ORDER BY id")
        tenants = (msgspec.json.decode(body, type=TenantSpec) for (body,) in rows)
        return next((tenant.id for tenant in tenants if not tenant.parent), "")

    async def account_specs(self, keys: Iterable[Key]) -> list[AccountSpec]:
        """Return those of some accounts that there are."""
        views = [await self.account_view(key) for key in keys]
        return [view.spec for view in views if view is not None]

    async def accounts_with_did(self, number: str) -> list[AccountSpec]:
        """Return the accounts that claim the digits of a number at some time."""
        return await self.reading(partial(objects.accounts_with_did, number))

    async def accounts_with(self, name: str, value: str) -> list[AccountSpec]:
        """Return the accounts that have an endpoint of which a field has a value. Looks at every account."""
        return await self.reading(partial(objects.accounts_with, name, value))

    async def load_catalog(self, emergency: Emergency) -> Catalog:
        """Return the catalog of what is configured now, decks included."""
        return (await self.followed(emergency))[1]

    async def followed(self, emergency: Emergency) -> tuple[Configuration, Catalog]:
        """Return what is configured now but the accounts, and the catalog; only what changed since the last is read."""
        async with self._learning:
            is_first = self._known is None
            known = self._known = await self.reading(partial(loading.refreshed, self._known))
        configuration = known.configuration
        tables = await self._tables_of(configuration, hurried=is_first)
        for key in self._tables.keys() - tables.keys():
            del self._tables[key]
        catalog = await asyncio.to_thread(
            build_catalog, configuration, tables, known.carriers, emergency, known.accounts
        )
        return configuration, catalog

    async def catalog_of(self, configuration: Configuration, emergency: Emergency) -> Catalog:
        """Return the catalog of a configuration of this store, or of a part of it, with the decks in force."""
        tables = await self._tables_of(configuration)
        rows = await self.rows("SELECT role, tenant, id, number FROM account")
        numbers = {(role, tenant, name): number for role, tenant, name, number in rows}
        return build_catalog(configuration, tables, numbers, emergency)

    async def _tables_of(self, configuration: Configuration, *, hurried: bool = False) -> dict[Key, RateTable]:
        return {
            Key(spec.tenant, spec.id): await self.rate_table(spec, configuration, hurried=hurried)
            for spec in configuration.rate_tables
        }

    async def revision(self) -> int:
        """Return the revision of the configuration."""
        rows = await self.rows("SELECT value FROM meta WHERE name = 'revision'")
        return rows[0][0] if rows else 0

    async def changed(self, revision: int) -> bool:
        """Tell whether the configuration is another than at a revision."""
        return await self.revision() != revision

    async def apply(
        self,
        wanted: Iterable[Spec],
        decks: Mapping[Key, Sequence[RateRow]],
        *,
        who: str,
        reason: str = "apply",
        dry_run: bool = False,
    ) -> Difference:
        """Make the objects of a scenario so, and its decks; ``dry_run`` only tells what would differ.

        All or nothing. Raises Refused, DeckRefused.
        """
        specs, now = list(wanted), self._now()
        change = DeckChange("replace", None, who, SCENARIO, reason=reason)
        before = await self.configuration_but_accounts()
        after = objects.with_specs(before, (spec for spec in specs if not isinstance(spec, AccountSpec)))
        told, staged = await self._stated_decks(decks, after, change, now, dry_run)
        await self._refuse_unpriced(before, after, {deck.table for deck in told if deck.is_change})

        def work(connection: Link) -> Difference:
            objects.refuse_altered(connection, specs, now)
            ground = objects.others(connection)
            made = make_all_as_stated(connection, specs, who, reason, now)
            difference = Difference(
                tuple(change for change, _kept in made if change is not None), told,
                sum(change is None for change, _kept in made),
                tuple(
                    ObjectChange("keep", kind_of(spec), objects.shown(objects.place_of(spec)), kept)
                    for spec, (_change, kept) in zip(specs, made, strict=True)
                    if kept
                ),
            )  # fmt: skip
            changed = (spec for spec, (change, _kept) in zip(specs, made, strict=True) if change is not None)
            objects.refuse_dangling(connection, changed, ground)
            for deck in staged:
                deck.publish(connection)
            if not difference.is_empty:
                objects.bump(connection)
            if dry_run:
                raise _DryRun(difference)
            return difference

        try:
            return await self.administer(work)
        except _DryRun as outcome:
            return outcome.difference

    async def _stated_decks(
        self, decks: Mapping[Key, Sequence[RateRow]], after: Configuration, change: DeckChange, now: Instant,
        dry_run: bool,
    ) -> tuple[tuple[DeckDifference, ...], list[Staged]]:  # fmt: skip
        """Return what the decks of a scenario change, and those written aside. One stated before changes nothing."""
        told: list[DeckDifference] = []
        staged: list[Staged] = []
        for key, rows in decks.items():
            table = _table_of(after, key)
            digest = await asyncio.to_thread(deck_digest, rows)
            if await self.stated_digest(key, SCENARIO) == digest:
                told.append(DeckDifference(str(key), unchanged=prefix_count(rows, policy_of(table, 0, after))))
                continue
            version, plan = await self.deck_plan(table, after, rows, change, now)
            told.append(plan.difference)
            if plan.is_change and not dry_run:
                staged.append(await self.staged(key, digest, change, version, plan, now))
        return tuple(told), staged

    async def rate_table_spec(self, key: Key) -> RateTableSpec:
        """Return a configured rate table. Raises Refused where there is none."""
        query = "SELECT body FROM config_object WHERE kind = 'rate_table' AND tenant = ? AND id = ?"
        found = await self.rows(query, key)
        if not found:
            raise Refused(f"there is no rate table {key}")
        return msgspec.json.decode(found[0][0], type=RateTableSpec)

    async def _refuse_unpriced(self, before: Configuration, after: Configuration, imported: Collection[str]) -> None:
        """Refuse bands or rate types that contradict a deck which is there; one that is imported was checked."""
        known = {(spec.tenant, spec.id): policy_of(spec, 0, before) for spec in before.rate_tables}
        for spec in after.rate_tables:
            policy, key = known.get((spec.tenant, spec.id)), Key(spec.tenant, spec.id)
            if policy is not None and policy != policy_of(spec, 0, after) and str(key) not in imported:
                try:
                    await self.built(spec, after)
                except StoreUnavailable:
                    raise
                except StoreError as error:
                    raise Refused(f"what would change contradicts the deck that is there: {error}") from error

    async def import_deck(
        self, table: Key, rows: Sequence[RateRow], change: DeckChange, *, dry_run: bool = False,
        limit_percent: int | None = None, progress: Progress | None = None,
    ) -> DeckDifference:  # fmt: skip
        """Import a deck into a configured table, whole or not at all. Raises Refused, DeckRefused.

        Nothing is written where more than ``limit_percent`` of what was in force would be closed or changed.
        """
        now = self._now()
        configuration = await self.configuration_but_accounts()
        base, plan = await self.deck_plan(_table_of(configuration, table), configuration, rows, change, now)
        if not dry_run and plan.is_change and _is_within(plan, limit_percent):
            digest = await asyncio.to_thread(deck_digest, rows)
            await self._take(table, digest, change, base, plan, now, progress)
        return plan.difference

    async def rollback_deck(
        self, table: Key, to: int, *, who: str, reason: str, dry_run: bool = False, limit_percent: int | None = None,
        progress: Progress | None = None,
    ) -> DeckDifference:  # fmt: skip
        """Make the prices of a table from now on those of one of its versions, by a new one. Raises as an import."""
        now = self._now()
        configuration = await self.configuration_but_accounts()
        base, plan = await self.rollback_plan(_table_of(configuration, table), configuration, to, now)
        if not dry_run and plan.is_change and _is_within(plan, limit_percent):
            change = DeckChange("rollback", None, who, f"version {to}", reason=reason)
            await self._take(table, "", change, base, plan, now, progress)
        return plan.difference

    async def _take(
        self, table: Key, digest: str, change: DeckChange, base: int, plan: DeckPlan, now: Instant,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        """Write a plan, and bring it into force with a note of who made it, and why."""
        staged = await self.staged(table, digest, change, base, plan, now, progress)

        def work(connection: Link) -> None:
            staged.publish(connection)
            detail = f"version {staged.version}: {len(plan.fresh)} rows, {len(plan.endings)} ends"
            act = "rollback" if change.mode == "rollback" else "import"
            reason = change.reason or change.source
            if act == "rollback":
                detail = f"{detail}, as in {change.source}"
            objects.note(connection, ("rate_table", table.tenant, table.id), act, detail, change.who, reason, now)
            objects.bump(connection)

        await self.administer(work)

    # -- accounts

    async def account_view(self, key: Key) -> AccountView | None:
        """Return an account with its standing, None where there is none."""
        rows = await self.rows(f"{_ACCOUNTS} AND tenant = ? AND id = ?", key)
        return _view(rows[0], self._now()) if rows else None

    async def account_views(self, tenants: Sequence[str] = ()) -> list[AccountView]:
        """Return all accounts of some tenants, or of all."""
        now = self._now()
        views = [_view(row, now) for row in await self.rows(f"{_ACCOUNTS} ORDER BY tenant, id")]
        return [view for view in views if not tenants or view.spec.tenant in tenants]

    async def create_object(self, spec: Spec, *, who: str, reason: str) -> None:
        """Configure one new object. Raises Refused where it exists, or names what does not."""
        now = self._now()

        def work(connection: Link) -> None:
            place = objects.place_of(spec)
            if objects.found(connection, place) is not None:
                raise Refused(f"{kind_of(spec)} {objects.shown(place)} exists")
            ground = objects.others(connection)
            objects.make_so(connection, spec, who, reason, now)
            objects.refuse_dangling(connection, (spec,), ground)
            objects.bump(connection)

        await self.administer(work)

    async def set_status(self, key: Key, status: Status, *, who: str, reason: str) -> AccountView:
        """Suspend, resume or close an account. Raises Refused, as for one that is closed."""
        now = self._now()

        def work(connection: Link) -> None:
            spec = objects.found(connection, ("account", *key))
            if not isinstance(spec, AccountSpec):
                raise Refused(no_account(key))
            if spec.status is Status.CLOSED and status is not Status.CLOSED:
                raise Refused(
                    f"account {key} is closed, and nothing but its scenario file opens it again: state another status"
                    " there, and 'tollway apply' it"
                )
            if objects.make_so(connection, replace(spec, status=status), who, reason, now) is not None:
                objects.bump(connection)

        await self.administer(work)
        view = await self.account_view(key)
        assert view is not None, key
        return view

    async def credit(
        self, account: Key, kind: EntryKind, amount: int, *, key: str, who: str, reason: str,
        bucket: Wanted | None = None,
    ) -> Credited:  # fmt: skip
        """Top up, redeem or adjust, in a bucket where one is named; the same key and amount again changes nothing.

        Raises Refused, KeyConflict.
        """
        act = Act(key, who, reason, self._now())
        if amount == 0 or (kind is not EntryKind.ADJUST and amount < 0):
            raise Refused("a top-up is more than 0, an adjustment not 0")
        repeated = await self.administer(lambda link: account_acts.credit(link, account, kind, amount, act, bucket))
        return Credited(await self._viewed(account), amount, repeated)

    async def transfer(self, giver: Key, taker: Key, amount: int, *, key: str, who: str, reason: str) -> Transferred:
        """Move money between two accounts of one tenant and currency, once for a key. Raises Refused, KeyConflict."""
        act = Act(key, who, reason, self._now())
        if amount <= 0 or not key:
            raise Refused("a transfer is more than 0, and has a key")
        repeated = await self.administer(lambda link: account_acts.transfer(link, giver, taker, amount, act))
        return Transferred(await self._viewed(giver), await self._viewed(taker), amount, repeated)

    async def assert_balance(
        self, account: Key, stated: int, at: Instant | None, *, who: str, reason: str
    ) -> Assertion:  # fmt: skip
        """Put on record what a balance should be; a difference goes on the exception list. Raises Refused."""
        act = Act("", who, reason, self._now())
        return await self.administer(lambda link: account_acts.assert_balance(link, account, stated, at, act))

    async def give_units(
        self, account: Key, bundle: str, units: int, expires_at: Instant | None, *, key: str, who: str, reason: str
    ) -> bool:  # fmt: skip
        """Give units once, of a bundle without a period; tell whether the key had done so before. Raises Refused."""
        act = Act(key, who, reason, self._now())
        if units <= 0:
            raise Refused("units that are given are more than 0")
        return await self.administer(
            lambda link: account_acts.give_units(link, account, bundle, units, expires_at, act)
        )

    async def units_of(self, view: AccountView) -> list[UnitsView]:
        """Return what an account has of its bundles now, in the order of use."""
        place = (view.spec.tenant, view.spec.id)
        configuration = await self.configuration_but_accounts()
        query = f"SELECT {', '.join(Meter._fields)} FROM meter WHERE account = ?"
        rows = await self.rows(query, (view.standing.account,))
        meters = {meter.name: meter for meter in (Meter._make(row) for row in rows)}
        bundles = [spec for spec in configuration.bundles if (spec.tenant, spec.account) == place]
        return [
            units_view(spec, meters, view.standing.account, view.spec.timezone, view.at)
            for spec in sorted(bundles, key=lambda spec: spec.priority)
        ]

    async def _viewed(self, key: Key) -> AccountView:
        view = await self.account_view(key)
        assert view is not None, key
        return view

    async def entries(self, key: Key, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest entries of an account, oldest first."""
        query = (
            f"SELECT {', '.join('entry.' + name for name in ENTRY_NAMES)} FROM entry JOIN account"
            " ON account.number = entry.account WHERE role = 'customer' AND tenant = ? AND id = ?"
            " ORDER BY entry.number DESC LIMIT ?"
        )
        rows = await self.rows(query, (*key, limit))
        return [dict(zip(ENTRY_NAMES, row, strict=True)) for row in reversed(rows)]

    async def units_given(self, key: Key, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest units that an account was given once, or lost at their expiry, oldest first."""
        names = ("at", "name", "units", "expires_at", "key", "who", "reason")
        query = (
            f"SELECT {', '.join('unit_grant.' + name for name in names)} FROM unit_grant JOIN account"
            " ON account.number = unit_grant.account WHERE role = 'customer' AND tenant = ? AND id = ?"
            " ORDER BY unit_grant.number DESC LIMIT ?"
        )
        rows = await self.rows(query, (*key, limit))
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    async def assertions(self, entries: Sequence[int]) -> dict[int, Assertion]:
        """Return what persons stated of a balance, by the number of its entry; those of some entries, or fewer."""
        if not entries:
            return {}
        query = "SELECT entry, stated, found, at FROM assertion WHERE entry BETWEEN ? AND ?"
        rows = await self.rows(query, (min(entries), max(entries)))
        return {entry: Assertion(*said) for entry, *said in rows if entry in set(entries)}

    async def changes_of(self, kind: str, key: Key) -> list[dict[str, object]]:
        """Return who changed an object, when, what and why."""
        names = ("at", "act", "detail", "who", "reason")
        query = f"SELECT {', '.join(names)} FROM audit WHERE kind = ? AND tenant = ? AND id = ? ORDER BY number"
        return [dict(zip(names, row, strict=True)) for row in await self.rows(query, (kind, *key))]

    async def record_act(self, kind: str, key: Key, act: str, detail: str, *, who: str, reason: str) -> None:
        """Put on record what a person did that is neither an object's change nor money: a call cut, a hand-off."""
        place, now = (kind, *key), self._now()
        await self.administer(lambda link: objects.note(link, place, act, detail, who, reason, now))

    # -- tokens

    async def create_token(
        self, tenant: str, role: str, *, name: str = "", who: str, reason: str = "", expires_at: Instant | None = None,
        trust_user_name: bool = False,
    ) -> tuple[str, str]:  # fmt: skip
        """Return the id and the text of a new token; only its SHA-256 is kept. A token of that name is replaced."""
        text = "tw_" + secrets.token_urlsafe(32)
        digest = hashlib.sha256(text.encode()).hexdigest()
        made = name or "t" + secrets.token_hex(4)
        spec = TokenSpec(made, tenant, role, digest, trust_user_name=trust_user_name, expires_at=expires_at)
        now = self._now()

        def work(connection: Link) -> None:
            ground = objects.others(connection)
            objects.make_so(connection, spec, who, reason or "token create", now)
            objects.refuse_dangling(connection, (spec,), ground)
            objects.bump(connection)

        await self.administer(work)
        return spec.id, text

    async def revoke_token(self, tenant: str, name: str, *, who: str, reason: str) -> None:
        """Make a token worthless. Raises Refused where there is none."""
        now = self._now()

        def work(connection: Link) -> None:
            spec = objects.found(connection, ("token", tenant, name))
            if not isinstance(spec, TokenSpec):
                raise Refused(f"there is no token {tenant}/{name}")
            if objects.make_so(connection, replace(spec, revoked=True), who, reason, now) is not None:
                objects.bump(connection)

        await self.administer(work)

    async def exceptions(self, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest items of the exception list."""
        names = ("number", "kind", "tenant", "source", "switch", "call_id", "detail", "at")
        rows = await self.rows(f"SELECT {', '.join(names)} FROM exceptional ORDER BY number DESC LIMIT ?", (limit,))
        return [dict(zip(names, row, strict=True)) for row in rows]


def _table_of(configuration: Configuration, key: Key) -> RateTableSpec:
    """Return a configured rate table. Raises Refused where there is none."""
    for spec in configuration.rate_tables:
        if (spec.tenant, spec.id) == key:
            return spec
    raise Refused(f"there is no rate table {key}")


def _is_within(plan: DeckPlan, limit_percent: int | None) -> bool:
    return limit_percent is None or plan.difference.closed_or_changed_percent <= limit_percent


class _DryRun(Exception):
    """Carries a difference out of a transaction that is rolled back."""

    def __init__(self, difference: Difference) -> None:
        super().__init__("dry run")
        self.difference = difference


def _view(row: tuple[Any, ...], now: Instant) -> AccountView:
    standing = posting.current(standing_of(row[1:]), now)
    return AccountView(msgspec.json.decode(row[0], type=AccountSpec), standing, now)


def units_view(spec: BundleSpec, meters: Mapping[str, Meter], account: int, timezone: str, at: Instant) -> UnitsView:
    """Return what a bundle's meter, where there is one, says at an instant."""
    bundle = Bundle(spec.id, spec.units, spec.unit, spec.period, spec.rollover)
    meter = meters.get(bundle.meter, Meter(account, bundle.meter))
    meter = turned(meter, bundle, period_number(at, bundle.period, timezone))
    expired = 0 < meter.expires_at <= at
    return UnitsView(
        spec.id, spec.unit, spec.period, 0 if expired else left(meter, bundle), meter.used, meter.held, meter.carried,
        meter.expires_at or None,
    )  # fmt: skip
