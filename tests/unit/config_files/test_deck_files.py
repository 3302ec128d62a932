"""Files that a scenario names: what is detected of a deck is said, and each is bounded."""

from pathlib import Path

import pytest

from daemon.config_files import deck_files
from daemon.kernel.ids import Key
from tests.unit.config_files.test_scenario_file import BASE, good, read


def test_a_deck_that_is_not_utf8_is_told_and_one_is_bounded(tmp_path: Path) -> None:
    deck = tmp_path / "deck.csv"
    deck.write_bytes(b"prefix,rate,destination\n44,0.01,Cura\xe7ao\n")
    found = deck_files.read_deck_file(deck)
    assert [row.destination for row in found.rows] == ["Curaçao"]
    assert any("cp1252" in note for note in found.notes), "what was detected is said"
    deck.write_text("prefix,rate,destination\n44,0.01," + "x" * 100_000 + "\n")
    assert "characters" in deck_files.read_deck_file(deck).problems[0].message


def test_a_code_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = tmp_path / "codes.csv"
    codes.write_text("prefix,destination\n44,UK\n")
    monkeypatch.setattr(deck_files, "CODES_SIZE_MAX", 10)
    with pytest.raises(deck_files.Unreadable, match="more than 10 octets"):
        deck_files.read_code_file(codes)


def test_a_deck_that_two_tables_name_is_told_of_once(tmp_path: Path) -> None:
    more = '\n[[rate_table]]\nid = "other"\ntenant = "main"\ncurrency = "USD"\ndeck = "voice.csv"\n'
    assert len(read(tmp_path, BASE + more, "prefix,rate\n44,x\n")[1]) == 1
    assert set(good(tmp_path, BASE + more).decks) == {Key("main", "voice"), Key("main", "other")}
