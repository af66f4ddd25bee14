"""The Python blocks of the README and of docs/ run, in order, as they stand."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("warm_quantizer")
ROOT = Path(__file__).parents[2]
README, DOCS = ROOT / "README.md", sorted((ROOT / "docs").glob("*.md"))


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page)], ids=lambda p: p.stem)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


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


def test_relative_links_lead_somewhere():
    for page in [README, *DOCS]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_reason_is_explained():
    from keras_spp.core.channels import Reason

    text = (ROOT / "docs" / "reasons.md").read_text()
    assert all(f"| {reason} |" in text for reason in Reason)


def test_every_promise_names_a_test_that_exists():
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (ROOT / "docs/reliability.md").read_text())
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"
