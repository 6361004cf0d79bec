"""LLaMA-Factory: texts as an alpaca-style pre-training set, chats in the OpenAI form of its sharegpt style.

Both are described in `data/README.md` of LLaMA-Factory. It passes over chats whose turns do not alternate between
user and assistant, with no more than a warning in its log; here they are rejected with their reason instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gotd.export.trainer import DATA, LEARNING_RATE, Task, Trainer

_NAME = "gotd_selection"
_TEXTS = {"file_name": DATA, "columns": {"prompt": "text"}}
_CHATS = {
    "file_name": DATA,
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def _config(task: Task) -> dict[str, str]:
    about = {_NAME: _CHATS if task.shape == "chat" else _TEXTS}
    stage = "stage: sft\ntemplate: default" if task.shape == "chat" else "stage: pt"
    return {
        "dataset_info.json": orjson.dumps(about, option=orjson.OPT_INDENT_2).decode() + "\n",
        "train.yaml": f"""\
# In this folder: llamafactory-cli train train.yaml
model_name_or_path: {task.yaml_model}
{stage}
do_train: true
finetuning_type: full
dataset_dir: .
dataset: {_NAME}
cutoff_len: 1024
learning_rate: {LEARNING_RATE}
num_train_epochs: 1.0
per_device_train_batch_size: 8
output_dir: warmed-up
""",
    }


def _fault(roles: Sequence[str]) -> str | None:
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) % 2 == 0 and list(turns) == ["user", "assistant"] * (len(turns) // 2) and turns:
        return None
    return f"found the turns {', '.join(roles)}; wanted user and assistant in turn, after a system prompt or none."


LLAMA_FACTORY = Trainer(
    name="llama-factory",
    title="LLaMA-Factory",
    config=_config,
    use="cd FOLDER && llamafactory-cli train train.yaml",
    documented="https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md",
    fault=_fault,
)
