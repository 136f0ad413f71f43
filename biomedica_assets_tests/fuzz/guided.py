"""Coverage-guided fuzzing with atheris, where it is installed: ``make fuzz``, or this module with a reader's name.

It needs a machine with atheris (``pip install atheris``); the property tests beside it need nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Fuzz one reader until the time is up or something fails."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("reader")
    arguments.add_argument("--seconds", type=int, default=60)
    given = arguments.parse_args()
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 1
    with atheris.instrument_imports(include=["biomedica_assets"]):
        from biomedica_assets_tests.fuzz.readers import READERS, SEEDS, feed
    if given.reader not in READERS:
        print(f"no reader {given.reader!r}; there are: {', '.join(READERS)}", file=sys.stderr)
        return 2
    corpus = Path(tempfile.mkdtemp(prefix="biomedica-fuzz-"))
    (corpus / "seed").write_bytes(SEEDS[given.reader])
    options = [f"-max_total_time={given.seconds}", "-max_len=4096", str(corpus)]
    atheris.Setup([sys.argv[0], *options], lambda data: feed(given.reader, data))
    atheris.Fuzz()  # ends the process itself, so the corpus of some kilobytes is left to the system's cleaning
    return 0


if __name__ == "__main__":
    sys.exit(main())
