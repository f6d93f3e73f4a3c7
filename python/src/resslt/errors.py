"""The errors of resslt: what was being done, to what, why it failed, and what to do.

The server sends its own errors in the same four parts; they are raised here as the class of
their kind, so that a program decides by class and a person reads one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

_FIELD_LIMIT = 4096  # characters of one part: what a server sends is bounded


class Error(Exception):
    """Base of all errors of this package. It prints as one line.

    Attributes:
        kind: the word for its class on the wire: "usage", "mismatch", …
        op: what was being done: "open folder".
        where: the thing that it was done to: a path, an address, a field.
        hint: what to do about it; "" where the text says so already.
    """

    kind: str
    default_kind: ClassVar[str] = "internal"

    def __init__(self, text: str, *, hint: str = "", op: str = "", where: str = "", kind: str = "") -> None:
        self.text = one_line(text)
        self.hint = one_line(hint)
        self.op = one_line(op)
        self.where = one_line(where)
        self.kind = kind or self.default_kind
        super().__init__(self._line())

    def _line(self) -> str:
        subject = " ".join(part for part in (self.op, self.where) if part)
        line = f"{subject}: {self.text}" if subject and not self.text.startswith(subject) else self.text
        return f"{line} (hint: {self.hint})" if self.hint and self.hint not in line else line

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"text": self.text, "hint": self.hint, "op": self.op, "where": self.where, "kind": self.kind}
        return (_rebuild, (type(self), state))


class UsageError(Error):
    """The caller asked for something that cannot be."""

    default_kind = "usage"


class MismatchError(Error):
    """Two sides disagree: another run than that of the saved state, another rank's world."""

    default_kind = "mismatch"


class DeniedError(Error):
    """The token is missing or wrong, or the broker's permissions do not allow it."""

    default_kind = "denied"


class NotFoundError(Error):
    """A run, a file or a program is not there."""

    default_kind = "not_found"


class NoServerError(NotFoundError):
    """Nothing listens at the server's address."""


class TombstoneError(Error):
    """A sample could not be made, and the run is told to fail then."""

    default_kind = "tombstone"


class DeterminismError(Error):
    """Two workers made different bytes of one task."""

    default_kind = "determinism"


class CorruptError(Error):
    """Bytes that are not what they claim to be."""

    default_kind = "corrupt"


class WaitError(Error, TimeoutError):
    """Nothing came within the time that was allowed for it."""

    default_kind = "timeout"


class BusyError(Error):
    """Another client has this name and rank just now."""

    default_kind = "busy"


class ProtocolError(Error):
    """The other side does not speak this version of the protocol, or breaks it."""

    default_kind = "protocol"


class ServerError(Error):
    """The server failed within itself."""

    default_kind = "internal"


class ServerLost(Error, ConnectionError):
    """The server is not there, ended, or fell silent."""

    default_kind = "lost"


class ForkedError(UsageError):
    """A loader was used in a process forked from the one that made it."""


_KINDS: dict[str, type[Error]] = {
    c.default_kind: c
    for c in (
        UsageError,
        MismatchError,
        DeniedError,
        NotFoundError,
        TombstoneError,
        DeterminismError,
        CorruptError,
        WaitError,
        BusyError,
        ProtocolError,
        ServerError,
    )
}


def from_wire(message: Mapping[str, Any]) -> Error:
    """The error that a server's 'X' frame states; an unknown kind is a ServerError of that kind."""

    def part(name: str) -> str:
        value = message.get(name, "")
        return value[:_FIELD_LIMIT] if isinstance(value, str) else ""

    kind = part("kind")
    text = part("text") or "the server ended the connection without saying why"
    cls = _KINDS.get(kind, ServerError)
    return cls(text, hint=part("hint"), op=part("op"), where=part("where"), kind=kind)


def one_line(text: str) -> str:
    """text with every run of white space as one blank, so that an error stays one line."""
    return " ".join(text.split())


def _rebuild(cls: type[Error], state: Mapping[str, str]) -> Error:
    return cls(**state)
