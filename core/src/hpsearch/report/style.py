"""How every figure of a report looks, and how text gets into one safely."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.text import shown

INK, MUTED, GRID = "#1f2937", "#6b7280", "#e9ecf1"
BLUE, GREEN, AMBER, RED = "#3b6fd4", "#0f9d6b", "#e08a00", "#d63a3a"
SCALE = ["#cfddf5", "#94b6ee", "#5b8ee0", "#2b5fb8", "#142f66"]
"""From pale to dark: from early to late, or from bad to good."""

MANY_POINTS = 2_000
"""Above this, points are drawn by the graphics card."""

_FONT = "Inter, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def label(value: object, longest: int) -> str:
    """Return a user's name or value in print, with an ellipsis for what is longer."""
    text = shown(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def escaped(value: object, longest: int) -> str:
    """Return the same for the places of a figure where plotly reads markup."""
    return html.escape(label(value, longest))


def styled(figure: go.Figure, height: int) -> go.Figure:
    """Give a figure the look of the report."""
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        margin={"t": 40, "r": 24, "b": 52, "l": 72},
        font={"family": _FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        modebar={"bgcolor": "white", "color": "#b8bec9", "activecolor": INK},
        hoverlabel={"bgcolor": "white", "font": {"family": _FONT, "size": 12}, "align": "left"},
        hovermode="closest",
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "itemsizing": "constant",
        },
        colorway=[BLUE, AMBER, RED, GREEN],
    )
    line = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": "#cbd2dc", "automargin": True}
    small = {"tickfont": {"size": 12, "color": MUTED}, "title_font": {"size": 13, "color": MUTED}}
    figure.update_xaxes(showline=True, ticks="outside", tickcolor="#cbd2dc", **line, **small)
    figure.update_yaxes(**line, **small)
    return figure


def points(count: int) -> Any:
    """Return the kind of trace for so many points."""
    return go.Scattergl if count > MANY_POINTS else go.Scatter
