"""What a Hugging Face Hub answers when it does not do what was asked: wait and ask again, or one line with the cure.

Belongs here: telling what may pass (429, 5xx, a broken connection) from what will not (401, 403, 404), and the sentence
for each. Does not belong here: what is asked (``hub``).
"""

from __future__ import annotations

import http
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers

from biomedica_assets.lib.errors import PermanentFailure

T = TypeVar("T")
Tell = Callable[[str], None]
"""Receives a sentence for the person who waits."""

TRIES = 8
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = 1.0, 60.0, 900.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_OURS = (HfHubHTTPError, httpx2.HTTPError, OSError, RuntimeError, ValueError)
"""What the client raises: its own errors, those of HTTP, of files and of Xet, and ValueError for answers it refuses."""


class HubRefusal(PermanentFailure):
    """The Hub, or the way there, says no; the message is one line and ends with what to do."""


def silent(sentence: str) -> None:
    """Tell nobody."""


def patiently(step: Callable[[], T], repo: str, endpoint: str, *, tell: Tell = silent, reachable: bool = True) -> T:
    """Do a step that may be done twice; wait and do it again while the Hub is busy.

    The Hub says how long to wait (``Retry-After``, ``RateLimit``); else waits double from a second to a minute, half to
    all of each at random, so that many clients do not come back at once.

    Args:
        step: asks the Hub.
        repo: for the message.
        endpoint: for the message.
        tell: told of every wait.
        reachable: whether the Hub has answered before; if not, no connection means that there is no network.

    Raises:
        HubRefusal: it will not work, or not within ``TRIES`` tries.
    """
    wait = _FIRST_WAIT
    for left in range(TRIES - 1, -1, -1):
        try:
            return step()
        except _NOT_OURS as error:
            reason, asked = _passing(error, reachable)
            if reason is None or left == 0:
                tried = f" (tried {TRIES} times)" if reason else ""
                raise HubRefusal(f"{sentence(error, repo, endpoint)}{tried}") from error
            seconds = min(_LONGEST_ASKED, asked) if asked else min(_LONGEST_WAIT, wait) * random.uniform(0.5, 1)  # noqa: S311
            tell(f"the Hub answers {reason}; waiting {seconds:.0f} s, then trying again")
            time.sleep(seconds)
            wait *= 2
    raise AssertionError("unreachable: the last try returns or raises")


def sentence(error: Exception, repo: str, endpoint: str) -> str:
    """Why it did not work, and what to do about it, in one line."""
    found = _innermost(error)
    if isinstance(found, LocalTokenNotFoundError):
        return f"no token for {endpoint}: `hf auth login`, or set HF_TOKEN to one of {endpoint}/settings/tokens"
    if isinstance(found, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids the network; unset it and run the same command again"
    if isinstance(found, HfHubHTTPError):
        return _of_status(found, repo, endpoint)
    if isinstance(found, httpx2.HTTPError):
        why = _one_line(str(found)) or type(found).__name__
        return f"no answer from {endpoint} ({why}); check the network and run the same command again, it goes on"
    # The outermost names the file, the innermost the cause.
    told = dict.fromkeys(_one_line(str(one)).rstrip(".") for one in (error, found))
    return f"{repo}: {': '.join(told)}"


_CURES = {
    401: "the token is not valid or has expired (401).{said} Make another at {tokens}, then `hf auth login`",
    403: "the token may not write to {repo} (403).{said} Give it write access at {tokens}, or use another",
    404: "{repo} is not there, or the token may not see it (404).{said} Check the name and {tokens}",
    409: "{repo} was changed while this upload ran (409).{said} Run the same command again, it goes on",
    412: "{repo} was changed while this upload ran (412).{said} Run the same command again, it goes on",
    413: "{repo} takes no more (413).{said} See {endpoint}/docs/hub/storage-limits",
}
_BUSY = "{endpoint} is busy ({status}).{said} Run the same command again later, it goes on"
_OTHER = "{endpoint} refused ({status}).{said} If that tells nothing, look at {endpoint}/datasets/{repo}"


def _of_status(error: HfHubHTTPError, repo: str, endpoint: str) -> str:
    status = error.response.status_code
    said = _one_line(error.server_message or error.response.headers.get("X-Error-Message", ""))
    form = _CURES.get(status, _BUSY if status in _PASSING else _OTHER)
    return form.format(
        repo=repo, endpoint=endpoint, tokens=f"{endpoint}/settings/tokens", status=status,
        said=f" The Hub says: {said}." if said else "",
    )  # fmt: skip


def _passing(error: Exception, reachable: bool) -> tuple[str | None, float]:
    """What the Hub answered if it may pass, and the seconds it asks for (0 if it does not say)."""
    found = _innermost(error)
    if isinstance(found, HfHubHTTPError):
        status = found.response.status_code
        if status not in _PASSING:
            return None, 0.0
        headers = found.response.headers
        limit = parse_ratelimit_headers(headers)
        after = headers.get("Retry-After", "")
        asked = float(after) if after.isdigit() else float(limit.reset_in_seconds) if limit else 0.0
        return f"{status} {http.HTTPStatus(status).phrase}", asked
    if isinstance(found, httpx2.TransportError) and reachable:
        return f"nothing ({type(found).__name__})", 0.0
    return None, 0.0


def _innermost(error: Exception) -> Exception:
    """The answer of the Hub or of the network that an error was raised from; the error itself if there is none."""
    known = (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled, LocalTokenNotFoundError)
    at: Any = error
    last: Exception = error
    while isinstance(at, Exception):
        if isinstance(at, known):
            return at
        last, at = at, at.__cause__
    return last


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(". ")
