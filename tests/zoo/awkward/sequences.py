"""Networks for sequences and volumes."""

import tensorflow as tf
import tf_keras as keras

from tests.zoo.awkward.registry import head, model, on, sub, unit, unloadable
from tests.zoo.models import L


@on(32, 4)
def wavenet(x):
    x, skips = L.Conv1D(16, 2, padding="causal")(x), []
    for rate in (1, 2, 4):
        options = {"padding": "causal", "dilation_rate": rate}
        gate = L.Conv1D(24, 2, activation="sigmoid", **options)(x)
        y = L.Multiply()([L.Conv1D(24, 2, activation="tanh", **options)(x), gate])
        skips.append(L.Conv1D(32, 1)(y))
        x = L.Add()([x, L.Conv1D(16, 1)(y)])
    return L.Conv1D(5, 1)(L.Conv1D(32, 1, activation="relu")(L.ReLU()(L.Add()(skips))))


@on(32, 4)
def tcn(x):
    for filters, rate in ((16, 1), (24, 2), (24, 4)):
        y = L.Conv1D(filters, 3, padding="causal", dilation_rate=rate, activation="relu")(x)
        y = L.Conv1D(filters, 3, padding="causal", dilation_rate=rate)(L.SpatialDropout1D(0.1)(y))
        x = L.Conv1D(filters, 1)(x) if x.shape[-1] != filters else x
        x = L.ReLU()(L.Add()([x, L.BatchNormalization()(y)]))
    return L.Dense(3)(x[:, -1])


@on(8, 16, 16, 3)
def video(x):
    x = L.ReLU()(L.BatchNormalization()(L.Conv3D(16, 3, padding="same")(x)))
    x = L.Conv3D(24, (1, 3, 3), activation="relu")(L.MaxPooling3D((1, 2, 2))(x))
    x = L.Conv3D(16, (3, 1, 1), activation="relu")(x)
    return L.Dense(3)(L.GlobalAveragePooling3D()(x))


@on(4, 16, 16, 3)
def time_distributed_layers(x):
    x = L.TimeDistributed(L.Conv2D(24, 3, activation="relu"))(x)
    x = L.TimeDistributed(L.Conv2D(32, 3, activation="relu"))(x)
    return L.Dense(3)(L.GRU(16)(L.TimeDistributed(L.GlobalAveragePooling2D())(x)))


@on(4, 16, 16, 3)
def time_distributed_model(x):
    inner = sub((16, 16, 3), lambda x: head(unit(unit(x, 16), 24, strides=2), 32))
    return L.Dense(3)(L.LSTM(16)(L.TimeDistributed(inner)(x)))


@on(5, 12)
def time_distributed_model_with_two_inputs(x):
    a, b = keras.Input((16,)), keras.Input((12,))
    y = L.Concatenate()([L.Dense(24, "relu")(a), L.Dense(16, "relu")(b)])
    inner = keras.Model([a, b], L.Dense(24, "relu")(y))
    y = L.TimeDistributed(inner)([L.Dense(16, "relu")(x), x])
    return L.Dense(3)(L.Dense(16, "relu")(L.GlobalMaxPooling1D()(y)))


@on(6, 8)
def recurrent_layers(x):
    x = L.SimpleRNN(24, return_sequences=True)(L.Dense(16)(x))
    x = L.Bidirectional(L.LSTM(16, return_sequences=True), merge_mode="mul")(x)
    x, last = L.GRU(24, return_sequences=True, return_state=True, reset_after=False)(x)
    return L.Dense(3)(L.Concatenate()([L.LSTM(16, recurrent_dropout=0.1)(x), last]))


@on(6, 8, batch_size=4)
def stateful_recurrent_layer(x):
    return L.Dense(3)(L.LSTM(16, stateful=True)(L.LSTM(24, return_sequences=True)(x)))


@on(8, dtype="int32")
def masked_words(x):
    x = L.Embedding(10, 24, mask_zero=True)(x)
    x = L.Bidirectional(L.GRU(16, return_sequences=True))(x)
    return L.Dense(3)(L.GlobalAveragePooling1D()(L.TimeDistributed(L.Dense(24, "relu"))(x)))


@unloadable("a function of a variable")
@on(8, dtype="int32")
def language_model_with_tied_weights(x):
    table = L.Embedding(10, 16)
    y = L.Dense(16)(L.LSTM(24, return_sequences=True)(table(x)))
    return tf.matmul(y, table.embeddings, transpose_b=True)


@on(4, 16, 16, 3)
def conv_lstm(x):
    x = L.ConvLSTM2D(16, 3, padding="same", return_sequences=True)(x)
    return head(unit(L.ConvLSTM2D(16, 3, padding="same")(L.BatchNormalization()(x)), 24))


@on(16, 32, 1)
def crnn(x):
    x = L.MaxPooling2D((2, 2))(unit(x, 16))
    x = L.MaxPooling2D((4, 1))(unit(unit(x, 32), 32))
    x = L.Reshape((16, 2 * 32))(L.Permute((2, 1, 3))(x))
    x = L.Dense(32, "relu")(x)
    x = L.Bidirectional(L.GRU(16, return_sequences=True))(x)
    return L.Dense(6, "softmax")(x)


@on(32, dtype="int32")
def text_cnn(x):
    x = L.Embedding(10, 24)(x)
    parts = [L.GlobalMaxPooling1D()(L.Conv1D(16, k, activation="relu")(x)) for k in (3, 4, 5)]
    return L.Dense(1, "sigmoid")(L.Dropout(0.5)(L.Dense(24, "relu")(L.Concatenate()(parts))))


@on(12, 5)
def masked_sequence(x):
    """Dense hands the mask on; the pooling at the end needs it."""
    x = L.Dense(32, "relu")(L.Masking()(x))
    return L.Dense(3)(L.GlobalAveragePooling1D()(L.Dense(24, "relu")(x)))


@model
def sequence_to_sequence():
    """States travel as call arguments."""
    frames, words = keras.Input((8, 6)), keras.Input((5,), dtype="int32")
    x = L.Conv1D(32, 3, activation="relu")(L.Conv1D(24, 3, activation="relu")(frames))
    _, h, c = L.LSTM(16, return_state=True)(x)
    y = L.LSTM(16, return_sequences=True)(L.Embedding(10, 16)(words), initial_state=[h, c])
    y = L.Concatenate()([L.AdditiveAttention()([y, L.Dense(16)(x)]), y])
    return keras.Model([frames, words], L.Dense(10, "softmax")(L.Dense(24, "relu")(y)))


@model
def tabular():
    numbers, category = keras.Input((6,)), keras.Input((1,), dtype="int64")
    lookup = L.IntegerLookup(vocabulary=list(range(2, 9)))(category)
    deep = L.Concatenate()([L.Flatten()(L.Embedding(9, 8)(lookup)), numbers])
    for units in (32, 24):
        deep = L.Dropout(0.1)(L.BatchNormalization()(L.Dense(units, "relu")(deep)))
    return keras.Model([numbers, category], L.Dense(1)(deep) + L.Dense(1)(numbers))


@on(32, 4)
def one_dimensional_layers(x):
    x = L.SeparableConv1D(24, 3, strides=2, padding="same", depth_multiplier=2)(x)
    x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv1D(3, padding="same")(x)))
    x = L.Conv1DTranspose(16, 4, strides=2, padding="same", activation="relu")(x)
    x = L.Conv1D(24, 3, groups=2)(L.Cropping1D(1)(L.UpSampling1D(2)(L.ZeroPadding1D(2)(x))))
    return L.Dense(3)(L.GlobalMaxPooling1D(keepdims=True)(x))


@on()
def vision_transformer(x):
    x = L.Reshape((16, 32))(L.Conv2D(32, 4, strides=4)(x))
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 16)(y, y)])
    y = L.Dense(32)(L.Dropout(0.1)(L.Dense(64, "gelu")(L.LayerNormalization()(x))))
    return L.Dense(4)(L.GlobalAveragePooling1D()(L.Add()([x, y])))


@on()
def attention_tail(x):
    x = L.Reshape((64, 24))(unit(unit(x, 16), 24, strides=2))
    y, scores = L.MultiHeadAttention(2, 8)(x, x, return_attention_scores=True)
    return [L.Dense(4)(L.Dense(24, "relu")(L.Flatten()(y[:, :8]))), tf.reduce_mean(scores, [1, 2])]


@on()
def mlp_mixer(x):
    x = L.Reshape((16, 24))(L.Conv2D(24, 4, strides=4)(x))
    y = L.Dense(16)(L.Dense(32, "gelu")(L.Permute((2, 1))(L.BatchNormalization()(x))))
    x = L.Add()([x, L.Permute((2, 1))(y)])
    x = L.Add()([x, L.Dense(24)(L.Dense(48, "gelu")(L.BatchNormalization()(x)))])
    return L.Dense(4)(L.GlobalAveragePooling1D()(x))
