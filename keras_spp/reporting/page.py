"""The page: facts about two models in sentences, numbers, charts and tables."""

from __future__ import annotations

import datetime
from typing import Any

from keras_spp.reporting import headlines, sections
from keras_spp.reporting.costs import Tradeoff
from keras_spp.reporting.extras import extra
from keras_spp.reporting.facts import Facts
from keras_spp.version import __version__


def render(facts: Facts) -> str:
    """Returns the page.

    Raises:
        ImportError: If Jinja2 or matplotlib is not installed.
    """
    comparison = facts.comparison
    return _filled(
        "report.html.jinja",
        title=facts.title,
        subtitle=f"The dense and the small model side by side · {_today()}",
        verdict=headlines.verdict(facts),
        tiles=list(headlines.tiles(facts)),
        layers=sections.layers(comparison, any(file.columns for file in facts.files)),
        reasons=sections.reasons(comparison.layers),
        times=[sections.time(report, place) for place, report in enumerate(facts.times)],
        files=sections.files(facts.files),
        columns=sections.columns(facts.files),
        agreement=facts.agreement and sections.answers(facts.agreement),
        parity=sections.parity(facts.parity),
        training=facts.history and sections.training(facts.history),
        tradeoff=facts.tradeoff and sections.tradeoff(facts.tradeoff),
    )


def render_tradeoff(found: Tradeoff) -> str:
    """Returns a page about what speedups cost and gain.

    Raises:
        ImportError: If Jinja2 or matplotlib is not installed.
    """
    return _filled(
        "tradeoff.html.jinja",
        title=f"{found.model}: which speedup?",
        subtitle=f"Before any training · {_today()}",
        tradeoff=sections.tradeoff(found),
    )


def _filled(name: str, **content: Any) -> str:
    """Returns a template filled in; what is text stays text, whatever it holds."""
    jinja = extra("jinja2")
    environment = jinja.Environment(
        loader=jinja.PackageLoader("keras_spp.reporting"),
        autoescape=True,
        undefined=jinja.StrictUndefined,
    )
    style, _, _ = environment.loader.get_source(environment, "style.css")
    footer = f"Made by keras-spp {__version__}. This file holds all that it shows."
    page: str = environment.get_template(name).render(style=style, footer=footer, **content)
    return page


def _today() -> str:
    return f"{datetime.date.today():%d %B %Y}".lstrip("0")
