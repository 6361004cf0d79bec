"""axolotl: texts as `type: completion`, chats as `type: chat_template` (axolotl's "Dataset Formats")."""

from __future__ import annotations

from gotd.export.trainer import DATA, LEARNING_RATE, Task, Trainer

_TYPES = {"text": "type: completion\n    field: text", "chat": "type: chat_template\n    field_messages: messages"}


def _config(task: Task) -> dict[str, str]:
    return {
        "config.yaml": f"""\
# In this folder: axolotl train config.yaml
base_model: {task.yaml_model}
datasets:
  - path: {DATA}
    ds_type: json
    split: train
    {_TYPES[task.shape]}
sequence_len: 1024
learning_rate: {LEARNING_RATE}
optimizer: adamw_torch
lr_scheduler: cosine
num_epochs: 1
micro_batch_size: 8
gradient_accumulation_steps: 1
output_dir: warmed-up
"""
    }


AXOLOTL = Trainer(
    name="axolotl",
    title="axolotl",
    config=_config,
    use="cd FOLDER && axolotl train config.yaml",
    documented="https://docs.axolotl.ai/docs/dataset-formats/",
)
