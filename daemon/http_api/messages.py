"""What goes over the wire: strict types in, strict types out; an unknown field is an error, every text is bounded.

Money is a decimal text. A time is RFC 3339. A duration is a decimal number or text, taken at its exact value: no float
ever holds one. What JSON itself cannot say (octets, control characters) is checked by ``decoded``.
"""

import re
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from daemon.http_api.refusal import malformed
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant, InstantError, parse_rfc3339
from daemon.ledger.bucket import PRIORITY_MAX, BucketKind
from daemon.ledger.voucher_code import TYPED_LENGTH_MAX

BODY_SIZE_MAX = 1 << 16  # octets of a request's body; the longest of ours has a tenth of it
ID_OCTETS_MAX = 253  # octets of a call id or a number; what a RADIUS attribute can carry (RFC 2865 section 5)
NAME_LENGTH_MAX = 129  # characters of TENANT/ID
TIME_LENGTH_MAX = 40  # characters of an RFC 3339 time
REASON_LENGTH_MAX = 500  # characters of a person's reason
DURATION_SECONDS_MAX = 1_000_000  # seconds; eleven days, above every limit of a call
DURATION_DIGITS_MAX = 28  # digits of a duration; a double written in full has 17, and 28 are still exact here

Identifier = Annotated[str, Meta(min_length=1, max_length=ID_OCTETS_MAX)]
Optional = Annotated[str, Meta(max_length=ID_OCTETS_MAX)]
Name = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
Time = Annotated[str, Meta(max_length=TIME_LENGTH_MAX, extra_json_schema={"format": "date-time"})]
Duration = Annotated[
    Decimal,
    Meta(extra_json_schema={"type": ["number", "string"], "format": "decimal", "description": "seconds from answer"}),
]
Money = Annotated[str, Meta(max_length=24, extra_json_schema={"format": "decimal"})]
Route = Annotated[int, Meta(ge=0, le=255)]
Cause = Annotated[str, Meta(max_length=64)]
Reason = Annotated[str, Meta(max_length=REASON_LENGTH_MAX)]


class AuthorizeRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"calling": "from", "called": "to"}, kw_only=True
):
    """One question: may this call proceed, and for how long. ``updates``: the client will renew while the call runs.

    ``both_sides``: the account of the called DID pays for the same call inbound, and no other question asks for it.
    """

    call_id: Identifier
    calling: Optional
    called: Identifier
    direction: Direction
    account: Name = ""
    sip_user: Optional = ""
    password: Annotated[str, Meta(max_length=ID_OCTETS_MAX)] | None = None
    pin: Optional = ""
    ip: Annotated[str, Meta(max_length=45)] = ""
    caller: Optional = ""
    via: Annotated[str, Meta(max_length=64)] = ""
    override: Annotated[str, Meta(max_length=64)] = ""
    updates: bool = False
    both_sides: bool = False
    at: Time | UnsetType = UNSET


class RouteReply(msgspec.Struct, frozen=True):
    """A carrier that may take the call, in the order in which to try them; its id is told to its own tenant only."""

    carrier: str
    dial: str
    route: int


class SellReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the payer is charged by: ``rate`` a minute, lengths in seconds.

    Where prices are in another currency than the payer's, ``currency`` names it, and ``conversion`` the rate between
    both, such as ``EUR to USD at 1.085 of TIME``; else neither is told.
    """

    prefix: str
    destination: str
    rate: str
    connect_fee: str
    first_seconds: int
    next_seconds: int
    rate_table: str
    currency: str = ""
    conversion: str = ""


class RuleReply(msgspec.Struct, frozen=True):
    """One rule of a decision, in its order. ``outcome``: passed, left_out, refused, not_applicable or not_asked.

    ``level`` is the account whose rule it is where that is not the one that pays, as TENANT/ID, else empty.
    """

    rule: str
    passed: bool
    outcome: str
    question: str
    detail: str
    level: str


class AuthorizeReply(msgspec.Struct, frozen=True, kw_only=True):
    """``reason`` is empty where granted; ``q850`` and ``sip`` are its codes where denied, else 0.

    ``reserved``, ``currency`` and ``sell`` are those of the level that the token's tenant sells at. Where the payer is
    to be warned, the seconds from answer say when: that its money is low, and that the call is about to be ended.
    """

    result: str
    reason: str = ""
    quota_seconds: int = 0
    reserved: Money = "0.00"
    currency: str = ""
    routes: tuple[RouteReply, ...] = ()
    renewable: bool = False
    update_within_seconds: int = 0
    grant_id: str = ""
    sell: SellReply | None = None
    q850: int = 0
    sip: int = 0
    emergency: bool = False
    warn_at_seconds: int | UnsetType = UNSET
    cutoff_warn_at_seconds: int | UnsetType = UNSET
    rules: tuple[RuleReply, ...] | UnsetType = UNSET


class AnswerRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The called side answered at ``at``; ``route`` is the one that answered, 0 where unknown."""

    at: Time
    grant_id: Name = ""
    route: Route = 0
    cause: Cause = ""


class UpdateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The call still runs at ``at``."""

    at: Time
    grant_id: Name = ""
    duration_seconds: Duration | None = None
    cause: Cause = ""


class EndRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The call ended at ``at``; ``answered`` false says that it was never answered."""

    at: Time
    grant_id: Name = ""
    duration_seconds: Duration | None = None
    cause: Cause = ""
    answered: bool | UnsetType = UNSET
    route: Route = 0


class CallReply(msgspec.Struct, frozen=True, kw_only=True):
    """A running call: ``quota_seconds`` from answer; ``final``: it ends there, or at once where that has passed.

    The seconds at which to warn are as of a grant, and may have moved.
    """

    call_id: str
    grant_id: str
    state: str
    quota_seconds: int
    reserved: Money
    charged: Money
    currency: str
    final: bool
    cut: bool
    update_within_seconds: int
    warn_at_seconds: int | UnsetType = UNSET
    cutoff_warn_at_seconds: int | UnsetType = UNSET


class EndReply(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is over. ``uncollected`` is the part of ``charge`` that a prepaid account could not pay."""

    call_id: str
    grant_id: str
    state: str
    duration_seconds: str
    charge: Money
    uncollected: Money
    currency: str
    settled_by: str


class LiveCall(msgspec.Struct, frozen=True, rename={"calling": "from", "called": "to"}, kw_only=True):
    """One open call as its tenant sees it, with what its own customer pays."""

    call_id: str
    grant_id: str
    account: str
    direction: str
    calling: str
    called: str
    state: str
    started_at: str
    answered_at: str | None
    reserved: Money
    charged: Money
    currency: str
    quota_seconds: int
    switch: str
    cut: bool


class CutReply(msgspec.Struct, frozen=True):
    """The grants that were cut by this request; none where all were cut before."""

    call_id: str
    cut: tuple[str, ...]


class Channels(msgspec.Struct, frozen=True):
    """Channels in use."""

    inbound: int
    outbound: int
    total: int


class BucketReply(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket of an account; ``expires_at`` is null where it never does."""

    id: str
    kind: str
    priority: int
    expires_at: str | None
    amount: Money


class AccountReply(msgspec.Struct, frozen=True, kw_only=True):
    """One account; ``main`` is what of the balance is in no bucket.

    ``available`` and ``credit_limit`` are the word unlimited where there is no limit. ``suspended_by`` is person,
    fraud_rule (a person has to resume it), balance (its money came to its end, and a top-up resumes it), or empty.
    """

    id: str
    tenant: str
    kind: str
    status: str
    currency: str
    balance: Money
    reserved: Money
    uncollected: Money
    available: str
    credit_limit: str
    rate_plan: str
    channels: Channels
    main: Money
    buckets: tuple[BucketReply, ...] = ()
    suspended_by: str = ""


class TopUpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money for an account; ``currency``, where stated, must be the account's.

    With ``bucket`` it is for a bucket of it, whose terms are the other three; a bucket that is there has them already.
    """

    amount: Money
    currency: Annotated[str, Meta(max_length=3)] = ""
    reason: Reason = ""
    bucket: Annotated[str, Meta(max_length=ID_OCTETS_MAX)] = ""
    kind: BucketKind | None = None
    priority: Annotated[int, Meta(ge=0, le=PRIORITY_MAX)] | None = None
    expires_at: Time | None = None


class TopUpReply(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up and the account's money after it."""

    account: str
    tenant: str
    amount: Money
    currency: str
    balance: Money
    reserved: Money
    uncollected: Money
    available: str


class VoucherRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A code, in either case, with or without hyphens."""

    code: Annotated[str, Meta(min_length=1, max_length=TYPED_LENGTH_MAX)]


class VoucherReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a voucher brought: money, or units of a bundle. A repeat by the same account gets the same."""

    account: str
    tenant: str
    batch: str
    serial: int
    amount: Money
    currency: str
    units: int
    bundle: str
    redeemed_at: Time


T = TypeVar("T")
_TEXTS = re.compile(rb'("(?:[^"\\]++|\\.)*+")[ \t\r\n]*+(:?)', re.DOTALL)  # of JSON that was decoded


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Return the value of a body. Raises RequestRefused (400) with what is wrong and where."""
    try:
        value = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"the body is not as promised: {error}") from None
    no_name_twice(body)
    return value


def no_name_twice(body: bytes) -> None:
    """Refuse an object that states a name twice: a proxy that reads the first would let another pass than we take.

    ``body`` is JSON without objects in it, as all of ours are. Raises RequestRefused (400).
    """
    names = [text for text, colon in _TEXTS.findall(body) if colon]
    if len({msgspec.json.decode(name) if b"\\" in name else name[1:-1].decode() for name in names}) < len(names):
        raise malformed("the body states a name twice")


def checked(text: str, name: str) -> str:
    """Return a text of at most 253 octets without control characters. Raises RequestRefused (400)."""
    if not text.isprintable() or len(text.encode()) > ID_OCTETS_MAX:
        raise malformed(f"{name} holds control characters or more than {ID_OCTETS_MAX} octets")
    return text


def instant(text: str, name: str = "at") -> Instant:
    """Return the instant of an RFC 3339 time. Raises RequestRefused (400)."""
    try:
        return parse_rfc3339(text)
    except InstantError as error:
        raise malformed(f"{name}: {error}") from None


def duration_us(value: Decimal | None) -> int | None:
    """Return whole microseconds, digits beyond them cut. Raises RequestRefused (400) for what is no duration."""
    if value is None:
        return None
    if not value.is_finite() or len(value.as_tuple().digits) > DURATION_DIGITS_MAX:
        raise malformed("duration_seconds is a plain decimal number")
    if value.is_signed() or value > DURATION_SECONDS_MAX or value.adjusted() < -DURATION_DIGITS_MAX:
        raise malformed(f"duration_seconds is 0 to {DURATION_SECONDS_MAX}")
    return int(value.scaleb(6))  # a second has 10**6 microseconds
