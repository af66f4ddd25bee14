import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp
from tests.zoo.models import L, randomize

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def net(classes=5, softmax=False, width=16, nested=False):
    x = keras.Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(width, 3)(x)))
    y = L.GlobalAveragePooling2D()(L.Conv2D(width, 3)(y))
    y = L.Dense(classes, "softmax" if softmax else None)(y)
    model = randomize(keras.Model(x, y))
    if nested:
        x = keras.Input((8, 8, 3))
        model = keras.Model(x, model(x))
    return model


def samples(count=64):
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 8, 8, 3)).astype("float32")
    return x, random.integers(0, 5, count)


def softened(logits, temperature):
    return tf.nn.softmax(logits / temperature).numpy()


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_the_added_term_is_the_divergence_of_softened_probabilities(softmax, nested):
    model, teacher = (net(softmax=softmax, width=width, nested=nested) for width in (16, 24))
    x, y = samples()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    distilled = spp.distill(model, teacher, weight=0.7, temperature=3.0)
    distilled.compile(keras.optimizers.SGD(0.0), loss)
    got = distilled.train_on_batch(x, y)  # what is reported is the loss of the task alone

    outputs, wanted = (each(x, training=False).numpy() for each in (model, teacher))
    logits = [np.log(each) if softmax else each for each in (outputs, wanted)]
    p, q = (softened(each, 3.0) for each in logits)
    expected = 0.7 * 9 * np.mean(np.sum(q * np.log(q / p), -1))
    np.testing.assert_allclose(distilled.distance(x, outputs), expected, rtol=2e-4)
    assert np.isfinite(got)


ENDS = {
    "function": lambda y: tf.nn.softmax(L.Dense(5)(y)),
    "activation of TensorFlow": lambda y: L.Dense(5, tf.nn.softmax)(y),
    "layer": lambda y: L.Softmax()(L.Dense(5)(y)),
    "cast": lambda y: L.Activation("linear", dtype="float32")(L.Dense(5, "softmax")(y)),
    "reshaped": lambda y: L.Reshape((5,))(L.Dense(5, "softmax")(y)),
    "logits": lambda y: L.Dense(5)(y),
}


@pytest.mark.parametrize("student", ENDS)
@pytest.mark.parametrize("teacher", ["layer", "logits"])
@pytest.mark.parametrize("given", [True, False])
def test_each_models_own_end_says_whether_its_outputs_are_logits(student, teacher, given):
    def make(name, seed):
        x = keras.Input((6,))
        return randomize(keras.Model(x, ENDS[name](x)), seed)

    models = [make(student, 1), make(teacher, 2)]
    options = {}
    if given and len({student == "logits", teacher == "logits"}) == 1:
        options["from_logits"] = student == "logits"
    distilled = spp.distill(*models, temperature=2.0, **options)
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    outputs = [model(x).numpy() for model in models]
    p, q = (
        softened(out if name == "logits" else np.log(out), 2.0)
        for out, name in zip(outputs, (student, teacher), strict=True)
    )
    expected = 4 * np.mean(np.sum(q * np.log(q / p), -1))
    np.testing.assert_allclose(distilled.distance(x, outputs[0]), expected, rtol=1e-3)


def test_inputs_by_name_stay_so():
    x = {"picture": keras.Input((4,)), "size": keras.Input((2,))}
    y = L.Concatenate()([x["picture"], x["size"]])
    model = keras.Model(x, L.Dense(5)(L.Dense(8)(y)))
    distilled = spp.distill(model, model)
    distilled.compile("sgd", LOGITS)
    data = {"picture": np.ones((8, 4)), "size": np.ones((8, 2))}
    assert np.isfinite(distilled.fit(data, np.ones(8), verbose=0).history["loss"]).all()


def test_distilling_alone_brings_the_outputs_to_the_teachers():
    model, teacher = net(), net(width=24)
    x, y = samples()
    distilled = spp.distill(model, teacher, temperature=2.0)
    distilled.compile(keras.optimizers.Adam(0.01), lambda y, outputs: 0 * outputs)
    before = float(distilled.distance(x, model(x)))
    teachers = [weight.numpy() for weight in teacher.weights]
    distilled.fit(x, y, epochs=15, verbose=0)
    assert float(distilled.distance(x, model(x))) < before / 4
    for old, weight in zip(teachers, teacher.weights, strict=True):
        np.testing.assert_array_equal(old, weight)
    assert len(distilled.weights) == len(model.weights)  # the teacher is no part of it


def test_a_pruned_model_is_pruned_while_it_is_distilled():
    dense = net()
    pruned = spp.prune(dense, pruning_ratio=0.5, round_to=1, schedule=spp.SPPSchedule(A=0.3))
    distilled = spp.distill(pruned, dense)
    distilled.compile("sgd", LOGITS, metrics=["accuracy"])
    x, y = samples()
    history = distilled.fit(x, y, 4, 3, 0, callbacks=[spp.SPPCallback()], validation_data=(x, y))
    assert history.history["groups_decided"][-1] == 1
    small = spp.shrink(pruned)
    expected = distilled.predict(x, verbose=0)
    np.testing.assert_allclose(small(x), expected, rtol=1e-4, atol=1e-5)
    assert spp.analyze(small).macs < spp.analyze(dense).macs
    assert type(spp.shrink(distilled)).__module__.startswith("tf_keras")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_the_terms_are_added_in_float32(policy):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = net()
    finally:
        keras.mixed_precision.set_global_policy(before)
    distilled = spp.distill(model, net(width=24))
    distilled.compile("sgd", LOGITS)
    x, y = samples()
    weights = model.get_weights()
    assert np.isfinite(distilled.fit(x, y, verbose=0).history["loss"]).all()
    assert any((a != b).any() for a, b in zip(weights, model.get_weights(), strict=True))


def test_what_a_checkpoint_of_it_holds_is_the_model(tmp_path):
    dense = net()
    pruned = spp.prune(dense, 0.5, round_to=1, schedule=spp.SPPSchedule(A=0.3))
    distilled = spp.distill(pruned, dense)
    distilled.compile("sgd", LOGITS)
    callbacks = [spp.SPPCallback(), keras.callbacks.ModelCheckpoint(str(tmp_path / "model.keras"))]
    x, y = samples()
    distilled.fit(x, y, 4, 2, 0, callbacks=callbacks)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), pruned(x), rtol=1e-6)
    assert spp.analyze(spp.shrink(loaded)).macs == spp.analyze(spp.shrink(pruned)).macs


def test_evaluation_is_that_of_the_model():
    model = net()
    x, y = samples()
    distilled = spp.distill(model, net(width=24))
    for each in (model, distilled):
        each.compile("sgd", LOGITS)
    assert distilled.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_any_outputs_with_a_loss_of_ones_own():
    x = keras.Input((4,))
    models = []
    for width in (8, 12):
        y = L.Dense(width, "tanh")(x)
        models.append(keras.Model(x, {"a": L.Dense(1)(y), "b": L.Dense(3)(y)}))
    student, teacher = models
    distilled = spp.distill(student, teacher, loss=lambda a, b: tf.square(a - b), weight=2)
    inputs = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    a, b = student(inputs), teacher(inputs)
    expected = 2 * sum(np.mean((a[name] - b[name]) ** 2) for name in "ab")
    np.testing.assert_allclose(distilled.distance(inputs, a), expected, rtol=1e-5)
    assert set(distilled(inputs)) == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1}, "`weight` must be a number of at least 0 but is -1."),
        ({"temperature": 0}, "`temperature` must be a number greater than 0 but is 0."),
        ({"weight": float("nan")}, "`weight` must be a number of at least 0 but is nan."),
        ({"temperature": "4"}, "`temperature` must be a number greater than 0 but is '4'."),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        spp.distill(net(), net(), **arguments)
    assert str(caught.value) == message


def test_a_teacher_that_does_not_fit():
    with pytest.raises(ValueError, match=r"`teacher` must have outputs of the shapes of `model`'s"):
        spp.distill(net(5), net(6))
    with pytest.raises(TypeError, match="`teacher` must be a tf_keras model, Sequential"):
        spp.distill(net(), "dense.keras")
    with pytest.raises(ValueError, match=r"`loss` must be given"):
        spp.distill(net(1), net(1))
