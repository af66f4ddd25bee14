import numpy as np
import threadpoolctl

from keras_spp.util.threads import WIDE, threads_for


def threads():
    np.linalg.inv(np.eye(2))
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]


def test_narrow_matrices_take_one_thread_and_wide_ones_as_many_as_before():
    before = threads()
    assert before
    with threads_for(WIDE - 1):
        assert set(threads()) == {1}
        with threads_for(WIDE):
            assert set(threads()) == {1}, "who limits them outside is obeyed"
    with threads_for(WIDE):
        assert threads() == before
    assert threads() == before
