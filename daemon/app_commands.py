"""What commands do without a running daemon: they open the store, do one thing in a transaction, and close it.

Commands see values and typed errors, never a database, a socket or an adapter; a daemon follows within a second.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

from daemon.app_actor import who
from daemon.app_command_clock import CommandClock
from daemon.app_prices import PricedCall, Question, plans_asked, priced_call
from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, Catalog, Emergency, Status
from daemon.authorize.decision import Decision
from daemon.authorize.explanation import Told, payer_of
from daemon.authorize.pricing import exchange_of
from daemon.billing_export.batch import ExportError, ExportUnavailable, sequence_of
from daemon.billing_export.export import Exported, Progress, export_again, run_exports
from daemon.billing_export.export import Refused as ExportRefused
from daemon.billing_export.source import StoreSource
from daemon.billing_export.verify import Finding, ListedBatch, list_batches, verify_exports
from daemon.charging.call import Call
from daemon.charging.configuration import (
    AccountSpec,
    Configuration,
    ConversionSpec,
    EndpointSpec,
    NasSpec,
    PlanFrom,
    TenantSpec,
    TokenSpec,
    code_list_of,
    for_plans,
)
from daemon.charging.limits_stated import ChannelPackageSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, StoreError, StoreUnavailable
from daemon.charging.recovery import RecoveryReport
from daemon.config_files.scenario_file import Scenario
from daemon.http_api.replies import charged_so_far, route_of
from daemon.ingest.batch_columns import FileRefused, RunStopped
from daemon.ingest.batch_rules import AccountRule, BatchRules
from daemon.ingest.batch_summary import BatchStatus, BatchSummary
from daemon.journal import EmergencyJournal, PostpaidJournal
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Key, split_key
from daemon.kernel.instant import Instant
from daemon.ledger.account import EntryKind, Standing
from daemon.ledger.bucket import Bucket, BucketKind, Wanted
from daemon.ledger.posting import current
from daemon.radius.client import NoReply, Reply, parse_pairs
from daemon.radius.client import send as radius_send
from daemon.radius.inspection import decode as radius_decode
from daemon.radius.packet import LocalPacketError, RadiusError
from daemon.rating.bundle import Meter
from daemon.rating.code_list import expanded
from daemon.rating.deck import RateRow
from daemon.settings import Settings, is_server
from daemon.store import LedgerStore, audit, backup, open_store, opening, restore
from daemon.store.administration import AccountView, Assertion, Credited, Difference, Refused, Transferred, UnitsView
from daemon.store.archive_files import is_month
from daemon.store.archives import Archived
from daemon.store.audit import LISTED_MAX as CHANGES_LISTED_MAX
from daemon.store.audit import Wanted as ChangesWanted
from daemon.store.backup_series import KEEP_MAX as COPIES_MAX
from daemon.store.backup_series import back_up_into
from daemon.store.check import check_store
from daemon.store.deck_difference import KINDS
from daemon.store.decks import DeckChange, DeckDifference
from daemon.store.decks import Progress as DeckProgress
from daemon.store.finding import Finding as StoreFinding
from daemon.store.health import newest_instant
from daemon.store.objects import KINDS as OBJECT_KINDS
from daemon.store.objects import no_account
from daemon.store.qualities import listed

T = TypeVar("T")

AUDITED_KINDS = (*OBJECT_KINDS, "voucher_batch", "call", "export_batch", "archive")

__all__ = [
    "AUDITED_KINDS",
    "CHANGES_LISTED_MAX",
    "COPIES_MAX",
    "KINDS",
    "AccountKind",
    "AccountView",
    "Archived",
    "Assertion",
    "BatchRules",
    "BatchStatus",
    "BatchSummary",
    "Bucket",
    "BucketKind",
    "Call",
    "CallAttempt",
    "ChangesWanted",
    "ChannelPackageSpec",
    "Credited",
    "Decision",
    "DeckDifference",
    "Difference",
    "EntryKind",
    "ExportError",
    "ExportRefused",
    "ExportUnavailable",
    "Exported",
    "FileRefused",
    "Finding",
    "History",
    "ListedBatch",
    "LocalPacketError",
    "NasSpec",
    "NewAccount",
    "NoReply",
    "Opened",
    "Progress",
    "RadiusError",
    "Refused",
    "Reply",
    "RunStopped",
    "Status",
    "StoreError",
    "StoreFinding",
    "StoreUnavailable",
    "TokenSpec",
    "Told",
    "Transferred",
    "UnitsView",
    "Wanted",
    "backed_up",
    "backed_up_into",
    "charged_so_far",
    "checked",
    "clock",
    "is_month",
    "no_account",
    "opened",
    "operate",
    "parse_pairs",
    "price_file",
    "radius_decode",
    "radius_send",
    "restored",
    "route_of",
    "sequence_of",
    "store_exists",
    "upgraded",
    "who",
]  # fmt: skip


def clock() -> Instant:
    """Return microseconds since the epoch, by the machine's clock."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What a person states of a new account; money in nano-units, a credit limit of None is unlimited."""

    kind: AccountKind
    currency: str = ""  # empty: the tenant's
    balance: int = 0
    credit_limit: int | None = 0
    rate_plan: str = ""
    inbound_rate_plan: str = ""
    channels: int | None = None
    sip_user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one account, each oldest first; ``assertions`` by the number of their entry."""

    entries: list[dict[str, object]]
    assertions: dict[int, Assertion]
    units: list[dict[str, object]]
    changes: list[dict[str, object]]


@dataclass
class Opened:
    """An open store and what commands do with it."""

    settings: Settings
    store: LedgerStore

    async def configuration(self) -> Configuration:
        """Return everything that is configured but the accounts, of which there may be a million."""
        return await self.store.configuration_but_accounts()

    async def account_specs(self, tenant: str, *names: str) -> list[AccountSpec]:
        """Return those of a tenant's accounts of some ids that there are."""
        return await self.store.account_specs([Key(tenant, name) for name in names])

    async def key(self, text: str) -> Key:
        """Return the key of ``ID`` (of the owner) or ``TENANT/ID``. Raises Refused in a store without an owner."""
        owner = await self.store.owner()
        if not owner:
            raise Refused("the store holds no tenant yet: 'tollway apply FILE' makes them")
        return split_key(text, owner)

    async def apply(self, scenario: Scenario, *, reason: str = "", dry_run: bool) -> Difference:
        """Make what a scenario states so."""
        stated = (scenario.objects, scenario.decks)
        return await self.store.apply(*stated, who=who(), reason=reason or "apply", dry_run=dry_run)

    async def account(self, text: str) -> AccountView | None:
        """Return one account."""
        return await self.store.account_view(await self.key(text))

    async def known_tenant(self, tenant: str | None) -> None:
        """Refuse a tenant that there is none of: a misspelt one would look like one without anything."""
        if tenant is not None and all(spec.id != tenant for spec in (await self.configuration()).tenants):
            raise Refused(f"there is no tenant {tenant}")

    async def known_account(self, text: str | None) -> Key | None:
        """Return the key of an account, None for none. Raises Refused where there is no such account."""
        if text is None:
            return None
        key = await self.key(text)
        if await self.store.account_view(key) is None:
            raise Refused(no_account(key))
        return key

    async def accounts(self) -> list[AccountView]:
        """Return all accounts."""
        return await self.store.account_views()

    async def create_account(self, text: str, new: NewAccount, *, reason: str) -> AccountView:
        """Create an account. Raises Refused where something that it names is not there, and StoreError."""
        key, configuration = await self.key(text), await self.configuration()
        tenant = next((spec for spec in configuration.tenants if spec.id == key.tenant), None)
        if tenant is None:
            raise Refused(f"there is no tenant {key.tenant}: 'tollway apply FILE' makes tenants")
        _refuse_unusable(new, tenant, configuration)
        for claimant in await self.store.accounts_with("sip_user", new.sip_user) if new.sip_user else ():
            raise Refused(f"account {claimant.tenant}/{claimant.id} claims SIP user {new.sip_user}: ambiguous calls")
        _refuse_unconverted(new.currency, tenant, configuration)
        identities = (EndpointSpec(sip_user=new.sip_user, password=new.password),) if new.sip_user else ()
        spec = AccountSpec(
            key.tenant, key.id, new.kind, new.currency or tenant.currency, new.balance, new.credit_limit,
            rate_plan=(PlanFrom(new.rate_plan),) if new.rate_plan else (),
            inbound_rate_plan=(PlanFrom(new.inbound_rate_plan),) if new.inbound_rate_plan else (),
            timezone=tenant.timezone, channels_total=new.channels, identities=identities,
        )  # fmt: skip
        await self.store.create_object(spec, who=who(), reason=reason)
        view = await self.store.account_view(key)
        assert view is not None, key
        return view

    async def credit(
        self, text: str, kind: EntryKind, amount: int, *, key: str, reason: str, bucket: Wanted | None = None
    ) -> Credited:
        """Top up or adjust an account, or a bucket of it."""
        account = await self.key(text)
        return await self.store.credit(account, kind, amount, key=key, who=who(), reason=reason, bucket=bucket)

    async def transfer(self, giver: str, taker: str, amount: int, *, key: str, reason: str) -> Transferred:
        """Move money from one account to another."""
        accounts = await self.key(giver), await self.key(taker)
        return await self.store.transfer(*accounts, amount, key=key, who=who(), reason=reason)

    async def assert_balance(self, text: str, stated: int, at: Instant | None, *, reason: str) -> Assertion:
        """Put on record what a balance should be."""
        return await self.store.assert_balance(await self.key(text), stated, at, who=who(), reason=reason)

    async def give_units(
        self, text: str, bundle: str, units: int, expires_at: Instant | None, *, key: str, reason: str
    ) -> bool:
        """Give units once; tell whether the key had done so before."""
        account = await self.key(text)
        return await self.store.give_units(account, bundle, units, expires_at, key=key, who=who(), reason=reason)

    async def units(self, view: AccountView) -> list[UnitsView]:
        """Return what an account has of its bundles."""
        return await self.store.units_of(view)

    async def set_status(self, text: str, status: Status, reason: str) -> AccountView:
        """Suspend or resume an account."""
        return await self.store.set_status(await self.key(text), status, who=who(), reason=reason)

    async def history(self, text: str) -> History:
        """Return the newest ledger entries of an account, what they assert, units given to it, and who changed it."""
        key = await self.key(text)
        entries = await self.store.history(key)
        asserted = [int(str(row["number"])) for row in entries if row["kind"] == EntryKind.BALANCE_ASSERTION.value]
        return History(
            entries, await self.store.assertions(asserted), await self.store.units_given(key),
            await self.store.changes_of("account", key),
        )  # fmt: skip

    async def import_deck(
        self, text: str, rows: Sequence[RateRow], *, mode: str, effective_from: Instant | None, source: str,
        backdate: bool, dry_run: bool, yes: bool, reason: str = "", progress: DeckProgress,
    ) -> tuple[DeckDifference, int]:  # fmt: skip
        """Import a deck, or tell what it would change; return the table's limit of closed or changed percent as well.

        Destinations are written out by the code list. Above the limit nothing is written, unless ``yes`` is said.
        """
        key, configuration = await self.key(text), await self.configuration()
        spec = await self.store.rate_table_spec(key)
        rows, errors = expanded(rows, code_list_of(spec, configuration))
        if errors:
            raise Refused(*map(str, errors))
        change, limit = DeckChange(mode, effective_from, who(), source, backdate, reason), spec.closed_limit_percent
        difference = await self.store.import_deck(
            key, rows, change, dry_run=dry_run, limit_percent=None if yes else limit, progress=progress
        )
        return difference, limit

    async def rollback_deck(
        self, text: str, to: int, *, reason: str, dry_run: bool, yes: bool, progress: DeckProgress
    ) -> tuple[DeckDifference, int]:
        """Go back to a version of a deck, or tell what that would change; with the table's limit, as an import."""
        key = await self.key(text)
        limit = await self._closed_limit(key)
        difference = await self.store.rollback_deck(
            key, to, who=who(), reason=reason, dry_run=dry_run, limit_percent=None if yes else limit,
            progress=progress,
        )  # fmt: skip
        return difference, limit

    async def deck_versions(self, text: str) -> list[dict[str, object]]:
        """Return the versions of a table's deck, oldest first. Raises Refused where there is no such table."""
        key = await self.key(text)
        await self.store.rate_table_spec(key)
        return await self.store.deck_versions(key)

    async def _closed_limit(self, key: Key) -> int:
        """Return how much of a table an import may close or change without being asked twice."""
        return (await self.store.rate_table_spec(key)).closed_limit_percent

    async def price(self, question: Question) -> PricedCall:
        """Price one answered call as the daemon does. Raises Refused where the plan or the account is not there."""
        key, configuration = await self.key(question.plan), await self.configuration()
        if all((spec.tenant, spec.id) != key for spec in configuration.rate_plans):
            raise Refused(f"there is no rate plan {key}")
        payer = await self.key(question.account) if question.account else None
        named = await self.store.account_specs([payer]) if payer is not None else ()
        called = digits(question.number)
        sharing = [spec for spec in configuration.rate_plans if spec.tenant == key.tenant and spec.on_net]
        claiming = await self.store.accounts_with_did(called) if called is not None and sharing else ()
        asked_of = replace(
            configuration, accounts=tuple({(spec.tenant, spec.id): spec for spec in (*named, *claiming)}.values())
        )
        catalog = await self.store.catalog_of(for_plans(asked_of, plans_asked(asked_of, key)), Emergency())
        terms = catalog.accounts.get(payer) if payer is not None else None
        if payer is not None and (terms is None or payer.tenant != key.tenant):
            raise Refused(f"tenant {key.tenant}, whose plan this is, has no account {payer.id}")
        return priced_call(catalog, key, terms, question)

    async def batch_rules(self, plan: str) -> BatchRules:
        """Return what a file is priced by: a plan, and what its accounts are asked. Raises Refused without the plan."""
        key, configuration = await self.key(plan), await self.store.load_configuration()
        if all((spec.tenant, spec.id) != key for spec in configuration.rate_plans):
            raise Refused(f"there is no rate plan {key}")
        priced_alone = [spec for spec in configuration.accounts if spec.overrides]
        plans = {Key(spec.tenant, dated.plan) for spec in priced_alone for dated in spec.rate_plan}
        catalog = await self.store.catalog_of(for_plans(configuration, [key, *sorted(plans)]), Emergency())
        return batch_rules_of(catalog, key)

    async def conversions(self, tenant: str | None) -> list[ConversionSpec]:
        """Return the rates between currencies, by tenant and pair, the earliest first; all, or those of one tenant."""
        stated = (await self.configuration()).conversions
        chosen = [spec for spec in stated if tenant in (None, spec.tenant)]
        return sorted(chosen, key=lambda spec: (spec.tenant, spec.source, spec.target, spec.begins))

    async def explain(self, attempt: CallAttempt, viewer: str | None = None) -> tuple[Decision, tuple[Told, ...]]:
        """Decide about a call without effect, told as a tenant may see it; None: as the operator may.

        Raises Refused for a tenant that there is none of, or that neither sells nor buys this call.
        """
        ocf = await self.charging()
        reads = ocf.quote_reads(attempt)

        def read(book: Book) -> tuple[dict[int, Standing], dict[tuple[int, str], Meter]]:
            standings = {number: current(book.standing(number), clock()) for number in reads.accounts}
            return standings, {key: book.meter(*key) for key in reads.meters}

        standings, meters = await self.store.transact(reads, read) if reads.accounts else ({}, {})
        decision, rules = ocf.tell(attempt, standings.__getitem__, viewer, lambda *key: meters[key])
        if viewer is not None:
            await self._refuse_stranger(viewer, payer_of(decision))
        return decision, rules

    async def _refuse_stranger(self, viewer: str, payer: Key | None) -> None:
        """Refuse a tenant that a call is none of the business of: it is neither the payer's nor one above that."""
        parents = {tenant.id: tenant.parent for tenant in (await self.configuration()).tenants}
        if viewer not in parents:
            raise Refused(f"there is no tenant {viewer}")
        above = payer.tenant if payer is not None else ""
        while above and above != viewer:
            above = parents.get(above, "")
        if payer is not None and above != viewer:
            raise Refused(f"tenant {viewer} sees nothing of this call: {payer} pays, and it is not above that account")

    async def charging(self) -> OnlineCharging:
        """Return the charging function over this store."""
        # Loading the daemon's adapters takes longer than most commands: only the commands about calls need them.
        from daemon.app import OUTSIDE, Following, charging_settings, emergency_of  # noqa: PLC0415

        directory = Following(self.store, emergency_of(self.settings))
        await directory.load()
        journal = EmergencyJournal(Path(self.settings.emergency.journal))
        return OnlineCharging(self.store, directory, journal, OUTSIDE, charging_settings(self.settings))

    async def open_calls(self) -> Sequence[Call]:
        """Return the live calls."""
        return await self.store.open_calls()

    async def first_open_calls(self, limit: int, payer: Key | None) -> tuple[Sequence[Call], int]:
        """Return the oldest live calls, at most ``limit``, and how many there are of all or of an account."""
        return await self.store.first_open_calls(limit, payer)

    async def recovery(self, since: Instant | None) -> RecoveryReport:
        """Return what starts since an instant found and what became of it; without one, of the newest start alone."""
        starts = await self.store.recovery_starts(since)
        told = [(start, tuple(await self.store.recovered_calls(start))) for start in starts]
        known = {each.found.grant_id for _, calls in told for each in calls}
        begins = since if since is not None else starts[0].at if starts else 0
        estimates = await self.store.estimated_calls(begins)
        await self.store.open_calls()  # notes those that cannot be read
        waiting = await PostpaidJournal(Path(self.settings.charging.postpaid_journal)).waiting()
        return RecoveryReport(
            tuple(told), tuple(each for each in estimates if each.found.grant_id not in known), waiting,
            tuple(sorted(self.store.unreadable.items())),
        )  # fmt: skip

    async def find_calls(self, call_id: str) -> Sequence[Call]:
        """Return the calls of a call id or grant id."""
        return await self.store.find_calls(call_id)

    async def find_archived_calls(self, call_id: str) -> Sequence[tuple[str, Call]]:
        """Return the calls of a call id or grant id that have left the store, each with the month of its archive."""
        return await self.store.find_archived_calls(call_id)

    async def archive(self, keep_months: int | None, before: str, progress: Callable[[str], None]) -> list[Archived]:
        """Move closed months out of the store. Raises StoreError."""
        # What writes files is loaded by the command that does, not by every other.
        from daemon.store.archiving import archive_months  # noqa: PLC0415

        keep = self.settings.store.archive_keep_months if keep_months is None else keep_months
        done = await archive_months(self.store, keep, before, clock(), progress)
        for month in done:
            await self._noted("archive", Key("", month.month), "archive", f"{month.entries} entries", "db archive")
        return done

    async def end_call(self, call: Call, reason: str) -> bool:
        """Ask whoever has the call to end it, on record; tell whether it was open and not cut before."""
        changed = (await (await self.charging()).cut(call.grant_id)).changed
        if changed:
            await self._noted("call", Key(call.tenant, call.grant_id), "end", call.call_id, reason)
        return changed

    async def _noted(self, kind: str, key: Key, act: str, detail: str, reason: str) -> None:
        await self.store.record_act(kind, key, act, detail, who=who(), reason=reason)

    async def changes(self, wanted: ChangesWanted) -> list[dict[str, Any]]:
        """Return the newest changes by persons, oldest first: what, when, who and why."""
        return await self.store.reading(lambda link: audit.listed(link, wanted))

    async def call_changes(self, call: Call) -> list[dict[str, object]]:
        """Return what persons did to a call, when and why."""
        return await self.store.changes_of("call", Key(call.tenant, call.grant_id))

    async def has_carriers(self) -> bool:
        """Tell whether the daemon routes: where there are no carriers, switches do."""
        return bool((await self.configuration()).carriers)

    async def create_token(
        self,
        tenant: str,
        role: str,
        name: str,
        reason: str,
        *,
        expires: Instant | None = None,
        trust_user_name: bool = False,
        replace_earlier: bool = False,
    ) -> tuple[str, str]:
        """Return id and text of a new token. Raises Refused where one of that name is in force, or it would not be."""
        if expires is not None and expires <= clock():
            raise Refused("the token would have expired already; state a time to come")
        in_force = {
            (token.tenant, token.id) for token in await self.tokens()
            if not token.revoked and (token.expires_at is None or token.expires_at > clock())
        }  # fmt: skip
        if (tenant, name) in in_force and not replace_earlier:
            raise Refused(f"token {tenant}/{name} is in force: revoke it first, or choose another name")
        return await self.store.create_token(
            tenant, role, name=name, who=who(), reason=reason, expires_at=expires, trust_user_name=trust_user_name
        )

    async def tokens(self) -> tuple[TokenSpec, ...]:
        """Return all tokens, without their secrets."""
        return tuple(replace(token, sha256="") for token in (await self.configuration()).tokens)

    async def revoke_token(self, text: str, reason: str) -> None:
        """Revoke a token, ``ID`` (of the owner) or ``TENANT/ID``. Raises Refused where there is none."""
        await self.store.revoke_token(*await self.key(text), who=who(), reason=reason)

    async def nas(self, name: str, address: str) -> NasSpec | None:
        """Return the open RADIUS client of an id, or where that is empty the one that an address belongs to."""
        known = [spec for spec in (await self.configuration()).nas if spec.status is Status.ACTIVE]
        return next((spec for spec in known if spec.id == name or (not name and _holds(spec.address, address))), None)

    async def exceptions(self, limit: int) -> list[dict[str, object]]:
        """Return the newest items of the exception list."""
        return await self.store.exceptions(limit)

    async def carrier_qualities(self) -> list[tuple[object, ...]]:
        """Return tenant, carrier, first digits, attempts, ASR in percent, ACD in seconds, and both grades or None."""
        return await listed(self.store, clock())

    async def events(self, text: str | None, limit: int) -> list[dict[str, object]]:
        """Return the newest events of an account, or of all."""
        return await self.store.events(await self.key(text) if text is not None else None, limit)

    async def export_run(self, progress: Progress | None = None) -> list[Exported | ExportRefused]:
        """Hand off what is new."""
        directory = Path(self.settings.export.directory)
        done = await run_exports(StoreSource(self.store), directory, clock(), progress=progress)
        for each in done:
            if isinstance(each, Exported):
                batch = Key(each.tenant, f"{each.tenant}-{each.sequence:08d}")
                await self._noted("export_batch", batch, "export", f"{each.records} records", "export run")
        return done

    async def export_again(self, tenant: str, sequence: int, directory: Path | None) -> Exported:
        """Write a finished batch once more: into its place, or below another directory."""
        place = directory if directory is not None else Path(self.settings.export.directory)
        return await export_again(StoreSource(self.store), place, tenant, sequence)

    async def export_list(self, tenant: str) -> list[ListedBatch]:
        """Return the batches."""
        return await list_batches(StoreSource(self.store), Path(self.settings.export.directory), tenant)

    async def export_verify(self, tenant: str) -> list[Finding]:
        """Return what is wrong with the batches on disk."""
        return await verify_exports(StoreSource(self.store), Path(self.settings.export.directory), tenant)


def _holds(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _refuse_unusable(new: NewAccount, tenant: TenantSpec, configuration: Configuration) -> None:
    plans = {(spec.tenant, spec.id) for spec in configuration.rate_plans}
    for plan in (new.rate_plan, new.inbound_rate_plan):
        if plan and (tenant.id, plan) not in plans:
            raise Refused(f"tenant {tenant.id} has no rate plan {plan}")


def _refuse_unconverted(currency: str, tenant: TenantSpec, configuration: Configuration) -> None:
    """Refuse an account in a currency that no rate of any tenant leads into: nothing could be charged to it."""
    known = {tenant.currency} | {spec.target for spec in configuration.conversions}
    if currency and currency not in known:
        raise Refused(
            f"tenant {tenant.id} is kept in {tenant.currency}, and no rate into {currency} is stated: add a"
            f' [[conversion]] with from = "{tenant.currency}", to = "{currency}", a rate and an effective_from to the'
            " scenario file, and 'tollway apply' it"
        )


def batch_rules_of(catalog: Catalog, plan: Key) -> BatchRules:
    """Return what a file is priced by: a plan of a catalog, its tenant's own numbers, and what accounts are asked.

    Raises Refused where those numbers are not a list.
    """
    if catalog.plans[plan].on_net and catalog.has_own_ranges(plan.tenant):
        raise Refused(
            f"plan {plan} has on-net tables, and tenant {plan.tenant} has DID ranges or DIDs from a date, which a file"
            " is not priced by yet; list each number without a date, or price the calls one by one"
        )
    accounts: dict[str, AccountRule] = {}
    for terms in catalog.accounts.values():
        rule = AccountRule(terms.rates, terms.zone.key, exchange_of(catalog, terms))
        accounts[str(terms.key)] = rule
        if terms.key.tenant == plan.tenant:
            accounts[terms.key.id] = rule
    return BatchRules(catalog.plans[plan], accounts, catalog.own_numbers(plan.tenant))


def price_file(
    source: Path, target: Path, rules: BatchRules, *, restart: bool, progress: Callable[[int, int, int], None],
    stop: Callable[[], bool] = lambda: False,
) -> BatchSummary:  # fmt: skip
    """Price a file of usage into another. Raises FileRefused, OSError, and RunStopped where ``stop`` told it to end."""
    # Arrays and the readers of files are loaded by the command that needs them, not by every other.
    from daemon.ingest import batch_run  # noqa: PLC0415

    try:
        return batch_run.price_file(batch_run.BatchOrder(source, target, rules, restart=restart), progress, stop)
    except KeyboardInterrupt:
        raise RunStopped(batch_run.kept_rows(target)) from None


@asynccontextmanager
async def opened(settings: Settings, *, create: bool = False) -> AsyncIterator[Opened]:
    """Open the store for one command. Raises StoreUnavailable where there is none, or none that can be used."""
    try:
        dated = CommandClock(clock)
        store = await open_store(settings.store, dated, create=create)
    except StoreUnavailable:
        raise
    except (StoreError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    try:
        await _date_after(store, settings, dated)
        yield Opened(settings, store)
    finally:
        await store.close()


async def _date_after(store: LedgerStore, settings: Settings, dated: CommandClock) -> None:
    """Have a command date nothing before what a daemon beside it has entered, and say where that is far off."""
    if is_server(settings.store.url):
        return  # it may be of another machine, whose clock `tollway doctor` compares
    try:
        said = dated.not_before(await store.reading(newest_instant))
    except StoreError:
        return  # what the command itself does will say so
    if said:
        sys.stderr.write(f"{said}\n")


def operate(settings: Settings, work: Callable[[Opened], Awaitable[T]], *, create: bool = False) -> T:
    """Run one piece of work on the store."""

    async def run() -> T:
        async with opened(settings, create=create) as store:
            return await work(store)

    return asyncio.run(run())


def store_exists(settings: Settings) -> bool:
    """Tell whether there is a store where the settings say."""
    return opening.exists(settings.store.url)


def upgraded(settings: Settings) -> str:
    """Bring the store to this release's schema, creating it where there is none, and return its name."""

    async def run() -> None:
        async with opened(settings, create=True):
            pass

    asyncio.run(run())
    return opening.name_of(settings.store.url)


def backed_up(settings: Settings, target: Path) -> None:
    """Copy the store into a new file while daemons charge in it. Raises StoreError, StoreUnavailable."""
    backup.back_up(settings.store.url, target)


def backed_up_into(settings: Settings, folder: Path, keep: int | None) -> tuple[Path, int]:
    """Copy the store into a folder under a name of its time; return it, and how many older copies went.

    Raises StoreError, StoreUnavailable.
    """
    return back_up_into(settings.store.url, folder, keep, clock())


def restored(settings: Settings, source: Path) -> str:
    """Make a copy the store, where there is none; return the store's name. Raises StoreError, StoreUnavailable."""
    restore.restore(source, settings.store.url)
    return opening.name_of(settings.store.url)


def checked(settings: Settings) -> list[StoreFinding]:
    """Return every invariant of the ledger that does not hold."""

    async def run() -> list[StoreFinding]:
        async with opened(settings) as store:
            return await check_store(store.store)

    return asyncio.run(run())
