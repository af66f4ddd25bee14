"""The Python blocks of the README and of docs/ run, in order, as they stand."""

import re
from pathlib import Path

import pytest

from tests.helpers.slow import slow_but

pytestmark = pytest.mark.usefixtures("warm_quantizer")
ROOT = Path(__file__).parents[2]
README, DOCS = ROOT / "README.md", sorted((ROOT / "docs").glob("*.md"))


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


PAGES = [page.stem for page in DOCS if blocks(page)]
LONG = {"distribution", "export", "guide", "resume", "training"}  # half a minute in all


@pytest.mark.parametrize("page", slow_but(PAGES, set(PAGES) - LONG))
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    page = ROOT / "docs" / f"{page}.md"
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_the_readmes_example_ends_with_a_smaller_faster_plain_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    without_training, block = blocks(README)
    assert sum(map(bool, block.splitlines())) <= 15
    exec(compile(block, "README.md", "exec"), namespace)
    namespace["model"].save("model.keras")
    namespace["samples"] = namespace["images"]
    trained = namespace["small"]
    exec(compile(without_training, "README.md", "exec"), namespace)
    namespace["small"], compressed = trained, namespace["small"]
    model, labels = namespace["model"], namespace["labels"]
    assert namespace["spp"].analyze(model).macs >= 2 * namespace["spp"].analyze(compressed).macs
    agreement = compressed.predict(namespace["images"], verbose=0).argmax(-1) == labels
    assert agreement.mean() > 0.85
    spp, model, small = (namespace[name] for name in ("spp", "model", "small"))
    assert spp.analyze(model).macs >= 2 * spp.analyze(small).macs
    _, accuracy = namespace["pruned"].evaluate(namespace["images"], namespace["labels"], verbose=0)
    assert accuracy > 0.9
    assert (tmp_path / "small.tflite").stat().st_size < (tmp_path / "dense.tflite").stat().st_size


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
