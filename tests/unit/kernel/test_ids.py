"""Ids: what may serve as one, and how a key is written."""

import pytest

from daemon.kernel.ids import ID_LENGTH_MAX, Direction, Key, is_id, split_key


@pytest.mark.parametrize("text", ["a", "0", "acme-1.x_y", "a" * ID_LENGTH_MAX])
def test_letters_digits_and_three_marks_make_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "-a", ".", "a b", "a/b", "é", "a\n", "a" * (ID_LENGTH_MAX + 1)])
def test_nothing_else_does(text: str) -> None:
    assert not is_id(text)


def test_a_key_is_written_and_read() -> None:
    assert str(Key("main", "acme")) == "main/acme"
    assert split_key("reseller/acme", "main") == Key("reseller", "acme")
    assert split_key("acme", "main") == Key("main", "acme")


@pytest.mark.parametrize("text", ["", "/acme", "a/b/c", "acme/", "a b"])
def test_a_bad_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TENANT/ID"):
        split_key(text, "main")


def test_directions_are_written_as_on_the_roads() -> None:
    assert [direction.value for direction in Direction] == ["outbound", "inbound"]
