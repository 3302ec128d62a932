"""What stands on a command line becomes finished values, or a usage error (status 2) that says what would do."""

from typing import Any

import click

from daemon.kernel.ids import is_id, split_key
from daemon.kernel.instant import InstantError, parse_rfc3339
from daemon.kernel.money import MoneyError, parse_nano

UNLIMITED = "unlimited"


class MoneyType(click.ParamType[int]):
    """A decimal text to nano-units."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return nano-units."""
        if isinstance(value, int):
            return value
        try:
            return parse_nano(value)
        except MoneyError as error:
            self.fail(str(error), param, ctx)


class CreditType(click.ParamType[int | str]):
    """A decimal text to nano-units, or the word ``unlimited``, which stays as it is."""

    name = "amount|unlimited"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return nano-units or ``unlimited``."""
        return UNLIMITED if value == UNLIMITED else MONEY.convert(value, param, ctx)


class TimeType(click.ParamType[int]):
    """An RFC 3339 time to an instant."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return microseconds since the epoch."""
        if isinstance(value, int):
            return value
        try:
            return parse_rfc3339(value)
        except InstantError as error:
            self.fail(str(error), param, ctx)


class KeyType(click.ParamType[str]):
    """``ID``, which means the owner's, or ``TENANT/ID``; it stays a text."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        try:
            split_key(value, "owner")
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class IdType(click.ParamType[str]):
    """An id alone."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if not is_id(value):
            self.fail(f"{value!r} is not an id: letters, digits, dot, underscore, hyphen", param, ctx)
        return str(value)


class PlaceType(click.ParamType[tuple[str, int]]):
    """``HOST:PORT`` to a pair."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return host and port."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


MONEY, CREDIT, TIME, KEY, ID, PLACE = MoneyType(), CreditType(), TimeType(), KeyType(), IdType(), PlaceType()
REASON = click.option("--reason", default="", help="Why; kept with the change and whoever made it.")
