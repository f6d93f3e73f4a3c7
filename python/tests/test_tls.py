"""A server on TLS: who it trusts, and that its batches are those of the socket."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Serve
from resslt import DeniedError, Error, Loader


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of this machine's own for 127.0.0.1, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=resslt", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is missing (fix: apt-get install openssl)")
    return cert, key


def test_tls(tmp_path: Path, runtime: Path, loader: Callable[..., Loader]) -> None:
    cert, key = _certificate(tmp_path, "server")
    other, _ = _certificate(tmp_path, "other")
    calm = [b.digest for b in loader(epochs=1)]
    serve = Serve("--listen=tls:127.0.0.1:0", f"--listen-cert={cert}", f"--listen-key={key}", folder=tmp_path)
    try:
        assert serve.address.startswith("tls:127.0.0.1:")
        token = Path(serve.ready["token_file"]).read_text().strip()

        def connect(**changes: object) -> Loader:
            given: dict[str, object] = dict(connect=serve.address, token=token, ca=str(cert), views="numpy", digests=True)
            return Loader(**(given | changes))  # type: ignore[arg-type]

        for changes, error, says in (
            (dict(ca=None), Error, "TLS failed"),
            (dict(ca=str(other)), Error, "TLS failed"),
            (dict(token="another"), DeniedError, "token"),
        ):
            with pytest.raises(error, match=says), connect(**changes) as one:
                next(iter(one))
        with connect() as one:
            it = iter(one)
            got = [next(it).digest for _ in range(7)]
            state = one.state_dict()
        with connect() as one:
            one.load_state_dict(state)
            got += [b.digest for b in one]
        assert got == calm
    finally:
        serve.stop()
