"""What browsers that never read cost the job: `uplift demo` with and without them, in pairs.

Beside frames per second, which other work on the machine changes: the processor's time of the whole demo.

From the repository's root, after a build: python3 tools/src/test/python/dead_browsers.py --pairs 5
"""

import argparse
import json
import re
import resource
import socket
import statistics
import subprocess
import tempfile
import threading
from pathlib import Path

ASK = b"GET /live?after=0&want=labels,colours,features,values HTTP/1.1\r\nHost: dead\r\n\r\n"


def attach(port: int, ended: threading.Event) -> None:
    """One browser that asks a thousand times and never reads; comes back when it is turned out."""
    while not ended.is_set():
        try:
            with socket.socket() as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                browser.connect(("127.0.0.1", port))
                browser.sendall(1000 * ASK)
                while not ended.wait(1):
                    browser.send(b"\r\n")  # fails when the server has hung up
        except OSError:
            ended.wait(1)


def demo(frames: int, browsers: int) -> tuple[float, float]:
    """Frames per second of a demo, and seconds of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = threading.Event()
    threads: list[threading.Thread] = []
    with tempfile.TemporaryDirectory() as output:
        run = ["./uplift", "demo", "--frames", str(frames), "--output", output]
        with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout:
                page = re.search(r"http://[^:]+:(\d+)/", line)
                if page and not threads:
                    for _ in range(browsers):
                        threads.append(threading.Thread(target=attach, args=(int(page[1]), ended)))
                        threads[-1].start()
        ended.set()
        for thread in threads:
            thread.join()
        if process.returncode:
            raise SystemExit(f"{' '.join(run)}: exit code {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return json.loads((Path(output) / "summary.json").read_text())["framesPerSecond"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60, help="of each of the demo's two cameras")
    options = parser.parse_args()
    rate_changes, cost_changes = [], []
    for pair in range(options.pairs):
        order = [0, options.browsers] if pair % 2 == 0 else [options.browsers, 0]
        runs = {browsers: demo(options.frames, browsers) for browsers in order}
        (rate, cost), (rate_with, cost_with) = runs[0], runs[options.browsers]
        rate_changes.append(100 * (rate_with / rate - 1))
        cost_changes.append(100 * (cost_with / cost - 1))
        print(f"alone {rate:.2f} frames/s, {cost:.0f} s; with {options.browsers}: ", end="")
        print(f"{rate_with:.2f} frames/s, {cost_with:.0f} s", flush=True)
    print(f"medians of {options.pairs} pairs: frames/s {statistics.median(rate_changes):+.1f} %,", end=" ")
    print(f"processor time {statistics.median(cost_changes):+.1f} %")


if __name__ == "__main__":
    main()
