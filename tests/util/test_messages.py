import pytest

from keras_spp.util.messages import LENGTH, first_line, last_line, layer_cause


@pytest.mark.parametrize("said", ["one.\ntwo.", " \n one. \n\n two.\n", "one\r\ntwo\r\n"])
def test_lines_come_without_space_and_full_stop(said):
    assert (first_line(ValueError(said)), last_line(said)) == ("one", "two")


@pytest.mark.parametrize("said", ["", " \n\n"])
def test_silence_has_words_too(said):
    assert first_line(KeyboardInterrupt(said)) == "KeyboardInterrupt"
    assert last_line(said) == "no answer"


def test_the_cause_of_a_layers_error_is_what_keras_sets_apart():
    error = ValueError(
        "Exception encountered when calling A.\n\n\x1b[1mIt is so.\x1b[0m\n\nInputs:"
    )
    assert layer_cause(error) == "It is so"
    assert layer_cause(TypeError("A cannot be made.\n\nException encountered: Not B.")) == "Not B"
    assert (
        layer_cause(ValueError("in user code:\n  ValueError: No.\n  Inputs")) == "ValueError: No."
    )


def test_what_is_long_is_cut():
    assert first_line("a" * 999) == last_line("a" * 999) == "a" * LENGTH
