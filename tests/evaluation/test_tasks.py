"""Tasks of lm-eval, each a YAML file made here with its data beside it, by models whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from gotd.cli import main
from gotd.errors import MissingExtra, SettingsError
from gotd.evaluation.perplexity import perplexity
from gotd.evaluation.tasks import Answered, answers_to, evaluate_tasks, scores_of

pytest.importorskip("lm_eval")
LABELS = [1, 1, 0] * 3  # six of nine are of class 1

Make = Callable[..., str]
Ask = Callable[..., Answered]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def task(write: Callable[..., str], tmp_path: Path) -> Make:
    """task(**settings) -> the folder of a task `mine`: is a text of common words or of rare ones?"""
    rows = [{"text": f"common{i}", "label": label} for i, label in enumerate(LABELS)]

    def make(folder: str = "tasks", records: list[dict[str, Any]] = rows, **given: Any) -> str:
        data = write(f"{folder}/test.jsonl", records)
        settings = {
            "task": "mine",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": data}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{text}} is",
            "doc_to_choice": ["common1", "rare1"],
            "doc_to_target": "label",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 3},
            **given,
        }
        kept = {name: value for name, value in settings.items() if value is not None}
        (tmp_path / folder / "mine.yaml").write_text(yaml.safe_dump(kept))
        return str(tmp_path / folder)

    return make


@pytest.fixture
def ask(gpt: Path) -> Ask:
    """ask(folder, model, **settings) -> what the model makes of `mine`."""
    return lambda folder, model=gpt, **given: evaluate_tasks(
        str(model), "mine", task_folder=folder, device="cpu", **given
    )


@pytest.fixture
def sure(gpt: Path, unigram: Callable[[torch.Tensor], Path], vocabulary: int) -> Callable[[str], Path]:
    """sure(word) -> a model that gives the tokens of a word all but all of the probability."""
    from transformers import AutoTokenizer

    def make(word: str) -> Path:
        logs = torch.full((vocabulary,), -30.0)
        logs[AutoTokenizer.from_pretrained(gpt)(word)["input_ids"]] = 0.0
        return unigram(logs)

    return make


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the library's own tasks those of one folder: to list them all takes many seconds."""
    import lm_eval.tasks

    from gotd.evaluation import harness

    arc = Path(lm_eval.tasks.__file__).parent / "arc"

    def manager(include_path: str | None = None, include_defaults: bool = True) -> Any:
        paths = [path for path in (arc if include_defaults else None, include_path) if path]
        return lm_eval.tasks.TaskManager(include_path=paths, include_defaults=False)

    monkeypatch.setattr(harness, "TaskManager", manager)
    harness._library.cache_clear()


def test_the_share_that_is_right_and_its_error(task: Make, ask: Ask, sure: Callable[[str], Path]) -> None:
    """A model that always says " rare1" is right on two of three; stderr is sqrt(p (1 - p) / (n - 1))."""
    found = ask(task(), sure(" rare1"))
    mine = found.tasks["mine"]
    assert mine.figures["acc"].mean == pytest.approx(6 / 9)
    assert mine.figures["acc"].stderr == pytest.approx(math.sqrt(6 / 9 * 3 / 9 / 8))
    assert (mine.documents, mine.of, mine.shots, mine.version, found.cut) == (9, 9, 0, "3", 0)


def test_bits_a_byte_are_those_of_gotd(gpt: Path, task: Make, ask: Ask, write: Any, text: Any) -> None:
    """The two ways to a likelihood agree where no text is longer than the window."""
    rows = [{"text": text(i, True, 12), "label": ""} for i in range(7)]
    rolling = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_choice": None}
    metrics = [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}]
    folder = task(records=rows, doc_to_target="{{text}}", metric_list=metrics, **rolling)
    score = ask(folder).tasks["mine"].figures["bits_per_byte"]
    assert score.mean == pytest.approx(perplexity(str(gpt), f"{folder}/test.jsonl", device="cpu").bits_per_byte, 1e-5)
    assert (score.stderr, score.higher) == (None, False)


def test_what_a_model_writes_is_judged_too(task: Make, ask: Ask, sure: Callable[[str], Path]) -> None:
    """And a prompt that leaves no room for it loses its beginning."""
    rows = [{"text": "common1", "label": "!!!"}, {"text": "common1", "label": "?"}, {"text": "a " * 90, "label": "!!!"}]
    writing = {"output_type": "generate_until", "doc_to_choice": None, "metric_list": [{"metric": "exact_match"}]}
    folder = task(records=rows, generation_kwargs={"until": ["\n"], "max_gen_toks": 3}, **writing)
    found = ask(folder, sure("!"), batch=2)
    assert found.tasks["mine"].figures["exact_match"].mean == pytest.approx(2 / 3)
    assert found.cut == 1


def test_a_prompt_that_is_too_long_is_counted(task: Make, ask: Ask, sure: Callable[[str], Path]) -> None:
    """By each of its two answers."""
    rows = [{"text": "common1 " * 50, "label": 1}, {"text": "common1", "label": 1}]
    found = ask(task(records=rows), sure(" rare1"))
    assert (found.cut, found.window, found.tasks["mine"].figures["acc"].mean) == (2, 64, 1.0)


def test_examples_in_the_prompt_and_a_limit(task: Make, ask: Ask) -> None:
    shown = task(fewshot_split="test")
    plain, two, half = ask(shown), ask(shown, shots=2), ask(shown, limit=5)
    assert [found.tasks["mine"].shots for found in (plain, two, half)] == [0, 2, 0]
    assert (half.tasks["mine"].documents, half.tasks["mine"].of) == (5, 9)
    assert len({found.tasks["mine"].asked for found in (plain, two, half)}) == 3
    zero = ask(task(num_fewshot=0, metadata=None), shots=2).tasks["mine"]  # without any by definition
    assert (zero.shots, zero.version) == (0, None)


def test_scores_document_by_document(gpt: Path, task: Make) -> None:
    """Those whose mean is the figure; no others are told."""
    metrics = [{"metric": name} for name in ("acc", "brier_score")]
    metrics += [{"metric": "acc_norm", "aggregation": "median"}]
    found = answers_to("mine", task(metric_list=metrics), str(gpt), device="cpu").found
    scores = scores_of(found, "mine", "acc")
    assert (len(scores), set(scores)) == (9, {0.0, 1.0})
    assert sum(scores) / 9 == pytest.approx(found["results"]["mine"]["acc,none"])
    with pytest.raises(SettingsError, match='task mine: no metric "f1"; wanted acc, acc_norm, brier_score'):
        scores_of(found, "mine", "f1")
    for metric in ("brier_score", "acc_norm"):
        with pytest.raises(SettingsError, match=f"^task mine: {metric} is no mean over documents of scores from 0 to"):
            scores_of(found, "mine", metric)


def test_digests_tell_the_definition_and_what_was_asked(task: Make, ask: Ask, tmp_path: Path) -> None:
    """Of the same task in another folder they are the same."""
    first = ask(task()).tasks["mine"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "tasks" / "mine.yaml").rename(elsewhere / "mine.yaml")
    again = ask(str(elsewhere)).tasks["mine"]
    assert (again.config, again.asked) == (first.config, first.asked)
    other = ask(task(doc_to_text="{{text}} was")).tasks["mine"]
    assert first.config != other.config
    assert first.asked != other.asked


def test_the_library_is_not_heard(
    task: Make, ask: Ask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it fork this process to resample a figure. gotd says how far it is."""
    monkeypatch.setattr("multiprocessing.Pool", None)
    told: list[tuple[str, int, int]] = []
    resampled = [{"metric": "acc", "aggregation": "median"}]
    found = ask(task(metric_list=resampled), progress=lambda *step: told.append(step), batch=4)
    assert found.tasks["mine"].figures["acc"].stderr is not None
    assert capfd.readouterr() == ("", "")
    assert [stage for stage, _, _ in told[:2]] == ["finding the task", "loading its data"]
    assert set(told[2:]) == {("answering", done, 18) for done in range(0, 18, 4)}


def test_the_command(gpt: Path, task: Make, sure: Callable[[str], Path]) -> None:
    asked = ("evaluate", "zero-shot", "--model", sure(" rare1"), "--device", "cpu")
    run = partial(CliRunner().invoke, main, prog_name="gotd", catch_exceptions=False)
    shown = run([*map(str, asked), "--task", "mine", "--task-folder", task(), "--limit", "6"])
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "mine: acc  0.6667          0.2108" in shown.stdout
    assert "mine: 6 of 9 documents, 0 examples in the prompt, version 3, config " in shown.stdout
    for flags, said in (
        (("--task", "mine", "--template", "boolq"), "--template has no meaning with --task"),
        (("--data", "d.jsonl", "--template", "boolq", "--shots", "1"), "--shots wants --task"),
        (("--data", "d.jsonl"), "wanted --data and --template, or --task"),
    ):
        refused = run([*map(str, asked), *flags])
        assert refused.exit_code == 2
        assert said in refused.stderr


@pytest.mark.usefixtures("few")
def test_a_group_has_figures_of_its_own(gpt: Path, task: Make, sure: Callable[[str], Path], tmp_path: Path) -> None:
    """Nine documents of which six are right, and three of which none is: half of twelve."""
    task(task="one")
    (tmp_path / "tasks" / "mine.yaml").rename(tmp_path / "tasks" / "one.yaml")
    other = task("tasks/more", [{"text": f"common{i}", "label": 0} for i in range(3)], task="other")
    whole = {"group": "both", "task": ["one", "other"], "aggregate_metric_list": [{"metric": "acc"}]}
    Path(other, "both.yaml").write_text(yaml.safe_dump(whole))
    Path(other, "apart.yaml").write_text(yaml.safe_dump({"group": "apart", "task": ["both"]}))
    found = evaluate_tasks(str(sure(" rare1")), "apart", task_folder=str(tmp_path / "tasks"), device="cpu").tasks
    shares = {name: one.figures["acc"].mean for name, one in found.items()}
    assert shares == pytest.approx({"one": 6 / 9, "other": 0.0, "both": 6 / 12})  # `apart` adds nothing up
    assert [(found[name].documents, found[name].config is None) for name in ("one", "both")] == [(9, False), (12, True)]


@pytest.mark.usefixtures("few")
def test_a_task_of_the_library_wants_the_hub(gpt: Path, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match=r"^task arc_easy: .*ai2_arc.* Its data come from the Hugging Face hub, or"):
        evaluate_tasks(str(gpt), "arc_easy", device="cpu")
    with pytest.raises(SettingsError, match=r'^no task "arc_eesy" in lm-eval: did you mean arc_easy'):
        evaluate_tasks(str(gpt), "arc_eesy", device="cpu")
    with pytest.raises(SettingsError, match=r'^no task "mein" in lm-eval; .*tasks holds mine: did you mean mine'):
        evaluate_tasks(str(gpt), "mine,mein", task_folder=task(), device="cpu")


def test_what_is_refused(gpt: Path, mlm: Path, task: Make, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="a masked model does not continue a prompt"):
        ask(task(), mlm)
    with pytest.raises(SettingsError, match="task folder nowhere: no such folder"):
        ask("nowhere")
    with pytest.raises(SettingsError, match='task is ","; wanted names of lm-eval'):
        evaluate_tasks(str(gpt), ",", device="cpu")
    with pytest.raises(SettingsError, match=r"^task mine: .*absent\.jsonl.* or from files that its YAML names$"):
        ask(task(dataset_kwargs={"data_files": {"test": "absent.jsonl"}}))
    with pytest.raises(SettingsError, match=r"^task mine: Attempted to run task: mine which is marked as unsafe"):
        ask(task(unsafe_code=True))
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None if name == "lm_eval" else name)
    with pytest.raises(MissingExtra, match=r"lm-eval, which is not installed. Run: pip install 'gotd\[lm-eval\]'"):
        ask(task())
