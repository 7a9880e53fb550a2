"""Records `docs/images/vscode.gif`: the extension in VS Code, with the real server and the real model.

Run: python tests/editors/record_vscode.py, after `make model vsix fetch-vscode`. The scene stands in
`editors/vscode/test/record.mjs`, with how long each picture is shown: for reading, no measure of speed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from editor_paths import ROOT
from PIL import Image

EXTENSION = ROOT / "editors/vscode"
GIF = ROOT / "docs/images/vscode.gif"
COLOURS = 200


def main() -> None:
    node = shutil.which("node")
    if node is None:
        sys.exit("no Node on PATH; install Node 20 or later")
    with tempfile.TemporaryDirectory(prefix="hef-") as folder:
        environment = {**os.environ, "HEF_TEST_SERVER": sys.executable}
        command = [node, "test/record.mjs", folder]
        subprocess.run(command, cwd=EXTENSION, env=environment, check=True)
        assemble(Path(folder))
    print(f"{GIF.relative_to(ROOT)}: {GIF.stat().st_size // 1024} KB")


def assemble(folder: Path) -> None:
    """One palette for all pictures, so that what stays the same is left out of the next one."""
    frames = json.loads((folder / "frames.json").read_text())
    pictures = [Image.open(folder / frame["name"]).convert("RGB") for frame in frames]
    palette = palette_of(pictures)
    drawn = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [frame["milliseconds"] for frame in frames]
    drawn[0].save(GIF, save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=True)


def palette_of(pictures: list[Image.Image]) -> Image.Image:
    """Of five pictures through the scene: together they have its colours, the short-lived ones among them."""
    width, height = pictures[0].size
    chosen = [pictures[at * (len(pictures) - 1) // 4] for at in range(5)]
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for row, picture in enumerate(chosen):
        sheet.paste(picture, (0, row * height))
    return sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)


if __name__ == "__main__":
    main()
