import numpy as np

from servable.domain.batch import Batch
from servable.engine.queue import Queue
from servable.engine.request import Request
from servable.engine.stats import Stats


def request(
    name: str, rows: int = 1, priority: int = 0, width: int = 2, deadline: float = 1e9, **parameters: float
) -> Request:
    batch = Batch({"x": np.zeros((rows, width), np.float32)}, parameters=parameters or None)
    return Request(name, batch, lambda _: None, deadline, priority)


def filled(*requests: Request) -> Queue:
    queue = Queue(Stats())
    for each in requests:
        queue.put(each)
    return queue


def names(requests: list[Request]) -> list[str]:
    return [each.id for each in requests]


def test_first_come_first_served_up_to_the_cap() -> None:
    queue = filled(request("a", 2), request("b", 2), request("c", 2), request("d", 1))
    assert names(queue.take(4, uniform=True)) == ["a", "b"]
    assert (queue.requests, queue.rows) == (2, 3)
    assert names(queue.take(4, uniform=True)) == ["c", "d"]
    assert (queue.requests, queue.rows) == (0, 0)
    assert queue.take(4, uniform=True) == []


def test_a_request_larger_than_the_cap_goes_alone() -> None:
    queue = filled(request("big", 100), request("a"))
    assert names(queue.take(8, uniform=True)) == ["big"]
    assert names(queue.take(8, uniform=True)) == ["a"]


def test_urgent_requests_go_first() -> None:
    queue = filled(
        request("ordinary"), request("third", priority=3), request("first", priority=1), request("also", priority=1)
    )
    assert names(queue.take(10, uniform=True)) == ["first", "also", "third", "ordinary"]


def test_shapes_and_parameters_are_never_mixed_and_places_are_kept() -> None:
    queue = filled(request("a", width=2), request("b", width=3), request("c", width=2), request("d", width=3))
    assert names(queue.take(10, uniform=False)) == ["a", "c"]
    assert names(queue.take(10, uniform=False)) == ["b", "d"]
    queue = filled(request("a"), request("warm", temperature=0.5), request("b"), request("too", temperature=0.5))
    assert names(queue.take(10, uniform=True)) == ["a", "b"]
    assert names(queue.take(10, uniform=True)) == ["warm", "too"]


def test_a_cancelled_request_gives_up_its_place_at_once_and_is_counted() -> None:
    gone, also, urgent, apart = request("gone"), request("also", 2), request("urgent", priority=1), request("apart")
    stats = Stats()
    queue = Queue(stats)
    for each in (gone, request("a"), also, urgent, request("b")):
        queue.put(each)
    queue.put_apart([apart])
    stats.pending = 6
    for each in (gone, also, urgent, apart):
        each.cancel()
    assert (queue.requests, queue.rows) == (2, 2)
    assert (stats.cancelled, stats.pending) == (4, 2)
    taken = queue.take(10, uniform=True)
    assert names(taken) == ["a", "b"]
    taken[0].cancel()
    assert (queue.requests, queue.rows, stats.cancelled) == (0, 0, 4)


def test_expired_requests_are_taken_out_wherever_they_stand() -> None:
    late, gone = request("late", rows=3, deadline=5.0, priority=1), request("gone")
    queue = filled(request("a"), late, gone, request("b"))
    gone.cancel()
    assert names(queue.expired(6.0)) == ["late"]
    assert (queue.requests, queue.rows) == (2, 2)
    assert names(queue.clear()) == ["a", "b"]
