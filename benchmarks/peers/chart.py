"""Draws how many times as good ours is, from the results of all tables of this folder.

    python benchmarks/peers/chart.py

The last row of each work and contender counts. A bar beyond 1 is a win; the whisker is the range of
the rounds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from turns import OURS, RESULTS, ROOT

Row = dict[str, str]


def latest(folder: Path) -> list[Row]:
    """The last row of each work and peer, work by work."""
    rows: dict[tuple[str, str], Row] = {}
    for path in sorted(folder.glob("peers_*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows |= {(row["work"], row["who"]): row for row in csv.DictReader(file)}
    places: dict[str, int] = {}
    for work, _ in rows:
        places.setdefault(work, len(places))
    peers = [row for row in rows.values() if not row["who"].startswith(OURS)]
    return sorted(peers, key=lambda row: places[row["work"]])


def draw(rows: list[Row], path: Path) -> None:
    """A bar for each row, under the name of its work."""
    from matplotlib.figure import Figure

    from keras_seqzoo.pages.drawing import BLUE, INK, ORANGE, png, style

    with style():
        heads = len({row["work"] for row in rows})
        figure = Figure(figsize=(8, 0.6 + 0.22 * (len(rows) + 1.3 * heads)))
        axes = figure.add_subplot()
        at, work, ticks = 0.0, "", []
        for row in rows:
            if row["work"] != work:
                work = row["work"]
                at += 1.3
                axes.text(
                    0, at - 1, work, transform=axes.get_yaxis_transform(), va="center", ha="left",
                    fontsize=8.5, fontweight="bold",
                )  # fmt: skip
            ratio = float(row["ours_by"])
            ends = row["ours_by_range"] or f"{ratio} to {ratio}"
            low, high = map(float, ends.split(" to "))
            colour = BLUE if ratio >= 1 else ORANGE
            axes.barh(at, ratio - 1, left=1, height=0.7, color=colour)
            axes.plot([low, high], [at, at], color=INK, linewidth=0.8)
            beyond = max(high, 1) if ratio >= 1 else min(low, 1)
            axes.annotate(
                row["ours_by"], (beyond, at), xytext=(4 if ratio >= 1 else -4, 0),
                textcoords="offset points", va="center", ha="left" if ratio >= 1 else "right",
                fontsize=8,
            )  # fmt: skip
            ticks.append((at, row["who"]))
            at += 1
        axes.set_xscale("log", base=2)
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set_yticks([place for place, _ in ticks], [who for _, who in ticks])
        axes.set_ylim(at - 0.3, -0.3)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.set_xlabel(f"times as fast as the peer {OURS} is; beyond 1 it is faster")
        path.write_bytes(png(figure, dpi=130))


def main() -> None:
    """Draws the picture of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "peers.png")
    given = parser.parse_args()
    draw(latest(given.results), given.out)


if __name__ == "__main__":
    main()
