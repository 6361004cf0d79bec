"""The last layer for hidden tokens alone gives the loss and the gradients of the whole one, and fewer logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gotd.training.batches import mean_loss
from gotd.training.head import sparing
from gotd.training.language import masked_loss
from gotd.training.windows import IGNORED


def loaded(folder: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(folder).eval()


def batch(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (3, 16))
    return ids, ids.masked_fill(torch.rand(ids.shape) > 0.2, IGNORED)


def test_loss_and_gradients_are_those_of_all_logits(mlm: Path) -> None:
    found = []
    for spare in (False, True):
        model = loaded(mlm)
        ids, labels = batch(model)
        if spare:
            with sparing(model, masked_loss) as loss:
                value = loss(model(input_ids=ids), labels)
        else:
            value = masked_loss(model(input_ids=ids), labels)
        value.backward()
        found.append({name: part.grad for name, part in model.named_parameters()} | {"loss": value.detach()})
    assert found[0].keys() == found[1].keys()
    for name, whole in found[0].items():
        torch.testing.assert_close(found[1][name], whole, msg=name)


def test_no_logit_of_other_tokens_is_computed_and_the_layer_is_whole_afterwards(
    mlm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(mlm)
    ids, labels = batch(model)
    before = model(input_ids=ids).logits
    names, computed = list(model.state_dict()), []

    def watched(logits: torch.Tensor, *given: Any) -> torch.Tensor:
        computed.append(len(logits))
        return mean_loss(logits, *given)

    monkeypatch.setattr("gotd.training.head.mean_loss", watched)
    with sparing(model, masked_loss) as loss:
        states = model(input_ids=ids)
        assert states.logits.shape[-1] == model.config.hidden_size
        assert list(model.state_dict()) == names
        loss(states, labels)
    assert computed == [int((labels != IGNORED).sum())]
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0, atol=0)


def test_a_family_that_is_not_known_keeps_its_loss(mlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(mlm)
    monkeypatch.setattr(model.config, "model_type", "another")
    with sparing(model, masked_loss) as loss:
        assert loss is masked_loss
        assert model(input_ids=batch(model)[0]).logits.shape[-1] == model.config.vocab_size
