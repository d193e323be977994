"""Photographs the playground: `python docs/make_playground.py MODELS MODEL PICTURE TEXT…`.

docs/playground.png was made of a model of `examples/data/reviews.csv`; needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import driven_page, served, visit

from keras_seqzoo.serving.server.sources import in_folder
from keras_seqzoo.serving.server.store import ModelStore

SCRIPT = """
const $$ = (id) => document.getElementById(id), model = $$("model");
await until(() => document.querySelector("#fields textarea"));
const first = model.value;
model.value = [...model.options].find((o) => JSON.parse(o.value)[0] === NAME).value;
if (model.value !== first) {
  document.querySelector("#fields textarea").remove();
  model.dispatchEvent(new Event("change"));
  await until(() => document.querySelector("#fields textarea") && $$("answer").textContent);
  await new Promise((next) => setTimeout(next, 300));
}
TEXTS.forEach((text, i) => { document.querySelectorAll("#fields textarea")[i].value = text; });
$$("ask").click();
await until(() => !$$("more").hidden);
if (!$$("words").hidden) {
  $$("explain").click();
  await until(() => $$("explanation").children.length);
}
"""


def main() -> None:
    """Reads the arguments and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="a folder of exported models")
    parser.add_argument("model", help="the one that is asked")
    parser.add_argument("picture", type=Path)
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--size", default="1280,900")
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    script = SCRIPT.replace("NAME", json.dumps(given.model))
    page = driven_page(script.replace("TEXTS", json.dumps(given.texts)))
    with closing(ModelStore(in_folder(given.models))) as store:
        store.refresh()
        with served(store, page) as url:
            flags = ["--blink-settings=preferredColorScheme=0"] if given.dark else []
            visit(url, f"--screenshot={given.picture}", f"--window-size={given.size}", *flags)


if __name__ == "__main__":
    main()
