"""Files that a scenario names: what is detected of a deck is said, and each is bounded."""

from pathlib import Path

import pytest

from daemon.config_files import deck_files


def test_a_deck_that_is_not_utf8_is_told_and_one_is_bounded(tmp_path: Path) -> None:
    deck = tmp_path / "deck.csv"
    deck.write_bytes(b"prefix,rate,destination\n44,0.01,Cura\xe7ao\n")
    read = deck_files.read_deck_file(deck)
    assert [row.destination for row in read.rows] == ["Curaçao"]
    assert any("cp1252" in note for note in read.notes), "what was detected is said"
    deck.write_text("prefix,rate,destination\n44,0.01," + "x" * 100_000 + "\n")
    assert "characters" in deck_files.read_deck_file(deck).problems[0].message


def test_a_code_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = tmp_path / "codes.csv"
    codes.write_text("prefix,destination\n44,UK\n")
    monkeypatch.setattr(deck_files, "CODES_SIZE_MAX", 10)
    with pytest.raises(deck_files.Unreadable, match="more than 10 octets"):
        deck_files.read_code_file(codes)
