"""Makes the pictures in docs/images: the site's start page and a report, on a phone and a desktop.

    make docs
    python docs/screenshots.py [report.html]

It needs playwright, in an environment of its own, and Chromium, which `CHROMIUM` names:

    pip install playwright
    CHROMIUM=/usr/bin/chromium python docs/screenshots.py

Without a report (`make compare` writes one) only the site is pictured. Pages are opened as files:
no network is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SIZES = {"phone": (400, 800), "desktop": (1280, 800)}
MOST_BYTES = 200_000


def picture(page: Page, source: Path, name: str) -> None:
    """Writes what the first screen of a page shows, at both widths."""
    for device, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.goto(source.resolve().as_uri())
        page.wait_for_timeout(300)  # images and scripts of the page itself
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            sys.exit(f"{name} is {wide} pixels wide on a screen of {width}: a part is cut off")
        path = IMAGES / f"{name}-{device}.png"
        path.write_bytes(page.screenshot())
        if path.stat().st_size > MOST_BYTES:
            sys.exit(f"{path} has {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
        print(path.relative_to(ROOT), f"{path.stat().st_size:,} bytes")


def main(reports: list[str]) -> None:
    """Pictures the site, and a report if one is given."""
    start = ROOT / "site" / "index.html"
    if not start.is_file():
        sys.exit("There is no site. Run make docs first.")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=os.environ.get("CHROMIUM"))
        page = browser.new_page(reduced_motion="reduce")
        picture(page, start, "start")
        for report in reports:
            picture(page, Path(report), "report")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
