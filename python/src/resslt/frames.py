"""The frames between a client and `resslt serve`, as docs/wire.md has them.

A frame is a header of 8 bytes (u32 little-endian length of the body, the type as one ASCII
letter, three zero bytes) and its body. This module only packs and parses; client.py sends.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import ProtocolError

PROTOCOL = 1
HEADER = 8
MAX_FRAME_BEFORE_WELCOME = 1 << 20  # bytes; the welcome states the bound of what follows
CLIENT_MAX_FRAME = 64 << 10  # bytes that a server accepts of a client's frame

HELLO = ord("H")
ACK = ord("A")
RELEASE = ord("R")
BYE = ord("B")
WELCOME = ord("W")
SCHEMA = ord("S")
DATA = ord("D")
MAPPED = ord("M")
EVENT = ord("E")
ERROR = ord("X")

_HEADER = struct.Struct("<IB3s")
_U64 = struct.Struct("<Q")
_MAPPED = struct.Struct("<QQQQ")


class Mapped(NamedTuple):
    """Where a batch stands in the ring: offset and length are bytes of the shared file."""

    step: int
    slot: int
    offset: int
    length: int


def pack(kind: int, body: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEADER.pack(len(body), kind, b"\0\0\0") + body


def pack_json(kind: int, value: Mapping[str, Any]) -> bytes:
    """A frame whose body is JSON."""
    return pack(kind, json.dumps(value, separators=(",", ":")).encode())


def pack_number(kind: int, n: int) -> bytes:
    """A frame whose body is one u64: a step, or a slot of the ring."""
    return pack(kind, _U64.pack(n))


def parse_header(header: bytes | bytearray | memoryview, limit: int) -> tuple[int, int]:
    """The type and the body's length of a frame, of at most limit bytes."""
    length, kind, zero = _HEADER.unpack(header)
    if zero != b"\0\0\0":
        raise ProtocolError(
            "what answered does not speak resslt's protocol: a frame's header has other bytes",
            hint="check that the address is that of `resslt serve`",
        )
    if length > limit:
        raise ProtocolError(f"a frame of {length} bytes came where at most {limit} were announced")
    return kind, length


def parse_json(body: bytes | bytearray | memoryview, what: str) -> dict[str, Any]:
    """The JSON object of a body; what names the frame in the error."""
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError) as e:
        raise ProtocolError(f"the server's {what} is not JSON: {e}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"the server's {what} is not a JSON object")
    return value


def parse_mapped(body: bytes | bytearray | memoryview) -> Mapped:
    """The place of a batch in the ring."""
    if len(body) != _MAPPED.size:
        raise ProtocolError(f"a place in the ring has {len(body)} bytes, not {_MAPPED.size}")
    return Mapped(*_MAPPED.unpack(body))
