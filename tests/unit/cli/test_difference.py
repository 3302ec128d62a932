"""How a difference of decks is shown: prices beside the prefixes, and what is left out counted."""

import pytest

from daemon.app_commands import DeckDifference
from daemon.cli.difference import deck_value, print_deck
from daemon.store.deck_versions import Prices

CENT = 10_000_000
NAMES = tuple(str(prefix) for prefix in range(440, 465))
DECK = DeckDifference(
    "main/retail", new=("39",), increased=NAMES, changed=("33 kwh",), closed=("1", "7"), unchanged=5, in_force=30,
    scheduled=2, prices={**dict.fromkeys(NAMES, Prices(6 * CENT, 7 * CENT)), "7": Prices(CENT, None),
                         "33 kwh": Prices(None, 2 * CENT)},
    prices_beyond=1,
)  # fmt: skip


def test_a_person_reads_the_prices_of_the_first_twenty(capsys: pytest.CaptureFixture[str]) -> None:
    print_deck(DECK)
    dearer = ", ".join(f"{name} 0.06 -> 0.07" for name in NAMES[:20])
    assert capsys.readouterr().out.splitlines() == [
        "rate table main/retail, prefixes: 1 new, 25 increased, 0 decreased, 1 changed, 2 closed, 5 unchanged",
        "  new: 39", f"  increased: {dearer} and 5 more", "  changed: 33 kwh none -> 0.02",
        "  closed: 1, 7 0.01 -> none",
    ]  # fmt: skip


def test_a_program_reads_them_beside_the_lists() -> None:
    told = deck_value(DECK)
    assert told["increased"] == list(NAMES)
    assert (told["in_force"], told["scheduled"], told["prices_beyond"]) == (30, 2, 1)
    assert told["prices"]["447"] == {"before": "0.06", "after": "0.07", "what": ""}
    assert told["prices"]["7"] == {"before": "0.01", "after": None, "what": ""}
    assert len(told["prices"]) == len(NAMES) + 2


def test_what_changed_beside_the_rate_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = Prices(CENT, CENT, "first_seconds 1 -> 60, connect_fee 0 -> 0.05")
    print_deck(DeckDifference("main/retail", changed=("44",), prices={"44": told}))
    assert "changed: 44 0.01 (first_seconds 1 -> 60, connect_fee 0 -> 0.05)" in capsys.readouterr().out


def test_a_deck_that_replaces_another_lists_few_of_what_it_closes(capsys: pytest.CaptureFixture[str]) -> None:
    deck = DeckDifference("main/retail", closed=NAMES, falls=tuple((name, "4") for name in NAMES))
    print_deck(deck, closed_shown=20)
    shown = capsys.readouterr().out
    assert f"closed: {', '.join(NAMES[:20])} and 5 more" in shown
    assert (shown.count("would fall to 4"), "calls to 5 more would fall" in shown) == (20, True)
