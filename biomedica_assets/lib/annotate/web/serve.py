"""Running the page: which address, whether tokens are asked for, TLS.

The rule: loopback without tokens is for the person at this machine; any other address demands tokens.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette

from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.annotate.web.app import create_app
from biomedica_assets.lib.annotate.web.guard import LOOPBACK_HOSTS, is_loopback
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.machine import free_port
from biomedica_assets.lib.store.lake import Lake

LOG = logging.getLogger(__name__)


def serve(
    lake: Lake,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    tokens: bool | None = None,
    public_names: tuple[str, ...] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    tls_proxy: bool = False,
    overlap: int = 3,
    audit_per_label: int = 0,
    images: Sequence[str] = (),
    seed: int = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the annotation page until interrupted.

    Args:
        lake: the data directory.
        host: address to bind; anything but loopback demands tokens.
        port: TCP port; 0 lets the system choose.
        tokens: ask for tokens; None asks exactly when the address is not loopback.
        public_names: further host names under which people reach the page (a proxy's, a machine's).
        certificate: TLS certificate chain; without it a page beyond loopback is only safe behind a TLS proxy.
        key: private key of the certificate.
        tls_proxy: people reach the page through a proxy that speaks TLS.
        overlap: people per cluster.
        audit_per_label: images per label in the audit.
        images: ids of images that are asked for one by one in the place of an audit.
        seed: of assignment, order of work and audit sample.
        ready: told the page's address once the port is bound.

    Raises:
        PermanentFailure: tokens are refused for a public address, or nobody has one; a file of the certificate is not
            there; the address or the port cannot be had.
    """
    local = is_loopback(host)
    ask = not local if tokens is None else tokens
    refuse_open_door(
        host, tokens=ask, register=Register(lake.root), public_names=public_names, certificate=certificate, key=key,
        tls_proxy=tls_proxy,
    )  # fmt: skip
    hosts = (*(LOOPBACK_HOSTS if local else ()), host.lower(), *(name.lower() for name in public_names))
    app = create_app(
        lake,
        tokens=ask,
        hosts=hosts,
        secure=certificate is not None or tls_proxy,
        overlap=overlap,
        audit_per_label=audit_per_label,
        images=images,
        seed=seed,
    )
    run(app, host, port, public_names=public_names, certificate=certificate, key=key, ready=ready)


def run(
    app: Starlette,
    host: str,
    port: int,
    *,
    public_names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    ready: Callable[[str], None] | None,
) -> None:
    """Serve a page until interrupted; arguments as for ``serve``.

    Raises:
        PermanentFailure: the address or the port cannot be had.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", server_header=False, proxy_headers=False, ssl_certfile=certificate, ssl_keyfile=key
    )
    with bound(host, port) as listening:
        if ready is not None:
            name = (public_names or (host,))[0]
            shown = f"[{name}]" if ":" in name else name
            scheme = "https" if certificate is not None else "http"
            ready(f"{scheme}://{shown}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def refuse_open_door(
    host: str,
    *,
    tokens: bool,
    register: Register,
    public_names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    tls_proxy: bool,
) -> None:
    """Refuse to serve a page to others without tokens, names or the files of the certificate; warn without TLS.

    Raises:
        PermanentFailure: as ``serve`` says.
    """
    local = is_loopback(host)
    if not local and not tokens:
        raise PermanentFailure(f"{host} can be reached by others, so annotators need tokens; leave tokens on")
    if tokens and not any(entry.digest for entry in register.all().values()):
        raise PermanentFailure(
            "tokens are asked for but nobody has one; issue one first: biomedica annotators --add NAME"
        )
    if host in {"0.0.0.0", "::"} and not public_names:  # noqa: S104 - compared, not bound
        raise PermanentFailure(f"{host} is every address; say under which names people reach the page (public_names)")
    for what, path in (("certificate", certificate), ("key", key)):
        if path is not None and not path.is_file():
            raise PermanentFailure(f"--{what} {path} is no file; name the PEM file of the {what}")
    if not local and certificate is None and not tls_proxy:
        LOG.warning("%s is served without TLS: put a TLS proxy in front, or give a certificate", host)


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address, or one line that says why there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise PermanentFailure(f"--host {host} is no address of this machine: {error.strerror}") from error
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        if error.errno != errno.EADDRINUSE:
            raise PermanentFailure(
                f"{host}:{port} cannot be had: {error.strerror}; give another --host or --port"
            ) from error
        free = free_port(port)
        raise PermanentFailure(
            f"port {port} of {host} is taken, perhaps by another page"
            + (f"; {free} is free: --port {free}" if free else "")
        ) from error
    return made
