"""The layouts that Tollway knows, as data: native decks first, then those of switches and billing systems in the field.

Each says what its columns mean there, by the documentation or the schema of its maker; a column that changes prices in
a way that a deck row cannot hold takes only the cells that change nothing.
"""

from typing import Final

from daemon.ingest.deck_template import ACTION_WORDS, NATIVE_NAME, RECORD_COLUMNS, Action, Template

_ROUTING: Final = "a matter of routing, not of prices"
_OTHER: Final = "says nothing of the price"
_FORMER: Final = "what the rate was"
_ZERO: Final = ("", "0", "0.0", "0.00", "0.0000")

NATIVE: Final = Template(
    name=NATIVE_NAME,
    title="Tollway's own columns",
    columns={name: (name,) for name in RECORD_COLUMNS},
)

_ASTPP = Template(
    name="astpp",
    title="ASTPP, origination and termination rates",
    columns={
        "prefix": ("Code",),
        "destination": ("Destination",),
        "connect_fee": ("Connection Cost", "Connect Cost"),
        "included_seconds": ("Grace Time", "Included Seconds"),
        "rate": ("Cost / Min", "Cost/Min", "Per Minute Cost"),
        "first_seconds": ("Initial Increment",),
        "next_seconds": ("Increment",),
    },
    required=("rate", "connect_fee"),
    ignored={
        "Strip": _ROUTING, "Prepend": _ROUTING, "Precedence": _ROUTING, "Priority": _ROUTING,
    },
)  # fmt: skip

_A2BILLING = Template(
    name="a2billing",
    title="A2Billing rate card, the sell side",
    columns={
        "prefix": ("dialprefix",),
        "destination": ("destination",),
        "rate": ("rateinitial",),
        "minimum_seconds": ("initblock",),
        "next_seconds": ("billingblock",),
        "connect_fee": ("connectcharge",),
        "minimum_charge": ("minimal_cost",),
        "effective_from": ("startdate",),
        "effective_to": ("stopdate", "expirationdate"),
    },
    ignored={
        "buyrate": "the cost; import it as a table of its own by a template of your own",
        "buyrateinitblock": "a part of the cost",
        "buyrateincrement": "a part of the cost",
        "id_trunk": _ROUTING,
        "tag": _OTHER,
    },
    only={
        "disconnectcharge": _ZERO, "disconnectcharge_after": _ZERO,
        "stepchargea": _ZERO, "chargea": _ZERO, "timechargea": _ZERO, "billingblocka": _ZERO,
        "stepchargeb": _ZERO, "chargeb": _ZERO, "timechargeb": _ZERO, "billingblockb": _ZERO,
        "stepchargec": _ZERO, "chargec": _ZERO, "timechargec": _ZERO, "billingblockc": _ZERO,
        "rounding_calltime": _ZERO, "rounding_threshold": _ZERO,
        "additional_block_charge": _ZERO, "additional_block_charge_time": _ZERO,
    },
    dialled=("+", "00"),
    at_once=("0000-00-00 00:00:00",),
    forever=("0000-00-00 00:00:00",),
)  # fmt: skip

_YETI = Template(
    name="yeti",
    title="Yeti, dialpeers and destinations",
    columns={
        "prefix": ("prefix",),
        "connect_fee": ("connect_fee",),
        "first_rate": ("initial_rate",),
        "rate": ("next_rate",),
        "first_seconds": ("initial_interval",),
        "next_seconds": ("next_interval",),
        "effective_from": ("valid_from",),
        "effective_to": ("valid_till",),
        "enabled": ("enabled",),
        "blocked": ("reject_calls",),
    },
    required=("rate", "first_rate", "connect_fee"),
    ignored={
        "routing_tag_mode": _ROUTING, "priority": _ROUTING,
        "lcr_rate_multiplier": _ROUTING,
    },
    only={
        "attempt_fee": _ZERO, "routing_tag_names": ("",), "profit_control_mode": ("",),
        "dp_margin_fixed": _ZERO, "dp_margin_percent": _ZERO,
        "dst_number_min_length": ("", "0"), "dst_number_max_length": ("", "100"),
    },
)  # fmt: skip

_PYFREEBILLING = Template(
    name="pyfreebilling",
    title="PyFreeBilling, customer and provider rates",
    columns={
        "prefix": ("prefix", "digits"),
        "destination": ("destination",),
        "rate": ("rate", "cost_rate"),
        "next_seconds": ("block_min_duration",),
        "minimum_seconds": ("minimal_time",),
        "connect_fee": ("init_block",),
        "enabled": ("enabled",),
        "effective_from": ("date_start",),
        "effective_to": ("date_end",),
    },
    required=("rate", "next_seconds", "connect_fee"),
    ignored={
        "ratecard": "the table is the one that you import into",
        "provider_tariff": "the table is the one that you import into",
        "id": _OTHER, "date_added": _OTHER, "date_modified": _OTHER,
    },
    only={"destnum_length": ("", "0")},
    blocked_rates=("-1",),
)  # fmt: skip

_PORTAONE = Template(
    name="portaone",
    title="PortaBilling (PortaOne), rates of a tariff",
    columns={
        "prefix": ("Destination", "Destination Prefix"),
        "country": ("Country",),
        "destination": ("Description",),
        "first_seconds": ("Interval First", "First Interval"),
        "next_seconds": ("Interval Next", "Next Interval"),
        "first_rate": ("Price First", "First Price"),
        "rate": ("Price Next", "Next Price"),
        "off_peak_first_seconds": ("Off-peak Interval First", "Off-peak First Interval"),
        "off_peak_next_seconds": ("Off-peak Interval Next", "Off-peak Next Interval"),
        "off_peak_first_rate": ("Off-peak Price First", "Off-peak First Price"),
        "off_peak_rate": ("Off-peak Price Next", "Off-peak Next Price"),
        "effective_from": ("Effective From",),
        "discontinued": ("Discontinued",),
        "blocked": ("Forbidden",),
    },
    required=("rate", "first_rate", "first_seconds", "next_seconds"),
    ignored={
        "Hidden": _OTHER, "Notes": _OTHER, "Rate Id": _OTHER, "Route Category": _ROUTING, "Preference": _ROUTING,
        "Huntstop": _ROUTING,
    },
    only={"Payback Rate": _ZERO, "Rate Formula": ("",)},
    dialled=("+", "011", "00"),
    at_once=("immediately", "asap", "now"),
)  # fmt: skip

_SIPPY = Template(
    name="sippy",
    title="Sippy Softswitch, rates of a tariff",
    columns={
        "action": ("Action",),
        "prefix": ("Prefix",),
        "country": ("Country",),
        "destination": ("Description",),
        "first_seconds": ("Interval 1",),
        "next_seconds": ("Interval N",),
        "first_rate": ("Price 1",),
        "rate": ("Price N",),
        "free_seconds": ("Grace Period",),
        "blocked": ("Forbidden",),
        "effective_from": ("Activation Date",),
        "effective_to": ("Expiration Date",),
    },
    required=("rate", "first_rate", "first_seconds", "next_seconds"),
    ignored={"Id": _OTHER},
    only={"Local Calls Rate": ("",), "Post Call Surcharge": _ZERO},
    actions={**ACTION_WORDS, "a": Action.SET, "u": Action.SET, "d": Action.DELETE},
    at_once=("immediately", "asap", "now"),
)

_TCXC = Template(
    name="tcxc",
    title="TelecomsXChange, upload of a rate deck",
    columns={
        "country": ("Country",),
        "destination": ("Description",),
        "prefix": ("Prefix",),
        "effective_from": ("Effective from",),
        "blocked": ("Forbidden",),
        "discontinued": ("Discontinued",),
        "first_rate": ("Price 1",),
        "rate": ("Price N",),
        "first_seconds": ("Interval 1",),
        "next_seconds": ("Interval N",),
    },
    required=("rate", "first_rate", "effective_from", "discontinued"),
    ignored={"Rate Id": _OTHER},
    at_once=("asap", "now"),
)

_JERASOFT = Template(
    name="jerasoft",
    title="JeraSoft, rates import",
    columns={
        "prefix": ("Dst Code", "Code"),
        "destination": ("Code Name",),
        "rate": ("Rate",),
        "effective_from": ("Effective Date",),
        "effective_to": ("End Date",),
        "first_seconds": ("Min Time", "Min Volume"),
        "next_seconds": ("Interval",),
        "connect_fee": ("Setup Fee",),
        "time_band": ("Time Profile",),
        "currency": ("Currency",),
    },
    required=("rate", "destination", "effective_from"),
    ignored={"Notes": _OTHER, "Country": _OTHER},
    only={
        "Grace Volume": _ZERO, "Number Length": ("", "0"), "Src Code": ("", "*"), "Policy": ("", "regular", "Regular"),
        "Tag": ("", "@"), "Status": ("", "active", "Active"),
    },
    end_includes_day=True,
    at_once=("asap", "now"),
)  # fmt: skip

_MOD_LCR = Template(
    name="mod_lcr",
    title="FreeSWITCH mod_lcr, the table lcr",
    columns={
        "prefix": ("digits",),
        "rate": ("rate",),
        "effective_from": ("date_start",),
        "effective_to": ("date_end",),
        "enabled": ("enabled",),
    },
    ignored={
        "id": _OTHER, "carrier_id": "the table is the one that you import into", "carrier_name": _OTHER,
        "intrastate_rate": "the rate of calls within a state of the USA, told by the caller's number",
        "intralata_rate": "the rate of calls within a LATA of the USA, told by the caller's number",
        "lead_strip": _ROUTING, "trail_strip": _ROUTING, "prefix": _ROUTING, "suffix": _ROUTING,
        "lcr_profile": _ROUTING, "quality": _ROUTING, "reliability": _ROUTING, "codec": _ROUTING,
    },
    only={"cid": ("",), "lrn": ("", "0", "false", "f")},
)  # fmt: skip

_CGRATES_COLUMNS: Final = {
    "connect_fee": ("ConnectFee",),
    "rate": ("Rate",),
    "rate_seconds": ("RateUnit",),
    "next_seconds": ("RateIncrement",),
    "step_from_seconds": ("GroupIntervalStart",),
}
_CGRATES_IGNORED: Final = {
    "Tag": _OTHER, "Id": _OTHER, "RatesTag": _OTHER, "RateId": _OTHER, "Weight": _OTHER,
    "RoundingMethod": "rounding is the table's, once for a record",
    "RoundingDecimals": "rounding is the table's, once for a record",
}  # fmt: skip

_CGRATES = Template(
    name="cgrates",
    title="CGRateS, Rates.csv joined with the prefixes of Destinations.csv",
    columns={
        **_CGRATES_COLUMNS,
        "prefix": ("Prefix",),
        "destination": ("DestinationTag", "DestinationsTag", "DestinationId"),
    },
    required=("rate", "rate_seconds", "next_seconds", "step_from_seconds"),
    ignored=_CGRATES_IGNORED,
    only={"MaxCost": _ZERO, "MaxCostStrategy": ("",)},
    comment="#",
)  # fmt: skip

_CGRATES_BARE = Template(
    name="cgrates-rates",
    title="CGRateS, Rates.csv alone",
    columns=_CGRATES_COLUMNS,
    required=("rate", "rate_seconds", "next_seconds", "step_from_seconds"),
    ignored=_CGRATES_IGNORED,
    refusal="Rates.csv of CGRateS has no prefixes; join it with DestinationRates.csv and Destinations.csv first, "
    "see docs/decks.md",
)

_KAZOO = Template(
    name="kazoo",
    title="Kazoo, rates task",
    columns={
        "prefix": ("prefix",),
        "rate": ("rate_cost",),
        "destination": ("description",),
        "connect_fee": ("rate_surcharge",),
        "first_seconds": ("rate_minimum",),
        "next_seconds": ("rate_increment",),
        "free_seconds": ("rate_nocharge_time",),
    },
    ignored={
        "pvt_rate_cost": "the cost; import it as a table of its own by a template of your own",
        "pvt_rate_surcharge": "a part of the cost",
        "account_id": _OTHER, "iso_country_code": _OTHER, "rate_name": _OTHER, "rate_version": _OTHER,
        "ratedeck_id": _OTHER, "ratedeck_name": _OTHER, "weight": _ROUTING, "routes": _ROUTING,
    },
    only={"direction": ("", "outbound"), "caller_id_numbers": ("",)},
)  # fmt: skip

_CARRIER = Template(
    name="carrier",
    title="a carrier's A-Z list: country code and area codes, or whole codes",
    columns={
        "country_code": ("Country Code", "CC", "Intl Code"),
        "area_code": ("Area Code", "Area Codes", "City Code", "City Codes", "NDC", "Dial Codes"),
        "prefix": ("Dial Code", "Dialcode", "Dial Prefix", "Full Code", "Breakout Code"),
        "country": ("Country", "Country Name"),
        "destination": ("Destination", "Destination Name", "Zone", "Breakout"),
        "rate": ("Rate", "Price", "Rate/Min", "Rate per Minute", "Price per Minute", "New Rate"),
        "connect_fee": ("Connection Fee", "Setup Fee"),
        "first_seconds": ("First Increment", "Initial Increment", "Minimum Increment", "Min Increment"),
        "next_seconds": ("Next Increment", "Increment", "Subsequent Increment", "Additional Increment"),
        "blocks": ("Increments", "Billing Increment", "Billing Increments", "Interval"),
        "effective_from": ("Effective Date", "Effective From", "Valid From"),
        "effective_to": ("End Date", "Valid To", "Expiry Date", "Effective To"),
        "action": ("Status", "Change", "Flag", "Change Type", "Rate Change"),
        "currency": ("Currency",),
    },
    ignored={
        "Old Rate": _FORMER, "Previous Rate": _FORMER, "Current Rate": _FORMER,
        "Comment": _OTHER, "Comments": _OTHER, "Notes": _OTHER, "Remarks": _OTHER, "ISO": _OTHER, "ISO Code": _OTHER,
    },
    dialled=("+", "00"),
    at_once=("immediately", "immediate", "asap", "now"),
)  # fmt: skip

BUILT_IN: Final = (
    NATIVE, _ASTPP, _A2BILLING, _YETI, _PYFREEBILLING, _PORTAONE, _SIPPY, _TCXC, _JERASOFT, _MOD_LCR, _CGRATES,
    _CGRATES_BARE, _KAZOO, _CARRIER,
)  # fmt: skip


def template_named(name: str) -> Template | None:
    """Return the template of a name, or None."""
    return next((template for template in BUILT_IN if template.name == name), None)
