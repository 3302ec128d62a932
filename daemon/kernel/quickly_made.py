"""Frozen dataclasses that are made in half the time, for the dozen that every decision makes.

The ``__init__`` of a frozen dataclass asks ``object.__setattr__`` for each field, which seeks its slot by name anew.
Here each slot is set by its own descriptor. Nothing else differs: what was made is as frozen, equal and hashed as ever.
"""

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quickly_made(made: type[T]) -> type[T]:
    """Give a frozen dataclass with slots, of plain defaults and no ``__post_init__``, an ``__init__`` of this kind."""
    stated: tuple[Field[Any], ...] = fields(made)  # type: ignore[arg-type]
    assert not hasattr(made, "__post_init__"), made
    assert all(each.init and each.default_factory is MISSING for each in stated), made
    names = [each.name for each in stated]
    known: dict[str, Any] = {f"set_{name}": made.__dict__[name].__set__ for name in names}
    known |= {f"default_{each.name}": each.default for each in stated}
    taken = [each.name if each.default is MISSING else f"{each.name}=default_{each.name}" for each in stated]
    lines = [f"def __init__(self, {', '.join(taken)}):", *(f"    set_{name}(self, {name})" for name in names)]
    exec("\n".join(lines), known)  # noqa: S102 - as dataclasses itself does; of names in this program alone
    made.__init__ = known["__init__"]  # type: ignore[method-assign]
    return made
