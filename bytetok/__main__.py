"""``python -m bytetok`` is ``bytetok``."""

from __future__ import annotations

from bytetok.cli import main

if __name__ == "__main__":
    main()
