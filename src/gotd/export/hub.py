"""`datasets`: one Parquet file that `load_dataset` and the Hugging Face Hub find by the card's front matter."""

from __future__ import annotations

from gotd.export.trainer import PARQUET, Task, Trainer


def _config(task: Task) -> dict[str, str]:
    return {}


DATASETS = Trainer(
    name="datasets",
    title="datasets",
    config=_config,
    use='from datasets import load_dataset\n\ndata = load_dataset("FOLDER", split="train")',
    documented="https://huggingface.co/docs/hub/datasets-manual-configuration",
    data=PARQUET,
)
