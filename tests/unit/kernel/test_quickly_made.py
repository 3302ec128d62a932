"""A quickly made dataclass differs in nothing but the time: the same arguments, defaults, equality, hash and frost."""

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from daemon.kernel.quickly_made import quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    number: int
    name: str = "none"
    parts: tuple[int, ...] = ()


def test_it_takes_places_names_and_defaults() -> None:
    assert Quick(1) == Quick(number=1, name="none", parts=())
    assert Quick(1, "a", (2,)) == Quick(parts=(2,), name="a", number=1)
    assert repr(Quick(1, parts=(2,))) == "Quick(number=1, name='none', parts=(2,))"


def test_it_is_compared_hashed_and_replaced_as_ever() -> None:
    assert hash(Quick(1)) == hash(Quick(1))
    assert Quick(1) != Quick(2)
    assert replace(Quick(1), name="b") == Quick(1, "b")


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick(1).number = 2  # type: ignore[misc]


@pytest.mark.parametrize(("places", "names"), [((), {}), ((1,), {"other": 2}), ((1,), {"number": 2})])
def test_wrong_arguments_are_refused(places: tuple[int, ...], names: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Quick(*places, **names)  # type: ignore[arg-type]


def test_what_it_cannot_make_is_refused_at_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Listed:
        parts: list[int] = field(default_factory=list)

    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            assert self.number

    for kind in (Listed, Checked):
        with pytest.raises(AssertionError):
            quickly_made(kind)
