"""What a trainer needs of an export."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Shape = Literal["text", "chat"]
DATA = "data/train.jsonl"
PARQUET = "data/train-00000-of-00001.parquet"
# What Kang et al. 2024 warm GPT-2 up with (section 3); the published three epochs see each document three times.
LEARNING_RATE = "2.0e-5"


@dataclass(frozen=True, slots=True)
class Task:
    """What a config is written for.

    Attributes:
        shape: whether the records are texts or chats.
        model: name or path of the model to warm up.
    """

    shape: Shape
    model: str

    @property
    def yaml_model(self) -> str:
        """The model as a value in YAML."""
        return self.model if re.fullmatch(r"[\w./@-]+", self.model) else json.dumps(self.model)


def any_chat(roles: Sequence[str]) -> str | None:
    """No chat is at fault."""
    return None


@dataclass(frozen=True, slots=True)
class Trainer:
    """One program that trains.

    Attributes:
        name: as `--to` takes it.
        title: as people write it.
        config: the files to write beside the data, by name.
        use: what to type, or the Python that reads it, with FOLDER for the export's folder.
        documented: where its format is documented.
        data: the file of records, JSONL or Parquet by its suffix.
        chats: whether it reads chats as chats.
        fault: what is wrong with a chat of these roles, or None.
    """

    name: str
    title: str
    config: Callable[[Task], Mapping[str, str]]
    use: str
    documented: str
    data: str = DATA
    chats: bool = True
    fault: Callable[[Sequence[str]], str | None] = any_chat
