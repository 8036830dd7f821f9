"""Releases over HTTP: a real door, asked as its users ask."""

from __future__ import annotations

import pytest

from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.registry.registry import Registry
from servable.release.acts import Acts
from servable.release.routes import routes
from servable.server.access.keys import Keys
from servable.server.http.guard import caller_of
from servable.server.http.parts import Offer
from tests.packed import bandit_at, bundle_at
from tests.server.rest_served import served


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    keys = Keys(home)
    secrets = {role: keys.create(role, [role])[0] for role in ("viewer", "deployer")}
    secrets["other"] = keys.create("other", ["deployer"], models=["fraud*"])[0]
    registry = Registry(home, who="ada")
    for factor in (1, 2, 3):
        registry.register(bundle_at(tmp_path_factory.mktemp("b") / "b", factor=factor))
    registry.promote(Ref("scaler", "1"))
    registry.register(bandit_at(tmp_path_factory.mktemp("c") / "c", ["1", "2"], {"x": "FP32 [-1, 2]"}))
    registry.record_verdicts(Ref("scaler", "3"), [Verdict("accuracy", passed=False, reason="0.6 is less than 0.9")])
    followed = []

    async def follow(name: str) -> None:
        followed.append(name)

    async def reports() -> list[dict[str, object]]:
        shadow = {"compared": 4, "rows": 8, "agreed": 6, "failed": 0, "rescued": 0, "dropped": 1, "largest": 0.5}
        counts = {"assigned": {"1": 9, "2": 1}, "fallbacks": {}, "shadows": {"3": shadow}}
        return [{"routes": {"scaler": counts}}, {"routes": {"scaler": counts}}, {}]

    pairs = routes(lambda who: Acts(registry.acting(who)), lambda request: caller_of(request).name, follow, reports)
    with served(home, {}, offers=[Offer(*pair) for pair in pairs], require_key=True) as open_door:

        def ask(method: str, path: str, body: object = None, role: str = "deployer"):
            headers = {"authorization": f"Bearer {secrets[role]}", "content-type": "application/json"}
            url = f"{open_door.url}/admin/release/scaler{path}"
            return open_door.http.request(method, url, headers=headers, **({} if body is None else {"json": body}))

        ask.followed = followed
        yield ask


def test_a_release_step_by_step(door):
    told = door("POST", "/canary", {"version": 2, "share": 0.1, "terms": {"least_s": 5}}).json()
    assert (told["live"], told["canary"], told["terms"]["least_s"]) == ("1", "2", 5)
    assert door("GET", "", role="viewer").json() == told
    assert door("POST", "/promote").json()["live"] == "2"
    assert door("POST", "/rollback", {"reason": "odd"}).json()["live"] == "1"
    assert door("POST", "/shadow", {"version": "2"}).json()["shadows"] == ["2"]
    assert door("POST", "/shadow", {"version": "2", "remove": True}).json()["shadows"] == []
    assert door("POST", "/fallback", {"to": "scaler:2"}).json()["fallback"] == "scaler:2"
    assert door("POST", "/fallback", {}).json()["fallback"] is None
    assert door.followed == ["scaler"] * 7


def test_a_bandit_chooses_among_versions(door):
    told = door("POST", "/bandit", {"by": "choice"}).json()
    assert (told["live"], told["bandit"], told["arms"]) == ("1", "choice", ["1", "2"])
    assert door("POST", "/rollback").json()["bandit"] is None
    assert door("POST", "/bandit", {"by": "scaler"}).status_code == 400


def test_what_a_route_did_is_told_over_all_doors(door):
    seen = door("GET", "", role="viewer").json()["seen"]
    assert seen["assigned"] == {"1": 18, "2": 2}
    shadow = seen["shadows"]["3"]
    assert (shadow["rows"], shadow["agreed"], shadow["largest"], shadow["evidence"]) == (16, 12, 0.5, 1.0)
    assert [round(end, 2) for end in shadow["agreement"]] == [0.75, 0.39, 0.96]


def test_the_gate_holds_here_too(door):
    refused = door("POST", "/canary", {"version": "3"})
    assert (refused.status_code, refused.json()["code"]) == (422, "check_failed")
    assert door("POST", "/promote", {"version": "3"}).status_code == 422
    assert door("POST", "/promote", {"version": "3", "override": "known"}).json()["live"] == "3"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/canary", {"version": "2", "share": "much"}, 400, "share"),
        ("/canary", {"version": "2", "chare": 0.1}, 400, "chare"),
        ("/canary", {"version": "2", "terms": {"error_margin": 7}}, 400, "error_margin"),
        ("/canary", {"version": "2", "share": 2}, 400, "less than all"),
        ("/canary", {"version": "nine"}, 404, "no alias 'nine'"),
        ("/shadow", {"version": "9"}, 404, "no version '9'"),
        ("/fallback", {"to": "nobody"}, 404, "nobody"),
    ],
)
def test_what_cannot_be_is_told(door, path, body, status, said):
    refused = door("POST", path, body)
    assert refused.status_code == status
    assert said in refused.json()["error"]


def test_only_deployers_of_the_model_may(door):
    assert door("POST", "/canary", {"version": "2"}, "viewer").status_code == 403
    assert door("POST", "/canary", {"version": "2"}, "other").status_code == 403
