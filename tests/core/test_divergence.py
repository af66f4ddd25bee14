import numpy as np
import pytest

from keras_spp.core.divergence import divergence

LOGITS = np.random.default_rng(0).normal(size=(20, 5))


def test_what_all_outputs_of_a_sample_share_and_how_large_they_are_counts_nothing():
    assert divergence([LOGITS], [LOGITS + np.arange(20)[:, None]]) == pytest.approx(0, abs=1e-12)
    changed = LOGITS + 0.1 * np.random.default_rng(1).normal(size=LOGITS.shape)
    assert divergence([8 * LOGITS], [8 * changed]) == pytest.approx(divergence([LOGITS], [changed]))


def test_an_error_counts_more_where_it_decides():
    logits, near, far = np.zeros((3, 4, 3))
    logits[:] = 2, 1.5, -9
    near[:] = 1.5, 2, -9
    far[:] = 2, 1.5, -9.7
    assert divergence([logits], [near]) > 5 * divergence([logits], [far]) > 0


def test_one_number_for_each_sample_says_nothing_and_several_outputs_are_averaged():
    other = LOGITS[::-1]
    assert (
        divergence([LOGITS[:, 0]], [other[:, 0]])
        == divergence([LOGITS[:, :1]], [other[:, :1]])
        == 0
    )
    both = divergence([LOGITS, LOGITS], [other, LOGITS])
    assert both == pytest.approx(divergence([LOGITS], [other]) / 2) and both > 0
