"""Detectors and a segmentation network of KerasCV, from random weights to a file."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import keras_spp as spp

keras_cv = pytest.importorskip("keras_cv", reason="needs the extra [vision]")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_quantizer")]

SIZE, CLASSES = 64, 4
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
BOXES = {
    "boxes": np.float32([[[10, 10, 40, 40], [20, 25, 60, 50]]] * 4),
    "classes": np.float32([[0, 2]] * 4),
}


def resnet():
    return keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[64, 96, 128, 160],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        block_type="basic_block",
        include_rescaling=True,
        input_shape=(SIZE, SIZE, 3),
    )


def retinanet():
    model = keras_cv.models.RetinaNet(resnet(), CLASSES, bounding_box_format="xyxy")
    model.compile(box_loss="smoothl1", classification_loss="focal", optimizer="adam")
    return model, lambda outputs: model.compute_loss(IMAGES, BOXES, outputs, None)


def deeplab():
    model = keras_cv.models.DeepLabV3Plus(resnet(), CLASSES)
    labels = np.random.default_rng(1).integers(0, CLASSES, (4, SIZE, SIZE))
    loss = keras.losses.SparseCategoricalCrossentropy()
    return model, lambda outputs: loss(labels, outputs)


# Heads that are one layer each, with weights and without a rule, keep what they read whole.
@pytest.mark.parametrize(("make", "speedup"), [(retinanet, 1.25), (deeplab, 1.5)])
def test_it_is_pruned_by_its_own_loss_shrunk_exactly_and_exported(make, speedup, tmp_path):
    model, loss = make()
    network = keras.Model(model.input, model.output, name=make.__name__)
    schedule = spp.SPPSchedule(A=0.5, frequency=1)
    pruned = spp.prune(network, target_speedup=speedup, schedule=schedule)
    optimizer = keras.optimizers.SGD(1e-4)
    pruner = spp.Pruner(pruned, optimizer)
    pruner.plan(steps=24)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(pruned(IMAGES, training=True))
        gradients = tape.gradient(value, pruned.trainable_variables)
        optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
        return value

    for _ in range(24):
        assert np.isfinite(step())
    assert pruner.progress().finished
    small = spp.shrink(pruned)
    assert spp.analyze(network).macs >= 0.95 * speedup * spp.analyze(small).macs
    for after, before in zip(*map(tf.nest.flatten, (small(IMAGES), pruned(IMAGES))), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    if make is retinanet:
        model.decode_predictions(small(IMAGES), IMAGES)
    spp.export_tflite(small, tmp_path / "small.tflite")
    for output in spp.parity(small, tmp_path / "small.tflite", IMAGES):
        assert output.mean_difference <= 1e-4 * output.largest
