from interpose.engine.backoff import Backoff


def test_f4_a_worker_that_keeps_dying_is_restarted_ever_more_slowly() -> None:
    backoff = Backoff()
    assert [backoff.delay_s(0.0) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_f4_a_worker_that_served_long_is_restarted_at_once() -> None:
    backoff = Backoff()
    assert [backoff.delay_s(served_s) for served_s in (0.5, 0.5, 0.5, 60.0, 60.0, 0.5, 10.0)] == [0, 1, 2, 0, 0, 1, 0]
