"""docs/performance.svg: what the tables say at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from benchmarks.page import PICTURE
from benchmarks.peers import FLOOR, OURS
from benchmarks.runner import Results

__all__ = ["draw"]

OUR_COLOUR, OTHER_COLOUR, FLOOR_COLOUR = "#4c8dff", "#98a1b3", "#c9ced8"
#: From here on a figure is shown without decimals.
LARGE = 100
INK, INK_IN_THE_DARK = "#172b4d", "#dee4ea"
#: The background is the page's; text and lines follow it.
STYLE = f"""
@media (prefers-color-scheme: dark) {{
  [style*="fill: {INK}"] {{ fill: {INK_IN_THE_DARK} !important }}
  [style*="stroke: {INK}"] {{ stroke: {INK_IN_THE_DARK} !important }}
}}
"""
#: Work, column, figure, title.
PANELS = (
    ("hot-gateway", "requests", "auth object", "Cost per request over the floor: requests"),
    ("hot-gateway", "httpx", "auth object", "Cost per request over the floor: httpx"),
    ("hot-gateway", "httpx async", "auth object", "Cost per request over the floor: httpx async"),
    ("renewal", "requests", "maximum ms", "Slowest request while tokens are renewed, ms: threads"),
    ("renewal", "httpx async", "maximum ms", "Slowest request while tokens are renewed, ms: tasks"),
    ("stampede", "httpx async, 500", "seconds", "500 tasks on an expired token, seconds: httpx"),
)


def draw(results: Mapping[str, Results]) -> None:
    """Draw the panels for which there are results."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "performance", "font.size": 9}
    mpl.rcParams |= dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    )
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 2, figsize=(11, 8.5), layout="constrained")
    for panel, axis in zip(PANELS, axes.flat, strict=True):
        draw_panel(panel, axis, results)
    drawn = StringIO()
    figure.savefig(drawn, metadata={"Date": None, "Creator": None}, transparent=True)
    plt.close(figure)
    text = drawn.getvalue().replace("</style>", f"{STYLE}</style>", 1)
    PICTURE.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def draw_panel(panel: tuple[str, str, str, str], axis: Any, results: Mapping[str, Results]) -> None:
    """One panel of bars, the shortest on top."""
    work, column, name, title = panel
    bars = []
    for (where, peer), cell in results.get(work, {}).items():
        values = [each for each in cell.values(name) if not isinstance(each, str)]
        middle = cell.median(name)
        if where == column and values and isinstance(middle, float | int):
            bars.append((float(middle), min(values), max(values), peer))
    axis.set_title(title, fontsize=9, loc="left")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.xaxis.set_minor_formatter("")
    colours = {OURS: OUR_COLOUR, FLOOR: FLOOR_COLOUR}
    for number, (middle, low, high, peer) in enumerate(sorted(bars, reverse=True)):
        spread = [[middle - low], [high - middle]]
        axis.barh(number, middle, xerr=spread, color=colours.get(peer, OTHER_COLOUR), ecolor=INK)
        text = f" {middle:,.0f}" if middle >= LARGE else f" {middle:.3g}"
        axis.annotate(text, (high, number), va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [bar[3] for bar in sorted(bars, reverse=True)])
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.15)
