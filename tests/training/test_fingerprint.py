"""State means something only with the groups, goals and seeds that it belongs to."""

import pytest
import tf_keras as keras

import keras_spp as spp
from tests.helpers.sentences import assert_one_sentence
from tests.helpers.training import compiled, data, fit, plain_net, prune, settled, sgd

OTHERS = {
    "goal": lambda: prune(plain_net(), goal=0.75),
    "seed": lambda: prune(plain_net(), seed=1),
    "names of layers": lambda: prune(renamed()),
}


def renamed():
    model = plain_net()
    return keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "name": f"other_{layer.name}"}
        ),
    )


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_plan_are_refused_wherever_they_would_be_used(name):
    pruned, other = compiled(prune(plain_net())), OTHERS[name]()
    pruner = spp.Pruner(pruned)
    pruned.set_weights(other.get_weights())
    uses = [
        lambda: fit(pruned, 2),
        lambda: spp.Pruner(pruned, sgd()),
        lambda: pruner.plan(100),
        pruner.progress,
        lambda: spp.shrink(pruned),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="pruned alike but is of one with other groups") as e:
            use()
        assert_one_sentence(e)


def test_weights_of_the_same_plan_are_taken():
    pruned, other = prune(plain_net()), prune(plain_net())
    settled(pruned, seed=0)
    other.set_weights(pruned.get_weights())
    assert spp.Pruner(other).progress() == spp.Pruner(pruned).progress()


def test_a_frequency_that_is_given_holds_whatever_the_restored_run_was_given():
    pruned, other = prune(plain_net(), frequency=1), prune(plain_net(), frequency=3)
    other.set_weights(pruned.get_weights())
    optimizer = sgd()
    pruner = spp.Pruner(other, optimizer)
    updates = []
    for step in range(7):
        optimizer.iterations.assign(step)
        other(data(1)[0], training=True)
        updates.append(int(pruner.conductor.updates_made))
    assert updates == [0, 0, 0, 1, 1, 1, 2]


def test_a_frequency_that_was_chosen_is_restored():
    pruned, other = (
        compiled(prune(plain_net(), frequency=None)),
        compiled(prune(plain_net(), frequency=None)),
    )
    spp.Pruner(pruned).plan(1000)
    other.set_weights(pruned.get_weights())
    spp.Pruner(other).plan(2000)
    chosen = [int(spp.Pruner(model).conductor.frequency) for model in (pruned, other)]
    assert chosen[0] == chosen[1] > 1
