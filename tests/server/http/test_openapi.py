"""The contract: that it is valid, complete, and that its examples work; and the page that is made of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import jsonschema_rs
import pytest

from servable.server.http.guard import walk
from servable.server.http.openapi import ERRORS, contract
from servable.server.http.routes import OPEN, ROUTES, by_path
from servable.server.http.schemas import SCHEMAS
from tests.server.declared import models
from tests.server.rest_served import Served, served


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with served(home, models(home)) as door:
        yield door


def test_every_route_is_in_the_contract_and_nothing_else(door: Served) -> None:
    told = door.get("/openapi.json").json()
    in_contract = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    registered = {(method, path) for path, route in walk(door.rest.routes) for method in route.methods - {"HEAD"}}
    assert in_contract == registered


def test_every_operation_is_whole() -> None:
    document = contract(ROUTES)
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert operation["summary"]
        assert operation["tags"]
        assert {str(status) for status in ERRORS} < set(operation["responses"])
        assert operation["security"] == ([] if operation["x-role"] == OPEN else [{"key": []}, {}])
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = [parameter["name"] for parameter in operation.get("parameters", [])]
            assert named == re.findall(r"\{(\w+)\}", path)


def test_every_reference_leads_somewhere() -> None:
    text = str(contract(ROUTES))
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", text):
        assert kind in {"schemas", "responses"}
        assert kind == "responses" or name in SCHEMAS
    used = {row.answer for row in ROUTES} | {row.body for row in ROUTES}
    assert used - {""} <= set(SCHEMAS) | {"Text", "Page", "Redirect"}


def test_every_schema_is_valid() -> None:
    for schema in SCHEMAS.values():
        jsonschema_rs.meta.validate(schema)


def test_examples_fit_their_schemas_and_work(door: Served) -> None:
    told = door.get("/openapi.json").json()
    for path in ("/v2/models/{model}/infer", "/v1/models/{model}:predict"):
        content = told["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert set(content["examples"]) == {"linear", "mixed", "reciprocal"}
        for model, example in content["examples"].items():
            jsonschema_rs.validate(SCHEMAS[name], example["value"])
            answer = door.post(path.format(model=model), json=example["value"])
            if model != "reciprocal":  # of zero, which JSON cannot hold
                assert answer.status_code == 200, answer.text
                success = told["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
                jsonschema_rs.validate(SCHEMAS[success["$ref"].rpartition("/")[2]], answer.json())


def test_answers_fit_their_schemas(door: Served) -> None:
    for path, rows in by_path(ROUTES).items():
        row = rows.get("GET")
        if row is None or row.answer not in SCHEMAS:
            continue
        answer = door.get(path.format(model="linear", version="1", region="r"))
        schema = SCHEMAS[row.answer] if answer.status_code == 200 else SCHEMAS["Error"]
        jsonschema_rs.validate(schema, answer.json())


def test_the_page_runs_its_own_script_and_no_other(door: Served) -> None:
    answer = door.get("/docs", headers={"Accept": "text/html"})
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        (inline,) = re.findall(f"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() in policy
    assert not re.search(r"https?://", answer.text)
    assert not re.search(r"\son\w+=|innerHTML|eval\(|style=", answer.text)
    for path in re.findall(r'call\("(/[^"]*?)/?"', answer.text):
        assert door.get(path + ("/linear" if path.endswith("models") else "")).status_code == 200


def test_a_browser_without_a_key_gets_the_page_that_asks_for_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with served(home, {}, require_key=True) as locked:
        for path in ("/docs", "/"):
            answer = locked.get(path, headers={"Accept": "text/html,*/*"})
            assert answer.status_code == 401
            assert "asks for a key" in answer.text
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert locked.get(path).json()["code"] == "unauthenticated"
