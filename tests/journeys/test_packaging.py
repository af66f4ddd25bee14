"""What is built from this folder for a package index: complete, and with links that work there."""

import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

import keras_spp
from tests.helpers.documents import README, ROOT, blocks
from tests.helpers.environments import need_package_index, run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the source distribution, and the wheel that is built from it."""
    need_package_index()
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", folder, ROOT], folder)
    return folder


def description(folder):
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        name = next(name for name in archive.getnames() if name.count("/") == 1 and "PKG" in name)
        return archive.extractfile(name).read().decode().partition("\n\n")


@pytest.mark.slow
def test_a_package_index_would_take_what_is_built(built):
    run([sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()], built)


@pytest.mark.slow
def test_the_source_distribution_has_every_file_of_the_repository(built):
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked.stdout.split() if not name.startswith(".")} <= packed


@pytest.mark.slow
def test_the_wheel_has_the_package_alone(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.pyi", "py.typed", "templates/*")
        for path in (ROOT / "keras_spp").rglob(pattern)
    }
    assert {name for name in packed if ".dist-info/" not in name} == ours


@pytest.mark.slow
def test_links_work_where_the_files_of_the_repository_are_not(built):
    head, _, text = description(built)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets and all(target.startswith("https://") for target in targets)
    for line in re.findall(r"^Project-URL: .*, (.*)$", head, re.MULTILINE):
        assert line in text
    assert all(block in text for block in blocks(README))
    assert "docs/how-to/compress.md" in README.read_text() and "docs/how-to/compress.md" not in text


def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {keras_spp.__version__}" in lines
