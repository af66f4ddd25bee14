"""The Python blocks of the README and of docs/ run, in order, as they stand."""

import re

import numpy as np
import pytest

from tests.helpers.documents import DOCS, README, ROOT, blocks

pytestmark = pytest.mark.usefixtures("warm_quantizer")


LONG = {  # minutes in all
    "compress", "detection", "distribution", "export", "fine-tune", "report", "resume",
    "ten-minutes", "training",
}  # fmt: skip


def with_examples():
    """The pages that have examples; those that take long are among the slow tests."""
    for page in filter(blocks, DOCS):
        slow = [pytest.mark.slow] if page.stem in LONG else []
        yield pytest.param(page, marks=slow, id=str(page.relative_to(ROOT / "docs")))


@pytest.mark.parametrize("page", with_examples())
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    if page == ROOT / "docs" / "index.md":
        namespace["samples"] = save_a_model_of_the_readers()
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def save_a_model_of_the_readers():
    """What the first page takes for granted: model.keras, and samples for it."""
    import keras

    L = keras.layers
    keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(16, 3, activation="relu"), L.Flatten(), L.Dense(4)]
    ).save("model.keras")
    return np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")


def test_the_readmes_examples_end_with_smaller_plain_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    without_training, with_training = blocks(README)
    exec(compile(without_training, "README.md", "exec"), namespace)
    compressed = namespace["small"]
    exec(compile(with_training, "README.md", "exec"), namespace)
    spp, model = namespace["spp"], namespace["model"]
    for small in (compressed, namespace["small"]):
        assert spp.analyze(model).macs >= 2 * spp.analyze(small).macs
        classes = small.predict(namespace["images"], verbose=0).argmax(-1)
        assert (classes == namespace["labels"]).mean() > 0.9
    assert (tmp_path / "small.tflite").stat().st_size < (tmp_path / "dense.tflite").stat().st_size


def test_the_readme_can_be_read_in_a_few_minutes():
    assert len(README.read_text().split()) <= 600


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_a_page_is_short(page):
    assert len(page.read_text().splitlines()) <= 200


def test_every_public_name_is_in_the_reference():
    import keras_spp

    pages = {page: page.read_text() for page in DOCS if page.parent.name == "api"}
    described = re.findall(r"^::: keras_spp\.(\w+)$", "\n".join(pages.values()), re.MULTILINE)
    linked = re.findall(r"\[keras_spp\.(\w+)\]", pages[ROOT / "docs" / "api" / "index.md"])
    public = {name for name in keras_spp.__all__ if not name.startswith("_")}
    assert sorted(described) == sorted(linked) == sorted(public)


def test_relative_links_lead_somewhere():
    for page in [README, *DOCS]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_pages_name_are_there():
    named = r"(?<![\w/.])(?:keras_spp|tests|benchmarks|examples)/[\w/]+\.(?:py|sh|md)"
    for page in [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS]:
        for file in re.findall(named, page.read_text()):
            assert (ROOT / file).is_file(), f"{page.name}: {file}"


def test_every_reason_is_explained():
    from keras_spp.core.channels import Reason

    text = (ROOT / "docs" / "why" / "reasons.md").read_text()
    assert all(f"| {reason} |" in text for reason in Reason)


def test_every_promise_names_a_test_that_exists():
    text = (ROOT / "docs" / "why" / "reliability.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_every_module_that_the_method_names_is_there():
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "why" / "method.md").read_text())
    assert len(named) > 20
    assert all((ROOT / "keras_spp" / name).is_file() for name in named)
