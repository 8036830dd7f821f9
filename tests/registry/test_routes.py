"""The registry over HTTP: a real door, asked as its users ask."""

from __future__ import annotations

import asyncio
import inspect
import io
import tarfile

import pytest

import servable
from servable.bundles.archive import archive
from servable.client.registered import AsyncRegistered, Registered
from servable.domain.endpoint import Role
from servable.domain.ref import Ref
from servable.domain.verdict import Verdict
from servable.errors import Conflict, NotFound, UsageError
from servable.registry.registry import Registry
from servable.registry.routes import routes
from servable.server.access.keys import Keys
from servable.server.http.guard import caller_of
from servable.server.http.parts import Offer
from tests.packed import bundle_at, digest_of
from tests.server.rest_served import served


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def opened(home, tmp_path_factory):
    keys = Keys(home)
    secrets = {role: keys.create(role, [role])[0] for role in ("viewer", "invoker", "deployer")}
    secrets["other"] = keys.create("other", ["deployer"], models=["fraud*"])[0]
    registry = Registry(home, who="ada")
    for factor in (1, 2):
        registry.register(bundle_at(tmp_path_factory.mktemp("b") / "b", factor=factor))
    offers = [Offer(*pair) for pair in routes(lambda: registry, caller_of)]
    with served(home, {}, offers=offers, require_key=True) as open_door:
        yield open_door, secrets


@pytest.fixture(scope="module")
def door(opened):
    open_door, secrets = opened

    def ask(method: str, path: str, role: Role | str = "deployer", **more):
        headers = {"authorization": f"Bearer {secrets[role]}", "content-type": "application/json"}
        return open_door.http.request(method, f"{open_door.url}/admin/models{path}", headers=headers, **more)

    return ask


def test_what_is_registered_is_told(door):
    (model,) = door("GET", "", "viewer").json()
    assert (model["name"], [version["version"] for version in model["versions"]]) == ("scaler", ["1", "2"])
    assert door("GET", "/scaler").json() == model
    assert door("GET", "/scaler/versions/2").json()["by"] == "ada"
    assert door("GET", "/scaler/versions/9").status_code == 404
    assert door("GET", "/nobody").json()["code"] == "not_found"


def test_aliases_and_tags_are_changed_in_the_callers_name(door, home):
    assert door("PUT", "/scaler/aliases/best", json={"version": 1}).json()["aliases"] == ["best"]
    assert door("GET", "/scaler/versions/best").json()["version"] == "1"
    assert door("PUT", "/scaler/versions/1/tags", json={"stage": "trial", "team": "risk"}).status_code == 200
    assert door("PUT", "/scaler/versions/1/tags", json={"team": None}).json()["tags"] == {"stage": "trial"}
    assert door("DELETE", "/scaler/aliases/best").json() == {}
    told = door("GET", "/scaler/history", "viewer").json()
    assert [(event["what"], event["who"]) for event in told][2:] == [
        ("aliased", "deployer"), ("tagged", "deployer"), ("tagged", "deployer"), ("unaliased", "deployer"),
    ]  # fmt: skip


def test_the_gate_holds_over_http_too(door, home):
    said = Verdict("accuracy", passed=False, reason="0.6 is less than 0.9", numbers={"accuracy": 0.6})
    Registry(home).record_verdicts(Ref.parse("scaler:2"), [said])
    refused = door("PUT", "/scaler/aliases/champion", json={"version": "2"})
    assert (refused.status_code, refused.json()["code"]) == (422, "check_failed")
    (judgement,) = door("GET", "/scaler/versions/2/verdicts", "viewer").json()
    assert judgement["verdicts"][0]["numbers"] == {"accuracy": 0.6}
    forced = door("PUT", "/scaler/aliases/champion", json={"version": "2", "override": "ticket 41"})
    assert forced.json()["aliases"] == ["champion"]


def test_a_bundle_is_sent_as_one_piece(door, tmp_path):
    folder = bundle_at(tmp_path / "b", "sent", factor=5)
    made = door("POST", "/sent/versions", content=archive(folder))
    assert (made.status_code, made.json()["digest"]) == (201, digest_of(folder))
    other = door("POST", "/scaler/versions", content=archive(folder))
    assert (other.status_code, other.json()["error"]) == (
        400, "the bundle is of 'sent': send it to /admin/models/sent/versions",
    )  # fmt: skip


def _tar(**entries: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry in entries.values():
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return out.getvalue()


def _entry(name: str, **facts) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no tar archive"),
        (_tar(a=_entry("m", size=1)), "holds no manifest.toml"),
        (b"not a tar at all" * 100, "no tar archive"),
        (_tar(a=_entry("../manifest.toml", size=1)), "expected a plain path"),
        (_tar(a=_entry("/etc/cron.d/x", size=1)), "expected a plain path"),
        (_tar(a=_entry("a/../../x", size=1)), "expected a plain path"),
        (_tar(a=_entry("model", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "no plain file"),
        (_tar(a=_entry("model", type=tarfile.LNKTYPE, linkname="../x")), "no plain file"),
        (_tar(a=_entry("model", type=tarfile.FIFOTYPE)), "no plain file"),
        (_tar(a=_entry("m", size=1), b=_entry("m", size=2)), "twice"),
        (_tar(a=_entry("m", size=100_000))[:5000], "the archive"),
        (_tar(a=_entry("manifest.toml", size=1)), "not valid TOML"),
    ],
)
def test_archives_that_mean_harm_are_refused_and_leave_nothing(door, home, body, said):
    before = sorted(path.name for path in (home / "bundles").iterdir())
    refused = door("POST", "/scaler/versions", content=body)
    assert refused.status_code == 422
    assert said in refused.json()["error"]
    assert sorted(path.name for path in (home / "bundles").iterdir()) == before


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "PUT", "/scaler/aliases/x", 403),
        ("invoker", "DELETE", "/scaler/versions/1", 403),
        ("other", "DELETE", "/scaler/versions/1", 403),
        ("other", "GET", "/scaler", 403),
        ("other", "GET", "", 200),
    ],
)
def test_who_may_not_does_not(door, role, method, path, status):
    answer = door(method, path, role, json={"version": "1"} if method == "PUT" else None)
    assert answer.status_code == status
    assert "scaler" not in answer.text or status == 403


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"version": []}', b'{"version": "1", "override": 7}'])
def test_bodies_that_make_no_sense_are_told(door, body):
    assert door("PUT", "/scaler/aliases/x", content=body).json()["code"] == "invalid_input"


def test_a_version_is_taken_out(door, home, tmp_path):
    Registry(home).register(bundle_at(tmp_path / "b", "gone"))
    assert door("DELETE", "/gone/versions/1").json() == [{"name": "gone", "version": "1"}]
    assert door("GET", "/gone").status_code == 404
    assert door("GET", "/gone/history").json()[-1]["what"] == "deleted"


def test_both_clients_hold_the_same_acts():
    acts = {name for name in vars(Registered) if not name.startswith("_")}
    assert acts == {name for name in vars(AsyncRegistered) if not name.startswith("_")}
    assert Registered.promote.__doc__ == AsyncRegistered.promote.__doc__


@pytest.mark.parametrize("kind", [servable.Client, servable.AsyncClient])
def test_the_clients_registry_does_the_same(kind, opened, tmp_path):
    door, secrets = opened
    name = f"afar-{kind.__name__.lower()}"
    folder = bundle_at(tmp_path / "b", name, factor=7)

    async def done(result):
        return await result if inspect.isawaitable(result) else result

    async def through(client):
        registry = client.registry
        assert (await done(registry.register(folder, name)))["digest"] == digest_of(folder)
        assert (await done(registry.register(folder, name)))["version"] == "1"
        assert (await done(registry.promote(f"{name}:1", "best")))["aliases"] == ["best"]
        assert (await done(registry.promote(f"{name}@best")))["aliases"] == ["best", "champion"]
        assert (await done(registry.tag(f"{name}@best", {"a": "b", "c": "d"})))["tags"] == {"a": "b", "c": "d"}
        assert (await done(registry.tag(f"{name}:1", {"a": None})))["tags"] == {"c": "d"}
        await done(registry.unalias(name, "best"))
        assert (await done(registry.model(name)))["aliases"] == {"champion": "1"}
        assert name in {model["name"] for model in await done(registry.models())}
        assert await done(registry.verdicts(f"{name}:1")) == []
        with pytest.raises(Conflict, match="point the alias elsewhere"):
            await done(registry.delete(f"{name}:1"))
        await done(registry.unalias(name, "champion"))
        await done(registry.delete(f"{name}:1"))
        assert (await done(registry.history(name)))[-1]["what"] == "deleted"
        with pytest.raises(UsageError, match="names no version"):
            await done(registry.version(name))
        with pytest.raises(NotFound):
            await done(registry.version(f"{name}:1"))
        await done(client.close())

    asyncio.run(through(kind(door.url, key=secrets["deployer"])))
