"""The contract against a live server: whatever a tool makes of it, no route fails, and every answer is as promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from servable.server.http.routes import ROUTES
from tests.e2e.serving import Serving
from tests.server.declared import linear, mixed

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]
SERVED = ("linear", "mixed")
CASES = 16
"""Of each operation: of which half speak of a model that is there."""
NOT_OFFERED = 501


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    with Serving(folder, linear(folder), mixed(folder), workers=1) as serving:
        serving.ready()
        serving.all_ready(1)
        yield f"http://{serving.host}:{serving.port}"


def test_no_case_made_from_the_contract_breaks_the_server(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= len(ROUTES) - 1  # the contract does not count itself
    for operation in operations:
        assert _statuses(operation), operation.label


def _statuses(operation: Any) -> set[int]:
    """What the server answered to cases of one operation, none of them a failure, each as the contract has it."""
    statuses: set[int] = set()

    @settings(
        max_examples=CASES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(), model=st.sampled_from(SERVED), there=st.booleans())
    def call(case: Any, model: str, there: bool) -> None:
        if operation.path.endswith("/unload"):
            case.path_parameters["model"] = "nobody"  # the others need the models
        elif there and "model" in case.path_parameters:
            case.path_parameters["model"] = model
            if "version" in case.path_parameters:
                case.path_parameters["version"] = "1"
        response = case.call(allow_redirects=False)
        statuses.add(response.status_code)
        told = f"{operation.label}: {response.status_code} {response.text[:500]}"
        assert response.status_code < 500 or response.status_code == NOT_OFFERED, told
        case.validate_response(response, checks=CHECKS)

    call()
    return statuses


def test_the_server_still_answers_as_it_did(url: str) -> None:
    answer = httpx.post(f"{url}/v1/models/linear:predict", json={"instances": [[1, 2, 3]]})
    assert answer.json()["predictions"] == [[6.0]]
    assert httpx.get(f"{url}/v2/health/ready").status_code == 200
