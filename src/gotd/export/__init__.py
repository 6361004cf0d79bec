"""From a finished selection to what a trainer reads: data, config and a dataset card.

    selection -> records -> data/train.* | rejects.jsonl
              -> licences -> card (README.md)
    trainer -> its config

One small module a trainer, `trainers` the table of them. `export_selection` puts a folder together.
"""

from gotd.export.selection import Exported, export_selection
from gotd.export.trainers import TRAINERS

__all__ = ["TRAINERS", "Exported", "export_selection"]
