import re
import warnings

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import BACKEND, TF_KERAS, L, array, keras
from tests.helpers.recorded import recorded, spp_warnings
from tests.helpers.states import assert_same_state
from tests.helpers.training import compiled, conv_net, data, fit, plain_net, prune, sgd, state
from tests.helpers.wrappers import find_wrappers

pytestmark = pytest.mark.usefixtures("keras")
WITHOUT_END = pytest.mark.filterwarnings("ignore:SPP has not met", "ignore:SPP will not reach")


# -- what it shows -------------------------------------------------------------------------------


def test_every_batch_logs_the_exact_numbers_of_the_present_and_not_averages():
    recorder = recorded()
    history = fit(compiled(prune()), 40, [spp.SPPCallback(), recorder]).history
    shown = [(logs["macs_speedup"], logs["groups_decided"]) for logs in recorder.logs]
    assert shown == [(p.macs_speedup, p.decided) for p in recorder.progress]
    assert [p.step for p in recorder.progress] == [*range(1, 41)]
    assert len(set(shown)) > 4 and shown[0] == (1, 0)
    assert (history["macs_speedup"], history["groups_decided"]) == ([shown[-1][0]], [1])


@TF_KERAS  # Keras 3 shows averages over the epoch
@WITHOUT_END
@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_line_shows_the_present_numbers(verbose, capsys):
    history = fit(compiled(prune()), 10, verbose=verbose, epochs=2).history
    _, *printed = re.split(r"Epoch \d/2", capsys.readouterr().out)
    assert len(printed) == 2
    for epoch, text in enumerate(printed):
        last = text[text.rindex("10/10 ") :]  # with verbose=1 the line is written many times
        for name in ("macs_speedup", "groups_decided"):
            value = float(re.search(rf"{name}: ([\d.e+-]+)", last).group(1))
            assert value == pytest.approx(history[name][epoch], abs=1e-3)
    assert len(set(history["macs_speedup"])) == 2


@WITHOUT_END
def test_evaluation_returns_no_more_values_than_without_pruning():
    sizes = []

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            sizes.append(np.size(self.model.evaluate(*data(1), verbose=0)))

    pruned = compiled(prune(), metrics=["mae"])
    callbacks = [Evaluate(), spp.SPPCallback(), Evaluate()]
    history = fit(pruned, 5, callbacks, epochs=2, validation_data=data(2)).history
    sizes.append(np.size(pruned.evaluate(*data(1), verbose=0, callbacks=[spp.SPPCallback()])))
    sizes.append(np.size(pruned.evaluate(*data(1), verbose=0)))
    assert sizes == [2] * 6
    assert len(pruned.metrics) == 2  # loss and mae
    assert set(history) == {
        *("loss", "mae", "val_loss", "val_mae"),
        *("macs_speedup", "groups_decided"),
    }


@WITHOUT_END
def test_evaluation_still_returns_no_more_after_training_was_interrupted():
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    pruned = compiled(prune())
    with pytest.raises(KeyboardInterrupt):
        fit(pruned, 10, [spp.SPPCallback(), Interrupt()])
    assert np.size(pruned.evaluate(*data(1), verbose=0)) == 1
    assert "macs_speedup" in fit(pruned, 3).history


@WITHOUT_END
def test_callbacks_listed_after_it_can_use_the_numbers(tmp_path):
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    save = keras.callbacks.ModelCheckpoint(str(tmp_path / "{macs_speedup:.4f}.keras"))
    history = fit(compiled(prune()), 5, [spp.SPPCallback(), log, save], epochs=2).history
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert header.startswith("epoch,groups_decided,loss,macs_speedup")
    for speedup in history["macs_speedup"]:
        assert (tmp_path / f"{speedup:.4f}.keras").exists()


@WITHOUT_END
def test_log_dir_gets_scalars_and_a_histogram_of_p_for_each_set(tmp_path):
    import tensorflow as tf

    recorder = recorded()
    fit(compiled(prune()), 12, [spp.SPPCallback(log_dir=tmp_path / "run"), recorder])
    (file,) = (tmp_path / "run").iterdir()
    plugins, series = {}, {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name:  # said with a tag's first value only
                plugins[value.tag] = value.metadata.plugin_data.plugin_name
            series.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    scalars = {f"spp/{name}" for name in ("macs_speedup", "groups_decided", "mean_p")}
    groups = {"spp/p/stem": 16, "spp/p/inner": 12, "spp/p/last": 8}
    expected = {**dict.fromkeys(scalars, "scalars"), **dict.fromkeys(groups, "histograms")}
    assert plugins == expected
    speedups = {0: 1, **{p.step: p.macs_speedup for p in recorder.progress if p.updates}}
    assert series["spp/macs_speedup"] == pytest.approx(speedups)
    assert set(speedups) == set(series["spp/mean_p"]) and len(speedups) == 12
    for tag, count in groups.items():
        for bars in series[tag].values():
            assert bars.shape == (20, 3) and bars[:, 2].sum() == count
        np.testing.assert_allclose(series[tag][0][0], [0, 0.05, count])


# -- what it says --------------------------------------------------------------------------------


def test_a_run_that_meets_its_target_says_nothing():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(compiled(prune()), 40)
    assert spp_warnings(caught) == []


def test_too_few_steps_are_announced_at_the_start_and_the_miss_at_the_end():
    pruned = compiled(prune(frequency=10))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(pruned, 40, epochs=2)
    start, end = spp_warnings(caught)
    assert start.startswith("SPP will not reach its target: 80 steps with frequency=10")
    largest = int(re.search(r"the largest frequency that would do is (\d+)\.$", start).group(1))
    progress = spp.Pruner(pruned).progress()
    assert (progress.updates, progress.finished) == (7, False)
    assert end.startswith(
        f"SPP has not met its target: {progress.pruned} of 18 groups are pruned (MACs speedup "
        f"{progress.macs_speedup:.2f}) after 80 steps and 7 updates; about "
    )
    assert end.endswith("Train on, choose a smaller frequency, or raise A.")
    again = compiled(prune(frequency=largest))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(again, 40, epochs=2)
    assert spp_warnings(caught) == []
    assert spp.Pruner(again).progress().finished


def test_a_run_in_which_no_update_can_happen_is_refused_before_it_changes_anything():
    pruned = compiled(prune(frequency=180))
    before = state(pruned, optimizer=False)
    with pytest.raises(ValueError, match=r"SPP would prune nothing: 40 steps with frequency=180"):
        fit(pruned, 40)
    assert_same_state(before, state(pruned, optimizer=False))


def test_a_run_that_stops_before_the_first_update_ends_with_an_error():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    with pytest.raises(RuntimeError, match="SPP pruned nothing: 0 of 18 groups are pruned"):
        fit(compiled(prune()), 40, [spp.SPPCallback(), Stop()])


def test_a_run_that_stops_early_says_what_is_missing():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 5

    with pytest.warns(UserWarning, match="after 6 steps and 5 updates; about"):
        fit(compiled(prune()), 40, [spp.SPPCallback(), Stop()])


def test_a_model_that_is_not_pruned_is_refused():
    for model in (conv_net(), keras.Sequential([L.Flatten(), L.Dense(4)])):
        with pytest.raises(ValueError, match=r"is not a model that spp\.prune returned"):
            fit(compiled(model), 2)


# -- the frequency -------------------------------------------------------------------------------


def test_without_a_frequency_pruning_takes_the_first_tenth_and_fine_tuning_the_rest(tmp_path):
    pruned = compiled(prune(frequency=None))
    history = fit(pruned, 20, epochs=20).history
    assert history["groups_decided"][0] < 1
    assert history["groups_decided"][2:] == [1.0] * 18
    frequency = int(spp.Pruner(pruned).conductor.frequency)
    assert frequency > 1
    pruned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(spp.Pruner(loaded).conductor.frequency) == frequency
    assert spp.Pruner(loaded).schedule.frequency is None


def batches(steps):
    import tensorflow as tf

    def generate():
        yield from zip(*(np.split(array, steps) for array in data(steps)), strict=True)

    signature = (tf.TensorSpec((4, 6, 6, 3)), tf.TensorSpec((4, 4)))
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


def test_an_unknown_number_of_steps_needs_a_frequency():
    with pytest.raises(ValueError, match="SPPSchedule has no frequency and the number of training"):
        compiled(prune(frequency=None)).fit(batches(40), verbose=0, callbacks=[spp.SPPCallback()])
    pruned = compiled(prune(frequency=None))
    pruned.fit(batches(40), steps_per_epoch=40, verbose=0, callbacks=[spp.SPPCallback()])
    assert spp.Pruner(pruned).progress().finished
    pruned = compiled(prune(frequency=1))
    history = pruned.fit(batches(40), verbose=0, callbacks=[spp.SPPCallback()]).history
    assert history["groups_decided"] == [1.0]


@WITHOUT_END
def test_the_plan_of_a_run_that_begins_at_a_later_epoch_counts_the_epochs_that_remain():
    pruned = compiled(prune(frequency=10))
    with pytest.warns(UserWarning, match="20 steps with frequency=10"):
        fit(pruned, 10, epochs=5, initial_epoch=3)


# -- fit, and fit again --------------------------------------------------------------------------


def test_the_same_fit_goes_on_as_fine_tuning_with_fixed_masks():
    losses, zeros = [], []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if spp.Pruner(self.model).progress().finished:
                losses.append(logs["loss"])
                zeros.append([array(w.masked[0].weight) == 0 for w in find_wrappers(self.model)])

    x, _ = data(1)
    y = array(conv_net()(x))  # within reach of the pruned network too
    pruned = compiled(prune(), keras.optimizers.Adam(0.005))
    callbacks = [spp.SPPCallback(), Watch()]
    pruned.fit(
        np.tile(x, (120, 1, 1, 1)), np.tile(y, (120, 1)),
        batch_size=4, shuffle=False, verbose=0, callbacks=callbacks,
    )  # fmt: skip
    assert len(losses) > 60 and losses[-1] < 0.9 * losses[0]
    for first, last in zip(zeros[0], zeros[-1], strict=True):
        np.testing.assert_array_equal(first, last)
    pruner = spp.Pruner(pruned)
    assert set(array(pruner.probabilities())) == {0, 1}
    updates = pruner.progress().updates
    fit(pruned, 5)
    assert pruner.progress().updates == updates


@WITHOUT_END
def test_fit_called_twice_equals_one_fit_of_two_epochs():
    twice, once = compiled(prune(), "adam"), compiled(prune(), "adam")
    first, second = fit(twice, 8).history, fit(twice, 8).history
    history = fit(once, 8, epochs=2).history
    assert_same_state(state(once), state(twice))
    for name in ("macs_speedup", "groups_decided"):
        assert history[name] == first[name] + second[name]


@WITHOUT_END
def test_without_the_callback_a_model_with_a_frequency_is_pruned_all_the_same():
    with_callback, without = compiled(prune(), "adam"), compiled(prune(), "adam")
    fit(with_callback, 12)
    fit(without, 12, [])
    assert spp.Pruner(without).progress() == spp.Pruner(with_callback).progress()
    assert "macs_speedup" in fit(without, 2).history


@TF_KERAS
@WITHOUT_END
def test_the_callback_of_tfmot_does_too():
    import tensorflow_model_optimization as tfmot

    stock, with_callback = compiled(prune(), "adam"), compiled(prune(), "adam")
    fit(with_callback, 12)
    fit(stock, 12, [tfmot.sparsity.keras.UpdatePruningStep()])
    assert spp.Pruner(stock).progress() == spp.Pruner(with_callback).progress()


def test_without_the_callback_a_model_without_a_frequency_says_what_is_missing_once():
    pruned = compiled(prune(frequency=None))
    with pytest.raises(RuntimeError, match=r"pass callbacks=\[spp.SPPCallback\(\)\] to fit"):
        fit(pruned, 40, [])
    if BACKEND != "jax":  # where Keras loses the variables of a model whose first step fails
        assert fit(pruned, 40).history["groups_decided"] == [1.0]


@WITHOUT_END
def test_one_callback_may_serve_several_fits_and_models():
    callback = spp.SPPCallback()
    for model in (conv_net(), plain_net()):
        pruned = compiled(prune(model))
        fit(pruned, 4, [callback])
        fit(pruned, 4, [callback])
        assert spp.Pruner(pruned).progress().updates == 7


@WITHOUT_END
def test_changing_the_optimizer_between_two_fits_goes_on_pruning():
    pruned = compiled(prune())
    fit(pruned, 8)
    before = spp.Pruner(pruned).progress().updates
    compiled(pruned, sgd(0.001))
    fit(pruned, 40)
    assert before == 7 and spp.Pruner(pruned).progress().finished
