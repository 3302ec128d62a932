"""The reasons for which something is not taken are a closed list: what the code can say, and nothing else."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import daemon
from daemon.charging.discarded import NAME, OTHER, REASONS, discarded
from tests.integration.esl_world import Tally

SOURCE = Path(daemon.__file__).parent
RADIUS = frozenset(REASONS["radius_auth"]) | frozenset(REASONS["radius_acct"])
# Where a call of a name in a folder states a reason, and of which listener: the place of the argument.
STATED: dict[tuple[str, str], tuple[int, frozenset[str]]] = {
    ("radius", "_discard"): (1, RADIUS), ("radius", "Silence"): (0, RADIUS),
    ("http_api", "RequestRefused"): (1, frozenset(REASONS["http"])),
    ("http_api", "_discarded"): (0, frozenset(REASONS["http"])),
    ("esl", "LinkLost"): (1, frozenset(REASONS["esl"])), ("esl", "_fail"): (1, frozenset(REASONS["esl"])),
}  # fmt: skip


@cache
def _nodes() -> list[tuple[Path, ast.AST]]:
    """Return everything that the daemon's source holds, with the file of each."""
    return [
        (path, node)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call | ast.Constant)
    ]


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield every call with the folder that it stands in and the name that is called."""
    for path, node in _nodes():
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield path.parent.name, name, node


def _texts(node: ast.expr) -> set[str]:
    """Return what an expression may be, of texts that stand in it as values."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return {str(node.value)} if isinstance(node, ast.Constant) and node.value else set()


def test_every_reason_that_the_code_states_is_declared() -> None:
    seen = 0
    for folder, name, call in _calls():
        if name == "discarded" and len(call.args) == 3 and isinstance(call.args[1], ast.Constant):
            seen += 1
            assert _texts(call.args[2]) <= set(REASONS[str(call.args[1].value)]), ast.unparse(call)
        place, declared = STATED.get((folder, name), (0, None))
        if declared is not None and len(call.args) > place:
            seen += 1
            assert _texts(call.args[place]) <= declared, ast.unparse(call)
    assert seen > 50


def test_every_reason_that_is_declared_can_be_stated() -> None:
    texts = {node.value for path, node in _nodes() if isinstance(node, ast.Constant) and path.name != "discarded.py"}
    for listener, reasons in REASONS.items():
        assert reasons.keys() <= texts, listener


@pytest.mark.parametrize(("reason", "counted"), [("malformed", "malformed"), ("a slip", OTHER)])
def test_a_reason_that_is_not_declared_is_counted_as_other(reason: str, counted: str) -> None:
    tally = Tally()
    discarded(tally, "http", reason)
    assert tally.counts == {(NAME, "http", counted): 1}
