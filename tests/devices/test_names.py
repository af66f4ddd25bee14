import pytest

from keras_spp.devices.benchmark import benchmark
from tests.helpers.sentences import assert_one_sentence


@pytest.fixture
def model(small_file):
    return small_file


@pytest.mark.parametrize("device", ["cloud", "", "Local", "android:", "androids", None, 3, "ssh:"])
def test_an_unknown_device_is_refused_with_the_choices(model, device):
    with pytest.raises(ValueError, match=r"`device` must be 'local', 'ssh://.* but is ") as error:
        benchmark(model, device=device)
    assert str(error.value).endswith(f"{device!r}.")
    assert_one_sentence(error)


@pytest.mark.parametrize("device", ["local", "ssh://board"])
def test_options_that_only_android_has_are_refused_elsewhere(model, device):
    for delegate in ("gpu", "nnapi", "GPU", None):
        with pytest.raises(
            ValueError, match=r"`delegate` must be one of 'xnnpack', 'none' on"
        ) as e:
            benchmark(model, device, delegate=delegate)
        assert_one_sentence(e)
    with pytest.raises(ValueError, match=r"`binary` must be None on .* but is 'bench'") as error:
        benchmark(model, device, binary="bench")
    assert_one_sentence(error)
