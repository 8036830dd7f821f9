"""An export takes updates on its page: swapped while it is open, kept without a network, whole if interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from servable.edge.devices import browsing
from tests.edge.updating import Publisher

pytestmark = pytest.mark.timeout(300)
ANSWERED = """() => model.predict([{ age: 40, income: 2500, city: "north", kind: "a" }]).then(
  (answer) => answer.model_version, (error) => error.message)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as (browser, _):
        yield browser


def opened(context: Any, publisher: Publisher, state: str) -> Any:
    """The page of version 1, once its first look for updates ended so."""
    page = context.new_page()
    page.goto(f"{publisher.url}web1/")
    page.wait_for_selector(f"body[data-ready=true][data-update={state}]")
    return page


def test_an_update_is_swapped_in_and_stays(publisher: Publisher, browser: Any) -> None:
    publisher.export("1")
    context = browser.new_context()
    page = opened(context, publisher, "unreachable")
    assert "cannot be read: the server answered 404" in page.inner_text("#life")
    publisher.publish(publisher.export("2"))
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=installed]")
    assert page.inner_text("#name") == "loan 2"
    assert page.inner_text("#life") == "updated to version 2"
    assert page.evaluate(ANSWERED) == "2"
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload()
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    context.set_offline(True)
    page.reload()
    page.wait_for_selector("body[data-ready=true][data-update=unreachable]")
    assert page.inner_text("#name") == "loan 2"
    assert page.evaluate(ANSWERED) == "2"
    context.set_offline(False)
    publisher.publish(withdrawn={"2": "wrong for the young"})
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=withdrawn]")
    withdrawn = "version 2 of 'loan' was withdrawn: wrong for the young"
    assert page.inner_text("#life") == page.evaluate(ANSWERED) == withdrawn
    context.close()


@pytest.mark.faults
def test_what_is_forged_or_damaged_on_its_way_is_not_taken(publisher: Publisher, browser: Any) -> None:
    publisher.export("1")
    context = browser.new_context(service_workers="block")  # else the request is the worker's
    page = opened(context, publisher, "unreachable")
    update = publisher.publish(publisher.export("2"))
    manifest = publisher.updates / "update.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b'\\"version\\":\\"2\\"', b'\\"version\\":\\"3\\"'))
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=forged]")
    assert "signed by no key that this export trusts" in page.inner_text("#life")
    manifest.write_bytes(good)
    model = publisher.updates / "files" / update.files["model.onnx"].sha256
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=damaged]")
    assert "its model.onnx was cut off or changed on its way" in page.inner_text("#life")
    assert page.evaluate(ANSWERED) == "1"
    model.write_bytes(whole)
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=installed]")
    assert page.evaluate(ANSWERED) == "2"
    context.close()


@pytest.mark.faults
def test_a_page_that_is_closed_in_the_middle_of_an_update_goes_on_as_it_was(publisher: Publisher, browser: Any) -> None:
    publisher.export("1")
    context = browser.new_context(service_workers="block")  # else the request is the worker's
    page = opened(context, publisher, "unreachable")
    update = publisher.publish(publisher.export("2"))
    model = update.files["model.onnx"].sha256
    context.route(f"**/files/{model}", lambda _: None)  # it never comes
    with page.expect_request(f"**/files/{model}"):
        page.evaluate("void model.update()")
    page.close()
    context.unroute(f"**/files/{model}")
    shutil.move(publisher.updates, publisher.root / "away")
    page = opened(context, publisher, "unreachable")
    assert page.evaluate(ANSWERED) == "1"
    shutil.move(publisher.root / "away", publisher.updates)
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=installed]")
    assert page.evaluate(ANSWERED) == "2"
    context.close()


@pytest.mark.faults
def test_a_device_without_room_says_so_and_goes_on_as_it_was(publisher: Publisher, browser: Any) -> None:
    publisher.export("1")
    context = browser.new_context()
    page = opened(context, publisher, "unreachable")
    session = context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": publisher.url.rstrip("/"), "quotaSize": 1})
    publisher.publish(publisher.export("2"))
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=no-room]")
    assert "there is no room for it on this device" in page.inner_text("#life")
    assert page.evaluate(ANSWERED) == "1"
    session.send("Storage.overrideQuotaForOrigin", {"origin": publisher.url.rstrip("/")})
    page.evaluate("model.update()")
    page.wait_for_selector("body[data-update=installed]")
    context.close()


@pytest.mark.faults
def test_a_browser_that_knows_no_such_signatures_says_so(publisher: Publisher, browser: Any) -> None:
    publisher.publish(publisher.export("2"))
    context = browser.new_context()
    context.add_init_script(
        "crypto.subtle.importKey = () => Promise.reject(new DOMException('unrecognized name', 'NotSupportedError'));"
    )
    page = opened(context, publisher, "unverifiable")
    assert "Ed25519 is not known" in page.inner_text("#life")
    assert page.evaluate(ANSWERED) == "1"
    context.close()
