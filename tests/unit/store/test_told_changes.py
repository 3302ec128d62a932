"""What ``apply`` and the histories say of a changed field: as a file states it, never as the store keeps it."""

from dataclasses import fields

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import AccountSpec, OverrideSpec
from daemon.config_files.kinds import MONEY, MONEY_ABOVE_ZERO, MONEY_FROM_ZERO, ConfigKey
from daemon.config_files.scenario_keys import OBJECTS
from daemon.kernel.money import parse_nano
from daemon.store.objects import KINDS, NANO_FIELDS, told

ACME = AccountSpec("main", "acme", AccountKind.POSTPAID, "USD")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("monthly_spend", None, "none"), ("monthly_spend", parse_nano("100"), "100.00"),
        ("credit_limit", None, "unlimited"), ("margin_floor_percent", parse_nano("2.5"), "2.50"),
        ("channels_total", 4, "4"), ("channels_total", None, "none"),
        ("overrides", (OverrideSpec("44", parse_nano("0.01")),), "[{'prefix': '44', 'rate': '0.01'}]"),
    ],
)  # fmt: skip
def test_a_value_is_told_as_people_write_it(field: str, value: object, words: str) -> None:
    spec = AccountSpec(**{each.name: getattr(ACME, each.name) for each in fields(ACME)} | {field: value})
    assert told(spec, field) == words


def test_every_amount_of_a_scenario_file_is_told_as_an_amount() -> None:
    known = {each.name for kind in KINDS.values() for each in fields(kind)}
    money = {key.name for table in OBJECTS.values() for key in table.keys if is_money(key)}
    assert {"balance", "monthly_price", "spend"} <= money
    assert money & known <= NANO_FIELDS


def is_money(key: ConfigKey) -> bool:
    return key.kind in (MONEY, MONEY_FROM_ZERO, MONEY_ABOVE_ZERO)
