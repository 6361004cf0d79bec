"""TRL: `text`, or `messages` for chats, as its SFT trainer reads them (TRL's "Dataset formats and types")."""

from __future__ import annotations

from gotd.export.trainer import LEARNING_RATE, Task, Trainer


def _config(task: Task) -> dict[str, str]:
    # The folder `data`, not `.`: `datasets` cannot tell a name for the latter.
    return {
        "sft.yaml": f"""\
# In this folder: trl sft --config sft.yaml
model_name_or_path: {task.yaml_model}
dataset_name: data
max_length: 1024
learning_rate: {LEARNING_RATE}
num_train_epochs: 1
per_device_train_batch_size: 8
output_dir: warmed-up
"""
    }


TRL = Trainer(
    name="trl",
    title="TRL",
    config=_config,
    use="cd FOLDER && trl sft --config sft.yaml",
    documented="https://huggingface.co/docs/trl/dataset_formats",
)
