"""Buckets of S3 that not everyone may read: addresses that are signed with the credentials of the environment.

Belongs here: whether a bucket is asked with a signature, and the signed address of an object. The rules:

* ``s3://bucket/prefix`` is signed where the environment names credentials by the standard variables
  (``AWS_ACCESS_KEY_ID`` with ``AWS_SECRET_ACCESS_KEY`` and, for temporary ones, ``AWS_SESSION_TOKEN``; those of a
  container; a web identity). Where it names none, or ``AWS_SKIP_SIGNATURE`` is true, it is asked as anyone asks.
* ``AWS_ENDPOINT_URL_S3``, else ``AWS_ENDPOINT_URL``, is another S3 than Amazon's; ``AWS_REGION``, else
  ``AWS_DEFAULT_REGION``, the region.
* The signature stands in the address (SigV4 in the query) and lets one object be read for an hour. obstore makes it;
  the bytes are read over the same connections as from any other server. No message ever quotes such an address.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
VALID, RENEWED = 3600.0, 2700.0
"""Seconds for which an address is signed, and after which another is made."""
FRESH = 60.0
"""Seconds after which the refusal of a signed address may mean that its credentials have run out."""
_NAMED = (
    "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip


def endpoint() -> str | None:
    """Another S3 than Amazon's, without a slash at its end; None for Amazon's."""
    found = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return found.rstrip("/") or None


def address(bucket: str, prefix: str) -> str:
    """What is below a prefix of a bucket, as anyone asks for it."""
    if (other := endpoint()) is not None:
        return f"{other}/{bucket}/{prefix}".rstrip("/")
    # A dot in the name does not fit the certificate of *.s3.amazonaws.com.
    host = f"s3.amazonaws.com/{bucket}" if "." in bucket else f"{bucket}.s3.amazonaws.com"
    return f"https://{host}/{prefix}".rstrip("/")


def signed(base: str) -> Signed | None:
    """What signs addresses below ``s3://bucket/prefix``; None where anyone is to be asked as."""
    if not base.startswith(SCHEME) or not credentials():
        return None
    bucket, _, prefix = base.removeprefix(SCHEME).rstrip("/").partition("/")
    return Signed(bucket, prefix)


def credentials() -> bool:
    """Whether the environment names credentials, and signing is not switched off."""
    off = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "yes", "on"}
    return not off and any(os.environ.get(name) for name in _NAMED)


class Signed:
    """Signed addresses of the objects below a prefix, each used again while it holds."""

    def __init__(self, bucket: str, prefix: str) -> None:
        """Args: bucket: its name. prefix: put before every path; may be empty."""
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._made: dict[str, tuple[float, str]] = {}
        self._opened: S3Store | None = None

    def url(self, path: str) -> str:
        """Address of an object.

        Args:
            path: below the prefix.

        Raises:
            StreamError: there are no credentials to be had, or they cannot sign.
        """
        now = time.monotonic()
        made, url = self._made.get(path, (now - RENEWED, ""))
        if now - made < RENEWED:
            return url
        url = self._sign(self._prefix + path)
        self._made[path] = now, url
        return url

    def forget(self, path: str) -> bool:
        """Sign anew the next time; False if the address was made a moment ago, so that another would be the same."""
        made, _ = self._made.pop(path, (time.monotonic(), ""))
        return time.monotonic() - made > FRESH

    def _sign(self, key: str) -> str:
        import obstore
        from obstore.exceptions import BaseError

        from biomedica_assets.lib.stream.failures import StreamError

        try:
            return obstore.sign(self._store(), "GET", key, timedelta(seconds=VALID))
        except (BaseError, OSError, ValueError) as error:
            why = str(error).partition("\n")[0][:300]
            raise StreamError(
                f"s3://{self._bucket}/{quote(key)} cannot be signed: {why}. Check the AWS_ variables, or set "
                "AWS_SKIP_SIGNATURE=true for a bucket that anyone may read"
            ) from error

    def _store(self) -> S3Store:
        from obstore.store import S3Store

        if self._opened is None:
            given: dict[str, Any] = {}
            if (other := endpoint()) is not None:
                # In the environment it would win over the argument (obstore 0.12.1), but not over its own name.
                given = {"aws_endpoint_url_s3": other, "client_options": {"allow_http": other.startswith("http://")}}
            # Credentials, token and region are read from the environment by obstore itself.
            in_host = not given and "." not in self._bucket
            self._opened = S3Store(self._bucket, virtual_hosted_style_request=in_host, **given)
        return self._opened


def way_out(status: int, region: str | None, *, signing: bool) -> str | None:
    """What to do about a refusal of S3.

    Args:
        status: that it answered.
        region: where it says that the bucket lies.
        signing: whether the request was signed.
    """
    if status in {301, 400} and region:
        return f"the bucket lies in {region}; set AWS_REGION={region}"
    if status not in {400, 403}:
        return None
    if signing:
        return (
            "the credentials of the environment may not read it, or have run out; a bucket that anyone may read is "
            "read without them: AWS_SKIP_SIGNATURE=true"
        )
    return (
        "not everyone may read it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), of a "
        "profile by `aws configure export-credentials --format env`"
    )
