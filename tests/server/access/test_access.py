"""Access: who may do what, on every route of every door. Deny by default; no key is ever more than it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from servable.domain.endpoint import OPEN, Endpoint
from servable.errors import Forbidden, Unauthenticated, UsageError
from servable.server.access.access import (
    ANONYMOUS,
    MEMORY,
    UNCLASSIFIED,
    Access,
    bearer,
    demand_safe_binding,
    is_loopback,
    keys_required,
)
from servable.server.access.audit import Audit, verify
from servable.server.access.keys import Keys
from servable.server.access.roles import GRANTS, ROLES
from servable.server.http.guard import Guarded, guard, walk
from servable.server.http.routes import ROUTES
from servable.settings import Settings
from tests.server.declared import linear
from tests.server.rest_served import Served, served

EVERYWHERE = "0.0.0.0"  # noqa: S104 - that this is refused is what is tested

# ---- the judge itself


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("demanded", ROLES)
def test_a_role_grants_what_the_table_says_and_no_more(tmp_path: Path, role: str, demanded: str) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", [role])
    access = Access(keys, required=True)
    if demanded in GRANTS[role]:
        assert access.check(secret, demanded).name == "ada"
    else:
        with pytest.raises(Forbidden, match=demanded):
            access.check(secret, demanded)


def test_the_roles_are_those_promised() -> None:
    assert {role: set(granted) for role, granted in GRANTS.items()} == {
        "viewer": {"viewer"},
        "invoker": {"invoker", "viewer"},
        "feedback": {"feedback"},
        "deployer": {"deployer", "viewer"},
        "admin": set(ROLES),
    }


@pytest.mark.parametrize("token", [None, "", "sv_wrong", " ", "\ud800"])
def test_without_a_good_key_nothing_goes(tmp_path: Path, token: str | None) -> None:
    keys = Keys(tmp_path)
    keys.create("ada", ["admin"])
    for access in (Access(keys, required=True), Access(None, required=True)):
        for role in (*ROLES, UNCLASSIFIED):
            with pytest.raises(Unauthenticated):
                access.check(token, role)


def test_what_nobody_classified_nobody_may(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["admin"])
    with pytest.raises(Forbidden):
        Access(keys, required=True).check(secret, UNCLASSIFIED)
    with pytest.raises(Forbidden):
        Access(None, required=False).check(None, UNCLASSIFIED)


def test_where_no_key_is_demanded_everybody_is_anonymous() -> None:
    access = Access(None, required=False)
    for role in ROLES:
        assert access.check("anything", role, "any-model") is ANONYMOUS


def test_patterns_bound_a_key_to_its_models(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["invoker"], ["churn*", "fraud"])
    access = Access(keys, required=True)
    for model in ("churn", "churn-eu", "fraud"):
        assert access.check(secret, "invoker", model).sees(model)
    for model in ("fraud2", "xchurn", "Churn", "", "other"):
        with pytest.raises(Forbidden, match="not for model"):
            access.check(secret, "invoker", model)
    assert access.check(secret, "viewer", None).name == "ada"


def test_what_is_remembered_is_forgotten_with_the_key(tmp_path: Path) -> None:
    keys, elsewhere = Keys(tmp_path), Keys(tmp_path)
    secret, _ = keys.create("ada", ["invoker"])
    access = Access(keys, required=True)
    assert access.check(secret, "invoker", "m").name == "ada"
    assert access.check(secret, "invoker", "m").name == "ada"
    elsewhere.revoke("ada")
    access.refresh()
    with pytest.raises(Unauthenticated):
        access.check(secret, "invoker", "m")


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["invoker"])
    access = Access(keys, required=True)
    for number in range(MEMORY * 2 + 10):
        access.check(secret, "invoker", f"model-{number}")
    assert len(access._known) <= MEMORY


def test_a_denied_call_is_written_down_without_the_secret(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    secret, _ = keys.create("ada", ["viewer"])
    access = Access(keys, required=True, audit=Audit(tmp_path))
    for token, role, model in (
        (None, "viewer", None),
        ("sv_wrong", "viewer", None),
        (secret, "admin", None),
        (secret, None, None),
    ):
        with pytest.raises((Unauthenticated, Forbidden)):
            access.check(token, role, model, "GET /somewhere", "10.0.0.9")
    text = (tmp_path / "log" / "audit.jsonl").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [(entry["who"], entry["result"]) for entry in told] == [
        ("nobody", "no key"), ("nobody", "unknown key"), ("ada", "lacks role admin"), ("ada", "unclassified route"),
    ]  # fmt: skip
    assert {(entry["act"], entry["from"]) for entry in told} == {("GET /somewhere", "10.0.0.9")}
    assert secret not in text
    assert "sv_wrong" not in text
    assert verify(tmp_path / "log" / "audit.jsonl").passed


def test_keys_come_in_two_headers() -> None:
    assert bearer("Bearer sv_a") == bearer("bearer  sv_a ") == bearer("", "sv_a") == "sv_a"
    assert bearer("Basic sv_a") is bearer("Bearer ") is bearer("") is bearer("", " ") is None


# ---- binding


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("localhost", True), ("::1", True), ("[::1]", True),
        (EVERYWHERE, False),
        ("", False), ("::", False), ("10.0.0.1", False), ("127.0.0.1.example.com", False), ("127.evil.org", False),
        ("::ffff:10.0.0.1", False), ("localhost.evil.org", False), ("*", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert keys_required(Settings(host=host)) is not loopback
    assert keys_required(Settings(host=host, require_key=True))
    assert not keys_required(Settings(host=host, insecure=True))


def test_a_door_to_others_demands_a_key_or_a_word(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    demand_safe_binding(Settings(), keys)
    demand_safe_binding(Settings(host=EVERYWHERE, insecure=True), keys)
    with pytest.raises(UsageError, match="servable keys create"):
        demand_safe_binding(Settings(host=EVERYWHERE), keys)
    with pytest.raises(UsageError, match="servable keys create"):
        demand_safe_binding(Settings(host=EVERYWHERE), None)
    with pytest.raises(UsageError, match="require_key"):
        demand_safe_binding(Settings(require_key=True), keys)
    with pytest.raises(UsageError, match=r"10\.0\.0\.7"):
        demand_safe_binding(Settings(), keys, ["127.0.0.1", "10.0.0.7"])
    keys.create("ada", ["invoker"])
    demand_safe_binding(Settings(host=EVERYWHERE), keys)
    demand_safe_binding(Settings(require_key=True), keys)
    demand_safe_binding(Settings(), keys, ["10.0.0.7"])
    assert keys_required(Settings(), ["10.0.0.7"])


def test_an_expired_key_opens_no_door(tmp_path: Path) -> None:
    clock = [0.0]
    keys = Keys(tmp_path, lambda: clock[0])
    keys.create("ada", ["invoker"], expires=10.0)
    clock[0] = 11.0
    with pytest.raises(UsageError):
        demand_safe_binding(Settings(host=EVERYWHERE), keys)


# ---- every route


async def _forgotten(_: Request) -> Response:
    return PlainTextResponse("should never be seen")


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()


FOREIGN = [
    Route("/forgotten", _forgotten),
    Route("/half", _forgotten, methods=["GET", "DELETE"]),
    Mount("/mounted", routes=[Route("/inner", _forgotten), Mount("/deep", routes=[Route("/{x}", _forgotten)])]),
    Mount("/application", app=_forgotten),
    WebSocketRoute("/socket", _socket),
]
"""What another shelf might bring, and forget to classify: all but GET /half and /mounted/inner."""

FOREIGN_ROWS = [
    Endpoint("GET", "/half", "viewer", "half", "Half classified"),
    Endpoint("GET", "/mounted/inner", "deployer", "inner", "Classified in a mount"),
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    keys = Keys(home)
    for role in ROLES:
        (home / role).write_text(keys.create(role, [role])[0])
    (home / "elsewhere").write_text(keys.create("elsewhere", ["admin"], ["other-*"])[0])
    models = {"linear": {"1": linear(home)}}
    with served(home, models, routes=FOREIGN, endpoints=FOREIGN_ROWS, require_key=True) as door:
        yield door


def _call(door: Served, method: str, path: str, key: str | None) -> httpx.Response:
    concrete = path.format(model="linear", version="1", repository="r", region="r", act="load", path="x", x="x")
    headers = {} if key is None else {"Authorization": f"Bearer {(door.home / key).read_text()}"}
    return door.http.request(method, door.url + concrete, headers=headers)


def _registered(door: Served) -> list[tuple[str, str, Endpoint | None]]:
    found = []
    for path, route in walk(door.rest.routes):
        methods = (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}
        found += [(method, path, door.rest.table.get(path, {}).get(method)) for method in sorted(methods)]
    return found


def test_every_registered_route_is_guarded(door: Served) -> None:
    routes = list(walk(door.rest.routes))
    assert len(routes) > 50
    assert all(isinstance(route.app, Guarded) for _, route in routes)


def test_only_three_routes_are_open(door: Served) -> None:
    open_rows = {path for method, path, row in _registered(door) if row is not None and row.role == OPEN}
    assert open_rows == {"/v2/health/live", "/v2/health/ready", "/ping"}


def test_every_row_of_the_table_is_a_route(door: Served) -> None:
    registered = {(method, path) for method, path, _ in _registered(door)}
    assert {(row.method, row.path) for row in ROUTES} <= registered


def test_without_a_key_no_route_answers_but_the_open_ones(door: Served) -> None:
    for method, path, row in _registered(door):
        status = _call(door, method, path, None).status_code
        if row is not None and row.role == OPEN:
            assert status == 200, (method, path)
        elif path == "/socket":
            assert status in {401, 403, 404}
        else:
            assert status == 401, (method, path, status)


def test_a_wrong_role_is_refused_and_a_right_one_is_not(door: Served) -> None:
    for method, path, row in _registered(door):
        if row is None or row.role == OPEN:
            continue
        for role in ROLES:
            if row.role in GRANTS[role] and row.name == "unload":
                continue  # the others need the model
            answer = _call(door, method, path, role)
            if row.role in GRANTS[role]:
                assert answer.status_code not in {401, 403}, (method, path, role, answer.text)
            else:
                assert answer.status_code == 403, (method, path, role, answer.text)
                assert answer.json()["code"] == "forbidden"


def test_a_key_for_other_models_sees_none_of_these(door: Served) -> None:
    for method, path, row in _registered(door):
        if row is None or row.role == OPEN or "{model}" not in path:
            continue
        assert _call(door, method, path, "elsewhere").status_code == 403, (method, path)


def test_lists_show_a_key_its_own_models_only(door: Served) -> None:
    assert _call(door, "POST", "/v2/repository/index", "elsewhere").json() == []
    assert _call(door, "GET", "/v1/models", "elsewhere").json() == {"object": "list", "data": [], "models": []}
    assert _call(door, "GET", "/v2/models/stats", "elsewhere").json() == {"model_stats": []}
    for path in ("/metrics", "/openapi.json", "/docs"):
        assert "linear" in _call(door, "GET", path, "viewer").text or path == "/docs"
        assert "linear" not in _call(door, "GET", path, "elsewhere").text
    refused = door.post("/invocations", headers={"Authorization": f"Bearer {(door.home / 'elsewhere').read_text()}",
                                                 "X-Amzn-SageMaker-Target-Model": "linear"})  # fmt: skip
    assert refused.status_code == 403


def test_an_unclassified_route_is_refused_to_all(door: Served) -> None:
    unclassified = [(method, path) for method, path, row in _registered(door) if row is None and path != "/socket"]
    assert set(unclassified) == {
        ("GET", "/forgotten"), ("DELETE", "/half"), ("GET", "/mounted/deep/{x}"), ("GET", "/application/{path}"),
    }  # fmt: skip
    for method, path in unclassified:
        for role in ROLES:
            answer = _call(door, method, path, role)
            assert answer.status_code == 403, (method, path, role)
            assert "should never be seen" not in answer.text


def test_a_route_that_cannot_be_guarded_stops_the_start() -> None:
    with pytest.raises(TypeError, match="cannot be guarded"):
        guard([Host("example.com", Starlette())], {}, Access(None, required=False))


def test_the_fast_way_and_the_ordinary_way_ask_the_same(door: Served) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    for path in ("/v2/models/linear/infer", "/v2/models/linear/versions/1/infer"):
        for query in ("", "?ordinary"):
            statuses = {}
            for key in (None, *ROLES, "elsewhere"):
                headers = {} if key is None else {"X-API-Key": (door.home / key).read_text()}
                statuses[key] = door.post(path + query, json=body, headers=headers).status_code
            assert statuses == {
                None: 401, "viewer": 403, "invoker": 200, "feedback": 403, "deployer": 403, "admin": 200,
                "elsewhere": 403,
            }  # fmt: skip


def test_a_wrong_key_says_how_to_get_in(door: Served) -> None:
    answer = door.get("/v2", headers={"Authorization": "Bearer sv_wrong"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "servable keys create" in answer.json()["error"]
    assert "sv_wrong" not in answer.text


def test_a_key_revoked_elsewhere_ends_here(door: Served) -> None:
    elsewhere = Keys(door.home)
    secret, _ = elsewhere.create("short", ["viewer"])
    headers = {"Authorization": f"Bearer {secret}"}

    async def refresh() -> None:
        door.access.refresh()

    assert door.get("/v2", headers=headers).status_code == 401
    door.run(refresh())
    assert door.get("/v2", headers=headers).status_code == 200
    elsewhere.revoke("short")
    door.run(refresh())
    assert door.get("/v2", headers=headers).status_code == 401


def test_acts_and_denials_are_in_the_audit_log(door: Served) -> None:
    assert _call(door, "POST", "/v2/repository/models/{model}/load", "deployer").status_code == 200
    assert _call(door, "POST", "/v2/repository/models/{model}/load", "viewer").status_code == 403
    path = door.home / "log" / "audit.jsonl"
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert any(entry["kind"] == "act" and entry["who"] == "deployer" and entry["act"] == "load linear"
               and entry["result"] == "done" and entry["from"] == "127.0.0.1" for entry in told)  # fmt: skip
    assert any(entry["kind"] == "denied" for entry in told)
    assert verify(path).passed
    text = path.read_text()
    assert not any((door.home / role).read_text() in text for role in ROLES)
