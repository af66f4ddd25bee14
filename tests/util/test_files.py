import contextlib
import os
import stat

import pytest

from keras_spp.util.files import atomic_path


def listing(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write(path, text="new"):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def one_sentence(kind, *parts):
    """Expects an error whose message is one sentence that holds all the parts."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert type(caught.value) is kind
    assert message.endswith(".") and "\n" not in message
    for part in ("`path`", *parts):
        assert part in message


@pytest.mark.parametrize("name", ["a.tflite", "no_suffix", "with space.txt", "größe 模型.keras"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_the_file_appears_with_what_was_written(tmp_path, name, kind):
    write(kind(tmp_path / name))
    assert (tmp_path / name).read_text() == "new"
    assert listing(tmp_path) == [name]


def test_the_temporary_file_lies_beside_the_target_and_keeps_its_suffix(tmp_path):
    with atomic_path(tmp_path / "model.keras") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".keras"
        assert temporary.exists()
        assert not (tmp_path / "model.keras").exists()


def test_a_path_relative_to_the_working_folder_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("a.txt")
    assert listing(tmp_path) == ["a.txt"]


def test_the_new_file_has_the_permissions_of_an_ordinary_new_file(tmp_path):
    write(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("ordinary")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_block_keeps_the_previous_file_and_leaves_no_other(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert (tmp_path / "a.txt").read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


def test_a_symbolic_link_stays_a_link_to_the_replaced_file(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write(tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_missing_folder_is_named_before_the_block_starts(tmp_path):
    expected = one_sentence(FileNotFoundError, "missing/a.txt", "create it first")
    with expected, atomic_path(tmp_path / "missing" / "a.txt"):
        pytest.fail("the block must not run")


def test_a_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with one_sentence(NotADirectoryError, "file/a.txt", "is not a folder"):
        write(tmp_path / "file" / "a.txt")


def test_a_folder_as_target_is_refused(tmp_path):
    with one_sentence(IsADirectoryError, str(tmp_path), "add a file name"):
        write(tmp_path)


def test_a_pipe_as_target_is_refused_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with one_sentence(OSError, "device or a pipe"):
        write(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with one_sentence(PermissionError, str(tmp_path), "does not permit writing"):
        write(tmp_path / "a.txt")


def test_a_name_that_the_system_refuses_is_reported_with_its_reason(tmp_path):
    with one_sentence(OSError, "File name too long"):
        write(tmp_path / ("a" * 300))


def test_a_failing_rename_keeps_the_previous_file_and_leaves_no_other(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "replace", refuse)
    with one_sentence(OSError, "Read-only file system", "a.txt"):
        write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("path", [None, 3, "", b"a.txt"])
def test_what_does_not_name_a_file_is_refused(path):
    with one_sentence(TypeError, repr(path)):
        write(path)
