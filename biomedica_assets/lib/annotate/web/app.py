"""The routes of the annotation page.

Everything that decides lies in ``desk`` (what is shown, what becomes a vote) and ``guard`` (who may ask); this module
turns requests into calls and errors into answers a person can act on.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from biomedica_assets.lib.annotate.annotators import Annotator, check_name
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.consensus import Rules
from biomedica_assets.lib.annotate.form import guideline
from biomedica_assets.lib.annotate.plain import as_object
from biomedica_assets.lib.annotate.tasks import draw_audit, read_sheets
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.votes import VoteConflict
from biomedica_assets.lib.annotate.web import pictures
from biomedica_assets.lib.annotate.web.desk import MODES, Desk, NotAllowed
from biomedica_assets.lib.annotate.web.guard import COOKIE, LOOPBACK_HOSTS, Guard, Session, Sessions
from biomedica_assets.lib.annotate.worth import gain, read_worth
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake

_HERE = Path(__file__).parent
_PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True)


def create_app(
    lake: Lake,
    *,
    tokens: bool,
    hosts: tuple[str, ...] = LOOPBACK_HOSTS,
    secure: bool = False,
    overlap: int = 3,
    audit_per_label: int = 0,
    images: Sequence[str] = (),
    seed: int = 0,
    rules: Rules | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The annotation page of one data directory.

    Args:
        lake: reads ``contact_sheets``, ``images``, ``captions``, ``figure_labels``; votes go below ``annotations/``.
        tokens: ask for each annotator's token; without, a name is enough (only for loopback).
        hosts: names under which the page may be asked for, ports aside.
        secure: the page is served over TLS, so cookies may demand it.
        overlap: people per cluster.
        audit_per_label: images per label in the audit; 0 for none.
        images: ids of images that are asked for one by one in the place of an audit, in their order.
        seed: of assignment, order of work and audit sample.
        rules: when votes make a consensus (for the adjudication queue).
        clock: seconds since 1970; goes into votes and sessions.

    Raises:
        StoreError: ``contact_sheets`` has not been materialised.
    """
    taxonomy = load()
    box = BallotBox(lake.root, taxonomy)
    sheets = read_sheets(lake, images or draw_audit(lake, audit_per_label, seed))
    desk = Desk(
        box, sheets, taxonomy, overlap=overlap, seed=seed, rules=rules or Rules(min_votes=overlap), clock=clock,
        worth=read_worth(lake, sheets.model, taxonomy), gain=gain(lake),
    )  # fmt: skip
    page = _Page(lake, desk, Sessions(lake.root, clock), tokens=tokens, secure=secure)
    routes = [
        Route("/", page.label),
        Route("/login", page.login_form, methods=["GET"]),
        Route("/login", page.login, methods=["POST"]),
        Route("/guideline", page.guideline),
        Route("/api/vocabulary", page.vocabulary),
        Route("/api/item", page.item),
        Route("/api/concept", page.concept),
        Route("/api/vote", page.vote, methods=["POST"]),
        Route("/api/undo", page.undo, methods=["POST"]),
        Route("/api/logout", page.logout, methods=["POST"]),
        Route("/image/{media_id}", page.image),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)])


class _TokenAsked(PermanentFailure):
    """The name has a token, and this is not it."""


class _NewName(PermanentFailure):
    """Nobody has this name yet; ``people`` are those who are known, the most similar names first."""

    def __init__(self, name: str, people: list[str]) -> None:
        super().__init__(name)
        likely = difflib.get_close_matches(name, people, n=3)
        self.people = [*likely, *sorted(set(people) - set(likely))][:12]


class _Page:
    """The endpoints, with what they share."""

    def __init__(self, lake: Lake, desk: Desk, sessions: Sessions, *, tokens: bool, secure: bool) -> None:
        self._root, self._desk, self._sessions = lake.root, desk, sessions
        self._tokens, self._secure = tokens, secure

    def label(self, request: Request) -> Response:
        """The page itself; what it shows comes from ``/api/item``."""
        session = self._sessions.of(request)
        if session is None:
            return RedirectResponse("/login", 303)
        who = session.annotator
        return _html("label.html", who=who, csrf=session.csrf, simulated=who.source != "human")

    def login_form(self, request: Request) -> Response:
        """Ask who it is."""
        del request
        return self._ask()

    async def login(self, request: Request) -> Response:
        """Check name and token, then start a session; a name that nobody has yet is asked about once more."""
        form = await request.form(max_files=0, max_fields=4)
        name, token = str(form.get("name", "")).strip(), str(form.get("token", "")).strip()
        try:
            who = await run_in_threadpool(self._prove, name, token, is_new=form.get("new") == "yes")
        except _NewName as new:
            page = self._ask(name=name, new=True, people=new.people)
            page.status_code = 409
            return page
        except PermanentFailure as error:
            page = self._ask(name=name, problem=str(error), token=bool(token) or isinstance(error, _TokenAsked))
            page.status_code = 403
            return page
        return self._sessions.entered(who, secure=self._secure)

    def _ask(self, *, token: bool = False, **said: object) -> HTMLResponse:
        return _html("login.html", tokens=self._tokens or token, **said)

    def _prove(self, name: str, token: str, *, is_new: bool) -> Annotator:
        """Who it is. A new name labels and never settles disputes: that right is given by the command alone."""
        register = self._desk.box.register
        everybody = register.all()
        known = everybody.get(name)
        if self._tokens or (known and known.digest):
            who = register.verify(name, token)
            if who is None:
                raise _TokenAsked("Name and token do not belong together. Ask the person who gave you the token.")
            return who
        people = [other.name for other in everybody.values() if other.source == "human"]
        if known is None and people and not is_new:
            raise _NewName(check_name(name), people)
        return register.ensure(name, "human")

    def guideline(self, request: Request) -> Response:
        """The guideline in force."""
        if self._sessions.of(request) is None:
            return RedirectResponse("/login", 303)
        return _html("guideline.html", guideline=guideline(), blocks=_blocks(guideline().text))

    def vocabulary(self, request: Request) -> Response:
        """What the form offers."""
        self._who(request)
        return JSONResponse(self._desk.vocabulary())

    def item(self, request: Request) -> Response:
        """The next item, or the one asked for."""
        query = request.query_params
        mode = query.get("mode", "label")
        if mode not in MODES:
            raise HTTPException(400, "There is no such mode.")
        session = self._who(request)
        wanted, skip, back = query.get("id"), query.get("skip"), query.get("from")
        return _answer(lambda: self._desk.item(session.annotator, mode, wanted, skip=skip, back=back))

    def concept(self, request: Request) -> Response:
        """What a concept means, and pictures that people gave it to."""
        session, query = self._who(request), request.query_params
        return _answer(lambda: self._desk.concept(session.annotator, query.get("id", ""), query.get("item")))

    async def vote(self, request: Request) -> Response:
        """Save a vote."""
        session, raw = await self._write(request)
        return await run_in_threadpool(_answer, lambda: self._desk.vote(session.annotator, raw))

    async def undo(self, request: Request) -> Response:
        """Withdraw the last vote."""
        session, raw = await self._write(request)
        return await run_in_threadpool(_answer, lambda: self._desk.undo(session.annotator, raw))

    async def logout(self, request: Request) -> Response:
        """End the session in this browser."""
        await self._write(request)
        answer = JSONResponse({"ended": True})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure)
        return answer

    def image(self, request: Request) -> Response:
        """A picture of an item, as thumbnail or full."""
        self._who(request)
        found = self._desk.sheets.pictures.get(request.path_params["media_id"])
        if found is None or found.path is None:
            raise HTTPException(404, "There is no such picture.")
        sizes = {"thumb": pictures.thumbnail, "whole": pictures.whole}
        make = sizes.get(request.query_params.get("size", ""), pictures.full)
        try:
            data, media_type = make(self._root / found.path)
        except pictures.NoPicture as error:
            raise HTTPException(404, str(error)) from error
        return Response(data, media_type=media_type, headers={"cache-control": "private, max-age=3600"})

    def _who(self, request: Request) -> Session:
        session = self._sessions.of(request)
        if session is None:
            raise HTTPException(401, "Log in first.")
        return session

    async def _write(self, request: Request) -> tuple[Session, dict[str, Any]]:
        """Session and JSON body of a request that may write."""
        if self._sessions.of(request) is None:
            raise HTTPException(401, "Log in first.")
        session = self._sessions.may_write(request)
        if session is None:
            raise HTTPException(403, "The request lacks this session's token; load the page again.")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise HTTPException(415, "A JSON body is needed.")
        try:
            raw = as_object(json.loads(await request.body()))
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"The body is no JSON: {error}") from error
        if raw is None:
            raise HTTPException(400, "The body must be a JSON object.")
        return session, raw


def _answer(call: Callable[[], dict[str, Any]]) -> Response:
    """The result as JSON, or the reason why not with the fitting status."""
    try:
        return JSONResponse(call())
    except VoteConflict as error:
        return JSONResponse({"problem": str(error)}, 409)
    except NotAllowed as error:
        return JSONResponse({"problem": str(error)}, 403)
    except StoreError as error:
        return JSONResponse({"problem": str(error)}, 507)
    except BiomedicaError as error:
        return JSONResponse({"problem": str(error)}, 400)


def _html(template: str, /, **values: object) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(template).render(**values))


def _blocks(text: str) -> list[tuple[str, list[tuple[bool, str]]]]:
    """The guideline's few Markdown forms: paragraphs and numbered items with **strong** words; the rest is text."""
    found: list[tuple[str, list[tuple[bool, str]]]] = []
    for line in filter(None, text.splitlines()):
        number, dot, rest = line.partition(". ")
        kind, body = ("item", rest) if dot and number.isdigit() else ("paragraph", line)
        pieces = [(i % 2 == 1, piece.replace("*", "")) for i, piece in enumerate(body.split("**"))]
        found.append((kind, pieces))
    return found
