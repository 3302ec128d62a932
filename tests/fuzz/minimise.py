"""The shortest input that still makes a target fall in the same way, by leaving out ever smaller parts of it."""

from collections.abc import Callable

Target = Callable[[bytes], None]


def minimised(target: Target, data: bytes) -> bytes:
    """Return a part of ``data`` of which no octet can be left out. Raises ValueError where the target takes it."""
    fault = _fault(target, data)
    if fault is None:
        raise ValueError("the target takes this input: there is nothing to minimise")
    size = len(data)
    while size:
        data, shorter = _without(target, data, size, fault), len(data)
        size = min(size, len(data)) if len(data) < shorter else size // 2
    return data


def _without(target: Target, data: bytes, size: int, fault: type[BaseException]) -> bytes:
    """Return ``data`` without the parts of so many octets that the fault does not need."""
    at = 0
    while at < len(data):
        rest = data[:at] + data[at + size :]
        if _fault(target, rest) is fault:
            data = rest
        else:
            at += size
    return data


def _fault(target: Target, data: bytes) -> type[BaseException] | None:
    try:
        target(data)
    except Exception as error:  # whatever it is, it is what is looked for
        return type(error)
    return None
