"""What ``call show`` says of one call: the number as it was dialled, and what was paid beside the price."""

from daemon.authorize.catalog import OverChannels
from daemon.cli.call import particulars, whole_value
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.money import parse_nano
from tests.unit.charging.desk import ALICE, Desk, catalog, with_account

SURCHARGE = {
    "channels_out": 0, "over_channels": OverChannels.SURCHARGE, "channel_surcharge": parse_nano("0.10"),
    "channel_surcharge_per_minute": parse_nano("0.05"),
}  # fmt: skip


async def test_a_call_shows_what_was_dialled_and_its_surcharge() -> None:
    desk = Desk(with_account(catalog(), ALICE, **SURCHARGE))
    desk.fund(ALICE, "5.00")
    await desk.ask("c1", "00442071231234", dialling=Dialling(Numbers.NATIONAL, "DE"))
    shown = whole_value(desk.store.saved["g1"])
    assert (shown["to"], shown["dialled"]) == ("442071231234", "00442071231234")
    (level,) = shown["levels"]
    assert (level["surcharge"], level["surcharge_rate"]) == ("0.10", "0.05")
    assert "over its channels: 0.10 USD a call and 0.05 a minute beside" in list(particulars(level))


async def test_a_call_within_its_channels_has_no_line_of_a_surcharge() -> None:
    desk = Desk()
    desk.fund(ALICE, "5.00")
    await desk.ask("c1")
    shown = whole_value(desk.store.saved["g1"])
    assert shown["dialled"] == ""
    assert shown["levels"][0]["surcharge"] == "0.00"
    assert not [line for line in particulars(shown["levels"][0]) if "channels" in line]
