"""What was answered on devices comes home: sampled, without the columns that must stay, each once, after any outage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servable.bundles.load import Predictor
from servable.edge.devices import browsing
from servable.edge.export import export
from servable.edge.life import life_of
from servable.errors import UsageError
from servable.monitoring.device_records import DeviceRecords
from servable.monitoring.outcomes import Outcomes
from tests.e2e.serving import Serving
from tests.edge.updating import Publisher, in_node

pytestmark = pytest.mark.timeout(300)
ASKED = """(async () => {
  const { id } = await model.predict([row]);
  await model.predict([{ ...row, age: 17 }]).catch(() => {});
  await model.outcome(id, 412.5);
  while ((await model.queue.waiting.count()) < 3) await new Promise((again) => setTimeout(again, 5));
  return [id, await model.queue.send(), model.queue.dropped, model.queue.refused];
})()"""
"""An answer, a refusal and an outcome; how many of them wait after an attempt to send them."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(world: Publisher, packed: Path, home: Path) -> Iterator[Serving]:
    with Serving(home, packed, workers=1, allowed_origins=world.url.rstrip("/")) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def web(world: Publisher, server: Serving) -> Path:
    life = life_of(server=f"http://127.0.0.1:{server.port}", share=1, columns=["age", "kind"])
    export(world.predictor, "1", world.root / "web", proof=False, life=life)
    return world.root / "web"


def stored(home: Path, place: int = 0) -> list[tuple[int, object]]:
    return list(DeviceRecords.at("", home / "home", days=90).after("loan", place, 100))


def test_records_and_outcomes_come_home_after_an_outage(web: Path, home: Path, tmp_path: Path) -> None:
    before = max([0, *(place for place, _ in stored(home))])
    away = tmp_path / "web"
    shutil.copytree(web, away)
    settings = away / "settings.js"
    settings.write_text(settings.read_text().replace('"server":"http://127.0.0.1:', '"server":"http://127.0.0.2:'))
    id, waits, dropped, refused = in_node(away, tmp_path / "keep", ASKED)
    assert (waits, dropped, refused) == (3, 0, 0)
    assert stored(home, before) == []
    assert in_node(web, tmp_path / "keep", "model.queue.send()") == 0
    answered, refusal = (record for _, record in stored(home, before))
    assert (answered.id, answered.version, answered.error) == (id, "1", "")
    assert answered.inputs == [{"age": 40, "kind": "a"}]  # and neither income nor city
    assert "prediction" in answered.outputs[0]
    assert (refusal.inputs, refusal.outputs, refusal.error) == ([{"age": 17, "kind": "a"}], None, "refused")
    (told,) = Outcomes.at("", home / "home", 90).outcomes_of("loan", [id])
    assert told.outcome.outcome == 412.5


def test_calls_by_tensors_are_recorded_as_those_by_rows(web: Path, home: Path, tmp_path: Path) -> None:
    before = max([0, *(place for place, _ in stored(home))])
    script = """(async () => {
      const tensor = (name, datatype, data) => ({ name, datatype, shape: [2, 1], data });
      const inputs = [tensor("age", "INT64", [40, 50]), tensor("income", "FP32", [2500.5, null]),
        tensor("city", "BYTES", ["north", "south"]), tensor("kind", "BYTES", [["a"], ["b"]])];
      const { id, outputs } = await model.infer(inputs);
      const young = [tensor("age", "INT64", BigInt64Array.of(17n, 20n)), ...inputs.slice(1)];
      const code = await model.infer(young).catch((error) => error.code);
      while ((await model.queue.waiting.count()) < 2) await new Promise((again) => setTimeout(again, 5));
      return [id, outputs.find(({ name }) => name === "prediction").data, code, await model.queue.send()];
    })()"""
    id, predictions, code, waits = in_node(web, tmp_path / "keep", script)
    assert (code, waits) == ("refused", 0)
    answered, refusal = (record for _, record in stored(home, before))
    assert (answered.id, answered.share, answered.inputs) == (
        id,
        1,
        [{"age": 40, "kind": "a"}, {"age": 50, "kind": "b"}],
    )
    assert [row["prediction"] for row in answered.outputs] == predictions
    assert (refusal.error, refusal.outputs, [row["age"] for row in refusal.inputs]) == ("refused", None, [17, 20])


def test_what_is_sent_twice_is_there_once_and_nonsense_is_refused(server: Serving, home: Path) -> None:
    before = max([0, *(place for place, _ in stored(home))])
    record = {"id": "twice", "version": "1", "time": 1.8e9, "inputs": [{"age": 40}], "outputs": None}
    path = "/v2/models/loan/records"
    first = {"model_name": "loan", "accepted": 2, "new": 1}
    assert server.ask("POST", path, {"records": [record, record]}) == (202, first)
    assert server.ask("POST", path, {"records": [record]})[1]["new"] == 0
    assert len(stored(home, before)) == 1
    for wrong in ([], [{}], [record | {"id": ""}], [record | {"strange": 1}], [record | {"share": 0}]):
        status, told = server.ask("POST", path, {"records": wrong})
        assert (status, told["code"]) == (400, "invalid_input"), told
    assert server.ask("POST", "/v2/models/nobody/records", {"records": [record]})[0] == 404


def test_what_waits_is_bounded(web: Path, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    shutil.copytree(web, folder)
    settings = folder / "settings.js"
    text = settings.read_text().replace('"server":"http://127.0.0.1:', '"server":"http://127.0.0.2:')
    settings.write_text(text.replace('"most":1000', '"most":3'))
    script = """(async () => {
      await model.outcome("first", 1);
      for (let asked = 0; asked < 5; asked++) await model.queue.keep(`${asked}`, "1", [row], null);
      return [(await model.queue.waiting.first(9)).map(({ entry }) => entry.id), model.queue.dropped];
    })()"""
    assert in_node(folder, tmp_path / "keep", script) == [["first", "3", "4"], 3]  # outcomes stay


def test_a_page_keeps_them_without_a_network_and_sends_them_later(web: Path, world: Publisher, home: Path) -> None:
    before = max([0, *(place for place, _ in stored(home))])
    with browsing() as (browser, _):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{world.url}{web.name}/")
        page.wait_for_selector("body[data-ready=true]")
        assert "of what you type it holds: age, kind" in page.inner_text("#state")
        context.set_offline(True)
        script = ASKED.replace("row", '{ age: 40, income: 2500, city: "north", kind: "a" }')
        id, waits, dropped, refused = page.evaluate(script)
        assert (waits, dropped, refused) == (3, 0, 0)
        page.close()
        context.set_offline(False)
        page = context.new_page()
        page.goto(f"{world.url}{web.name}/")
        page.wait_for_selector("body[data-ready=true]")
        assert page.evaluate("model.queue.send()") == 0
    assert [record.id == id for _, record in stored(home, before)] == [True, False]


@pytest.mark.faults
def test_a_page_without_a_network_for_more_than_a_week(web: Path, world: Publisher, home: Path) -> None:
    """It says that it stops, and nothing is lost."""
    before = max([0, *(place for place, _ in stored(home))])
    folder = world.root / "week"
    shutil.copytree(web, folder)
    settings = folder / "settings.js"
    settings.write_text(settings.read_text().replace('"grace_s":null', '"grace_s":604800'))
    with browsing() as (browser, _):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{world.url}week/")
        page.wait_for_selector("body[data-ready=true]")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        context.set_offline(True)
        ask = """model.predict([{ age: 40, income: 2500, city: "north", kind: "a" }])"""
        assert page.evaluate(f"{ask}.then(() => model.queue.send())") == 1
        page.close()
        page = context.new_page()
        page.clock.install(time=time.time() + 8 * 86_400)
        page.goto(f"{world.url}week/")  # the service worker has it
        page.wait_for_selector("body[data-ready=true]")
        assert "may answer for 7 days without news from its publisher, and had none for 8 days" in page.inner_text(
            "#life"
        )
        told = page.evaluate(f"{ask}.catch((error) => [error.code, error.message])")
        assert told[0] == "unavailable"
        assert page.evaluate("model.queue.waiting.count()") == 1
        context.set_offline(False)
        assert page.evaluate("model.queue.send()") == 0
    assert len(stored(home, before)) == 1


@pytest.mark.faults
def test_a_page_without_room_says_so_and_loses_nothing_that_it_promised(
    web: Path, publisher: Publisher, home: Path
) -> None:
    before = max([0, *(place for place, _ in stored(home))])
    row = '{ age: 40, income: 2500, city: "north", kind: "a" }'
    ask = f"model.predict([{row}]).then(({{ id }}) => id)"
    told = "(id) => model.outcome(id, 1).then(() => 'kept', (error) => [error.code, error.message])"
    origin = publisher.url.rstrip("/")
    with browsing() as (browser, _):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{publisher.url}{web.name}/")
        page.wait_for_selector("body[data-ready=true]")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        context.set_offline(True)
        first, second = page.evaluate(ask), page.evaluate(ask)
        assert page.evaluate(told, first) == "kept"
        until = "(async () => {{ while (!(await ({}))) await new Promise((again) => setTimeout(again, 1000)); }})()"
        page.evaluate(until.format("model.queue.waiting.count().then((count) => count === 3)"))
        session = context.new_cdp_session(page)
        session.send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 1})
        # The browser asks for the quota now and then; until it does, there is room.
        page.evaluate(until.format(f"{ask}.then(() => model.queue.full !== null)"))
        lost = page.evaluate(ask)  # it is answered all the same
        page.evaluate(until.format("model.queue.dropped > 1"))
        waits = page.evaluate("model.queue.waiting.count()")
        assert page.inner_text("#life") == "there is no room on this device for more of what goes home"
        code, message = page.evaluate(told, second)
        assert code == "unavailable"
        assert f"the outcome of '{second}' is not kept; tell it again" in message
        assert page.evaluate("model.queue.waiting.count()") == waits >= 3  # nothing was let go of for nothing
        context.set_offline(False)
        assert page.evaluate(told, second) == "kept"  # with the server
        session.send("Storage.overrideQuotaForOrigin", {"origin": origin})
        assert page.evaluate("model.queue.send()") == 0
        assert page.evaluate(told, first) == "kept"
        assert page.evaluate("model.queue.full") is None
        page.evaluate("model.queue.send()")
    came = [record.id for _, record in stored(home, before)]
    assert (came[:2], lost in came, len(came)) == ([first, second], False, waits - 1)
    outcomes = Outcomes.at("", home / "home", 90).outcomes_of("loan", [first, second, lost])
    assert sorted({each.outcome.id for each in outcomes}) == sorted([first, second])


def test_the_oldest_answers_make_room_and_outcomes_do_not(web: Path, tmp_path: Path) -> None:
    """On a disk that is full: an answer goes for what is newer."""
    script = """(async () => {
      const { queue } = model;
      const add = queue.waiting.add.bind(queue.waiting);
      let room = 4;
      queue.waiting.add = async (entry) => {
        if ((await queue.waiting.count()) >= room) throw Object.assign(new Error("full"), { code: "ENOSPC" });
        return add(entry);
      };
      queue.failures = 1; // nothing is sent meanwhile
      await queue.tell("told", 1);
      for (let asked = 0; asked < 5; asked++) await queue.keep(`${asked}`, "1", [row], null);
      const waiting = async () => (await queue.waiting.first(9)).map(({ entry }) => entry.id);
      const kept = [await waiting(), queue.dropped, queue.full];
      room = 1;
      await queue.waiting.remove((await queue.waiting.first(9)).slice(1).map(({ key }) => key));
      const refused = await queue.keep("late", "1", [row], null).catch((error) => error.code);
      return [...kept, refused, await waiting(), queue.full];
    })()"""
    kept, dropped, full, refused, left, told = in_node(web, tmp_path / "keep", script)
    assert (kept, dropped, full) == (["told", "2", "3", "4"], 2, None)
    assert (refused, left) == ("ENOSPC", ["told"])
    assert told == "there is no room on this device for more of what goes home"


def test_only_columns_of_the_model_may_be_named(predictor: Predictor, tmp_path: Path) -> None:
    life = life_of(server="https://example.com", share=0.1, columns=["age", "name"])
    with pytest.raises(UsageError, match="records cannot hold 'name': the columns are age, income, city, kind"):
        export(predictor, "1", tmp_path / "web", proof=False, life=life)
    with pytest.raises(UsageError, match="add --server URL"):
        life_of(share=0.1)
    with pytest.raises(UsageError, match="expected a share"):
        life_of(server="https://example.com", share=2)
