"""``python -m biomedica_assets.cli`` is ``biomedica``."""

import sys

from biomedica_assets.cli import main

if __name__ == "__main__":
    sys.exit(main())
