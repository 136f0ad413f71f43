"""What S3 does with a signed address: Signature Version 4 in the query, checked.

Written from https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, whose example a test asks.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit


class Account(NamedTuple):
    """Who may read: the secret of an access key, and the token without which it does not hold."""

    secret: str
    token: str | None = None


def signature(method: str, url: str, secret: str) -> str:
    """What ``X-Amz-Signature`` of an address has to be."""
    there = urlsplit(url)
    query = {name: value for name, value in parse_qsl(there.query) if name != "X-Amz-Signature"}
    canonical = "\n".join((
        method,
        quote(unquote(there.path), safe="/~"),
        "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items())),
        f"host:{there.netloc}\n",
        "host",
        "UNSIGNED-PAYLOAD",
    ))  # fmt: skip
    _, day, region, service, end = query["X-Amz-Credential"].split("/")
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], f"{day}/{region}/{service}/{end}", hashed))
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def refusal(method: str, url: str, accounts: Mapping[str, Account], now: dt.datetime | None = None) -> str | None:
    """Why S3 would not answer; None if it would."""
    query = dict(parse_qsl(urlsplit(url).query))
    if "X-Amz-Signature" not in query:
        return "AccessDenied"
    account = accounts.get(query["X-Amz-Credential"].partition("/")[0])
    if account is None:
        return "InvalidAccessKeyId"
    if not hmac.compare_digest(signature(method, url, account.secret), query["X-Amz-Signature"]):
        return "SignatureDoesNotMatch"
    if query.get("X-Amz-Security-Token") != account.token:
        return "InvalidToken"
    made = dt.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    late = (now or dt.datetime.now(dt.UTC)) - made > dt.timedelta(seconds=int(query["X-Amz-Expires"]))
    return "AccessDenied" if late else None
