"""Rules of Keras' own layers are registered by the names of their classes."""

import pytest
import tf_keras as keras
from hypothesis import given
from hypothesis import strategies as st
from tf_keras.src.layers.normalization import batch_normalization_v1
from tf_keras.src.layers.rnn import lstm_v1

import keras_spp as spp
import keras_spp.frameworks.tf_keras.tracing  # registers them all
from keras_spp.core import rule as rules
from keras_spp.core.kinds import own_name
from tests.zoo.models import L, randomize

NAMES = sorted(key for key in rules._REGISTRY if isinstance(key, str))
# Those that `tf_keras.layers` does not name; Keras 3 has some of them.
ELSEWHERE = {
    "AddLoss", "AddMetric", "CustomScaleLayer", "GroupedQueryAttention", "LayerScale",
    "RMSNormalization", "StochasticDepth", "SyncBatchNormalization",
}  # fmt: skip


def test_every_rule_is_that_of_a_layer_which_keras_has():
    assert len(NAMES) > 80
    assert {name for name in NAMES if not hasattr(L, name)} == ELSEWHERE
    for name in set(NAMES) - ELSEWHERE:
        assert rules.find(getattr(L, name)) is rules._REGISTRY[name], name
    assert rules.find(L.experimental.SyncBatchNormalization) is rules.find(L.BatchNormalization)


@given(
    name=st.sampled_from(NAMES),
    module=st.sampled_from(["mine", "keras_cv.layers", "tf_keras.layers", "keras.layers", None]),
    base=st.sampled_from([L.Layer, object]),
)
def test_a_class_of_ones_own_with_the_name_of_one_of_keras_is_not_taken_for_it(name, module, base):
    kind = type(name, (base,), {"__module__": module or __name__})
    assert own_name(kind) is None
    assert rules.find(kind) is None


def test_a_dense_of_ones_own_is_an_unknown_layer():
    class Dense(L.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 5))

        def call(self, x):
            return x[..., ::2, :] @ self.kernel

    x = keras.Input((8, 8, 3))
    y = Dense(name="mine")(L.Conv2D(8, 3, name="first")(x))
    rows = {row.layer: row for row in spp.analyze(randomize(keras.Model(x, L.Dense(2)(y))))}
    assert rows["first"].reason == "unknown layer (mine)"


def test_a_class_of_a_saved_model_that_keras_makes_again_is_not_keras_own(tmp_path):
    class Dense(L.Layer):
        """Has Keras' name, and Keras gives it a module of its own when it loads it."""

        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 5))

        def call(self, x):
            return x @ self.kernel

    x = keras.Input((4,))
    keras.Model(x, Dense(name="mine")(x)).save(tmp_path / "saved")
    kind = type(keras.models.load_model(tmp_path / "saved").get_layer("mine"))
    assert kind.__name__ == "Dense" and kind.__module__.startswith("tf_keras.")
    assert rules.find(kind) is None


@pytest.mark.parametrize("old", [batch_normalization_v1.BatchNormalization, lstm_v1.LSTM])
def test_layers_of_tensorflow_1_are_not_those_of_the_same_name(old):
    assert hasattr(L, old.__name__) and rules.find(old) is None
