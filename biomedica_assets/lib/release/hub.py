"""One dataset repository of a Hugging Face Hub: who may write to it, what is there, and how it becomes a release.

Belongs here: names and rights, what of a release the repository lacks and what it has too much, sending and committing.
Does not belong here: whether a release may be passed on at all (``upload``), what the Hub's refusals mean
(``hub_answers``).

A commit is the only step that changes what readers see. Before it, files are sent to the Hub's storage; those that are
there already, from an earlier release or from an upload that was interrupted, are not sent again.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils import validate_repo_id

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.release.hub_answers import HubRefusal, Tell, patiently, silent
from biomedica_assets.lib.release.manifest import NAME, ReleaseFile

T = TypeVar("T")
KEPT = frozenset({".gitattributes"})
"""Files that are the Hub's own: it writes them when a repository is made."""
COMMIT_FILES = 20_000
"""The Hub takes 25 000 large files a commit (``HfApi.create_commit``)."""
BATCH_BYTES, BATCH_FILES = 1 << 30, 200
"""Sent together: what progress moves by, and what is asked for again after a failure."""
_TYPE = "dataset"


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """A file of the repository: bytes, and SHA-256 of the content or, of a small file in git itself, its blob id."""

    bytes: int
    sha256: str | None
    blob: str


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a commit on ``head`` has to do: files to send, paths to take away, files that are there already."""

    head: str
    send: tuple[ReleaseFile, ...]
    remove: tuple[str, ...]
    there: int


class Repository:
    """A dataset repository that a token may write to."""

    def __init__(
        self, repo: str, *, endpoint: str | None = None, token: str | None = None, tell: Tell = silent
    ) -> None:
        """Ask who the token belongs to; nothing is changed.

        Args:
            repo: ``name`` (of the token's owner) or ``owner/name``.
            endpoint: other hub than huggingface.co.
            token: access token; None takes ``HF_TOKEN``, or what ``hf auth login`` stored.
            tell: told when the Hub makes us wait.

        Raises:
            HubRefusal: no Hub would take the name, there is no network, no token, or it does not hold.
        """
        check_name(repo)
        huggingface_hub.utils.disable_progress_bars()
        hub_logging.set_verbosity_error()  # its warnings of every wait would stand beside ours
        self._api: Any = huggingface_hub.HfApi(endpoint=endpoint, token=token)
        self.endpoint = str(self._api.endpoint)
        self.repo, self._tell = repo, tell
        self._me: Any = self._ask(self._api.whoami, reachable=False)
        if "/" not in repo:
            self.repo = f"{self._me['name']}/{repo}"

    def check(self, *, private: bool) -> None:
        """Make sure that the repository is the one that is meant, if it is there, and may be written to.

        Raises:
            HubRefusal: it is public and should be private, or the other way round; the token may not write.
        """
        info = self._info()
        if (refusal := may_write(self._me, self.repo, exists=info is not None)) is not None:
            raise HubRefusal(f"{refusal}; see {self.endpoint}/settings/tokens")
        if info is None:
            return
        if bool(info.private) != private:
            here, there = ("private", "public") if private else ("public", "private")
            cure = "add --public" if private else "leave out --public"
            raise HubRefusal(
                f"{self.repo} is {there} and this upload was meant to be {here}: {cure} if it may be {there}, "
                f"or change it at {self.endpoint}/datasets/{self.repo}/settings"
            )
        self._ask(lambda: self._api.auth_check(self.repo, repo_type=_TYPE, write=True))

    def make(self, *, private: bool) -> None:
        """Make the repository, if it is not there.

        Raises:
            HubRefusal: it cannot be made, or somebody else made it otherwise since it was looked for.
        """
        if self._info() is None:
            self._ask(lambda: self._api.create_repo(self.repo, repo_type=_TYPE, private=private, exist_ok=True))
            self.check(private=private)

    def files(self) -> dict[str, Theirs]:
        """What the repository holds, by path."""

        def ask() -> dict[str, Theirs]:
            found: dict[str, Theirs] = {}
            for entry in self._api.list_repo_tree(self.repo, repo_type=_TYPE, recursive=True):
                if isinstance(entry, huggingface_hub.RepoFile):
                    sha256 = entry.lfs.sha256 if entry.lfs else None
                    found[entry.path] = Theirs(entry.size, sha256, entry.blob_id)
            return found

        return self._ask(ask)

    def plan(self, release: Path, files: Sequence[ReleaseFile]) -> Plan:
        """What is to be done so that the repository holds these files and no others.

        Raises:
            HubRefusal: it holds files that are no release.
        """
        info = self._info()
        if info is None:
            raise HubRefusal(f"{self.repo} is gone; run the same command again")
        theirs = self.files()
        send = tuple(file for file in files if not _same(release, file, theirs.get(file.path)))
        remove = tuple(sorted(theirs.keys() - {file.path for file in files} - KEPT))
        if remove and NAME not in theirs:
            raise HubRefusal(
                f"{self.repo} holds {len(remove):,} files that are no release, {remove[0]} for one, and an upload "
                "would take them away: name another repository, or empty this one first"
            )
        return Plan(str(info.sha), send, remove, len(files) - len(send))

    def open(self, path: str, revision: str) -> Any:
        """A file of the repository, to read by range."""
        system: Any = huggingface_hub.HfFileSystem(endpoint=self.endpoint, token=self._api.token)
        return system.open(f"datasets/{self.repo}@{revision}/{path}", "rb")

    def commit(
        self,
        release: Path,
        plan: Plan,
        first: Sequence[str],
        message: str,
        description: str,
        progress: Progress = SILENT,
    ) -> str:
        """Send what is lacking, then change the repository.

        One commit, if it is not more than ``COMMIT_FILES`` files: readers see the old release or the new one. Of more,
        the first takes the old files away and the last brings the manifest.

        Args:
            release: folder of the release.
            plan: what to do.
            first: paths to be taken away before all others.
            message: first line.
            description: further lines.
            progress: counts bytes.

        Returns:
            Address of the commit.

        Raises:
            HubRefusal: see ``patiently``; the same call goes on where this one ended.
        """
        api = self._api
        additions = [_addition(release, file) for file in sorted(plan.send, key=lambda file: file.path == NAME)]
        progress.start(f"send to {self.repo}", sum(file.bytes for file in plan.send), "bytes")
        for batch in _batches(additions):
            self._ask(lambda batch=batch: api.preupload_lfs_files(self.repo, batch, repo_type=_TYPE, free_memory=False))
            progress.advance(sum(addition.upload_info.size for addition in batch))
        progress.finish()
        later = sorted(set(plan.remove) - set(first))
        removals = [huggingface_hub.CommitOperationDelete(path) for path in (*first, *later)]
        operations: list[Any] = [*removals, *additions]
        head, address = plan.head, f"{self.endpoint}/datasets/{self.repo}/commit/{plan.head}"
        for low in range(0, len(operations), COMMIT_FILES):
            part = operations[low : low + COMMIT_FILES]
            head, address = self._commit(part, head, message, description)
        return address

    def _commit(self, operations: Sequence[Any], parent: str, message: str, description: str) -> tuple[str, str]:
        """Make one commit, or find it if only its answer was lost; its id and address."""

        def ask() -> tuple[str, str]:
            info = self._info()
            if info is not None and str(info.sha) != parent and self._made(operations):
                return str(info.sha), f"{self.endpoint}/datasets/{self.repo}/commit/{info.sha}"
            made = self._api.create_commit(
                self.repo, operations, commit_message=message, commit_description=description, repo_type=_TYPE,
                parent_commit=parent,
            )  # fmt: skip
            return str(made.oid), str(made.commit_url)

        return self._ask(ask)

    def _made(self, operations: Sequence[Any]) -> bool:
        """Whether the repository is as these operations leave it."""
        theirs = self.files()
        for operation in operations:
            there = theirs.get(operation.path_in_repo)
            if isinstance(operation, huggingface_hub.CommitOperationDelete):
                if there is not None:
                    return False
            elif there is None or not _equal(Path(str(operation.path_or_fileobj)), operation.upload_info, there):
                return False
        return True

    def _info(self) -> Any:
        def ask() -> Any:
            try:
                return self._api.repo_info(self.repo, repo_type=_TYPE)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401:  # a wrong token, and no missing repository
                    raise
                return None

        return self._ask(ask)

    def _ask(self, step: Callable[[], T], *, reachable: bool = True) -> T:
        return patiently(step, self.repo, self.endpoint, tell=self._tell, reachable=reachable)


def check_name(repo: str) -> None:
    """Refuse a name that no Hub would take, before anything is asked.

    Raises:
        PermanentFailure: the client's own rules forbid it (``huggingface_hub.utils.validate_repo_id``).
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        why = str(error).rstrip(".").replace("`repo_type` argument", "'owner/name' without a type before it")
        raise PermanentFailure(f"no repository can be called {repo!r}: {why}") from None


def may_write(me: Any, repo: str, *, exists: bool) -> str | None:
    """Why a token may not write to a repository, as far as it says itself.

    Args:
        me: answer of ``/api/whoami-v2``.
        repo: ``owner/name``.
        exists: whether the repository is there; if not, it has to be made, which is for the owner and members.

    Returns:
        A sentence; None if nothing speaks against it.
    """
    owner = repo.partition("/")[0]
    token = _within(me, "auth", "accessToken")
    name, role = _within(token, "displayName") or "unnamed", _within(token, "role")
    if role == "read":
        return f"the token {name!r} may only read"
    if exists:
        return None  # the Hub is asked itself
    orgs: dict[str, Any] = {str(org["name"]).lower(): org for org in _within(me, "orgs") or ()}
    if owner.lower() != str(me["name"]).lower():
        if owner.lower() not in orgs:
            known = ", ".join([str(me["name"]), *(str(org["name"]) for org in orgs.values())])
            return f"{owner} is neither you nor an organisation of yours; you may write to: {known}"
        if orgs[owner.lower()].get("roleInOrg") == "read":
            return f"you may only read in {owner}"
    if role == "fineGrained":
        scopes = _within(token, "fineGrained", "scoped") or ()
        if not any(
            str(scope["entity"].get("name", "")).lower() in {owner.lower(), repo.lower()}
            and "repo.write" in scope["permissions"]
            for scope in scopes
        ):
            return f"the token {name!r} has no write access to repositories of {owner}"
    return None


def _within(value: Any, *names: str) -> Any:
    """What lies at the end of these names; None where one of them is missing."""
    for name in names:
        value = None if value is None else value.get(name)
    return value


def _same(release: Path, file: ReleaseFile, theirs: Theirs | None) -> bool:
    if theirs is None or theirs.bytes != file.bytes:
        return False
    return theirs.sha256 == file.sha256 if theirs.sha256 else theirs.blob == _blob(release / file.path)


def _equal(path: Path, info: Any, theirs: Theirs) -> bool:
    if theirs.bytes != info.size:
        return False
    return theirs.sha256 == info.sha256.hex() if theirs.sha256 else theirs.blob == _blob(path)


def _blob(path: Path) -> str:
    """Git's name for the content of a file; only small ones lie in git itself."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _addition(release: Path, file: ReleaseFile) -> Any:
    made: Any = huggingface_hub.CommitOperationAdd(file.path, release / file.path)
    made.upload_info.sha256 = bytes.fromhex(file.sha256)  # hashed a moment ago: terabytes are not read twice for it
    return made


def _batches(additions: Sequence[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for addition in additions:
        if batch and (size + addition.upload_info.size > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(addition)
        size += addition.upload_info.size
    if batch:
        yield batch
