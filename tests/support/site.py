"""A small site for browsers: a page that knows when everything on it has arrived, and files of many sizes."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

IMAGES, SCRIPTS = 24, 6

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>waiting</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
{scripts}
</head><body>
<h1>A page of many parts</h1>
{images}
<script type="module">
import {{ late }} from "/module.js";
const answer = await fetch("/data.json");
window.fetched = (await answer.json()).items.length;
window.late = late;
addEventListener("load", () => {{ document.title = "loaded"; }});
if (document.readyState === "complete") document.title = "loaded";
</script>
</body></html>
"""

WHAT_CAME = """() => ({
  images: [...document.images].filter(image => image.complete && image.naturalWidth === 64).length,
  scripts: window.came || 0,
  style: getComputedStyle(document.querySelector("h1")).color,
  fetched: window.fetched,
  late: window.late,
})"""

EXPECTED = {"images": IMAGES, "scripts": SCRIPTS, "style": "rgb(1, 2, 3)", "fetched": 5000, "late": "module"}


def make_site(root: Path) -> list[str]:
    """Write the site below `root` and give the paths that a browser has to ask for."""
    for folder in ("images", "scripts"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    images = [f"/images/{number}.png" for number in range(IMAGES)]
    scripts = [f"/scripts/{number}.js" for number in range(SCRIPTS)]
    for number, path in enumerate(images):
        (root / path[1:]).write_bytes(png(number))
    for number, path in enumerate(scripts):
        filler = f"/* {'interpose ' * 2000 * number} */\n"
        (root / path[1:]).write_text(filler + "window.came = (window.came || 0) + 1;\n")
    (root / "style.css").write_text("h1 { color: rgb(1, 2, 3) }\n")
    (root / "module.js").write_text('export const late = "module";\n')
    (root / "data.json").write_text('{"items": [' + ", ".join(map(str, range(5000))) + "]}")
    (root / "index.html").write_text(
        PAGE.format(
            images="\n".join(f'<img src="{path}" alt="">' for path in images),
            scripts="\n".join(f'<script src="{path}"{" defer" * (n % 2)}></script>' for n, path in enumerate(scripts)),
        )
    )
    return ["/", "/style.css", "/module.js", "/data.json", *images, *scripts]


def png(seed: int) -> bytes:
    """A picture of 64 by 64 pixels of noise, so that it does not shrink."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(64 * 3) for _ in range(64))
    head = struct.pack("!IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    )


def make_files(root: Path, count: int) -> list[str]:
    """Write `count` files of sizes from nothing to some MiB, the odd ones around buffers among them; their paths."""
    choose = random.Random(200)
    edges = [0, 1, 2, 255, 256, 1023, 1024, 4095, 4096, 4097, 8191, 8192, 16383, 16384, 16385, 32768, 65535, 65536,
             65537, 131071, 131072, 131073, 262144, 262145, 1 << 20, (1 << 20) + 1, 3 << 20]  # fmt: skip
    endings = ("bin", "txt", "html", "json", "png")
    paths = []
    for number in range(count):
        size = edges[number] if number < len(edges) else int(2 ** choose.uniform(0, 19))
        path = f"files/{number % 7}/{number}.{endings[number % len(endings)]}"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(choose.randbytes(size))
        paths.append("/" + path)
    return paths
