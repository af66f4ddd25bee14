import pytest

from keras_spp.util.messages import LENGTH, first_line, last_line


@pytest.mark.parametrize("said", ["one.\ntwo.", " \n one. \n\n two.\n", "one\r\ntwo\r\n"])
def test_lines_come_without_space_and_full_stop(said):
    assert (first_line(ValueError(said)), last_line(said)) == ("one", "two")


@pytest.mark.parametrize("said", ["", " \n\n"])
def test_silence_has_words_too(said):
    assert first_line(KeyboardInterrupt(said)) == "KeyboardInterrupt"
    assert last_line(said) == "no answer"


def test_what_is_long_is_cut():
    assert first_line("a" * 999) == last_line("a" * 999) == "a" * LENGTH
