"""Why a call is refused: a closed list in order of precedence, the same word on every road.

The order of declaration is the contract (SPEC section 3): where several apply, the first is the one reported.
"""

from enum import Enum


class Denial(Enum):
    """A refusal code; its value is the word that dialplans, logs and exports see."""

    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_AMBIGUOUS = "account_ambiguous"
    CREDENTIAL_WRONG = "credential_wrong"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_CLOSED = "account_closed"
    FRAUD_SUSPECTED = "fraud_suspected"
    DESTINATION_MALFORMED = "destination_malformed"
    DESTINATION_BLOCKED = "destination_blocked"
    DESTINATION_UNRATED = "destination_unrated"
    NO_CARRIER = "no_carrier"
    CALLS_PER_SECOND = "calls_per_second"
    CHANNELS = "channels"
    CALL_TOO_DEAR = "call_too_dear"
    MARGIN_BELOW_FLOOR = "margin_below_floor"
    DAILY_SPEND = "daily_spend"
    MONTHLY_SPEND = "monthly_spend"
    BALANCE_INSUFFICIENT = "balance_insufficient"
    UPSTREAM_REFUSED = "upstream_refused"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"


# Q.850 cause, SIP status and h323-return-code of each refusal (INTERFACES, "One code on every road").
Q850: dict[Denial, int] = {
    Denial.ACCOUNT_UNKNOWN: 21, Denial.ACCOUNT_AMBIGUOUS: 21, Denial.CREDENTIAL_WRONG: 21,
    Denial.ACCOUNT_SUSPENDED: 21, Denial.ACCOUNT_CLOSED: 21, Denial.FRAUD_SUSPECTED: 21,
    Denial.DESTINATION_MALFORMED: 28, Denial.DESTINATION_BLOCKED: 21, Denial.DESTINATION_UNRATED: 3,
    Denial.NO_CARRIER: 34, Denial.CALLS_PER_SECOND: 17, Denial.CHANNELS: 17, Denial.CALL_TOO_DEAR: 21,
    Denial.MARGIN_BELOW_FLOOR: 34, Denial.DAILY_SPEND: 21, Denial.MONTHLY_SPEND: 21,
    Denial.BALANCE_INSUFFICIENT: 21, Denial.UPSTREAM_REFUSED: 34,
    Denial.STORE_UNAVAILABLE: 41, Denial.OVERLOADED: 41,
}  # fmt: skip
SIP: dict[Denial, int] = {
    Denial.ACCOUNT_UNKNOWN: 403, Denial.ACCOUNT_AMBIGUOUS: 403, Denial.CREDENTIAL_WRONG: 403,
    Denial.ACCOUNT_SUSPENDED: 403, Denial.ACCOUNT_CLOSED: 403, Denial.FRAUD_SUSPECTED: 403,
    Denial.DESTINATION_MALFORMED: 484, Denial.DESTINATION_BLOCKED: 403, Denial.DESTINATION_UNRATED: 404,
    Denial.NO_CARRIER: 503, Denial.CALLS_PER_SECOND: 486, Denial.CHANNELS: 486, Denial.CALL_TOO_DEAR: 402,
    Denial.MARGIN_BELOW_FLOOR: 503, Denial.DAILY_SPEND: 402, Denial.MONTHLY_SPEND: 402,
    Denial.BALANCE_INSUFFICIENT: 402, Denial.UPSTREAM_REFUSED: 503,
    Denial.STORE_UNAVAILABLE: 503, Denial.OVERLOADED: 503,
}  # fmt: skip
H323_RETURN_CODE: dict[Denial, int] = {
    Denial.ACCOUNT_UNKNOWN: 1, Denial.ACCOUNT_AMBIGUOUS: 1, Denial.CREDENTIAL_WRONG: 2,
    Denial.ACCOUNT_SUSPENDED: 7, Denial.ACCOUNT_CLOSED: 7, Denial.FRAUD_SUSPECTED: 7,
    Denial.DESTINATION_MALFORMED: 11, Denial.DESTINATION_BLOCKED: 9, Denial.DESTINATION_UNRATED: 9,
    Denial.NO_CARRIER: 8, Denial.CALLS_PER_SECOND: 3, Denial.CHANNELS: 3, Denial.CALL_TOO_DEAR: 6,
    Denial.MARGIN_BELOW_FLOOR: 8, Denial.DAILY_SPEND: 6, Denial.MONTHLY_SPEND: 6,
    Denial.BALANCE_INSUFFICIENT: 12, Denial.UPSTREAM_REFUSED: 8,
    Denial.STORE_UNAVAILABLE: 8, Denial.OVERLOADED: 8,
}  # fmt: skip
H323_ZERO_BALANCE = 4  # h323-return-code of balance_insufficient where nothing at all is left

assert Q850.keys() == SIP.keys() == H323_RETURN_CODE.keys() == set(Denial)
