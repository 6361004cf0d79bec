"""What would end a cell, an hour in, and is known before the first: refused here, by `--dry-run` as by the run.

rows        settings, caps, weights of targets, encoders
stages      recipes, windows, micro-batches
tasks       examples, classes, templates, prompts, scorers
candidates  that they hold the largest budget
model       that it is whole, and takes the windows that are asked for

Every message begins with the file and the name of what is at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from gotd.comparison.choices import check_rows, rule
from gotd.comparison.config import LM_EVAL, NONE, Config, Task, placed
from gotd.comparison.plan import Plan, fields_of, plan, targets_of, warm_recipe
from gotd.comparison.reading import read_comparison
from gotd.corpus import Fields, find
from gotd.corpus.sampling import share_of_rows
from gotd.dry_run.sizes import look
from gotd.encoder_folders import encoder_for
from gotd.errors import SettingsError
from gotd.evaluation.likelihood import check_causal, start_token
from gotd.evaluation.perplexity import cut_of
from gotd.evaluation.scorers import load_scorer
from gotd.evaluation.tasks import check_tasks
from gotd.evaluation.templates import load_template
from gotd.evaluation.toxicity import prompt_room
from gotd.evaluation.zero_shot import read_prompts
from gotd.selection.budget import Budget, estimated_tokens
from gotd.stages.targets import Target, aims, check_aims
from gotd.training.documents import check_dev, inputs_of, texts_of
from gotd.training.finetune import CLASSIFIER, LANGUAGE
from gotd.training.labelled import Columns, check_classes, classes_of, documents_of, held_out, read_examples
from gotd.training.language import check_vocabulary
from gotd.training.models import (
    arithmetic,
    check_finished,
    kind_of,
    load_language_model,
    load_tokenizer,
    need_training,
    quiet,
    weights_dtype,
    window_of,
)
from gotd.training.settings import BEST_BY, Kind, Machine, recipe
from gotd.training.warmup import share_of
from gotd.training.windows import marks

_LOOKED_AT = 2_000  # candidates, for how many there are
_FITTED = ("lsa", "lsa+static")  # encoders that there is nothing to load of


def prepared(config: Config | Path | str) -> Plan:
    """The plan of a comparison that can be run, as far as can be known.

    Raises:
        SettingsError: settings that do not fit each other, the model or the candidates; test data that choose or train.
        InputError: files that cannot be read, or examples without a class that is known.
    """
    asked = config if isinstance(config, Config) else read_comparison(config)
    lora = asked.warmup.get("lora") or asked.finetune.get("lora")
    need_training("compare", *(("peft",) if lora else ()))
    with nullcontext() if isinstance(config, Config) else placed(str(config)):
        check_rows(asked)
        check_finished(asked.model)
        with quiet():
            kind = kind_of(asked.model)
        _check_stages(asked, kind)
        for task in asked.tasks:
            with placed(f"task {task.name}"):
                _check_task(asked, task, kind)
        work = plan(asked)
        _check_budgets(asked)
        _check_model(asked, kind)
        _check_encoders(asked)
    return work


def _check_stages(config: Config, kind: Kind) -> None:
    """Recipes of both stages, and that the micro-batch is a part of either batch."""
    machine = Machine(config.device, config.micro_batch, config.gradient_checkpointing)
    with placed("warmup"):
        for seed in config.seeds:
            machine.portion(replace(warm_recipe(config), seed=seed).batch)
        if share_of(config.warmup.get("replay", 0.0)) and not config.reference:
            raise SettingsError("replay mixes in what the model was trained on; name a reference, or drop replay")
    with placed("finetune"):
        tuned = {name: value for name, value in config.finetune.items() if name not in ("max_train", "best_by")}
        for base in {CLASSIFIER if task.label_field else LANGUAGE for task in config.tasks if task.train} or {LANGUAGE}:
            machine.portion(recipe(kind, None, base, **tuned).batch)
        best_by = config.finetune.get("best_by", BEST_BY[0])
        if best_by not in BEST_BY:
            raise SettingsError(f'best_by is "{best_by}"; wanted {", ".join(BEST_BY)}')
        if most := config.finetune.get("max_train"):
            documents_of(most)


def _check_task(config: Config, task: Task, kind: Kind) -> None:
    """Its files, its stage II, and what each of its evaluations reads."""
    for row in config.methods:
        if config.method(row) != NONE:
            with placed(f"row {row}"):
                asked = rule(config, row)
                avoid = [Target.parse(text) for text in asked.avoid] or None
                check_aims(asked.fit.method, aims(targets_of(task), avoid))
    texts = [("target", target.paths) for target in targets_of(task)]
    for role, paths in [*texts, ("test", task.test), ("dev", task.dev)]:
        if paths:
            texts_of(paths, Fields(text=task.text_field), size=1, what=role)
    if task.max_train:
        documents_of(task.max_train)
    _check_examples(task)
    for name, settings in task.evaluate.items():
        with placed(name):
            _check_evaluation(config, task, name, settings, kind)


def _check_examples(task: Task) -> None:
    """What stage II would stop at."""
    if task.pair_field and not task.label_field:
        raise SettingsError("a pair is fine-tuned by its label; name a label_field with pair_field")
    if not task.train:
        return
    where = Columns(task.label_field, task.text_field, task.pair_field)
    examples = read_examples(task.train, where, "training data")
    if task.dev:
        check_dev(inputs_of(task.train), inputs_of(task.dev))
    elif not held_out(examples, 0)[1]:
        raise SettingsError("train holds one example, and none to hold out; name dev, or add examples")
    if not task.label_field:
        return
    classes = classes_of(examples, "training data")
    judged = task.data_of("classify", ()) if "classify" in task.evaluate else ()
    for data, what in ((task.dev, "dev data"), (judged, "test data")):
        if data:
            check_classes(read_examples(data, where, what), classes, what)


def _check_evaluation(config: Config, task: Task, name: str, given: Mapping[str, Any], kind: Kind) -> None:
    """Its data and settings; `classify` is stage II's."""
    if name in ("zero-shot", "toxicity", LM_EVAL):
        check_causal(config.model, kind)
    if name == LM_EVAL:
        check_tasks(given["task"], given.get("task_folder"))
    elif name == "zero-shot":
        label = given.get("label_field") or task.label_field or "label"
        read_prompts(task.data_of(name, ()), load_template(given["template"]), label)
    elif name != "classify":
        field = config.text_field if name == "utility" else task.text_field
        texts_of(task.data_of(name, config.reference), Fields(text=field), size=1, what="data")
    if name == "toxicity":
        load_scorer(given.get("scorer", "profanity"))
        if not 0 < given.get("top_p", 0.9) <= 1:
            raise SettingsError(f"top_p is {given['top_p']}; wanted a share above 0 and at most 1, such as 0.9")


def _check_budgets(config: Config) -> None:
    """That the candidates hold each budget. They are counted only where the first of them leave it open."""
    files, fields = find(config.candidates, digest=False), fields_of(config)
    side = look("candidates", files, fields, _LOOKED_AT)
    documents = side.rows * len(side.documents) / side.sampled
    tokens = documents * sum(estimated_tokens(one.text) for one in side.documents) / len(side.documents)
    exact = all(rule(config, row).scoring.get("tokenizer") for row in config.methods if config.method(row) != NONE)
    asked = {text: Budget.parse(text) for text in config.budgets}
    held = {"docs": documents, "%": 100.0, "tokens": float("inf") if exact else tokens}
    if all(budget.unit == "%" or budget.amount < held[budget.unit] / 2 for budget in asked.values()):
        return
    sizes = [estimated_tokens(one.text) for one in share_of_rows(files, fields, 1.0, 0)]
    held |= {"docs": len(sizes), **({} if exact else {"tokens": sum(sizes)})}
    for text, budget in asked.items():
        if budget.amount > held[budget.unit]:
            estimated = " (estimated)" if budget.unit == "tokens" else ""
            raise SettingsError(
                f"budgets: {text} is more than the candidates hold, {held[budget.unit]:,.0f} {budget.unit}{estimated}; "
                "lower it, or add candidates"
            )


def _check_model(config: Config, kind: Kind) -> None:
    """That the model is whole, and takes the windows of both stages and of what judges."""
    how = warm_recipe(config)
    bf16 = arithmetic(config.device, how.precision)[1]
    tokenizer = load_tokenizer(config.model)
    with quiet():
        model = load_language_model(config.model, kind, weights_dtype(bf16, how.precision, how.lora))
    check_vocabulary(model, tokenizer, config.model)
    with placed("warmup"):
        window_of(model, tokenizer, how.window)
        marks(tokenizer, kind)
    if any(task.train for task in config.tasks):
        with placed("finetune"):
            window_of(model, tokenizer, config.finetune.get("window"))
    for task in config.tasks:
        for name, given in task.evaluate.items():
            with placed(f"task {task.name}: {name}"):
                window = window_of(model, tokenizer, given.get("window"))
                if name in ("perplexity", "utility"):
                    cut_of(tokenizer, kind, window, given.get("stride"))
                elif name in ("zero-shot", "toxicity"):
                    start_token(tokenizer)
                if name == "toxicity":
                    prompt_room(window, given.get("tokens", 20))


def _check_encoders(config: Config) -> None:
    """That those which are not fitted on the texts can be loaded."""
    rows = {rule(config, row).fit.encoder: row for row in config.methods if config.method(row) != NONE}
    for spec, row in rows.items():
        if spec not in _FITTED:
            with placed(f"row {row}"):
                encoder_for(spec, [], device=config.device)
