"""Every key of a scenario file, declared once: the reader and the reference are made of these tables.

INTERFACES "Scenario file" is the contract for the names. Keys that this release knows and cannot honour stand here too,
so that a file written for a later one is refused by name, never half obeyed.
"""

from typing import Any, Final

from daemon.authorize.catalog import MAX_CALL_SECONDS, AccountKind, OverChannels, Status, WhenEmpty
from daemon.config_files.kinds import (
    COUNTRY,
    CREDIT,
    CURRENCY,
    DIAL,
    FLAG,
    HOST,
    IDENTIFIER,
    INSTANT,
    MONEY,
    MONEY_FROM_ZERO,
    NETWORK,
    NON_EMPTY,
    NUMBER,
    NUMBER_OR_RANGE,
    NUMBERED_COUNTRY,
    OPTIONAL_IDENTIFIER,
    PERCENT,
    REQUIRED,
    SECRET,
    TEXT,
    UNSTATED,
    ZONE,
    ConfigKey,
    Either,
    Many,
    Site,
    Table,
    choice,
    matching,
    refused,
    whole,
    words,
)
from daemon.config_files.limit_keys import CHANNEL_PACKAGE, CHANNELS_MAX, FRAUD_RULE
from daemon.config_files.nas_keys import NAS_DIRECTIONS, check_directions
from daemon.config_files.rate_keys import (
    BUNDLE,
    CLASS_OF_SERVICE,
    CODE_LIST,
    CONVERSION,
    DESTINATION_GROUP,
    ID,
    OVERRIDE_PRICE,
    RATE_PLAN,
    RATE_TABLE,
    RATE_TYPE,
    TENANT_OF,
    TIME_BAND,
)
from daemon.config_files.warning_keys import ACCOUNT_WARNINGS, TENANT_WARNINGS, WARNING_TONES
from daemon.kernel.dialling import Numbers

CALL_SECONDS_MAX: Final = 86_400  # seconds; no call is longer than a day
CALLS_PER_SECOND_MAX: Final = 100_000  # more than any store commits
WEIGHT_MAX: Final = 1_000  # in all, far below what a draw tells apart
PROFILES: Final = ("generic", "cisco", "kamailio", "opensips", "freeswitch", "asterisk", "sippy", "audiocodes")
IDENTITY_KINDS: Final = ("sip_user", "ip", "caller", "pin", "did")

_PEER_TENANT = ConfigKey(
    "tenant",
    IDENTIFIER,
    UNSTATED,
    "the tenant whose calls it carries: it may name that one and those below",
    "the owner",
)
_CHANNELS = whole(0, CHANNELS_MAX, "channels")
_ID_DOMAIN = ConfigKey("id_domain", OPTIONAL_IDENTIFIER, "", "sources that see the same call ids share one", "the id")
_ROUTING = ConfigKey(
    "routing",
    FLAG,
    UNSTATED,
    "the daemon chooses the carriers and their order; else the switch routes by itself",
    "true where the owner has a carrier",
)

_PREFIX = matching("up to 8 digits", r"[0-9]{1,8}", "is no dialling prefix; write 1 to 8 digits", optional=True)


def _dialling(numbers: str, country: str) -> tuple[ConfigKey, ...]:
    """Return the keys that say how numbers are written, with the defaults of two of them in words."""
    return (
        ConfigKey(
            "numbers",
            words("", *(each.value for each in Numbers)),
            "",
            "how numbers without a plus are written: as dialled, international (e164), or of a country",
            numbers,
        ),
        ConfigKey("country", NUMBERED_COUNTRY, "", "whose numbers they are", country),
        ConfigKey("international_prefix", _PREFIX, "", "leads an international number", "the country's, else 00"),
        ConfigKey("national_prefix", _PREFIX, "", "leads a national number", "the country's"),
    )


_DIALLING_OF_ENDPOINT = _dialling(
    "as the peer of its calls", "the account's; required with `national` where it has none"
)
_DIALLING_OF_PEER = _dialling('`"as-dialled"`', "none; required with `national`")

TENANT: Final = Table(
    (
        ConfigKey("id", IDENTIFIER, REQUIRED, "unique in the file"),
        ConfigKey("parent", OPTIONAL_IDENTIFIER, "", "the tenant above; exactly one tenant, the owner, has none"),
        ConfigKey(
            "account", OPTIONAL_IDENTIFIER, "", "its own account with its parent, charged for its customers' calls"
        ),
        ConfigKey("currency", CURRENCY, REQUIRED, "what it keeps its accounts in"),
        ConfigKey("timezone", ZONE, "UTC", "where its days begin"),
        *TENANT_WARNINGS,
    )
)

CARRIER: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("rate_table", IDENTIFIER, REQUIRED, "its buy prices, a rate table of its tenant"),
        ConfigKey("dial", DIAL, REQUIRED, "where a switch sends the call; {number} becomes the dialled digits"),
        ConfigKey("channels", _CHANNELS, None, "calls at the same time", "no limit"),
        ConfigKey(
            "calls_per_second",
            whole(1, CALLS_PER_SECOND_MAX, "calls a second"),
            None,
            "calls that may be sent to it in one second",
            "no limit",
        ),
        ConfigKey(
            "weight",
            whole(1, WEIGHT_MAX, "a weight"),
            1,
            "of carriers alike in cost and quality, one of twice the weight is tried first twice as often",
        ),
        ConfigKey("status", choice(Status), Status.ACTIVE, "only an active one is offered"),
        ConfigKey(
            "tech_prefix",
            matching(
                "up to 16 of 0-9 * # +",
                r"[0-9*#+]{1,16}",
                "is no tech prefix; write up to 16 of 0-9 * # +",
                optional=True,
            ),
            "",
            "put before the dialled digits",
        ),
    )
)

CHANNEL_LIMITS: Final = Table(
    (
        ConfigKey("total", _CHANNELS, None, "calls at the same time", "no limit"),
        ConfigKey("inbound", _CHANNELS, None, "calls to it at the same time", "no limit"),
        ConfigKey("outbound", _CHANNELS, None, "calls by it at the same time", "no limit"),
    ),
    type="table of total, inbound, outbound",
)

DATED_PLAN: Final = Table(
    (
        ConfigKey("plan", IDENTIFIER, REQUIRED, "a rate plan of the account's tenant"),
        ConfigKey("from", INSTANT, 0, "since when", "always"),
    ),
    type="table of plan, from",
)


def _check_identity(site: Site, found: dict[str, Any]) -> None:
    """Report an identity that is not exactly one kind, or has a part that belongs to another kind."""
    stated = [kind for kind in IDENTITY_KINDS if site.states(kind)]
    if len(stated) != 1:
        told = f"states {' and '.join(stated)}" if stated else "states none"
        site.report(f"{told}; an identity is exactly one of {', '.join(IDENTITY_KINDS)}")
        return
    kind = stated[0]
    for part, kinds in (
        ("password", ("sip_user",)),
        ("ha1", ("sip_user",)),
        ("tech_prefix", ("ip",)),
        ("via", ("caller", "pin")),
        ("from", ("did",)),
        ("until", ("did",)),
        ("numbers", ("sip_user", "ip", "caller", "pin")),
    ):
        if site.states(part) and kind not in kinds:
            (site / part).report(f"belongs to {' or '.join(kinds)}, not to {kind}; take it out")
    if kind in ("caller", "pin") and not site.states("via"):
        site.report(f'a {kind} counts only with the peer that vouches for it; add via = "…"')
    if found.get("password") and found.get("ha1"):
        (site / "ha1").report("stands beside a password; keep one of the two")
    if found.get("until") is not None and found["until"] <= (found.get("from") or 0):
        (site / "until").report("is no later than its begin; take the did out or mend the time")
    check_dialling(site, found)


def check_dialling(site: Site, found: dict[str, Any]) -> None:
    """Report what says how numbers are written beside no statement that it is so."""
    for name in ("country", "international_prefix", "national_prefix"):
        if found.get(name) and found.get("numbers", "") in ("", "as-dialled"):
            (site / name).report(f'says nothing without numbers = "e164" or "national"; add it or take {name} out')
    if found.get("national_prefix") and found.get("numbers") == "e164":
        (site / "national_prefix").report('belongs to numbers = "national"; take it out')


def _check_peer(site: Site, found: dict[str, Any]) -> None:
    check_dialling(site, found)
    if found.get("numbers") == "national" and found.get("country") == "":
        (site / "country").report('is missing; numbers = "national" needs the country whose numbers they are')


def _check_nas(site: Site, found: dict[str, Any]) -> None:
    _check_peer(site, found)
    check_directions(site, found)


IDENTITY: Final = Table(
    (
        ConfigKey(
            "sip_user",
            matching(
                "text of 1 to 128 characters without blanks",
                r"[!-~]{1,128}",
                "is no SIP user; write 1 to 128 characters without blanks",
                optional=True,
            ),
            "",
            "user part of the SIP address that a switch has authenticated",
        ),
        ConfigKey("password", SECRET, "", "of the SIP user: a packet that carries a credential must match it", "none"),
        ConfigKey(
            "ha1",
            matching(
                "32 or 64 hexadecimal digits, secret",
                r"(?:[0-9a-f]{32}|[0-9a-f]{64})",
                "is not 32 (MD5) or 64 (SHA-256) hexadecimal digits in lower case",
                secret=True,
            ),
            "",
            "hash of user, realm and password, in place of the password",
            "none",
        ),
        ConfigKey("ip", NETWORK, "", "address or network that the calls come from; the longest wins"),
        ConfigKey(
            "tech_prefix",
            matching("up to 15 digits", r"[0-9]{1,15}", "is no tech prefix; write 1 to 15 digits", optional=True),
            "",
            "digits that lead the called number of calls from `ip`, taken off before rating",
        ),
        ConfigKey("caller", NUMBER, "", "calling number, with `via`"),
        ConfigKey(
            "pin",
            matching("4 to 18 digits, secret", r"[0-9]{4,18}", "is not a PIN of 4 to 18 digits", secret=True),
            "",
            "calling-card PIN, with `via`",
        ),
        ConfigKey("did", NUMBER_OR_RANGE, "", "called number of inbound calls, or all from one to another"),
        ConfigKey("from", INSTANT, None, "first instant at which the `did` is the account's", "always"),
        ConfigKey("until", INSTANT, None, "first instant at which it is no longer", "for ever"),
        ConfigKey("via", TEXT, "", "nas or switch that vouches for a caller number or a PIN, or `token:ID`"),
        *_DIALLING_OF_ENDPOINT,
    ),
    check=_check_identity,
    type="table of one of sip_user, ip, caller, pin, did",
)

ACCOUNT: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("kind", choice(AccountKind), REQUIRED, "pays before or after"),
        ConfigKey(
            "currency",
            CURRENCY,
            REQUIRED,
            "of its balance, its limits and its charges; prices in another need a [[conversion]]",
        ),
        ConfigKey("balance", MONEY, 0, "opening balance, given once: a later apply never changes it"),
        ConfigKey(
            "credit_limit",
            CREDIT,
            UNSTATED,
            "how far below 0 the balance may go",
            '"0" for prepaid; postpaid must state it',
        ),
        ConfigKey("inbound_kind", choice(AccountKind), None, "pays for inbound calls before or after", "as `kind`"),
        ConfigKey(
            "inbound_credit_limit",
            CREDIT,
            UNSTATED,
            "how far below 0 inbound calls may bring the one balance",
            '"0" for prepaid; postpaid must state it',
        ),
        ConfigKey(
            "rate_plan",
            Either(OPTIONAL_IDENTIFIER, Many(DATED_PLAN)),
            "",
            "prices of its outbound calls, from a date where a list",
            "none: outbound calls are unrated",
        ),
        ConfigKey(
            "inbound_rate_plan",
            Either(OPTIONAL_IDENTIFIER, Many(DATED_PLAN)),
            "",
            "prices of its inbound calls",
            "none: inbound calls are unrated",
        ),
        ConfigKey(
            "country",
            COUNTRY,
            "",
            "where it is: its emergency numbers, and the national ones of its endpoints that write such",
            "none",
        ),
        ConfigKey("status", choice(Status), Status.ACTIVE, "only an active one may call"),
        ConfigKey(
            "suspend_when_empty",
            choice(WhenEmpty),
            WhenEmpty.OUTBOUND,
            "which calls of a prepaid account are refused as suspended from when its money is spent until more comes",
        ),
        ConfigKey("timezone", ZONE, "UTC", "where its day of `daily_spend` and its month of `monthly_spend` begin"),
        ConfigKey("channels", CHANNEL_LIMITS, None, "calls at the same time", "no limit"),
        ConfigKey(
            "over_channels",
            choice(OverChannels),
            OverChannels.REFUSE,
            "what happens to a call over the limit: it is refused, or pays a surcharge",
        ),
        ConfigKey(
            "channel_surcharge", MONEY_FROM_ZERO, 0, "of a call over the limit, beside its price and minimum", '"0"'
        ),
        ConfigKey(
            "channel_surcharge_per_minute", MONEY_FROM_ZERO, 0, "added to the rate of a call over the limit", '"0"'
        ),
        ConfigKey(
            "calls_per_second",
            whole(1, CALLS_PER_SECOND_MAX, "calls a second"),
            None,
            "questions that are granted in one second",
            "no limit",
        ),
        ConfigKey("max_call_seconds", whole(1, CALL_SECONDS_MAX, "seconds"), MAX_CALL_SECONDS, "longest call"),
        ConfigKey("max_call_charge", MONEY_FROM_ZERO, None, "dearest call", "no limit"),
        ConfigKey(
            "daily_spend", MONEY_FROM_ZERO, None, "spent in one day of its own, reservations counted", "no limit"
        ),
        ConfigKey(
            "monthly_spend",
            MONEY_FROM_ZERO,
            None,
            "spent in one calendar month of its own, reservations counted",
            "no limit",
        ),
        ConfigKey(
            "margin_floor_percent",
            PERCENT,
            None,
            "least margin in percent of the sell price",
            '"0" where no floor is stated at all',
        ),
        ConfigKey("margin_floor_per_minute", MONEY, None, "least margin a minute", "none"),
        ConfigKey("class_of_service", OPTIONAL_IDENTIFIER, "", "what its outbound calls may reach", "every number"),
        ConfigKey("identities", Many(IDENTITY), (), "how a call finds the account", "none: by its id alone"),
        ConfigKey("overrides", Many(OVERRIDE_PRICE), (), "prices of its outbound calls alone", "none"),
        *ACCOUNT_WARNINGS,
    )
)

_OPEN: Final = choice(Status, Status.SUSPENDED)
NAS: Final = Table(
    (
        ID,
        _PEER_TENANT,
        ConfigKey("address", NETWORK, REQUIRED, "where its packets come from; two entries never overlap"),
        ConfigKey("secret", SECRET, REQUIRED, "shared secret; a well-known one is taken on loopback only"),
        ConfigKey("profile", words(*PROFILES), "generic", "which attributes it sends and understands"),
        _ID_DOMAIN,
        ConfigKey("trust_user_name", FLAG, False, "believe a User-Name that comes without a credential"),
        ConfigKey(
            "disconnect",
            refused("sends no Disconnect-Request", ""),
            "",
            "address:3799 where it obeys Disconnect-Request",
        ),
        ConfigKey("coa", refused("sends no CoA-Request", ""), "", "address:3799 where a CoA moves its Session-Timeout"),
        ConfigKey("require_message_authenticator", FLAG, False, "drop an Access-Request without Message-Authenticator"),
        _ROUTING,
        *_DIALLING_OF_PEER,
        *NAS_DIRECTIONS,
        ConfigKey("status", _OPEN, Status.ACTIVE, "the packets of a closed one are discarded, as of an unknown client"),
    ),
    check=_check_nas,
)

FREESWITCH: Final = Table(
    (
        ID,
        _PEER_TENANT,
        ConfigKey("host", HOST, "127.0.0.1", "where its event socket listens"),
        ConfigKey("port", whole(1, 65_535, "TCP port"), 8021, "where its event socket listens"),
        ConfigKey("password", SECRET, "ClueCon", "of its event socket; a well-known one is taken on loopback only"),
        _ID_DOMAIN,
        ConfigKey(
            "strip_digits",
            whole(0, 32, "digits"),
            0,
            "leading digits of the dialled number that are the dialplan's own",
        ),
        ConfigKey(
            "charged_contexts",
            Many(NON_EMPTY),
            (),
            "an answered caller's leg in one of these without an account is an exception",
            "none",
        ),
        ConfigKey(
            "cgr_aliases", FLAG, False, "read and write cgr_*, nibble_account and accountcode as old dialplans use them"
        ),
        ConfigKey(
            "cdr_spool",
            NON_EMPTY,
            "",
            "the folder in which its mod_json_cdr writes, where the daemon can read and move its files",
            "none",
        ),
        _ROUTING,
        *_DIALLING_OF_PEER,
        *WARNING_TONES,
        ConfigKey("status", _OPEN, Status.ACTIVE, "a closed one is not connected to"),
    ),
    check=_check_peer,
)

ASTERISK: Final = Table(
    (
        ID,
        _PEER_TENANT,
        ConfigKey("host", HOST, "127.0.0.1", "where its manager listens, and from where it asks over FastAGI"),
        ConfigKey("port", whole(1, 65_535, "TCP port"), 5038, "where its manager listens"),
        ConfigKey("username", NON_EMPTY, "tollway", "the section of its manager.conf"),
        ConfigKey(
            "secret",
            SECRET,
            "",
            "of that section; a well-known one is taken on loopback only; without one its questions are answered, and"
            " no end of a call is heard",
            "none",
        ),
        _ID_DOMAIN,
        _ROUTING,
        *_DIALLING_OF_PEER,
        ConfigKey("status", _OPEN, Status.ACTIVE, "a closed one is not connected to, and its questions not answered"),
    ),
    check=_check_peer,
)

OBJECTS: Final[dict[str, Table]] = {
    "tenant": TENANT, "conversion": CONVERSION, "time_band": TIME_BAND, "rate_type": RATE_TYPE, "code_list": CODE_LIST,
    "destination_group": DESTINATION_GROUP, "rate_table": RATE_TABLE, "rate_plan": RATE_PLAN, "carrier": CARRIER,
    "class_of_service": CLASS_OF_SERVICE, "account": ACCOUNT, "bundle": BUNDLE,
    "channel_package": CHANNEL_PACKAGE, "fraud_rule": FRAUD_RULE, "nas": NAS, "freeswitch": FREESWITCH,
    "asterisk": ASTERISK,
}  # fmt: skip
REFUSED_OBJECTS: Final[dict[str, str]] = {}
