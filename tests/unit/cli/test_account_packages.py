"""What ``account show`` says of a channel package: what it adds, when, and the price that nobody charges."""

from daemon.app_commands import ChannelPackageSpec
from daemon.cli.account import package_value
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import parse_nano


def test_a_package_is_shown_with_its_price() -> None:
    begins = parse_rfc3339("2026-12-01T00:00:00Z")
    spec = ChannelPackageSpec(
        "main", "fair", "acme", channels_total=10, channels_out=9, begins=begins, monthly_price=parse_nano("25")
    )
    assert package_value(spec) == {
        "id": "fair", "total": 10, "inbound": 0, "outbound": 9, "from": "2026-12-01T00:00:00.000000Z", "until": None,
        "monthly_price": "25.00",
    }  # fmt: skip
    assert package_value(ChannelPackageSpec("main", "always", "acme"))["from"] is None
