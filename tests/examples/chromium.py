"""A headless Chromium to run pages in, driven over the DevTools protocol by a pair of pipes."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 50  # for any one thing


def find_chromium() -> str | None:
    """Returns the first Chromium on the PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page. `arguments` are Chromium's own; `folder` is for its profile."""

    def __init__(self, folder: Path, *arguments: str):
        read, self._to_browser = os.pipe()
        self._from_browser, write = os.pipe()
        self._received = b""
        self._last_id = 0
        self._session = None
        command = [
            find_chromium(),
            "--headless",
            "--remote-debugging-pipe",  # reads from 3, writes to 4
            "--no-sandbox",  # which containers do not offer
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            f"--user-data-dir={folder}",
            *arguments,
            "about:blank",
        ]
        # By way of 8 and 9, in case one of the pipes is 3 or 4 itself.
        pipes = f'exec "$@" 8<&{read} 9>&{write} 3<&8 4>&9 8<&- 9>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", pipes, "bash", *command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, url: str) -> None:
        """Leaves the page for another."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)}")

    def evaluate(self, expression: str) -> Any:
        """Returns what a JavaScript expression gives, its promise awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Waits until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            if time.monotonic() > end:
                page = self.evaluate("document.body.innerText")
                raise TimeoutError(f"Waited {SECONDS} s for {expression}. The page: {page}")
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """Chooses a file in an <input type="file">."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def close(self) -> None:
        """Ends the browser."""
        os.close(self._to_browser)  # which makes it quit
        os.close(self._from_browser)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            if not select.select([self._from_browser], [], [], SECONDS)[0]:
                raise TimeoutError(f"Chromium said nothing for {SECONDS} s")
            received = os.read(self._from_browser, 1 << 16)
            if not received:
                raise RuntimeError("Chromium ended")
            self._received += received
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)
