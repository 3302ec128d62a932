"""What is not taken at all: for each listener the closed list of reasons, and the one way to count it.

Whatever comes from outside and is not taken raises ``tollway_discarded_total`` by one, for the first reason that fits:
never by none, never by two. A reason that is not declared here is counted as ``other``, which no test lets happen.
docs/operations/discarded.md is made of this declaration.
"""

from typing import Final

from daemon.charging.ports import Counters

NAME: Final = "tollway_discarded_total"
OTHER: Final = "other"

_RADIUS: Final = {
    "code": "a code that this port does not serve; silence",
    "unknown_client": "from an address of no `[[nas]]`; silence",
    "malformed": "no packet: too short, too long, or its lengths do not fill it exactly; silence",
    "message_authenticator": "its Message-Authenticator was not made with the client's secret; silence",
    "message_authenticator_missing": "unsigned where a signature is due (Status-Server, EAP,"
    " `require_message_authenticator`); silence",
    "proxy_state": "more Proxy-State than a reply can hold; silence",
    "duplicate": "a repeat of what was answered: the first answer is sent again, nothing is done again",
    "duplicate_in_progress": "a repeat of what is being worked on; its answer follows",
    "superseded": "its client sent another request under the same Identifier meanwhile; the newer one is answered",
    "conflict": "the message key of another request, with other content; silence",
    "padding": "octets behind the Length field; they are not read, the packet before them is served",
    "overloaded": "too many are in flight: Starts and Interims wait for their repeat before any Stop does; silence,"
    " where a question is refused",
    "store_unavailable": "the store cannot commit; silence, so that the client repeats",
    "internal_error": "a fault of ours; the log says which; silence, so that the client repeats",
}
REASONS: Final[dict[str, dict[str, str]]] = {
    "radius_auth": {
        **_RADIUS,
        "credential": "two credentials at once, or one that no rule of the protocol lets be read; Access-Reject",
    },
    "radius_acct": {
        **_RADIUS,
        "authenticator": "its Request Authenticator was not made with the client's secret; silence",
        "invalid_record": "a record that cannot be charged: it is on the exception list, whole, and acknowledged",
    },
    "http": {
        "no_http": "no HTTP/1.1, or above a limit of its head, chunks or pipeline; 400, and the connection is closed",
        "slow": "a request that took longer than 15 seconds to arrive; the connection is closed",
        "unread": "answers that nobody read for 15 seconds; the connection is cut",
        "client_gone": "the client closed the connection within a request",
        "connections": "too many connections, of all or of one address; the newest is closed",
        "malformed": "breaks the contract: body, query, path or header; 400",
        "unauthenticated": "no token in force; 401",
        "forbidden": "not with this token's role; 403",
        "unknown": "nothing of that name within the token's tenant, or no such path; 404",
        "method_not_allowed": "another method than the path takes; 405",
        "conflict": "a key or call that was told otherwise before; 409",
        "too_large": "a body above 65,536 octets; 413",
        "voucher_refused": "a code that cannot be redeemed for this account; 422",
        "too_many": "more requests of a token or an address than `[http]` allows in a second; 429",
        "too_many_codes": "too many wrong codes of vouchers; 429",
        "overloaded": "too many requests in flight; 503",
        "store_unavailable": "the store cannot commit; 503",
        "internal": "a fault of ours; the log says which; 500",
    },
    "esl": {
        "not_esl": "no event socket protocol, or above a limit; the link is closed and made anew",
        "event": "an event that is none, has a name that nobody asked for, or no channel id that can be one",
        "unasked": "a reply to nothing, or a content type that nobody asked for; the link is closed and made anew",
        "truncated": "a link that ended within a message; it is made anew",
        "late": "no request for the password, or no reply, in 5 seconds; the link is closed and made anew",
        "login": "the switch refuses our address, the password or the subscription; it is asked again",
        "reply": "a reply that cannot be read: a table of channels (the link is made anew), or one channel's state",
    },
    "esl_spool": {
        "unreadable": "a file that is no record of mod_json_cdr; it lies in `refused`",
        "not_charged": "a record that cannot be charged; it lies in `refused`",
    },
    "settings": {
        "unreadable": "SIGHUP found a settings file that is not there, cannot be read or is no TOML; the old ones stay",
        "faults": "SIGHUP found a settings file with faults; each is in the log, the old settings stay",
    },
}


def discarded(counters: Counters, listener: str, reason: str) -> None:
    """Count what a listener did not take, for a reason of REASONS."""
    declared = reason if reason in REASONS[listener] else OTHER
    counters.count(NAME, listener=listener, reason=declared)
