"""Every key of a scenario file that has to do with prices, declared once (INTERFACES "Scenario file").

Tables and plans, and what they are made of: time bands, rate types, code lists, groups of destinations, classes of
service, bundles, and the prices of a single account.
"""

from typing import Final

from daemon.config_files.kinds import (
    CURRENCY,
    FLAG,
    IDENTIFIER,
    INSTANT,
    MONEY_FROM_ZERO,
    NON_EMPTY,
    OPTIONAL_IDENTIFIER,
    RATIO,
    REQUIRED,
    TEXT,
    UNSTATED,
    ZONE,
    ConfigKey,
    Many,
    Named,
    Table,
    choice,
    percentage,
    whole,
    words,
)
from daemon.config_files.rate_kinds import HOLIDAY, INTERVAL, PATTERN, PREFIX, PREFIX_OR_EVERY, UNIT
from daemon.kernel.money import DECIMALS_MAX, Rounding
from daemon.ledger.bucket import PRIORITY_MAX
from daemon.rating.bundle import ONCE, PERIODS
from daemon.rating.deck import CODE_LENGTH_MAX, UNITS_IN_ROW_MAX
from daemon.rating.rate_table import TIER_RULES
from daemon.rating.rate_type import PER_MAX
from daemon.rating.tariff import SECONDS
from daemon.rating.time_band import HOLIDAYS_MAX, INTERVALS_MAX

MARKUP_PERCENT_MAX: Final = 1_000  # percent; who sells at more than eleven times the price writes a deck

ID: Final = ConfigKey("id", IDENTIFIER, REQUIRED, "unique within its tenant")
TENANT_OF: Final = ConfigKey("tenant", IDENTIFIER, REQUIRED, "the tenant it belongs to")

CONVERSION: Final = Table(
    (
        ConfigKey(
            "tenant",
            IDENTIFIER,
            UNSTATED,
            "whose it is; a tenant below that states no rate of the pair has it",
            "the owner",
        ),
        ConfigKey("from", CURRENCY, REQUIRED, "of the prices, or of what a supplier is paid"),
        ConfigKey("to", CURRENCY, REQUIRED, "of the account that is charged; the other direction is another pair"),
        ConfigKey("rate", RATIO, REQUIRED, "how many units of `to` one unit of `from` is, exactly"),
        ConfigKey("effective_from", INSTANT, REQUIRED, "since when; a later one of the pair takes over by itself"),
        ConfigKey(
            "effective_to", INSTANT, None, "until before when; an earlier one without an end applies again", "none"
        ),
    )
)

TIME_BAND: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey(
            "intervals",
            Many(INTERVAL, least=1, most=INTERVALS_MAX),
            REQUIRED,
            "days (mon, mon-fri or mon,wed,fri) and clock; an end before the start lies on the next day; 24:00 may end "
            "a day",
        ),
        ConfigKey(
            "holidays",
            Many(HOLIDAY, most=HOLIDAYS_MAX),
            (),
            "an interval that begins on such a day does not match",
        ),
    )
)

RATE_TYPE: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("unit", UNIT, SECONDS, "what is counted; calls are counted by the second"),
        ConfigKey("per", whole(1, PER_MAX, "units"), UNSTATED, "what one rate prices", "60 for seconds, else 1"),
    )
)

CODE_LIST: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("file", NON_EMPTY, REQUIRED, "CSV file `prefix,destination`, relative to the scenario file"),
        ConfigKey("standard", FLAG, False, "of every table of its tenant without a list of its own"),
    )
)

DESTINATION_GROUP: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("prefixes", Many(PREFIX), (), "of its numbers"),
        ConfigKey("destinations", Many(NON_EMPTY), (), "names of the tenant's standard code list"),
    )
)

RATE_TABLE: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("currency", CURRENCY, REQUIRED, "of every price in the deck"),
        ConfigKey("timezone", ZONE, "UTC", "whose clock time bands follow"),
        ConfigKey(
            "deck", TEXT, "", "CSV file with the prices, relative to the scenario file; empty: `rate import` brings it"
        ),
        ConfigKey("decimals", whole(0, DECIMALS_MAX, "places"), 4, "to which a charge is rounded, once, at the end"),
        ConfigKey("rounding", choice(Rounding), Rounding.UP, "where the fraction of a charge goes"),
        ConfigKey(
            "duration_rounding",
            choice(Rounding, Rounding.HALF_EVEN),
            Rounding.UP,
            "where the fraction of a second goes",
        ),
        ConfigKey("split_bands", FLAG, False, "price each block by its own time band, not by that of the start"),
        ConfigKey(
            "name",
            TEXT,
            "",
            "tables of one name are told apart by `override`; of each name the first that fits takes part",
            "the id",
        ),
        ConfigKey("override", PATTERN, "", "on a record's override value; empty: any; a call that has none is VOICE"),
        ConfigKey("tiers", words(*TIER_RULES), "", "how a period's volume chooses among the deck's tiers", "none"),
        ConfigKey("tier_period", words(*PERIODS), "month", "in which volume is counted, by the account's zone"),
        ConfigKey(
            "rate_types",
            Named(IDENTIFIER, CODE_LENGTH_MAX),
            (),
            "the deck's word for a rate type to a declared or built-in one: granular to grouped",
            "none",
        ),
        ConfigKey("code_list", OPTIONAL_IDENTIFIER, "", "its own code list, in place of the tenant's standard one"),
        ConfigKey(
            "closed_limit_percent",
            whole(0, 100, "percent"),
            20,
            "prefixes closed or changed by an import before it asks for `--yes`",
        ),
    )
)

RATE_PLAN: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey(
            "tables",
            Many(IDENTIFIER),
            UNSTATED,
            "rate tables of its tenant, in order: the order breaks ties",
            "required, unless it inherits",
        ),
        ConfigKey("inherits", OPTIONAL_IDENTIFIER, "", "another plan's id: its tables follow, marked up"),
        ConfigKey("markup_percent", percentage(0, MARKUP_PERCENT_MAX), 0, "added to inherited prices", '"0"'),
        ConfigKey("markup_per_minute", MONEY_FROM_ZERO, 0, "added to inherited rates, beside the percentage"),
        ConfigKey("markup_minimum", MONEY_FROM_ZERO, 0, "least that is added to an inherited rate"),
        ConfigKey("on_net", Many(IDENTIFIER), (), "rate tables asked first for calls to the tenant's own numbers"),
    )
)

OVERRIDE_PRICE: Final = Table(
    (
        ConfigKey("prefix", PREFIX, REQUIRED, "it competes as a row of this length, and wins ties"),
        ConfigKey("rate", MONEY_FROM_ZERO, REQUIRED, "in place of the rate of the row that it beats, in its currency"),
    ),
    type="table of prefix, rate",
)

CLASS_OF_SERVICE: Final = Table(
    (
        ID,
        TENANT_OF,
        ConfigKey("allow", Many(PREFIX_OR_EVERY), (), "prefixes that are let through where a shorter one is blocked"),
        ConfigKey("block", Many(PREFIX_OR_EVERY), (), "prefixes that are refused"),
        ConfigKey("allow_groups", Many(IDENTIFIER), (), "destination groups that are let through"),
        ConfigKey("block_groups", Many(IDENTIFIER), (), "destination groups that are refused"),
    )
)

BUNDLE: Final = Table(
    (
        ID,
        ConfigKey("tenant", IDENTIFIER, UNSTATED, "the tenant of its account", "that of the only account of this id"),
        ConfigKey("account", IDENTIFIER, REQUIRED, "whose it is"),
        ConfigKey(
            "units",
            whole(0, UNITS_IN_ROW_MAX, "units"),
            0,
            "used before money, anew in each period",
            "required, but for the period `once`",
        ),
        ConfigKey("unit", UNIT, SECONDS, "second, call (one pays for a whole call), message, or another rate type's"),
        ConfigKey("period", words(*PERIODS, ONCE), "month", "by the account's zone; once: units come by top-ups alone"),
        ConfigKey("rollover", FLAG, False, "what is left goes into the next period, once"),
        ConfigKey("prefixes", Many(PREFIX), (), "of the numbers that it pays for", "every number"),
        ConfigKey("group", OPTIONAL_IDENTIFIER, "", "destination group that it pays for, beside `prefixes`"),
        ConfigKey(
            "priority",
            whole(0, PRIORITY_MAX, "priority"),
            0,
            "the lower is used first; of one priority, the earlier id",
        ),
    )
)
