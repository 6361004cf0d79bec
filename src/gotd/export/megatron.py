"""Megatron-LM: JSONL with `text`, for its `tools/preprocess_data.py` (Megatron Core's "Data Preparation")."""

from __future__ import annotations

from shlex import quote

from gotd.export.trainer import DATA, Task, Trainer


def _config(task: Task) -> dict[str, str]:
    return {
        "preprocess.sh": f"""\
#!/bin/sh
# In this folder: MEGATRON=/path/to/Megatron-LM sh preprocess.sh
# makes selection_text_document.bin and .idx; then train with --data-path selection_text_document
set -eu
python "${{MEGATRON:?the folder of Megatron-LM}}/tools/preprocess_data.py" \\
    --input {DATA} \\
    --json-keys text \\
    --output-prefix selection \\
    --tokenizer-type HuggingFaceTokenizer \\
    --tokenizer-model {quote(task.model)} \\
    --append-eod \\
    --workers 1
"""
    }


MEGATRON = Trainer(
    name="megatron",
    title="Megatron-LM",
    config=_config,
    use="cd FOLDER && MEGATRON=/path/to/Megatron-LM sh preprocess.sh",
    documented="https://docs.nvidia.com/megatron-core/developer-guide/latest/user-guide/data-preparation.html",
    chats=False,
)
