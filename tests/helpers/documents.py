"""What stands in the README and in docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, DOCS = ROOT / "README.md", sorted((ROOT / "docs").rglob("*.md"))


def blocks(page, language="python"):
    """The blocks of code of a page, in order, as printed."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
