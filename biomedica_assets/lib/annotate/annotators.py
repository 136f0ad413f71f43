"""Who may vote: the register of annotators and the tokens that prove who they are.

``annotations/annotators.json`` below the data directory, readable by its owner alone. Tokens are random, shown once and
kept only as scrypt hashes; a lost token is replaced, not recovered.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store import atomic

Source = Literal["human", "simulated", "imported"]
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?")
# RFC 7914 names 2^14, 8, 1 for interactive logins: about 16 MiB and 50 ms; tokens of 192 random bits need no more.
_SCRYPT: dict[str, int] = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


class UnknownAnnotator(PermanentFailure):
    """A name that the register does not have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Annotator:
    """One entry of the register.

    Attributes:
        name: [a-z0-9_-], 1 to 40 characters; also the name of the vote file.
        source: human, simulated or imported; copied to every vote.
        adjudicator: may settle disagreements.
        salt: of the token's hash, hex; empty if there is no token.
        digest: scrypt hash of the token, hex; empty if there is no token.
    """

    name: str
    source: Source = "human"
    adjudicator: bool = False
    salt: str = ""
    digest: str = ""


def check_name(name: str) -> str:
    """Return the name if it can be an annotator's (and so a file's) name.

    Raises:
        PermanentFailure: it cannot.
    """
    if not NAME.fullmatch(name):
        raise PermanentFailure(
            f"{name[:60]!r} cannot be an annotator's name: 1 to 40 of a-z, 0-9, _ and -, not - or _ at an end"
        )
    return name


class Register:
    """The register of one data directory."""

    def __init__(self, root: Path) -> None:
        """Args: root: the data directory."""
        self.path = root / "annotations" / "annotators.json"

    def all(self) -> dict[str, Annotator]:
        """Every annotator by name, sorted.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            raw: list[dict[str, Any]] = json.loads(self.path.read_bytes())
            return {entry["name"]: Annotator(**entry) for entry in raw}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{self.path} is damaged ({error}); restore it from a copy, or add its names anew"
            ) from error

    def get(self, name: str) -> Annotator:
        """One annotator.

        Raises:
            UnknownAnnotator: the name is not registered.
        """
        found = self.all().get(name)
        if found is None:
            raise UnknownAnnotator(f"{name[:60]!r} is not a registered annotator; register the name first")
        return found

    def ensure(self, name: str, source: Source = "human", *, adjudicator: bool = False) -> Annotator:
        """Register a name without token, or return it as it is; one that was never used takes the new kind.

        Raises:
            PermanentFailure: the name cannot be used, or belongs to another kind of annotator.
        """
        with self._locked():
            known = self.all()
            if name in known and (known[name].source == source or self.in_use(known[name])):
                if known[name].source != source:
                    raise PermanentFailure(f"{name} is registered as {known[name].source}, not as {source}")
                return known[name]
            entry = Annotator(check_name(name), source, adjudicator)
            self._write({**known, name: entry})
            return entry

    def issue_token(self, name: str, *, adjudicator: bool = False) -> str:
        """Register a person (or renew a known one's token) and return the token, which is stored nowhere.

        Args:
            name: the person.
            adjudicator: whether the person may settle disagreements; a known adjudicator stays one.
        """
        token = secrets.token_urlsafe(24)
        salt = secrets.token_bytes(16)
        with self._locked():
            known = self.all()
            was = known.get(check_name(name), Annotator(name))
            if not self.in_use(was):
                was = dataclasses.replace(was, source="human")
            if was.source != "human":
                raise PermanentFailure(f"{name} is {was.source}; tokens are for people")
            entry = dataclasses.replace(
                was, adjudicator=adjudicator or was.adjudicator, salt=salt.hex(), digest=_hash(token, salt)
            )
            self._write({**known, name: entry})
        return token

    def in_use(self, entry: Annotator) -> bool:
        """Whether an annotator has a token or ever voted; until then the kind of source can still be another one."""
        return bool(entry.digest) or (self.path.parent / "votes" / f"{entry.name}.jsonl").exists()

    def verify(self, name: str, token: str) -> Annotator | None:
        """The annotator if the token is right, else None; unknown names take as long as known ones."""
        entry = self.all().get(name)
        salt = bytes.fromhex(entry.salt) if entry else b"\0" * 16
        right = hmac.compare_digest(_hash(token, salt), entry.digest if entry else "")
        return entry if entry and entry.digest and right else None

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Keep other processes from changing the register meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / ".annotators.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _write(self, entries: dict[str, Annotator]) -> None:
        plain = [dataclasses.asdict(entries[name]) for name in sorted(entries)]
        with atomic.replacing(self.path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(plain, indent=1) + "\n")


def _hash(token: str, salt: bytes) -> str:
    return hashlib.scrypt(token.encode(), salt=salt, **_SCRYPT).hex()
