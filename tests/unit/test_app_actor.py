"""Who acts is what the kernel says; an environment adds a claim to root's name and changes no other."""

import os
import pwd

import pytest

from daemon.app_actor import CLAIMED_MAX, UNSET, actor, who

ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize(
    ("login_uid", "uid", "claimed", "told"),
    [
        (UNSET, 0, "", "root"),
        (UNSET, 0, "anna", "root (sudo: anna)"),
        (UNSET, NOBODY, "anna", "nobody"),  # anybody can set a variable
        (NOBODY, 0, "", "nobody"),
        (NOBODY, 0, "nobody", "nobody"),
        (NOBODY, 0, "anna", "nobody (sudo: anna)"),
        (0, NOBODY, "anna", "root"),
        (UNSET, 4_000_000_123, "", "uid 4000000123"),
        (UNSET, 0, "a\nb\x1b", "root (sudo: a?b?)"),
        (UNSET, 0, "x" * 1000, f"root (sudo: {'x' * CLAIMED_MAX})"),
    ],
)
def test_the_name_is_the_kernels(login_uid: int, uid: int, claimed: str, told: str) -> None:
    assert actor(login_uid, uid, claimed) == told


def test_no_variable_alone_makes_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    before = who()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert who() == before
    monkeypatch.setenv("SUDO_USER", "somebody-else")
    assert who().split(" (sudo: ")[0] == before
