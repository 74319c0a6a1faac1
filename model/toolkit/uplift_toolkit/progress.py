"""Progress of long work: a bar on a terminal; elsewhere a line every half minute."""

import sys
from typing import Any

from tqdm import tqdm

SECONDS = 30


class Lines:
    """Writes what tqdm would write over its last line as a line of its own, unless it says the same."""

    last = ""

    def write(self, text: str) -> None:
        if text.strip() not in ("", self.last):
            self.last = text.strip()
            print(self.last, file=sys.stderr, flush=True)

    def flush(self) -> None: ...


def progress(iterable: Any = None, **arguments: Any) -> Any:
    """As `tqdm`. What ends within half a minute says nothing where no terminal is."""
    if sys.stderr.isatty():
        return tqdm(iterable, **arguments)
    form = "{desc}  {percentage:.0f} %  {n_fmt} of {total_fmt}  {elapsed}, {remaining} left"
    if iterable is None and arguments.get("total") is None:
        form = "{desc}  {n_fmt}  {elapsed}"
    return tqdm(
        iterable, file=Lines(), mininterval=SECONDS, miniters=1, delay=SECONDS, bar_format=form, **arguments
    )
