"""Addresses of `resslt serve`: unix:PATH, tcp:HOST:PORT (loopback), tls:HOST:PORT."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass

from .errors import NoServerError, ServerLost, UsageError

_UNIX_PATH_LIMIT = 107  # bytes that the system takes for a socket's path


@dataclass(frozen=True)
class Address:
    """Where a server listens. path is set for "unix", host and port for the other schemes."""

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.scheme == "unix" else f"{self.scheme}:{self.host}:{self.port}"


def parse(text: str) -> Address:
    """The address that text is, or a UsageError."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest:
        if len(os.fsencode(rest)) > _UNIX_PATH_LIMIT:
            raise UsageError(f"{text} is longer than a socket's path may be", hint=f"use a path of at most {_UNIX_PATH_LIMIT} bytes")
        return Address("unix", path=rest)
    host, _, port = rest.rpartition(":")
    if scheme in ("tcp", "tls") and host and port.isdecimal() and 0 < int(port) < 1 << 16:
        return Address(scheme, host=host.removeprefix("[").removesuffix("]"), port=int(port))
    raise UsageError(f"{text!r} is no address of a server", hint="use unix:PATH, tcp:HOST:PORT or tls:HOST:PORT")


def connect(address: Address, timeout: float, ca: str | None = None) -> socket.socket:
    """A connected socket; it raises NoServerError where nothing listens, ServerLost else."""
    where = str(address)
    try:
        if address.scheme == "unix":
            return _connect_unix(address.path, timeout)
        raw = socket.create_connection((address.host, address.port), timeout=timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if address.scheme == "tcp":
            return raw
        try:
            return ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname=address.host)
        except BaseException:
            raw.close()
            raise
    except ssl.SSLError as e:
        reason = getattr(e, "verify_message", "") or e.reason or str(e)
        raise ServerLost(
            f"TLS failed: {reason}", op="connect to", where=where, hint="give the authority's certificate as ca=, or check the address"
        ) from e
    except (FileNotFoundError, ConnectionRefusedError) as e:
        raise NoServerError(
            "nothing listens there", op="connect to", where=where, hint="start `resslt serve`, or leave connect= out to have one started"
        ) from e
    except PermissionError as e:
        raise NoServerError(
            "the socket belongs to another user", op="connect to", where=where, hint="run as the user that started the server"
        ) from e
    except OSError as e:
        raise ServerLost(f"{e.strerror or e}", op="connect to", where=where, hint="check the address and the network") from e


def _connect_unix(path: str, timeout: float) -> socket.socket:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        s.settimeout(timeout)
        s.connect(path)
    except BaseException:
        s.close()
        raise
    return s
