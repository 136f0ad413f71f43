"""The routes of the explore page.

What may be shown is decided in ``shown`` alone; who may ask is decided by the guard and the sessions of the annotation
page: on loopback whoever is at this machine may look, elsewhere a person with an annotator's token.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from biomedica_assets.lib.annotate import web as annotation_page
from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.annotate.web import pictures
from biomedica_assets.lib.annotate.web.guard import (
    CSRF_HEADER,
    LOOPBACK_HOSTS,
    Guard,
    Sessions,
)
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure, StoreError
from biomedica_assets.lib.explore import details, taking
from biomedica_assets.lib.explore.choice import read
from biomedica_assets.lib.explore.finding import Describe, Finder
from biomedica_assets.lib.explore.mapped import COLORS, WHOLE, Map, View
from biomedica_assets.lib.explore.panels import panels
from biomedica_assets.lib.explore.shown import Shown
from biomedica_assets.lib.release.rights import Rules
from biomedica_assets.lib.store.lake import Lake

MOST_BYTES = 25 << 20
"""Of an uploaded picture."""
PAGE, MOST_A_PAGE = 60, 200
_LONGEST_PART = 80
_NUMBER = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,12})?")
_HERE = Path(__file__).parent
_SHARED = Path(annotation_page.__file__).parent / "static"
_PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True)
_PAGES.globals["matches"] = details.MATCHES  # pyright: ignore[reportUnknownMemberType]
_PAGES.filters["concept"] = details.concept_label  # pyright: ignore[reportUnknownMemberType]

Encode = Callable[[bytes], NDArray[np.float32]]
"""Bytes of a picture to its vector, by the encoder that the shelves are from; raises BiomedicaError with the reason."""


def create_app(
    lake: Lake,
    *,
    tokens: bool = False,
    rules: Rules | None = None,
    encode: Encode | None = None,
    describe: Describe | None = None,
    hosts: tuple[str, ...] = LOOPBACK_HOSTS,
    secure: bool = False,
    clock: Callable[[], float] = time.time,
    look_every: float = 1.0,
) -> Starlette:
    """The explore page of one data directory.

    Args:
        lake: the data directory.
        tokens: ask for an annotator's token; without, whoever reaches the page may look (only for loopback).
        rules: of the release, which decide what may be shown.
        encode: makes the vector of an uploaded picture; None if pictures cannot be looked for.
        describe: makes the vector of words in the pictures' space; None without a model of both.
        hosts: names under which the page may be asked for, ports aside.
        secure: the page is served over TLS, so cookies may demand it.
        clock: seconds since 1970, for sessions.
        look_every: seconds between looks at whether tables changed.
    """
    finder = Finder(Shown(lake, rules, look_every=look_every), describe)
    page = _Page(finder, encode, Sessions(lake.root, clock) if tokens else None, secure=secure)
    routes = [
        Route("/", page.grid),
        Route("/login", page.login, methods=["GET", "POST"]),
        Route("/figure/{name}", page.figure),
        Route("/clusters", page.clusters),
        Route("/cluster/{number:int}", page.cluster),
        Route("/map", page.map),
        Route("/rejects", page.rejects),
        Route("/scores", page.scores),
        Route("/image/{media_id}", page.image),
        Route("/api/page", page.api_page),
        Route("/api/counts", page.api_counts),
        Route("/api/values", page.api_values),
        Route("/api/total", page.api_total),
        Route("/api/map", page.api_map),
        Route("/api/map/at", page.api_map_at),
        Route("/api/lineage/{name}", page.api_lineage),
        Route("/api/panels/{name}", page.api_panels),
        Route("/api/picture", page.api_picture, methods=["POST"]),
        Route("/api/recipe", page.api_recipe, methods=["POST"]),
        Route("/export.{form}", page.export),
        Mount("/static/shared", StaticFiles(directory=_SHARED)),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts, most=MOST_BYTES)])


class _LogIn(HTTPException):
    """The request has no session."""

    def __init__(self) -> None:
        super().__init__(303, headers={"location": "/login"})


class _Page:
    """The endpoints, with what they share."""

    def __init__(self, finder: Finder, encode: Encode | None, sessions: Sessions | None, *, secure: bool) -> None:
        self._finder, self._encode, self._sessions, self._secure = finder, encode, sessions, secure
        self._shown, self._map = finder.shown, Map(finder)
        self._looks = finder.describes
        self._csrf = secrets.token_hex(32)

    # pages

    def grid(self, request: Request) -> Response:
        """Search, facets and grid; what it shows comes from ``/api``."""
        csrf = self._may_look(request)
        named = request.query_params.get("q", "")
        if details.is_name(named):
            name = named.strip()
            where = f"/figure/{quote(name.lower())}" if "-" in name else f"/rejects?{urlencode({'about': name})}"
            return RedirectResponse(where, 303)
        return _html("grid.html", csrf=csrf, pictures=self._encode is not None, looks=self._looks, here="grid")

    async def login(self, request: Request) -> Response:
        """Name and token of an annotator."""
        if self._sessions is None:
            return RedirectResponse("/", 303)
        if request.method == "GET":
            return _html("login.html")
        form = await request.form(max_files=0, max_fields=4)
        name, token = str(form.get("name", "")).strip(), str(form.get("token", "")).strip()
        try:
            who = await run_in_threadpool(Register(self._shown.lake.root).verify, name, token)
        except BiomedicaError:
            who = None
        if who is None:
            return _html("login.html", 403, problem="Name and token do not belong together.", name=name)
        return self._sessions.entered(who, secure=self._secure)

    def figure(self, request: Request) -> Response:
        """All that is known of one figure."""
        self._may_look(request)
        name = request.path_params["name"]
        try:
            found = details.figure(self._shown, name)
        except details.NotShown as error:
            return _html("message.html", 403, said=str(error), about=name)
        except details.Unknown as error:
            return _html("message.html", 404, said=str(error), about=name)
        except BiomedicaError as error:
            return _html("message.html", 500, said=str(error), about=name)
        return _html("figure.html", **found, panels=panels(self._shown, found["image"]["media_id"]))

    def clusters(self, request: Request) -> Response:
        """All clusters."""
        self._may_look(request)
        return _html("clusters.html", clusters=details.clusters(self._shown), here="clusters")

    def cluster(self, request: Request) -> Response:
        """The contact sheet of one cluster."""
        self._may_look(request)
        try:
            found = details.sheet(self._shown, request.path_params["number"])
        except details.Unknown as error:
            return _html("message.html", 404, said=str(error))
        return _html("cluster.html", **found, here="clusters")

    def map(self, request: Request) -> Response:
        """The map of the embeddings: the images that are chosen, by their looks."""
        csrf = self._may_look(request)
        given = [(name, value) for name, value in _choice(request) if name not in {"at", "area", "by"}]
        try:
            read(given)
        except BiomedicaError as error:
            return _html("message.html", 400, said=str(error))
        at = request.query_params.get("at", "")
        return _html(
            "map.html",
            csrf=csrf,
            here="map",
            exists=self._map.exists(),
            place=self._map.place(at) if at else None,
            colors=list(COLORS),
            chosen=details.words_of(given),
            grid=urlencode(given),
        )

    def rejects(self, request: Request) -> Response:
        """What was left out, by reason."""
        self._may_look(request)
        asked = {name: request.query_params.get(name, "").strip() for name in ("stage", "reason", "about", "after")}
        try:
            found = details.rejects(self._shown, **asked)
        except BiomedicaError as error:
            return _html("message.html", 400, said=str(error))
        kept = {name: value for name, value in asked.items() if value and name != "after"}
        on = urlencode({**kept, "after": found["next"]}) if found["next"] else None
        return _html("rejects.html", **{**found, **asked, "next": on}, here="rejects")

    def scores(self, request: Request) -> Response:
        """The leaderboard, of all models or of those of a recipe."""
        self._may_look(request)
        try:
            found = details.scores(self._shown, request.query_params.get("recipe", "").strip())
        except BiomedicaError as error:
            return _html("message.html", 500, said=str(error))
        return _html("scores.html", **found, here="scores")

    # pictures

    def image(self, request: Request) -> Response:
        """A picture that may be shown, as thumbnail or full."""
        self._may_look(request)
        sizes = {"thumb": pictures.thumbnail, "whole": pictures.whole}
        make = sizes.get(request.query_params.get("size", ""), pictures.full)
        try:
            data, media_type = make(details.picture(self._shown, request.path_params["media_id"]))
        except (details.Unknown, pictures.NoPicture) as error:
            raise HTTPException(404, str(error)) from error
        return Response(data, media_type=media_type, headers={"cache-control": "private, max-age=300"})

    # what the scripts ask

    def api_page(self, request: Request) -> Response:
        """The next images of the grid."""
        self._may_look(request)
        after, most = request.query_params.get("after", ""), request.query_params.get("most", str(PAGE))
        wanted = min(MOST_A_PAGE, int(most)) if most.isascii() and most.isdecimal() and len(most) < 6 else PAGE
        return _answer(lambda: self._finder.page(read(_choice(request)), after, max(1, wanted)))

    def api_counts(self, request: Request) -> Response:
        """How many, by each value of each facet; concepts with their names."""
        self._may_look(request)

        def counted() -> dict[str, Any]:
            found = self._finder.counts(read(_choice(request)))
            for facet in ("concept", "panel", "copies"):
                for row in found["facets"][facet]:
                    row["label"] = details.value_label(facet, row["value"])
            return found

        return _answer(counted)

    def api_values(self, request: Request) -> Response:
        """Values of a facet that hold some letters."""
        self._may_look(request)
        facet, part = request.query_params.get("facet", ""), request.query_params.get("part", "")[:_LONGEST_PART]
        return _answer(lambda: {"values": self._finder.values(read(_choice(request)), facet, part.strip())})

    def api_total(self, request: Request) -> Response:
        """How many are chosen."""
        self._may_look(request)
        return _answer(lambda: {"total": self._finder.total(read(_choice(request)))})

    def api_map(self, request: Request) -> Response:
        """Points of a part of the map, values of their colours with their names."""
        self._may_look(request)
        by = request.query_params.get("by", "concept")

        def drawn() -> dict[str, Any]:
            found = self._map.points(read(_choice(request)), _view(request), by)
            return found | {"labels": [details.value_label(by, value) for value in found["values"]]}

        return _answer(drawn)

    def api_map_at(self, request: Request) -> Response:
        """The image nearest to a place of the map."""
        self._may_look(request)

        def nearest() -> dict[str, Any]:
            x, y, within = (_number(request, name) for name in ("x", "y", "within"))
            return {"found": self._map.at(read(_choice(request)), x, y, within)}

        return _answer(nearest)

    def api_lineage(self, request: Request) -> Response:
        """What an image was made from and what contains it."""
        self._may_look(request)
        return _answer(lambda: details.lineage(self._shown, request.path_params["name"]))

    def api_panels(self, request: Request) -> Response:
        """Where the panels of an image lie and what its caption says of each."""
        self._may_look(request)
        return _answer(lambda: panels(self._shown, request.path_params["name"]))

    async def api_picture(self, request: Request) -> Response:
        """Take a picture to look for; the answer names it for ``picture=``. Nothing of it is written to the disk."""
        self._may_write(request)
        encode = self._encode
        if encode is None:
            return JSONResponse({"problem": "There are no vectors here to compare a picture with."}, 409)
        data = await request.body()
        if len(data) > MOST_BYTES:
            return JSONResponse({"problem": f"A picture may have at most {MOST_BYTES >> 20} MB."}, 413)

        def take() -> dict[str, Any]:
            token = secrets.token_hex(8)
            self._finder.keep_picture(token, encode(data))
            return {"picture": token}

        return await run_in_threadpool(_answer, take)

    async def api_recipe(self, request: Request) -> Response:
        """Write what is chosen as a recipe file of the data directory."""
        self._may_write(request)
        try:
            given = json.loads(await request.body())
            name, chosen = str(given["name"]), str(given["choice"])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise HTTPException(400, "The body must be JSON with name and choice.") from error

        def write() -> dict[str, Any]:
            choice = read(_parameters(chosen))
            written = taking.recipe(self._finder, choice, f"Chosen on the explore page as {name}")
            path = taking.save_recipe(self._shown.lake.root / "recipes", name, written)
            return {"path": self._shown.lake.path_below(path), "recipe": written}

        return await run_in_threadpool(_answer, write)

    def export(self, request: Request) -> Response:
        """What is chosen as a file."""
        self._may_look(request)
        form = request.path_params["form"]
        if form not in taking.FORMATS:
            raise HTTPException(404, f"There is no export as {form[:20]}; there are {', '.join(taking.FORMATS)}.")
        try:
            pieces = taking.export(self._finder, read(_choice(request)), form)
        except BiomedicaError as error:
            return _html("message.html", 400, said=str(error))
        headers = {"content-disposition": f'attachment; filename="selection.{form}"'}
        return StreamingResponse(pieces, media_type=taking.FORMATS[form][0], headers=headers)

    # who may

    def _may_look(self, request: Request) -> str:
        """The CSRF token of whoever may look."""
        if self._sessions is None:
            return self._csrf
        session = self._sessions.of(request)
        if session is None:
            if request.url.path.startswith(("/api", "/image", "/export")):
                raise HTTPException(401, "Log in first.")
            raise _LogIn
        return session.csrf

    def _may_write(self, request: Request) -> None:
        wanted, given = self._may_look(request), request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise HTTPException(403, "The request lacks this page's token; load the page again.")


def _choice(request: Request) -> Sequence[tuple[str, str]]:
    return request.query_params.multi_items()


def _view(request: Request) -> View:
    given = request.query_params.get("view", "")
    if not given:
        return WHOLE
    parts = given.split(",")
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise PermanentFailure(f"view = {given[:60]!r} is not left, bottom, right, top")
    left, bottom, right, top = map(float, parts)
    return left, bottom, right, top


def _number(request: Request, name: str) -> float:
    given = request.query_params.get(name, "")
    if not _NUMBER.fullmatch(given):
        raise PermanentFailure(f"{name} = {given[:40]!r} is no number")
    return float(given)


def _parameters(query: str) -> Sequence[tuple[str, str]]:
    return parse_qsl(query, max_num_fields=1000)


def _answer(call: Callable[[], dict[str, Any]]) -> Response:
    """The result as JSON, or the reason why not."""
    try:
        return JSONResponse(call())
    except details.NotShown as error:
        return JSONResponse({"problem": str(error)}, 403)
    except details.Unknown as error:
        return JSONResponse({"problem": str(error)}, 404)
    except StoreError as error:
        return JSONResponse({"problem": str(error)}, 500)
    except BiomedicaError as error:
        return JSONResponse({"problem": str(error)}, 400)


def _html(template: str, status: int = 200, /, **values: object) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(template).render(**values), status)
