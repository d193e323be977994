"""Write the SYNTHETIC data set ``prices.csv``: two daily prices over four years.

``power`` is made like a price of electricity: cheaper at weekends and in summer; a shortage is over
in a day or two, a glut lasts for weeks. So its past tells something of its future. ``share`` is
made like a share: each day's change is drawn anew, so the best forecast is the last price. Nothing
in it is real.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

DEFAULT_OUT = Path(__file__).with_name("prices.csv")


def make_prices(days: int = 1461, seed: int = 0) -> pd.DataFrame:
    """Returns a frame with the columns ``date``, ``power`` and ``share``."""
    random = np.random.default_rng(seed)
    dates = pd.date_range("2021-01-01", periods=days)
    shocks = random.normal(0, 4, days)
    noise = np.zeros(days)
    for day in range(1, days):
        kept = 0.3 if noise[day - 1] > 0 else 0.95
        noise[day] = kept * noise[day - 1] + shocks[day]
    week = np.where(dates.day_of_week >= 5, -14.0, 0.0)
    year = 12 * np.cos(2 * np.pi * dates.day_of_year / 365.25)
    share = 40 * np.exp(np.cumsum(random.normal(0, 0.015, days)))
    return pd.DataFrame(
        {
            "date": dates.strftime("%Y-%m-%d"),
            "power": np.round(70 + week + year + noise, 2),
            "share": np.round(share, 2),
        }
    )


def main(arguments: list[str] | None = None) -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=1461)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    given = parser.parse_args(arguments)
    prices = make_prices(given.days, given.seed)
    prices.to_csv(given.out, index=False, lineterminator="\n")
    print(f"{len(prices)} days of synthetic prices in {given.out.name}")


if __name__ == "__main__":
    main()
