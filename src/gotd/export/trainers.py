"""The table of trainers, by the name that `--to` takes."""

from __future__ import annotations

from gotd.export.axolotl import AXOLOTL
from gotd.export.hub import DATASETS
from gotd.export.llama_factory import LLAMA_FACTORY
from gotd.export.megatron import MEGATRON
from gotd.export.trainer import Trainer
from gotd.export.trl import TRL

TRAINERS: dict[str, Trainer] = {trainer.name: trainer for trainer in (TRL, LLAMA_FACTORY, AXOLOTL, DATASETS, MEGATRON)}
