"""A page in headless Chromium: what a probe running in the scope of its script finds."""

import html
import json
import re
import shutil
import subprocess

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=8000", "--dump-dom",
)  # fmt: skip
LISTEN = (
    "<script>const errors = []; addEventListener('error', (event) => errors.push(event.message)); "
    "const complain = console.error; console.error = (...said) => { errors.push(said.join(' ')); complain(...said); };"
    "</script>"
)
WRITE = """
  found.errors = errors;
  const written = Object.assign(document.createElement("pre"), { id: "found", textContent: JSON.stringify(found) });
  document.body.append(written);
"""


def probed(page, probe, folder):
    """What `probe` put into `found`, beside all errors since the page began to load.

    Its lines are the last of the page's own script, so that they see its functions.
    """
    if BROWSER is None:
        pytest.skip("needs chromium on the path")
    end = "})();</script>"
    assert page.count(end) == 1
    prepared = page.replace(
        end, f"(async () => {{ {probe} {WRITE} }})().catch((error) => errors.push(String(error)));{end}"
    )
    prepared = prepared.replace("<body>", f"<body>{LISTEN}")
    (folder / "page.html").write_text(prepared, encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    written = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.DOTALL)
    assert written is not None, "the script of the page stopped before the probe was done"
    return json.loads(html.unescape(written.group(1)))
