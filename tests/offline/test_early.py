"""Workers that are started before their order: taken, or ended; and as many as will have something to do."""

import os

from servable.offline.early import LARGE_BYTES, Early, likely_workers


def test_who_is_taken_lives_on_and_the_others_are_ended():
    with Early(2) as early:
        waiting = list(early._waiting)
        taken = early.take()
        assert taken in waiting
    (left,) = (process for process in waiting if process is not taken)
    assert (left.returncode is not None, taken.poll()) == (True, None)
    taken.stdin.close()  # nobody to work for
    assert taken.wait() == 0
    taken.stdout.close()


def test_where_none_waits_one_is_started():
    with Early(0) as early:
        process = early.take()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


def test_how_many_will_have_something_to_do(tmp_path):
    cores = len(os.sched_getaffinity(0))
    (tmp_path / "small.csv").write_text("a\n1\n")
    (tmp_path / "large.csv").touch()
    os.truncate(tmp_path / "large.csv", LARGE_BYTES)
    cases = {
        (str(tmp_path / "small.csv"), None): 1,
        (str(tmp_path / "large.csv"), None): cores,
        (str(tmp_path / "large.csv"), 1): 1,
        (str(tmp_path), 10_000): cores,
        ("s3://bank/night/", None): cores,
        ("", -1): -1,
    }
    assert {case: likely_workers(*case) for case in cases} == cases
