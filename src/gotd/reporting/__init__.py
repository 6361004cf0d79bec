"""One self-contained page about a selection: what was chosen, and how far to trust it. Imported by `cli` alone.

manifest, scores, potential, pool -> Account -> sections -> page.html, map.parquet
"""

from gotd.reporting.making import check_extras, report

__all__ = ["check_extras", "report"]
