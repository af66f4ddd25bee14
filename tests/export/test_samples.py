import numpy as np
import pytest
import tensorflow as tf

from keras_spp.export.samples import arrays, chunks


def named(keras, structure):
    """A model whose inputs, "zoom" (2,) and "aux" (3,), are given as a list or a dict."""
    a, b = keras.Input((2,), name="zoom"), keras.Input((3,), name="aux")
    joined = keras.layers.Concatenate()([a, b])
    return keras.Model([a, b] if structure is list else {"p": b, "q": a}, joined)


ZOOM, AUX = np.arange(8.0).reshape(4, 2), np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    "batch",
    [[ZOOM, AUX], {"aux": AUX, "zoom": ZOOM}, ([ZOOM, AUX], np.zeros(4)),
     [tf.constant(ZOOM), tf.constant(AUX)], {"zoom": ZOOM, "more": ZOOM, "aux": AUX}],
    ids=["list", "dict", "pair", "tensors", "more than needed"],
)  # fmt: skip
def test_inputs_come_in_the_order_of_the_model(keras, batch):
    ((found, targets),) = arrays(named(keras, list), [batch], [(2,), (3,)])
    assert [array.dtype for array in found] == ["float32"] * 2
    for array, expected in zip(found, (ZOOM, AUX), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert (targets is not None) == isinstance(batch, tuple)


def test_inputs_of_a_dict_come_in_the_order_of_its_sorted_keys(keras):
    ((found, _),) = arrays(named(keras, dict), [{"q": ZOOM, "p": AUX}], [(3,), (2,)])
    np.testing.assert_array_equal(found[0], AUX)
    np.testing.assert_array_equal(found[1], ZOOM)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([ZOOM], "must yield 2 arrays for the inputs zoom, aux, as a list or a dict, but yields 1"),
        ([AUX, ZOOM], r"shape \(samples, 2\) for the input 'zoom' but yields \(4, 3\)"),
        ([ZOOM, AUX[:3]], "as many samples for one input as for the other but a batch has 4, 3"),
        ({"zoom": ZOOM}, r"every input of the model \(zoom, aux\) but lacks aux"),
        ([ZOOM + np.inf, AUX], "finite but holds NaN or infinity for the input 'zoom'"),
        ([ZOOM * 1j, AUX], "must hold float32 for the input 'zoom' but holds complex128"),
        ([ZOOM * 1e300, AUX], "finite but holds NaN or infinity for the input 'zoom'"),
    ],
)
def test_what_does_not_fit_is_refused(keras, batch, message):
    with pytest.raises(ValueError, match=f"`data` .*{message}"):
        list(arrays(named(keras, list), [batch], [(2,), (3,)], "data"))


def test_fractions_are_refused_where_the_model_takes_integers(keras):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 2)])
    with pytest.raises(ValueError, match=r"must hold int32 .* but holds float64"):
        list(arrays(model, AUX, [(3,)]))
    ((found, _),) = arrays(model, AUX.astype("uint8"), [(3,)])
    assert found[0].dtype == "int32"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, None])
def test_chunks_hold_every_sample_once_and_have_one_size(size):
    x, y = np.arange(7), np.arange(14).reshape(7, 2)
    cut = list(chunks([x, y], size))
    assert {len(array) for batch, _ in cut for array in batch} == {size or 7}
    for place, whole in enumerate((x, y)):
        found = np.concatenate([batch[place][:count] for batch, count in cut])
        np.testing.assert_array_equal(found, whole)


def test_no_samples_make_no_chunk():
    assert list(chunks([np.zeros((0, 3))], 4)) == list(chunks([np.zeros((0, 3))], None)) == []
