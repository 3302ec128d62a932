"""The table of refusals: one row a question, with what happened before it, and the one word that answers it."""

import csv
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("refusals")
SCENARIO = FOLDER / "scenario.toml"
_CALLS = re.compile(r"(\d+) (?:of (\d+) s|(running|asked))(?: (inbound|outbound))?(?: ([a-z/-]+))?")


class Question(NamedTuple):
    """Who calls what, in which direction; ``identity`` is what the switch vouches for, by its fields' names."""

    account: str
    identity: dict[str, str]
    to: str
    direction: str


@dataclass(frozen=True)
class Row:
    """A question, what happened before it, and the code that answers it."""

    code: str
    question: Question
    before: tuple[str, ...]
    case: str

    def __str__(self) -> str:
        """Return what a person calls the row."""
        who = self.question.account or " ".join(self.question.identity.values())
        return " ".join((self.code, who, *self.before, self.case))


def rows() -> list[Row]:
    """Return the rows of the table, in its order."""
    with (FOLDER / "refusals.csv").open(newline="") as file:
        return [_row(values) for values in csv.DictReader(file, strict=True)]


def _row(values: dict[str, str]) -> Row:
    identity = dict(part.split("=") for part in values["identity"].split())
    question = Question(values["account"], identity, values["to"], values["direction"])
    return Row(values["code"], question, tuple(filter(None, values["before"].split("; "))), values["case"])


@dataclass
class Player:
    """Plays what happened before a question: ``ask``, ``answer`` and ``end`` are the road's, ``wait`` the clock's."""

    ask: Callable[[str, Question], Awaitable[str]]
    answer: Callable[[str, Question], Awaitable[None]]
    end: Callable[[str, Question, int], Awaitable[None]]
    wait: Callable[[int], None]
    calls: int = 0

    async def code(self, row: Row) -> str:
        """Return the word that answers a row's question."""
        for step in row.before:
            await self._play(step, row.question)
        self.calls += 1
        return await self.ask(f"asked-{self.calls}", row.question)

    async def _play(self, step: str, question: Question) -> None:
        if step.startswith("wait "):
            self.wait(int(step.removeprefix("wait ")))
            return
        found = _CALLS.fullmatch(step)
        assert found is not None, step
        count, seconds, how, direction, account = found.groups()
        before = question._replace(account=account or question.account, direction=direction or question.direction)
        if how == "running" and direction == "inbound":
            before = before._replace(to="442071231234")
        for _ in range(int(count)):
            self.calls += 1
            name = f"before-{self.calls}"
            assert await self.ask(name, before) == "granted", (step, before)
            if how != "asked":
                await self.answer(name, before)
            if seconds is not None:
                self.wait(int(seconds))
                await self.end(name, before, int(seconds))
