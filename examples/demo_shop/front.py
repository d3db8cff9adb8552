"""The shop's page: its files, what it shows of the catalogue, and lists of the engine with how they came about.

It is served by the engine's own process, beside `/recommend` and `/events`, which a shop of your own would call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.errors import ConfigError
from serving.engine.ask import Question
from serving.engine.endpoints import engine_routes
from serving.engine.posted import question_of
from serving.engine.service import EngineService
from serving.engine.trace import Trace
from serving.server.app import App
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
SHOWN = ("item_id", "title", "price", "category", "department", "cate", "brand_name", "tags", "stock")
OF_A_CATEGORY, TRACED = 48, 60
BODY_BYTES, DEADLINE_S = 8192, 5.0
SOURCES = {
    "vector": "items near your vector, by two towers",
    "item_to_item": "what those clicked who clicked what you did",
    "category": "popular in categories that you click",
    "popular": "what most people click",
    "recent": "what is new",
}
"""What kinds of sources give, in words."""
FORMULAS = {
    "clicks": "ctr",
    "clicks, purchases a little": "ctr * pow(1 + cvr, 0.5)",
    "purchases": "ctr * (0.02 + cvr)",
    "revenue": "ctr * (0.02 + cvr) * price",
}
"""What may be tried as the score: no text of the page reaches the engine."""


class Shop:
    """What the page is made of.

    Args:
        folder: The one that `training.built` made.
        experiments: Content of experiments.yaml.
    """

    def __init__(self, folder: Path, experiments: Mapping[str, Any]) -> None:
        self._items = pq.read_table(folder / "items.parquet")
        self._row_of = {key: row for row, key in enumerate(self._items["item_id"].to_pylist())}
        self._personas = json.loads((folder / "personas.json").read_text())
        self._columns = {one["user_id"]: one["columns"] for one in self._personas}
        self._experiments = {
            layer["name"]: {
                one["name"]: {
                    "description": one.get("description", ""),
                    "variants": {variant["name"]: variant.get("parameters", {}) for variant in one["variants"]},
                }
                for one in layer["experiments"]
            }
            for layer in experiments["layers"]
        }

    def routes(self) -> list[Route]:
        """The page's paths."""
        files = [
            Route("GET", path, _file(name), f"The page's {name}.", "open")
            for path, name in (
                ("/", "index.html"),
                ("/shop.css", "shop.css"),
                ("/shop.js", "shop.js"),
                ("/pictures.js", "pictures.js"),
            )
        ]
        return [
            *files,
            Route("GET", "/shop/start", self.start, "Departments, visitors, experiments.", "open"),
            Route("GET", "/shop/category/{cate}", self.category, "The most clicked items of a category.", "open"),
            Route(
                "POST", "/shop/visitor", self.visitor, "What a visitor clicked lately.", "open", body={"type": "object"}
            ),
            Route("POST", "/shop/list", self.listed, "A list, and how it came about.", "open", body={"type": "object"}),
        ]

    async def start(self, service: EngineService, request: Request) -> Answer:
        """What the page needs to begin with."""
        del request
        names = self._items.group_by(["cate", "category", "department"]).aggregate([("clicks", "sum")]).sort_by("cate")
        departments: dict[str, list[dict[str, Any]]] = {}
        for row in names.to_pylist():
            departments.setdefault(row["department"], []).append({"cate": row["cate"], "name": row["category"]})
        scene = service.engine.config.scenes[0]
        mmr = next((stage for stage in scene.rerank if stage.type == "mmr"), None)
        told = {
            "departments": [{"name": name, "categories": leaves} for name, leaves in departments.items()],
            "personas": [
                {"user_id": one["user_id"], "likes": one["likes"], **one["columns"]} for one in self._personas
            ],
            "experiments": self._experiments,
            "sources": {source.called: SOURCES.get(source.type, source.type) for source in scene.recall},
            "formulas": FORMULAS,
            "formula": scene.rank.score if scene.rank is not None else None,
            "lambda": None if mmr is None else mmr.balance,
        }
        return Answer(dump(told), headers=SAFE)

    async def category(self, service: EngineService, request: Request) -> Answer:
        """Items to browse."""
        del service
        text = request.params["cate"]
        mask = pc.and_(
            pc.equal(self._items["cate"], int(text) if text.isdecimal() and len(text) < 9 else -1),
            pc.greater(self._items["stock"], 0),
        )
        found = self._items.filter(mask).sort_by([("clicks", "descending")]).slice(0, OF_A_CATEGORY)
        if not found.num_rows:
            raise Refused(404, "unknown_category", "there is no such category")
        return Answer(dump({"items": found.select(SHOWN).to_pylist()}), headers=SAFE)

    async def visitor(self, service: EngineService, request: Request) -> Answer:
        """The items that were clicked or bought last."""
        question = question_of(parse(await request.body(BODY_BYTES, DEADLINE_S), 4))
        past = service.engine.history.past(str(question.user_id), question.time)
        rows = [self._row_of[key] for key in dict.fromkeys(past.keys) if key in self._row_of][:12]
        return Answer(dump({"clicked": self._told(rows)}), headers=SAFE)

    async def listed(self, service: EngineService, request: Request) -> Answer:
        """A list as `/recommend` gives it, with columns to show and the trace; `what_if` is looked at alone.

        Raises:
            Refused: The body is not as it must be, or a parameter is not among those that may be tried.
        """
        body = parse(await request.body(BODY_BYTES, DEADLINE_S), 8)
        if not isinstance(body, dict):
            raise Refused(400, "json", "the body must be an object")
        what_if = body.pop("what_if", None)
        clock = time.localtime()
        if isinstance(body.get("user_id"), str):
            body["user"] = self._columns.get(body["user_id"], {})
        body["context"] = {"hour": clock.tm_hour, "weekday": clock.tm_wday, "scene": "home"}
        question = replace(question_of(body), parameters=_tried(what_if, service))
        work = partial(self._made, service, question, what_if is None)
        try:
            answer, _ = await service.admission.run(work, request.started + DEADLINE_S)
        except ConfigError as error:
            raise Refused(400, "parameters", str(error)) from None
        return Answer(dump(answer), headers=SAFE)

    def _made(self, service: EngineService, question: Question, show: bool) -> dict[str, Any]:
        begun, engine, trace = time.perf_counter(), service.engine, Trace()
        listed = engine.recommend(question, trace)
        ms = 1000.0 * (time.perf_counter() - begun)
        answer = listed.answer()
        if show:
            engine.shown(listed, answer)
            engine.count(listed, ms)
        told = trace.told(TRACED)
        for item in (*answer["items"], *told["items"]):
            item.update(self._told([self._row_of[item["item_id"]]])[0])
        rank, version = listed.plan.scene.rank, None
        if rank is not None:
            loaded = service.models.get(rank.model).main.current
            version = None if loaded is None else loaded.version
        parameters = dict(listed.ask.parameters)
        return {**answer, "ms": round(ms, 2), "version": version, "parameters": parameters, "trace": told}

    def _told(self, rows: list[int]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._items.select(SHOWN).take(pa.array(rows, pa.int64())).to_pylist()
        return found


def _tried(given: Any, service: EngineService) -> dict[str, Any]:
    """Parameters of what is tried: some that may do no harm, within bounds."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused(400, "what_if", "'what_if' must be an object")
    found: dict[str, Any] = {}
    names = [source.called for source in service.engine.config.scenes[0].recall]
    for key, value in given.items():
        if key == "formula" and value in FORMULAS.values():
            found["rank.score"] = value
        elif key == "lambda" and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            found["rerank.mmr.lambda"] = value
        elif key == "without" and isinstance(value, list) and all(name in names for name in value):
            found |= {f"recall.{name}.count": 0 for name in value}
        else:
            raise Refused(400, "what_if", f"'{key[:40]}' cannot be tried, or not with that value")
    return found


def _file(name: str) -> Any:
    body, kind = (PAGE / name).read_bytes(), TYPES[Path(name).suffix]

    async def answer(service: EngineService, request: Request) -> Answer:
        del service, request
        return Answer(body, type=kind, headers=SAFE)

    return answer


def application(service: EngineService, shop: Shop) -> App:
    """The engine's paths and the shop's."""
    return App(service, [*shop.routes(), *engine_routes()])
