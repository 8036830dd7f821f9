from __future__ import annotations

import pytest

from servable.registry.news import News
from servable.registry.registry import Registry
from tests.packed import bundle_at


@pytest.fixture
def registry(tmp_path) -> Registry:
    registry = Registry(tmp_path / "home")
    for factor in (1, 2):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    return registry


def test_what_changes_between_the_start_and_the_first_look_is_news(registry):
    news = News(registry)
    registry.promote("scaler:1")
    assert news.names() == {"scaler"}
    assert news.names() == set()


def test_what_stood_at_the_start_is_none_but_what_is_being_released(registry, tmp_path):
    registry.promote("scaler:1")
    assert News(registry).names() == set()
    registry.note("scaler", "release", {"route": {"live": "1"}})
    assert News(registry).names() == {"scaler"}
    registry.register(bundle_at(tmp_path / "b3", factor=3))
    assert News(Registry(tmp_path / "nowhere")).names() == set()
