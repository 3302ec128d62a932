"""What is told of a listener that cannot be bound: which, why, and what to do; the daemon then ends with status 69."""

import errno
import os

from daemon.settings import Listener

_ADVICE = {
    errno.EADDRINUSE: (
        "another program, or another daemon, has it; 'tollway doctor' names it: stop it, or give [{section}] another"
        " port in {file}"
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address: write one that it has, or 0.0.0.0, in [{section}] of {file}"
    ),
    errno.EACCES: (
        "ports below 1024 need a right: choose another for [{section}] in {file}, or let the unit have"
        " AmbientCapabilities=CAP_NET_BIND_SERVICE"
    ),
}
_OTHER = "mend [{section}] in {file}"


def cannot_listen(section: str, listener: Listener, error: OSError, file: str) -> str:
    """Return what an operator reads; ``file`` is the settings file."""
    number = _number(error)
    why = os.strerror(number) if number else str(error)
    advice = _ADVICE.get(number, _OTHER).format(section=section, file=file or "tollway.toml")
    return f"cannot listen on [{section}] {listener.host}:{listener.port}: {why}: {advice}"


def _number(error: OSError) -> int:
    """Return the error's number; the loop tells that of a datagram socket by its cause alone."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno:
            return seen.errno
        seen = seen.__cause__ or seen.__context__
    return 0
