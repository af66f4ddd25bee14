"""What a page shows, and what a browser says of it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip(f"needs a browser, one of {', '.join(BROWSERS)} (Debian: chromium)")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={picture.parent / 'profile'}",
        f"--window-size={width},{height}", f"--screenshot={picture}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return re.findall(r".*CONSOLE.*", done.stderr)
