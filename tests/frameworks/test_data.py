import numpy as np
import pytest
import tensorflow as tf

from keras_spp.frameworks.data import BATCH, batches


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((BATCH + 3, 4)),
        tf.zeros((BATCH + 3, 4)),
        [np.zeros((BATCH, 4)), np.zeros((3, 4))],
        [(np.zeros((BATCH, 4)), np.zeros(BATCH)), (np.zeros((3, 4)), np.zeros(3))],
        tf.data.Dataset.from_tensor_slices(tf.zeros((BATCH + 3, 4))).batch(BATCH),
        tf.data.Dataset.from_tensor_slices((tf.zeros((BATCH + 3, 4)), tf.zeros(BATCH + 3))).batch(
            BATCH
        ),
    ],
    ids=["array", "tensor", "list", "pairs", "dataset", "dataset of pairs"],
)
def test_batches_of_inputs(data):
    assert [tuple(batch.shape) for batch in batches(data)] == [(BATCH, 4), (3, 4)]
    assert len(list(batches(data, most=1))) == 1


def test_several_inputs_stay_together():
    data = [({"a": np.zeros((2, 4)), "b": np.zeros((2, 1))}, np.zeros(2))]
    assert [sorted(batch) for batch in batches(data)] == [["a", "b"]]


@pytest.mark.parametrize("data", [None, 3, "images", {"a": 1}])
def test_what_is_no_data_is_refused(data):
    with pytest.raises(TypeError, match=r"`data` must be a tf.data.Dataset of batches"):
        list(batches(data, argument="data"))


@pytest.mark.parametrize("data", [[], np.zeros((0, 4))])
def test_empty_data_is_refused(data):
    with pytest.raises(ValueError, match="`representative_data` must hold at least one batch"):
        list(batches(data))
