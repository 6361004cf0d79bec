"""Each config against the format that its trainer documents, and by the trainer's own reader where it is installed."""

from __future__ import annotations

import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
import yaml

from gotd import Selection
from gotd.export import Exported, export_selection
from gotd.export.llama_factory import LLAMA_FACTORY
from gotd.export.trainer import Task

MODELS = ("org/model-1.5", "./a folder/with: colon # and more", "it's")


def exported(selection: Selection, to: str, folder: Path, **flags: object) -> Exported:
    return export_selection(selection, to, folder / to, **flags)


@pytest.mark.parametrize("model", MODELS)
def test_any_model_name_stays_one_value(texts: Selection, tmp_path: Path, model: str) -> None:
    for to, name, key in (
        ("trl", "sft.yaml", "model_name_or_path"),
        ("llama-factory", "train.yaml", "model_name_or_path"),
        ("axolotl", "config.yaml", "base_model"),
    ):
        folder = exported(texts, to, tmp_path, model=model).folder
        assert yaml.safe_load((folder / name).read_text())[key] == model
    script = (exported(texts, "megatron", tmp_path, model=model).folder / "preprocess.sh").read_text()
    assert model in shlex.split(script, comments=True)


def test_files_that_a_config_names_are_there(texts: Selection, tmp_path: Path) -> None:
    """Relative to the export's folder, in which each is to be used."""
    trl = exported(texts, "trl", tmp_path).folder
    assert list((trl / yaml.safe_load((trl / "sft.yaml").read_text())["dataset_name"]).iterdir())
    factory = exported(texts, "llama-factory", tmp_path).folder
    config = yaml.safe_load((factory / "train.yaml").read_text())
    about = orjson.loads((factory / config["dataset_dir"] / "dataset_info.json").read_bytes())
    assert (factory / about[config["dataset"]]["file_name"]).is_file()
    axolotl = exported(texts, "axolotl", tmp_path).folder
    assert (axolotl / yaml.safe_load((axolotl / "config.yaml").read_text())["datasets"][0]["path"]).is_file()


# LLaMA-Factory


def test_llama_factory_pretrains_on_texts_and_tunes_on_chats(
    texts: Selection, chats: Selection, tmp_path: Path
) -> None:
    """`prompt` alone is its pre-training set; a chat needs its tags, and a template to train by."""
    folder = exported(texts, "llama-factory", tmp_path).folder
    about = orjson.loads((folder / "dataset_info.json").read_bytes())["gotd_selection"]
    assert about == {"file_name": "data/train.jsonl", "columns": {"prompt": "text"}}
    assert yaml.safe_load((folder / "train.yaml").read_text())["stage"] == "pt"
    folder = exported(chats, "llama-factory", tmp_path / "chats").folder
    about = orjson.loads((folder / "dataset_info.json").read_bytes())["gotd_selection"]
    assert about["formatting"] == "sharegpt"
    assert about["tags"].items() >= {"role_tag": "role", "content_tag": "content", "assistant_tag": "assistant"}.items()
    config = yaml.safe_load((folder / "train.yaml").read_text())
    assert (config["stage"], config["template"]) == ("sft", "default")


@pytest.mark.parametrize(
    ("roles", "read"),
    [
        (["user", "assistant"], True),
        (["system", "user", "assistant"], True),
        (["user", "assistant", "user", "assistant"], True),
        (["user", "assistant", "user"], False),
        (["assistant", "user"], False),
        (["user", "user"], False),
        (["system"], False),
        ([], False),
        (["user", "tool"], False),
    ],
)
def test_llama_factory_reads_chats_in_turn(roles: list[str], read: bool) -> None:
    assert (LLAMA_FACTORY.fault(roles) is None) == read


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", ["texts", "chats"])
def test_llama_factory_reads_it(
    shape: str, tiny: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loader and tokenizer: every record becomes one example, where texts are not packed as by default."""
    loader = pytest.importorskip("llamafactory.data.loader")
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    selection = request.getfixturevalue(shape)
    monkeypatch.chdir(exported(selection, "llama-factory", tmp_path, model=str(tiny)).folder)
    config = {**yaml.safe_load(Path("train.yaml").read_text()), "use_cpu": True, "report_to": "none", "packing": False}
    model, data, training, _, _ = get_train_args(config)
    tokenizer = load_tokenizer(model)["tokenizer"]
    template = get_template_and_fix_tokenizer(tokenizer, data)
    found = loader.get_dataset(template, model, data, training, stage=config["stage"], tokenizer=tokenizer)
    assert len(found["train_dataset"]) == len(selection)


# axolotl


def test_axolotl_completes_texts_and_templates_chats(texts: Selection, chats: Selection, tmp_path: Path) -> None:
    config = yaml.safe_load((exported(texts, "axolotl", tmp_path).folder / "config.yaml").read_text())
    about = {"path": "data/train.jsonl", "ds_type": "json", "split": "train"}
    assert config["datasets"] == [{**about, "type": "completion", "field": "text"}]
    folder = exported(chats, "axolotl", tmp_path / "chats").folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["datasets"] == [{**about, "type": "chat_template", "field_messages": "messages"}]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", ["texts", "chats"])
def test_axolotl_reads_it(
    shape: str, tiny: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its schema takes the config, its loader the file, its prompt strategy each record."""
    schemas = pytest.importorskip("axolotl.utils.schemas.config")
    from axolotl.datasets import TokenizedPromptDataset
    from axolotl.prompt_strategies import load
    from axolotl.utils.data.shared import load_dataset_with_config
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    selection = request.getfixturevalue(shape)
    monkeypatch.chdir(exported(selection, "axolotl", tmp_path, model=str(tiny)).folder)
    config = schemas.AxolotlInputConfig(**yaml.safe_load(Path("config.yaml").read_text()))
    asked = DictDefault(config.datasets[0].model_dump())
    rows = load_dataset_with_config(asked, False)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    strategy = load(asked.type, tokenizer, DictDefault(config.model_dump(exclude_none=True)), asked)
    assert len(TokenizedPromptDataset(strategy, rows, process_count=1)) == len(selection)


# Megatron-LM


def test_megatron_gets_one_json_object_a_line_with_a_string(chats: Selection, tmp_path: Path) -> None:
    """Read as `preprocess_data.py` does: in text mode, line by line, `json.loads(line)["text"]`."""
    found = exported(chats, "megatron", tmp_path)
    with found.path.open(encoding="utf-8") as lines:
        read = [orjson.loads(line)["text"] for line in lines]
    assert len(read) == len(chats)
    assert all(isinstance(text, str) and text for text in read)


def test_megatrons_script_passes_what_the_tool_takes(texts: Selection, tmp_path: Path) -> None:
    """Run with a tool that prints what it is given; without one, the script says what is missing."""
    folder = exported(texts, "megatron", tmp_path, model="a model").folder
    tool = tmp_path / "Megatron-LM" / "tools" / "preprocess_data.py"
    tool.parent.mkdir(parents=True)
    tool.write_text("import sys; print(*sys.argv[1:], sep='\\n')")
    run = {"cwd": folder, "capture_output": True, "text": True}
    done = subprocess.run(["sh", "preprocess.sh"], env={"PATH": _path(), "MEGATRON": str(tool.parents[1])}, **run)
    flags = done.stdout.splitlines()
    given = dict(pairwise(flags))
    assert given["--json-keys"] == "text"
    assert given["--tokenizer-model"] == "a model"
    assert (folder / given["--input"]).is_file()
    assert "--append-eod" in flags
    failed = subprocess.run(["sh", "preprocess.sh"], env={"PATH": _path()}, **run)
    assert failed.returncode != 0
    assert "the folder of Megatron-LM" in failed.stderr


def _path() -> str:
    """A PATH on which `python` is this one."""
    import os
    import sys

    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def test_a_task_quotes_only_what_needs_it() -> None:
    assert Task("text", "org/model").yaml_model == "org/model"
    assert Task("text", "a: b").yaml_model == '"a: b"'
