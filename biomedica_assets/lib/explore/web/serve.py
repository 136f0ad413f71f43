"""Running the explore page: the rule of the annotation page holds, tokens for every address but loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.annotate.web.guard import LOOPBACK_HOSTS, is_loopback
from biomedica_assets.lib.annotate.web.serve import refuse_open_door, run
from biomedica_assets.lib.explore.finding import Describe
from biomedica_assets.lib.explore.web.app import Encode, create_app
from biomedica_assets.lib.release.rights import Rules
from biomedica_assets.lib.store.lake import Lake


def serve(
    lake: Lake,
    *,
    rules: Rules,
    encode: Encode | None = None,
    describe: Describe | None = None,
    host: str = "127.0.0.1",
    port: int = 8766,
    public_names: tuple[str, ...] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    tls_proxy: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the explore page until interrupted.

    Args:
        lake: the data directory.
        rules: of the release, which decide what may be shown.
        encode: makes the vector of an uploaded picture.
        describe: makes the vector of words for what a picture shows.
        host: address to bind; anything but loopback demands tokens of annotators.
        port: TCP port; 0 lets the system choose.
        public_names: further host names under which people reach the page.
        certificate: TLS certificate chain.
        key: private key of the certificate.
        tls_proxy: people reach the page through a proxy that speaks TLS.
        ready: told the page's address once the port is bound.

    Raises:
        PermanentFailure: nobody has a token that is needed; a file of the certificate is not there; the address or the
            port cannot be had.
    """
    local = is_loopback(host)
    refuse_open_door(
        host, tokens=not local, register=Register(lake.root), public_names=public_names, certificate=certificate,
        key=key, tls_proxy=tls_proxy,
    )  # fmt: skip
    app = create_app(
        lake,
        tokens=not local,
        rules=rules,
        encode=encode,
        describe=describe,
        hosts=(*(LOOPBACK_HOSTS if local else ()), host.lower(), *(name.lower() for name in public_names)),
        secure=certificate is not None or tls_proxy,
    )
    run(app, host, port, public_names=public_names, certificate=certificate, key=key, ready=ready)
