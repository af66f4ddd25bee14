"""Models of either Keras with a smaller one each, and Chromium."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

import keras_spp as spp
from tests.helpers.both_keras import keras  # noqa: F401

NAMES = ("chromium", "chromium-browser", "google-chrome")


def network(keras, name="net"):  # noqa: F811
    """A network with a branch, and a layer that cannot be pruned."""
    L = keras.layers
    image = keras.Input((12, 12, 3))
    x = L.Conv2D(16, 3, activation="relu", name="first")(image)
    x = L.BatchNormalization(name="norm")(L.Conv2D(24, 3, name="second")(x))
    x = L.GlobalAveragePooling2D()(L.ReLU()(x))
    return keras.Model(image, L.Dense(4, name="logits")(x), name=name)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype("float32")


@pytest.fixture
def dense(keras):  # noqa: F811
    return network(keras)


@pytest.fixture
def small(dense, images):
    return spp.compress(dense, images, pruning_ratio=0.5, verbose=0)


class Page(HTMLParser):
    """What a page shows: its text, its tables, and whatever it would load."""

    def __init__(self, path):
        super().__init__()
        self.text, self.rows, self.loaded, self.tags = "", [], [], []
        self._cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "th")
        if self._cell:
            self.rows[-1].append("")
        places = [found.get(name) for name in ("src", "href", "xlink:href", "data", "action")]
        self.loaded += [place for place in places if place and not place.startswith(("#", "data:"))]

    def handle_data(self, data):
        if self.tags[-1:] not in (["style"], ["title"]):
            self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        self._cell = False

    def row(self, *beginning):
        """The row of a table that begins with these cells."""
        return next(row for row in self.rows if tuple(row[: len(beginning)]) == beginning)


def screenshot(path, picture, width=1280, height=900, dark=False):
    """Opens a page in headless Chromium; returns what it says on its console."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip(f"needs a browser, one of {', '.join(NAMES)} (Debian: chromium)")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={picture.parent / 'profile'}",
        f"--window-size={width},{height}", f"--screenshot={picture}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return re.findall(r".*CONSOLE.*", done.stderr)
