"""Checks folders of vectors: `python -m taskseal_reader FOLDER...`."""

import sys
from pathlib import Path

from . import check

if __name__ == "__main__":
    sys.exit(check.main([Path(folder) for folder in sys.argv[1:]]))
