"""The public functions in any order with any arguments: a sentence, or a correct model."""

import contextlib
import gc
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import keras_spp as spp
from keras_spp.util.nest import map_structure
from tests.helpers.both_keras import BACKEND, array, keras
from tests.helpers.compared import inputs_for, outputs
from tests.helpers.training import compiled
from tests.helpers.wrappers import find_wrappers
from tests.zoo.random_models import random_model

pytestmark = pytest.mark.usefixtures("keras")
DOCUMENTED = (TypeError, ValueError, RuntimeError, OSError)

numbers = st.floats(-0.3, 1.3) | st.sampled_from([0, 0.5, 1, 2, "half", None, float("nan")])
speedups = st.floats(0.5, 8) | st.sampled_from([1, 2, True, "2", float("inf")])
schedules = st.one_of(
    st.none(),
    st.just("schedule"),
    st.builds(
        spp.SPPSchedule,
        A=st.sampled_from([0.05, 0.5, 1.0]),
        frequency=st.sampled_from([None, 1, 2, 50]),
        begin_step=st.sampled_from([0, 0, 3]),
        score=st.sampled_from(["l1", "l2", "taylor", "bn_scale"]),
        score_decay=st.sampled_from([0, 0.9]),
    ),
    st.builds(spp.GradualSchedule, updates=st.integers(1, 4), frequency=st.just(1)),
    st.builds(spp.OneShotSchedule, begin_step=st.integers(0, 2)),
)


FORMATS = {
    "tf_keras": ["m.keras", "m.keras", "m.h5", "weights.h5", "checkpoint", "m"],
    "keras": ["m.keras", "m.keras", "m.h5", "m.weights.h5"],
}


def of_tf_keras(machine):
    """Whether tfmot takes the models."""
    return keras.__name__ == "tf_keras"


def on_tensorflow(machine):
    """Whether files are made in this process, and not by one that takes seconds."""
    return BACKEND == "tensorflow"


def assert_same(expected, found, relative):
    """Compares all outputs, each relative to its largest value."""
    for want, got in zip(expected, found, strict=True):
        assert np.isfinite(got).all()
        difference = np.abs(want - got).max() / max(np.abs(want).max(), 1e-6)
        assert difference <= relative, f"outputs differ by {difference}"


class AnyOrder(RuleBasedStateMachine):
    """A model and its past: the dense model that it was pruned from, and how."""

    @initialize(seed=st.integers(0, 9999), steps=st.integers(0, 3))
    def build(self, seed, steps):
        note(f"random_model({seed}, {steps})")
        self.folder = Path(tempfile.mkdtemp())
        self.model = random_model(seed, steps)
        inputs = inputs_for(self.model)
        self.x = inputs[0] if len(inputs) == 1 else inputs
        self.dense = None
        self.remember()

    def samples(self, kind):
        """Data for a call that may take some."""
        part = {"good": np.s_[:], "shape": np.s_[:, :3], "empty": np.s_[:0]}.get(kind)
        return part and map_structure(lambda array: array[part], self.x)

    def remember(self):
        self.expected = outputs(self.model, self.x)

    def replace(self, model, relative):
        """Goes on with a model that has to compute what the last one did."""
        assert_same(self.expected, outputs(model, self.x), relative)
        self.model = model
        self.remember()

    @contextlib.contextmanager
    def documented(self):
        """What a call may do: succeed, or raise one sentence and leave the model as it was."""
        self.failed = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
            self.failed = False
        except DOCUMENTED as error:
            message = str(error)
            note(f"  {type(error).__name__}: {message}")
            if "in user code:" in message:  # what Keras makes of an error inside a training step
                message = message.strip().splitlines()[-1].strip()
            assert message.endswith(".") and "\n" not in message and len(message) < 600, message
            assert_same(self.expected, outputs(self.model, self.x), 0)

    @contextlib.contextmanager
    def written_by_keras(self):
        """What Keras alone may refuse: some models have no configuration that it can write."""
        self.failed = True
        try:
            yield
            self.failed = False
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
            # Not with slices by an ellipsis, nor with variables in place of tensors; TensorFlow
            # writes no SavedModel with variables that no layer holds.
            assert "erialize" in str(error) or "'untracked' resource" in str(error), error

    @rule(
        ratio=numbers | st.just("layers"),
        speedup=speedups,
        given=st.sampled_from(["ratio", "speedup", "ratio", "speedup", "both", "none"]),
        granularity=st.sampled_from(["channel", "channel", "column", "filter"]),
        schedule=schedules,
        round_to=st.sampled_from([1, 1, 2, 4, 8, 0, 1.5]),
        data=st.sampled_from([None, None, "good", "shape", "empty"]),
        counted=st.sampled_from(["all", "all", "convolutions", "some"]),
        random=st.randoms(use_true_random=False),
    )
    def prune(self, ratio, speedup, given, granularity, schedule, round_to, data, counted, random):
        if ratio == "layers":
            names = [layer.name for layer in self.model.layers]
            ratio = {random.choice(names): random.random()}
        target = {"pruning_ratio": ratio} if given in ("ratio", "both") else {}
        target |= {"target_speedup": speedup} if given in ("speedup", "both") else {}
        with self.documented():
            pruned = spp.prune(
                self.model,
                **target,
                granularity=granularity,
                schedule=schedule,
                round_to=round_to,
                allocation=data and spp.Search(trials=3),  # the default, but faster
                representative_data=self.samples(data),
                counted=counted,
            )
        if self.failed:
            return
        assert_same(self.expected, outputs(self.model, self.x), 0)
        self.dense, self.granularity = self.model, granularity
        self.replace(pruned, 2e-5)

    @rule(
        steps=st.integers(1, 12),
        optimizer=st.sampled_from(["sgd", "adam", "again"]),
        callback=st.sampled_from([True, True, True, False]),
        eager=st.sampled_from([False, False, True]),
    )
    def fit(self, steps, optimizer, callback, eager):
        if optimizer != "again" or getattr(self.model, "optimizer", None) is None:
            kind = keras.optimizers.Adam if optimizer == "adam" else keras.optimizers.SGD
            compiled(self.model, kind(1e-3, clipnorm=0.1), run_eagerly=eager)
        before = len(find_wrappers(self.model))
        y = [np.zeros_like(output) for output in self.expected]
        y = y if len(y) > 1 else y[0]
        self.untrained = self.model.get_weights()
        with self.documented():
            try:
                self.model.fit(
                    self.x,
                    y,
                    batch_size=len(self.expected[0]),
                    epochs=steps,
                    verbose=0,
                    callbacks=[spp.SPPCallback()] if callback else [],
                )
            except DOCUMENTED:
                # An error at the end comes after training; one at the start must change nothing.
                self.remember()
                raise
        self.remember()
        assert all(np.isfinite(output).all() for output in self.expected)
        assert len(find_wrappers(self.model)) == before

    @rule(number=st.integers(0, 5))
    def save_and_load(self, number):
        formats = FORMATS[keras.__name__]
        format = formats[number % len(formats)]
        note(f"  {format}")
        path = str(self.folder / format)
        with self.written_by_keras():
            if format.endswith("weights.h5") or format == "checkpoint":
                self.model.save_weights(path)
                self.model.load_weights(path)
                loaded = self.model
            else:
                self.model.save(path)
                options = {"safe_mode": False} if format == "m.keras" else {}
                loaded = keras.models.load_model(path, **options)
        if not self.failed:
            self.replace(loaded, 2e-5 if format == "m" else 0)

    @precondition(of_tf_keras)
    @rule()
    def strip(self):
        import tensorflow_model_optimization as tfmot

        pruner = spp.Pruner(self.model) if find_wrappers(self.model) else None
        p = array(pruner.probabilities()) if pruner else np.zeros(0)
        with self.written_by_keras():
            stripped = tfmot.sparsity.keras.strip_pruning(self.model)
        if self.failed:
            return
        assert not find_wrappers(stripped)
        if ((p == 0) | (p == 1)).all():
            self.replace(stripped, 2e-5)
        else:
            self.model = stripped
            self.remember()

    @rule()
    def shrink(self):
        with self.documented():
            small = spp.shrink(self.model)
        if self.failed:
            assert not find_wrappers(self.model)
            return
        progress = spp.Pruner(self.model).progress()
        conductor = spp.Pruner(self.model).conductor
        assert not find_wrappers(small)
        self.replace(small, 2e-5)
        if self.granularity == "channel" and conductor.counted == "all":
            counted = [spp.analyze(each) for each in (self.dense, small)]
            if all(each.fixed_size and each.macs for each in counted):
                speedup = counted[0].macs / counted[1].macs
                np.testing.assert_allclose(progress.macs_speedup, speedup, rtol=1e-6)

    @precondition(on_tensorflow)
    @rule(
        quantization=st.sampled_from(["none", "none", "float16", "dynamic", "int8", "int4"]),
        data=st.sampled_from([None, "good", "shape"]),
        batch_size=st.sampled_from([1, 1, 2, 0, "all"]),
    )
    def export(self, quantization, data, batch_size):
        path = self.folder / "m.tflite"
        path.write_text("earlier")
        with self.documented():
            spp.export_tflite(
                self.model,
                path,
                quantization,
                batch_size=batch_size,
                representative_data=self.samples(data),
                pack=False,
            )
        if self.failed:
            assert path.read_text() == "earlier"
        elif quantization == "none":
            for row in spp.parity(self.model, path, self.x):
                assert row.max_difference <= 1e-4 * max(row.largest, 1e-6), row
        assert sorted(entry.name for entry in self.folder.glob("*.tflite")) == ["m.tflite"]

    @rule()
    def analyze(self):
        assert spp.analyze(self.model).params > 0

    @precondition(lambda self: self.dense is not None)
    @rule()
    def go_back(self):
        """To the dense model, which nothing may have changed."""
        self.model, self.dense = self.dense, None
        self.remember()

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)
        self.model = self.dense = None
        keras.backend.clear_session()
        gc.collect()


def run(examples, steps, **options):
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes hours
            **options,
        ),
    )


def test_any_order_of_calls_gives_a_sentence_or_a_correct_model():
    run(3, 4, derandomize=True)


@pytest.mark.slow
def test_five_hundred_random_orders():
    run(500, 8)
