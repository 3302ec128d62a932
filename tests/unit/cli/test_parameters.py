"""What stands on a command line becomes a finished value or a usage error that says what would do."""

from typing import Any

import click
import pytest

from daemon.cli.parameters import CREDIT, ID, KEY, MONEY, PLACE, TIME
from daemon.cli.rate import DurationType
from daemon.kernel.money import NANO


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (MONEY, "25.00", 25 * NANO),
        (MONEY, "-0.000000001", -1),
        (CREDIT, "unlimited", "unlimited"),
        (CREDIT, "1", NANO),
        (TIME, "1970-01-01T00:00:01+00:00", 1_000_000),
        (KEY, "alice", "alice"),
        (KEY, "reseller1/erin", "reseller1/erin"),
        (ID, "a.b-c_d", "a.b-c_d"),
        (PLACE, "127.0.0.1:1812", ("127.0.0.1", 1812)),
        (PLACE, "[::1]:1812", ("::1", 1812)),
    ],
)
def test_a_value_is_read(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MONEY, "1,5"),
        (MONEY, "1e3"),
        (MONEY, "0.0000000001"),
        (CREDIT, "Unlimited"),
        (TIME, "2026-01-01"),
        (TIME, "yesterday"),
        (KEY, "a/b/c"),
        (KEY, ""),
        (KEY, "x;rm"),
        (ID, "a/b"),
        (PLACE, "1812"),
        (PLACE, "host:0"),
        (PLACE, "host:65536"),
        (DurationType(), "-1"),
        (DurationType(), "1e9"),
        (DurationType(), "1000001"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter) as failed:
        kind.convert(text, None, None)
    assert failed.value.exit_code == 2
