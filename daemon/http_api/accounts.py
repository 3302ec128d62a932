"""Accounts over HTTP: what one holds, and money that arrives, once for each idempotency key.

An account is named by its id within the token's tenant, or by TENANT/ID of that same tenant: of a child a tenant sees
the child's account with it, which is its own, and nothing of the child's customers (SPEC section 1).
The top-up, its key and the bytes that answer it are one transaction.
"""

import hashlib
from dataclasses import dataclass

import msgspec

from daemon.authorize.catalog import AccountTerms, Status
from daemon.charging.configuration import TokenSpec
from daemon.charging.expiry import without_expired
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, Message, Outside, Reads, Store, StoreConflict
from daemon.http_api.messages import AccountReply, TopUpReply, TopUpRequest, instant
from daemon.http_api.refusal import conflict, malformed, unknown
from daemon.http_api.replies import account_reply, encode, money_left
from daemon.kernel.ids import Direction, Key, is_id
from daemon.kernel.money import MoneyError, format_nano, parse_nano
from daemon.ledger import posting
from daemon.ledger.account import EntryKind, Overflow, Standing
from daemon.ledger.bucket import Wanted, met

KEY_LENGTH_MAX = 200  # characters of an Idempotency-Key; a UUID has 36


@dataclass(frozen=True, slots=True)
class AccountDesk:
    """Shows accounts and takes money for them. Raises RequestRefused and StoreError."""

    ocf: OnlineCharging
    store: Store
    outside: Outside

    def terms(self, token: TokenSpec, tenant: str, name: str) -> AccountTerms:
        """Return the terms of an account that a token may name. Raises RequestRefused (404)."""
        catalog = self.ocf.catalog()
        key = Key(tenant or token.tenant, name)
        terms = catalog.accounts.get(key)
        if terms is None or key.tenant != token.tenant:
            raise unknown("account")
        return terms

    async def show(self, token: TokenSpec, tenant: str, name: str) -> AccountReply:
        """Return an account's money and channels in use."""
        terms = self.terms(token, tenant, name)
        reads, now = Reads(accounts=(terms.number,)), self.outside.now()
        standing = await self.store.transact(reads, lambda book: posting.current(book.standing(terms.number), now))
        plan = terms.plan_at(Direction.OUTBOUND, now)
        return account_reply(terms, standing, plan.id if plan is not None else "")

    async def top_up(self, token: TokenSpec, tenant: str, name: str, key: str | None, request: TopUpRequest) -> bytes:
        """Add money once for each key, and return the same bytes for each repeat."""
        terms = self.terms(token, tenant, name)
        if not key or len(key) > KEY_LENGTH_MAX or not (key.isascii() and key.isprintable()):
            raise malformed(f"state a header Idempotency-Key of 1 to {KEY_LENGTH_MAX} printable ASCII characters")
        now = self.outside.now()
        work = _TopUp(terms, _amount(request, terms), key, request, _wanted(request), token.id, now)
        reads = Reads(accounts=(terms.number,), messages=(work.message_key,))
        try:
            reply = await self.store.transact(reads, without_expired(work, now, self.ocf.catalog()))
        except StoreConflict:
            raise conflict("this Idempotency-Key was used before: by a command, or more than two days ago") from None
        except Overflow:
            raise malformed("the balance would be above what the ledger can hold") from None
        if reply is None:
            raise conflict("this Idempotency-Key was used for another top-up of the account")
        return reply


def _amount(request: TopUpRequest, terms: AccountTerms) -> int:
    try:
        nano = parse_nano(request.amount)
    except MoneyError as error:
        raise malformed(f"amount: {error}") from None
    if nano <= 0:
        raise malformed("amount: a top-up is more than 0")
    if request.currency not in ("", terms.currency):
        raise malformed(f"currency: the account is kept in {terms.currency}")
    if not request.reason.isprintable():
        raise malformed("reason holds control characters")
    return nano


def _wanted(request: TopUpRequest) -> Wanted | None:
    if not request.bucket:
        if (request.kind, request.priority, request.expires_at) != (None, None, None):
            raise malformed("kind, priority and expires_at are those of a bucket: name it")
        return None
    if not is_id(request.bucket):
        raise malformed("bucket is not an id: letters, digits, dot, underscore, hyphen")
    expires_at = instant(request.expires_at, "expires_at") if request.expires_at is not None else None
    return Wanted(request.bucket, request.kind, request.priority, expires_at)


def _digest(request: TopUpRequest) -> bytes:
    """Return what tells two requests apart; one without a bucket is told as it was before there were any."""
    told: dict[str, object] = {"amount": request.amount, "currency": request.currency, "reason": request.reason}
    if request.bucket:
        told |= {name: getattr(request, name) for name in ("bucket", "kind", "priority", "expires_at")}
    return hashlib.blake2b(msgspec.json.encode(told), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _TopUp:
    """The work of one top-up; it returns None where its key was used for another."""

    terms: AccountTerms
    amount: int
    key: str
    request: TopUpRequest
    wanted: Wanted | None
    who: str
    now: int

    @property
    def message_key(self) -> str:
        return f"topup:{self.terms.key}:{self.key}"

    def __call__(self, book: Book) -> bytes | None:
        digest = _digest(self.request)
        earlier = book.message(self.message_key)
        if earlier is not None:
            return earlier.reply if earlier.body == digest else None
        if self.terms.status is Status.CLOSED:
            raise conflict("the account is closed: nothing is given to it")
        standing = book.standing(self.terms.number)
        posted = self._posted(standing)
        if isinstance(posted, str):
            raise conflict(posted)
        for each in posted:
            book.post(each)
        reply = self._reply(book.standing(self.terms.number))
        book.save_message(Message(self.message_key, digest, reply, self.now))
        return reply

    def _posted(self, standing: Standing) -> list[posting.Posting] | str:
        kind, who, reason = EntryKind.TOP_UP, f"token {self.who}", self.request.reason or "POST topups"
        if self.wanted is None:
            return posting.credit(standing, kind, self.amount, self.now, key=self.key, who=who, reason=reason)
        terms = met(standing.buckets, self.wanted)
        return posting.credit_bucket(standing, kind, self.amount, self.now, terms, key=self.key, who=who, reason=reason)

    def _reply(self, standing: Standing) -> bytes:
        return encode(
            TopUpReply(
                account=self.terms.key.id, tenant=self.terms.key.tenant, amount=format_nano(self.amount),
                currency=self.terms.currency, balance=format_nano(standing.balance),
                reserved=format_nano(standing.reserved), uncollected=format_nano(standing.uncollected),
                available=money_left(self.terms, standing),
            )
        )  # fmt: skip
