"""What vouchers are worth, and what comes of a code: values that the store, the commands and HTTP share.

A code is never among them, except where a batch is made and its file is written.
To the outside every code that is not redeemed gets the one answer; the reason is for the log and the operator.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.ledger.bucket import BucketKind

BATCH_SIZE_MAX: Final = 1_000_000  # vouchers of one batch, which are in memory while it is made: some 80 MB
BUCKET_DAYS_MAX: Final = 3_660  # days that money of a voucher lasts; ten years
ACCOUNT_FAILURES_MAX: Final = 10  # wrong codes of one account within FAILURES_SECONDS; a person mistypes a few
TOKEN_FAILURES_MAX: Final = 100  # the same of one token, whatever the account: a shop's till serves many
FAILURES_SECONDS: Final = 3_600  # seconds within which wrong codes are counted together


class Fault(Enum):
    """Why a code was not redeemed."""

    UNKNOWN = "unknown"
    USED = "used"  # by another account
    BLOCKED = "blocked"
    EXPIRED = "expired"
    TENANT = "tenant"  # it is another tenant's
    CURRENCY = "currency"  # the account is kept in another
    ACCOUNT = "account"  # there is none, it is closed, or it cannot take what the voucher is worth: that stays good
    LIMITED = "limited"  # too many wrong codes before: this one was not even looked at


@dataclass(frozen=True, slots=True)
class VoucherTerms:
    """What each voucher of a batch is worth: ``amount`` nano-units of money, or ``units`` of a bundle.

    ``bucket``: into which the money goes, the main balance where empty; with ``bucket_days`` it lasts so many whole
    days (UTC) behind that of the redemption, in a bucket named after its last day. ``expires_at`` is the code's.
    """

    amount: int = 0
    currency: str = ""
    units: int = 0
    bundle: str = ""
    bucket: str = ""
    bucket_kind: BucketKind = BucketKind.MONEY
    bucket_days: int = 0
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A voucher that an account has redeemed, now or before (``repeated``)."""

    account: Key
    batch: str
    serial: int
    terms: VoucherTerms
    at: Instant
    repeated: bool


@dataclass(frozen=True, slots=True)
class NotRedeemed:
    """A code that was not redeemed; ``batch`` and ``serial`` name the voucher where there is one.

    ``detail`` says what is the matter with the account, where it is the account.
    """

    fault: Fault
    batch: str = ""
    serial: int = 0
    detail: str = ""


@runtime_checkable
class RedeemsVouchers(Protocol):
    """A store that redeems vouchers."""

    async def redeem_voucher(
        self, account: Key, code: str, *, token: str, who: str
    ) -> Redeemed | NotRedeemed:  # fmt: skip
        """Redeem a code, as ``voucher_code.typed`` gives it; wrong ones of a ``token`` are counted. StoreError."""
