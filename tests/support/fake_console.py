"""A console without an instance: the page's own files over a journal, a desk and a cache made up in memory.

The page's tests use it where they need what a real instance would take long to come by: a hundred thousand flows, two
reviewers at once, every kind of content. What it serves has the shapes of the real API and its Content-Security-Policy.

    with FakeConsole(flows=100_000) as console:
        page.goto(console.url)
        console.pass_by(row(console.newest + 1, path="/new"))
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import interpose.console

PAGE = Path(interpose.console.__file__).with_name("page")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'"
)
TOKEN = "a-token"
STARTED = 1_790_000_000.0
KINDS = (
    ("GET", 200, "application/json", "/api/items/{}?page=2"),
    ("POST", 201, "application/json", "/api/orders/{}"),
    ("GET", 304, "text/css", "/assets/site.{}.css"),
    ("GET", 404, "text/html; charset=utf-8", "/missing/{}"),
    ("GET", 502, "", "/slow/{}"),
    ("GET", 200, "image/png", "/pictures/{}.png"),
)
HOSTS = ("shop.example", "api.shop.example", "cdn.example", "127.0.0.1:8001")

Row = dict[str, Any]


def row(number: int, **changes: Any) -> Row:
    """A flow as the list shows it; numbers choose among some kinds."""
    method, status, media_type, path = KINDS[number % len(KINDS)]
    host = HOSTS[number % len(HOSTS)]
    made: Row = {
        "id": number,
        "exchange": f"x{number}",
        "kind": "http",
        "started": STARTED + number * 0.05,
        "duration_ms": 0.4 + number % 97 * (40 if status == 502 else 1.7),
        "listener": "proxy",
        "client": f"127.0.0.1:{40000 + number % 9000}",
        "user": "",
        "method": method,
        "host": host,
        "path": path.format(number),
        "status": status,
        "type": media_type,
        "request_size": number % 700,
        "response_size": number * 37 % 90_000,
        "messages": 0,
        "failure": "connection_refused" if status == 502 else "",
        "mark": "",
        "comment": "",
        "is": [["cached"], [], ["held", "edited"], [], ["error"], []][number % len(KINDS)],
        **changes,
    }
    made.setdefault("url", f"http://{made['host']}{made['path']}")
    return made


def flow(of: Row) -> Row:
    """The same flow in full."""
    fields = [["Host", of["host"]], ["User-Agent", "a client"], ["Accept", "*/*"], ["Authorization", "[redacted]"]]
    answered = [
        ["Content-Type", of["type"]],
        ["Cache-Control", "max-age=60"],
        ["Date", "Fri, 20 Nov 2026 12:00:00 GMT"],
    ]
    attempt = {
        "origin": f"http://{of['host']}",
        "local": "127.0.0.1:50312",
        "peer": "127.0.0.1:8001",
        "reused": of["id"] % 2 == 0,
        "tls": "",
        "started_ms": 0.2,
        "connected_ms": 0.9,
        "first_byte_ms": of["duration_ms"] * 0.7,
        "status": 0 if of["failure"] else of["status"],
        "failure": of["failure"],
        "head": [["Host", of["host"]], ["Via", "1.1 interpose"]],
        "line": f"{of['method']} {of['path']} HTTP/1.1",
    }
    total = of["duration_ms"]
    return {
        **of,
        "local": "127.0.0.1:8080",
        "route": "default",
        "tls": "",
        "version": 1,
        "reason": "",
        "scheme": "http",
        "port": 80,
        "parent": "",
        "timings": {
            "request_ms": total * 0.1,
            "waiting_ms": total * 0.6,
            "response_ms": total * 0.3,
            "total_ms": total,
            "attempts": [],
        },
        "request": {
            "fields": fields,
            "size": of["request_size"],
            "kept": of["request_size"],
            "redacted": ["authorization"],
        },
        "response": {"fields": answered, "size": of["response_size"], "kept": of["response_size"], "redacted": []},
        "notes": {"filter": "access", "rule": "allow-loopback", "why": "loopback may"} if of["id"] % 5 == 0 else {},
        "side": "upstream" if of["failure"] else "",
        "detail": "127.0.0.1:8001 refused the connection" if of["failure"] else "",
        "attempts": [attempt],
        "messages_total": of["messages"],
        "held": "",
        "replay_of": 0,
    }


class FakeConsole:
    """See the module. `previews` and `contents` give by side what is shown of any flow."""

    def __init__(self, *, flows: int = 0) -> None:
        self.rows = {number: row(number) for number in range(1, flows + 1)}
        self.holds: dict[str, Row] = {}
        self.rules: list[Row] = []
        self.audit: list[Row] = []
        self.spool: dict[str, tuple[Row, bytes]] = {}
        self.access: Row = {"rules": [], "blocklists": []}
        self.explained: Row = {}
        self.refused: Row = {}
        self.stored: list[Row] | None = []
        self.experiments: list[Row] | None = []
        self.trends: dict[str, Row] = {}
        self.upstreams: Row = {"upstreams": [], "servers": []}
        self.upstream_history: Row | None = None
        self.preview: Row = {
            "kind": "json",
            "text": '{\n  "total": 12.5\n}',
            "cut": False,
            "media_type": "application/json",
        }
        self.content = b'{"total": 12.5}'
        self.messages: list[Row] = []
        self.scripts: list[Row] = []
        self.problems: list[Row] = []
        self.is_open = True
        self.asked: list[tuple[str, str, Any]] = []
        """Method, path and content of what changed something."""
        self._streams: list[asyncio.Queue[str | None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def newest(self) -> int:
        return max(self.rows, default=0)

    def __enter__(self) -> FakeConsole:
        self._server = uvicorn.Server(
            uvicorn.Config(self._application(), port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        started = threading.Event()
        startup = self._server.startup

        async def tell(**options: Any) -> None:
            await startup(**options)
            self._loop = asyncio.get_running_loop()
            started.set()

        self._server.startup = tell  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert started.wait(10)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        for stream in self._streams:
            self._loop.call_soon_threadsafe(stream.put_nowait, None)
        self._server.should_exit = True
        self._thread.join(10)

    def happens(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell every page."""
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        assert self._loop is not None
        for stream in self._streams:
            self._loop.call_soon_threadsafe(stream.put_nowait, text)

    def pass_by(self, *rows: Row) -> None:
        """These flows have just passed."""
        for one in rows:
            self.rows[one["id"]] = one
            self.happens("flow", one)

    def hold(self, id_: str, **changes: Any) -> Row:
        """Hold a request."""
        text = changes.pop("text", '{"amount": 100, "to": "ann"}')
        request = {
            "method": "POST",
            "url": "http://shop.example/orders",
            "status": 0,
            "reason": "",
            "fields": [["Host", "shop.example"], ["Content-Type", "application/json"]],
            "content": {
                "kind": "json",
                "text": text,
                "hex": None,
                "coding": "",
                "size": len(text),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "editable": True,
                "why_not": "",
            },
        }
        self.holds[id_] = {
            **request,
            "id": id_,
            "what": "request",
            "state": "waiting",
            "mode": "wait",
            "client_waits": True,
            "rule": "orders",
            "client": "127.0.0.1:40100",
            "user": "",
            "at": STARTED,
            "deadline": None,
            "on_timeout": "drop",
            "size": len(text),
            "type": "application/json",
            "version": 1,
            "reviewers": [],
            "verdict": "",
            "by": "",
            "outcome": None,
            "digest": "0" * 64,
            "request": None,
            "original": request,
            "audit": [],
            **changes,
        }
        self.happens("hold", self._hold_row(id_))
        return self.holds[id_]

    def edit(self, id_: str, change: Mapping[str, Any], who: str) -> Row:
        """Somebody edits a held message."""
        hold = self.holds[id_]
        text = change.get("text", hold["content"]["text"])
        head = {
            name: value for name, value in change.items() if name in ("method", "url", "fields", "status", "reason")
        }
        version = hold["version"] + 1
        entry = {"n": len(self.audit) + 1, "at": STARTED, "who": who, "what": "edited", "hold": id_, "version": version}
        self.audit.append({**entry, "digest": "", "why": "", "chain": ""})
        self.holds[id_] = {
            **hold,
            **head,
            "content": {**hold["content"], "text": text},
            "version": version,
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "audit": [*hold["audit"], self.audit[-1]],
        }
        self.happens("hold", self._hold_row(id_))
        return self.holds[id_]

    def _hold_row(self, id_: str) -> Row:
        hidden = ("content", "original", "audit", "fields", "digest", "request", "reason")
        return {name: value for name, value in self.holds[id_].items() if name not in hidden}

    # --- what is answered ------------------------------------------------------------------------------------------

    def _application(self) -> Starlette:
        api: list[tuple[str, list[str], Callable[[Request], Any]]] = [
            ("/session", ["GET", "POST"], self._session),
            ("/flows", ["GET"], self._list),
            ("/flows/count", ["GET"], lambda r: {"count": len(self._found(r)), "exact": True}),
            ("/flows/complete", ["GET"], self._complete),
            ("/flows/compare", ["GET"], self._compare),
            ("/flows/{id:int}", ["GET"], lambda r: flow(self.rows[r.path_params["id"]])),
            ("/flows/{id:int}/preview/{side}", ["GET"], lambda r: self.preview),
            ("/flows/{id:int}/{side}/content", ["GET"], lambda r: Response(self.content)),
            ("/flows/{id:int}/messages", ["GET"], self._messages),
            ("/flows/{id:int}/curl", ["GET"], lambda r: Response("curl http://shop.example/", media_type="text/plain")),
            ("/flows/{id:int}/mark", ["POST"], self._mark),
            ("/flows/{id:int}/comment", ["PUT"], self._mark),
            (
                "/flows/{id:int}/replay",
                ["POST"],
                lambda r: {"exchange": "y", "status": 201, "missing": ["authorization"]},
            ),
            ("/overview", ["GET"], lambda r: self._overview()),
            ("/scripts", ["GET"], lambda r: {"scripts": self.scripts}),
            ("/desk", ["GET"], self._desk),
            ("/desk/rules", ["GET"], lambda r: {"rules": self.rules}),
            ("/desk/audit", ["GET"], lambda r: {"entries": self.audit, "sound": True}),
            ("/desk/{id}", ["GET", "PUT"], self._hold),
            ("/desk/{id}/{action}", ["POST"], self._act),
            ("/spool", ["GET"], lambda r: {"items": [item for item, _ in self.spool.values()]}),
            ("/spool/{id}/content", ["GET", "PUT"], self._file),
            ("/spool/{id}/{action}", ["POST"], self._spool_act),
            ("/experiments", ["GET"], self._experiments),
            ("/experiments/{name}/trend", ["GET"], lambda r: self.trends[r.path_params["name"]]),
            ("/experiments/{name}/decide", ["POST"], lambda r: {"generation": 2, "errors": []}),
            ("/upstreams", ["GET"], lambda r: self.upstreams),
            ("/upstreams/history", ["GET"], self._upstream_history),
            ("/upstreams/drain", ["POST"], lambda r: {"generation": 2, "errors": []}),
            ("/access", ["GET"], lambda r: self.access),
            ("/access/explain", ["GET"], lambda r: self.explained),
            ("/access/explain/{reference}", ["GET"], lambda r: {**self.refused, "now": self.explained}),
            ("/cache", ["GET"], self._cache),
            (
                "/cache/show",
                ["GET"],
                lambda r: {"stored": self.stored, "last_miss": {"seconds_ago": 30.0, "why": "stale"}},
            ),
            ("/cache/purge", ["POST"], self._purge),
        ]
        routes = [Route(f"/api/v1{path}", self._guarded(work), methods=methods) for path, methods, work in api]
        routes.append(Route("/api/v1/events", self._events))
        files = StaticFiles(directory=PAGE, html=True)

        async def served(scope: Any, receive: Any, send: Any) -> None:
            async def with_policy(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"content-security-policy", POLICY.encode()))
                await send(message)

            await files(scope, receive, with_policy)

        return Starlette(routes=[*routes, Mount("/", served)])

    def _guarded(self, work: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            if not self.is_open:
                return JSONResponse({"errors": ["Open the link of the ready line."]}, 401)
            body = await request.body()
            if request.method != "GET":
                if request.headers.get("interpose-token") != TOKEN:
                    return JSONResponse({"errors": ["The token is missing."]}, 403)
                is_json = request.headers.get("content-type") == "application/json"
                request.state.content = json.loads(body) if is_json else body
                self.asked.append((request.method, request.url.path, request.state.content))
            try:
                result = work(request)
            except KeyError:
                return JSONResponse({"errors": ["There is no such thing."]}, 404)
            return result if isinstance(result, Response) else JSONResponse(result)

        return answer

    def _session(self, request: Request) -> Row:
        name = request.state.content["reviewer"] if request.method == "POST" else "ann"
        return {"token": TOKEN, "reviewer": name, "instance": "fake"}

    def _found(self, request: Request) -> list[int]:
        """The fake's query language: text that the URL contains, and `status:N`."""
        words = request.query_params.get("q", "").split()
        numbers = reversed(self.rows)
        if not words:
            return list(numbers)
        return [n for n in numbers if all(self._means(word, self.rows[n]) for word in words)]

    def _means(self, word: str, one: Row) -> bool:
        name, _, value = word.partition(":")
        return str(one["status"]) == value if name == "status" else word in one["url"]

    def _list(self, request: Request) -> Any:
        query = request.query_params.get("q", "")
        if "stats:" in query:
            at = {"position": query.index("stats:"), "length": 6}
            return JSONResponse({"errors": ["There is no stats; did you mean status?"], "at": at}, 422)
        before = int(request.query_params.get("before", 1 << 60))
        after = int(request.query_params.get("after", -1))
        limit = int(request.query_params.get("limit", 100))
        found = [number for number in self._found(request) if after < number < before]
        last = found[:limit][-1] if found else 0
        return {"flows": [self.rows[number] for number in found[:limit]], "more": len(found) > limit, "before": last}

    def _messages(self, request: Request) -> Row:
        after = int(request.query_params.get("after", -1))
        return {"messages": [one for one in self.messages if one["n"] > after], "more": False}

    def _complete(self, request: Request) -> Row:
        text = request.query_params.get("text", "")
        start = text.rfind(" ") + 1
        words = {"host:": "the host of the target", "status:": "the status of the answer", "method:": "the method"}
        offered = [
            {"text": word, "from": start, "to": len(text), "about": about}
            for word, about in words.items()
            if word.startswith(text[start:])
        ]
        return {"completions": offered}

    def _compare(self, request: Request) -> Row:
        a, b = (flow(self.rows[int(request.query_params[name])]) for name in "ab")
        differences = [
            {"where": f"request.{name}", "a": a[name], "b": b[name]}
            for name in ("method", "url", "status")
            if a[name] != b[name]
        ]
        return {"a": a, "b": b, "differences": differences}

    def _mark(self, request: Request) -> Row:
        self.rows[request.path_params["id"]].update(request.state.content)
        return self.rows[request.path_params["id"]]

    def _overview(self) -> Row:
        at = [STARTED + second for second in range(900)]
        wave = [40 + 25 * ((second // 60) % 3) + second % 7 for second in range(900)]
        now = {
            "requests_per_s": wave[-1], "errors_per_s": 0.4, "bytes_in_per_s": 52_000, "bytes_out_per_s": 910_000,
            "connections": 31, "exchanges": 4, "p50_ms": 3.1, "p95_ms": 24.0, "p99_ms": 81.0, "hit_ratio": 0.42,
            "waiting_holds": sum(one["state"] == "waiting" for one in self.holds.values()),
        }  # fmt: skip
        series = {
            "at": at, "requests": wave, "errors": [one % 3 for one in wave], "bytes_in": [one * 900 for one in wave],
            "bytes_out": [one * 21_000 for one in wave], "connections": [one / 2 for one in wave],
            "p50_ms": [3 + one % 2 for one in wave], "p95_ms": [20 + one % 9 for one in wave],
            "p99_ms": [70 + one % 30 for one in wave],
            "hit_ratio": [0.4 + one % 10 / 50 for one in wave],
        }  # fmt: skip
        return {
            "instance": {
                "name": "fake",
                "version": "0.1.0",
                "uptime_s": 7300,
                "listeners": [{"name": "proxy", "role": "proxy", "address": "127.0.0.1:8080", "url": "http://127.0.0.1:8080"}],
            },
            "now": now,
            "series": series,
            "top_hosts": [
                {"host": host, "requests": 900 - index * 210, "bytes": 80_000_000 >> index, "errors": index}
                for index, host in enumerate(HOSTS)
            ],
            "workers": [
                {"slot": slot, "pid": 4000 + slot, "state": "running", "connections": 15, "exchanges": 2,
                 "memory_bytes": 61 << 20, "restarts": slot} for slot in range(2)
            ],
            "journal": {"records": len(self.rows), "bytes": 87 << 20, "dropped_total": 0, "index_lag_s": 0},
            "problems": self.problems,
        }  # fmt: skip

    def _desk(self, request: Request) -> Row:
        state = request.query_params.get("state", "waiting")
        rows = [self._hold_row(id_) for id_, hold in reversed(self.holds.items()) if state in ("all", hold["state"])]
        return {"holds": rows, "waiting": sum(hold["state"] == "waiting" for hold in self.holds.values())}

    def _hold(self, request: Request) -> Any:
        hold = self.holds[request.path_params["id"]]
        if request.method == "GET":
            return hold
        if request.headers.get("if-match") != f'"{hold["version"]}"':
            return JSONResponse(hold, 412)
        return self.edit(hold["id"], request.state.content, "ann")

    def _act(self, request: Request) -> Any:
        id_, action = request.path_params["id"], request.path_params["action"]
        hold, wanted = self.holds[id_], request.state.content
        if action == "review":
            return {}
        if action == "rule":
            self.rules.append({"id": "r1", "query": wanted["query"], "until": STARTED + wanted["for_s"], "who": "ann"})
            return self.rules[-1]
        if (wanted["version"], wanted["digest"]) != (hold["version"], hold["digest"]) or hold["state"] != "waiting":
            return JSONResponse(hold, 409)
        hold.update(state="decided", verdict=action, by="ann")
        self.happens("hold", self._hold_row(id_))
        return hold

    def _file(self, request: Request) -> Any:
        item, content = self.spool[request.path_params["id"]]
        tag = hashlib.sha256(content).hexdigest()
        if request.method == "GET":
            return Response(content, headers={"ETag": f'"{tag}"'})
        if request.headers.get("if-match") != f'"{tag}"':
            return JSONResponse({"errors": ["It was changed."]}, 412)
        self.spool[item["id"]] = ({**item, "edits": item.get("edits", 0) + 1}, request.state.content)
        return self.spool[item["id"]][0]

    def _spool_act(self, request: Request) -> Row:
        item, content = self.spool[request.path_params["id"]]
        state = "approved" if request.path_params["action"] == "release" else "dropped"
        self.spool[item["id"]] = ({**item, "state": state}, content)
        return self.spool[item["id"]][0]

    def _experiments(self, request: Request) -> Any:
        if self.experiments is None:
            return JSONResponse({"errors": ["This instance has no experiments."]}, 404)
        return {"experiments": self.experiments}

    def _upstream_history(self, request: Request) -> Any:
        if self.upstream_history is None:
            return JSONResponse({"errors": ["Nothing is kept."]}, 404)
        return self.upstream_history

    def _cache(self, request: Request) -> Any:
        if self.stored is None:
            return JSONResponse({"errors": ["There is no cache."]}, 404)
        pattern = request.query_params["pattern"].rstrip("*")
        return {"stored": [one for one in self.stored if pattern in one["key"]], "last_miss": None}

    def _purge(self, request: Request) -> Row:
        before = self.stored or []
        pattern = request.state.content["pattern"].rstrip("*")
        self.stored = [one for one in before if pattern not in one["key"]]
        return {"purged": len(before) - len(self.stored)}

    async def _events(self, request: Request) -> Response:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._streams.append(queue)

        async def lines() -> AsyncIterator[str]:
            yield ": hello\n\n"
            while (text := await queue.get()) is not None:
                yield text

        return StreamingResponse(lines(), media_type="text/event-stream")


def picture() -> str:
    """A picture as the preview gives it."""
    octets = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    return f"data:image/png;base64,{base64.b64encode(octets).decode()}"
