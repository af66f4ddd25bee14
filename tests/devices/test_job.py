import time
from types import SimpleNamespace

import pytest

from keras_spp.devices import job as timing
from keras_spp.devices.job import Dropped, Job, Timing, with_retries


def job(**changes):
    usual = {
        "device": "a board", "files": {}, "threads": 1, "runs": 1, "warmup": 0, "inputs": None,
        "delegate": "xnnpack", "binary": None, "timeout": 60.0, "retries": 2, "progress": None,
        "started": time.monotonic(),
    }  # fmt: skip
    return Job(**{**usual, **changes})


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are made, which take no time."""
    pauses = []
    fake = SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic)
    monkeypatch.setattr(timing, "time", fake)
    return pauses


def failing(times, error=Dropped):
    left = [times]

    def attempt():
        left[0] -= 1
        if left[0] >= 0:
            raise error("no")
        return "done"

    return attempt


def test_a_lost_connection_is_tried_again_as_often_as_asked_for(pauses):
    assert with_retries(job(), failing(2)) == "done"
    assert len(pauses) == 2
    with pytest.raises(Dropped):
        with_retries(job(), failing(3))
    with pytest.raises(Dropped):
        with_retries(job(retries=0), failing(1))
    assert len(pauses) == 4


def test_other_errors_are_not_tried_again(pauses):
    with pytest.raises(ConnectionError):
        with_retries(job(), failing(1, ConnectionError))
    assert pauses == []


def test_no_attempt_is_made_when_the_time_is_up(pauses):
    late = job(started=time.monotonic() - 61)
    with pytest.raises(TimeoutError, match=r"^`timeout` is 60 seconds but 'a board' did not .*\.$"):
        with_retries(late, failing(1))
    with pytest.raises(TimeoutError):
        late.remaining()
    assert 59 < job().remaining() <= 60


def test_statistics_are_in_milliseconds():
    recorded = Timing.of([4_000_000, 2_000_000, 3_000_000], 7)
    assert recorded.rounds == [4.0, 2.0, 3.0]
    assert (recorded.median_ms, recorded.min_ms, recorded.runs) == (3.0, 2.0, 3)
    assert (recorded.p90_ms, recorded.p95_ms) == (pytest.approx(3.8), pytest.approx(3.9))
    assert recorded.delegated_nodes == 7
