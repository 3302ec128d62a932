"""Who acts, for the record of a change: what the kernel says, never what a person can write into an environment alone.

The login uid follows a person through su, sudo and runuser and cannot be set again without rights; without a login
(a unit, a container) it is the process's own user. Root may be anybody with the key, so what sudo says stands beside.
"""

import os
import pwd
from pathlib import Path
from typing import Final

UNSET: Final = 0xFFFF_FFFF  # the login uid of a process that nobody logged in for
CLAIMED_MAX: Final = 64  # characters of a name that sudo states
_LOGIN_UID: Final = Path("/proc/self/loginuid")


def who() -> str:
    """Return who acts: the login name of whoever logged in, else of the process's user."""
    return actor(_login_uid(), os.getuid(), os.environ.get("SUDO_USER", ""))


def actor(login_uid: int, uid: int, claimed: str) -> str:
    """Return the name for the record; ``claimed`` is shown beside it, and only where the process is root's."""
    name = _name_of(uid if login_uid == UNSET else login_uid)
    said = "".join(each if each.isprintable() else "?" for each in claimed[:CLAIMED_MAX])
    return f"{name} (sudo: {said})" if uid == 0 and said and said != name else name


def _login_uid() -> int:
    try:
        return int(_LOGIN_UID.read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kernel without audit, or a /proc that hides it
        return UNSET


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
