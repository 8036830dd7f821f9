import pytest

from servable.domain.ref import Ref
from servable.domain.route import Route
from servable.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ref"), [("a", Ref("a")), ("a-b.c:12", Ref("a-b.c", "12")), ("a@champion", Ref("a", None, "champion"))]
)
def test_the_three_forms(text: str, ref: Ref) -> None:
    assert Ref.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text", ["", "../etc", "a/b", "a:", "@x", "a:1:2", "a@b@c", "-a", ".a", "a b", "a\0", "ä", "a" * 129, "%2e%2e"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="does not name a model"):
        Ref.parse(text)


def test_a_route_is_sticky_and_keeps_its_share() -> None:
    route = Route(live="1", canary="2", canary_share=0.1)
    first = [route.choose(f"user-{n}") for n in range(20_000)]
    assert first == [route.choose(f"user-{n}") for n in range(20_000)]
    assert 0.09 < first.count("2") / len(first) < 0.11
    wider = Route(live="1", canary="2", canary_share=0.2)
    assert all(wider.choose(f"user-{n}") == "2" for n, version in enumerate(first) if version == "2")
