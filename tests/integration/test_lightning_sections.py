"""Places in sections: what may be searched there, and the mistakes that are found before anything is trained."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.utils.data import DataLoader

from evo.lightning import LightningObjective
from evo.space.examples import example_points
from evo.space.limits import Choice, Float, Int
from evo.space.space import Space

HERE = "test_lightning_sections"
TRAINER = {"max_epochs": 1, "logger": False}


class Scale(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor


class Broken(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        raise RuntimeError(f"no factor {factor}")


@dataclasses.dataclass
class Shape:
    width: int = 3
    depth: int = 4


class Net(L.LightningModule):
    def __init__(
        self,
        lr: float = 0.1,
        classes: int = 1,
        blocks: list[nn.Module] | None = None,
        named: dict[str, nn.Module] | None = None,
        anything: Any = None,
        untyped=None,  # type: ignore[no-untyped-def]
        shape: Shape = Shape(depth=9),  # noqa: B008
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.blocks_, self.named_, self.anything, self.untyped = blocks, named, anything, untyped
        self.lr, self.classes, self.shape, self.optimizer = lr, classes, shape, optimizer
        self.layer = nn.Linear(4, 1)

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.parameters())


class Other(Net):
    def __init__(self, extra: int, lr: float = 0.2) -> None:
        super().__init__(lr)
        self.extra = extra


class Loose(Net):
    def __init__(self, **others: Any) -> None:
        super().__init__()
        self.others = others


class Feeds(Net):
    def train_dataloader(self) -> Any:
        return DataLoader(torch.zeros(4, 4))  # type: ignore[arg-type]


class HalfBroken(Net):
    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        if classes > 2:
            raise RuntimeError("too many")


def make_net(lr: float = 0.3) -> Net:
    return Net(lr)


def make_without_hints(lr=0.3):  # type: ignore[no-untyped-def]
    return Net(lr)


class Data(L.LightningDataModule):
    def __init__(self, batch_size: int = 16, transform: nn.Module | None = None) -> None:
        super().__init__()
        self.size, self.transform, self.classes = batch_size, transform, 7

    def setup(self, stage: str) -> None:
        self.found = 5


def section(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"{HERE}.{name}", "init_args": arguments}


SCALE = section("Scale", factor=2)
SGD, ADAM = "torch.optim.SGD", "torch.optim.Adam"


def objective(**given: Any) -> LightningObjective:
    return LightningObjective(**{"model": section("Net"), "data": f"{HERE}.Data", "trainer": TRAINER, **given})


def check(limits: Mapping[str, Any], **given: Any) -> list[str]:
    space = Space(limits)
    return objective(**given).check(space.names, example_points(space))


def build(params: Mapping[str, Any], **given: Any) -> Any:
    """The module for these parameters, after a check of each of them against another value."""
    blueprint = objective(**given)._blueprint
    module, _ = blueprint.build(blueprint.share_out(params), lambda key, make: make())
    return module


def refused(limits: Mapping[str, Any], **given: Any) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        check(limits, **given)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


@pytest.mark.parametrize(
    ("place", "arguments", "find"),
    [
        ("blocks.1", {"blocks": [SCALE, {**SCALE, "init_args": None}]}, lambda net: net.blocks_[1]),
        ("blocks.0", {"blocks": [f"{HERE}.Scale"]}, lambda net: net.blocks_[0]),
        ("blocks.0", {"blocks": [{"class_path": f"tests/integration/{HERE}.py:Scale"}]}, lambda net: net.blocks_[0]),
        ("named.first", {"named": {"first": SCALE}}, lambda net: net.named_["first"]),
        ("anything", {"anything": SCALE}, lambda net: net.anything),
        ("anything.x.0.y", {"anything": {"x": [{"y": SCALE}]}}, lambda net: net.anything["x"][0]["y"]),
        ("untyped.init_args", {"untyped": SCALE}, lambda net: net.untyped),
    ],
)
def test_a_section_at_any_depth_is_made_and_may_be_searched(
    place: str, arguments: Any, find: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    name, model = f"model.{place}.factor", section("Net", **arguments)
    assert check({name: (0.5, 3.0)}, model=model) == []
    made = find(build({name: 3.0}, model=model))
    assert (type(made).__name__, made.factor) == ("Scale", 3.0)


def test_a_field_of_a_dataclass_may_be_searched_with_and_without_a_fixed_one() -> None:
    check({"model.shape.width": (1, 5)})
    assert build({"model.shape.width": 5}).shape == Shape(5, 9)
    assert build({"model.shape.width": 5}, model=section("Net", shape={"depth": 2})).shape == Shape(5, 2)
    assert "Did you mean model.shape.width?" in refused({"model.shape.widht": (1, 5)})


@pytest.mark.parametrize("name", ["make_net", "make_without_hints"])
def test_a_function_may_stand_in_place_of_a_class(name: str) -> None:
    check({"model.lr": (0.1, 0.5)}, model=section(name))
    assert build({"model.lr": 0.5}, model=section(name)).lr == 0.5


def test_keywords_that_nobody_names_are_given_as_they_are() -> None:
    for model in (section("Loose", colour="red"), {"class_path": f"{HERE}.Loose", "dict_kwargs": {"colour": "red"}}):
        check({"model.size": (1, 2)}, model=model)
        assert build({"model.size": 2}, model=model).others == {"colour": "red", "size": 2}


def test_a_class_may_be_searched_and_each_has_its_own_parameters() -> None:
    limits = {
        "model.optimizer.class_path": Choice(SGD, ADAM),
        "model.optimizer.lr": (0.1, 0.2),
        "model.optimizer.momentum": Float(0.0, 0.9, when={"model.optimizer.class_path": SGD}),
    }
    fixed = {"class_path": SGD, "init_args": {"weight_decay": 0.5, "nesterov": False}}
    notes = check(limits, model=section("Net", optimizer=fixed))
    assert notes == ["left out: model.optimizer.nesterov, which torch.optim.Adam does not take"]
    chosen = {"model.optimizer.class_path": ADAM, "model.optimizer.lr": 0.125}
    for model in (section("Net", optimizer=fixed), section("Net")):
        made = build(chosen, model=model).configure_optimizers()
        assert (type(made).__name__, made.defaults["lr"]) == ("Adam", 0.125)
    assert build(chosen, model=section("Net", optimizer=fixed)).configure_optimizers().defaults["weight_decay"] == 0.5
    message = refused({**limits, "model.optimizer.momentum": (0.0, 0.9)})
    assert f"'model.optimizer.momentum'. {ADAM} takes: lr, betas" in message
    assert "when: {model.optimizer.class_path: …}" in message


def test_the_class_of_the_module_and_of_the_data_may_be_searched() -> None:
    limits = {
        "model.class_path": Choice(f"{HERE}.Net", f"{HERE}.Other"),
        "model.extra": Int(1, 3, when={"model.class_path": f"{HERE}.Other"}),
        "data.class_path": Choice(f"{HERE}.Data", "lightning.pytorch.demos.BoringDataModule"),
    }
    assert check(limits, model=section("Net", lr=0.5, classes=2), data=section("Data", batch_size=2)) == [
        "left out: model.classes, which test_lightning_sections.Other does not take",
        "left out: data.batch_size, which lightning.pytorch.demos.BoringDataModule does not take",
    ]
    params = {"model.class_path": f"{HERE}.Other", "model.extra": 3}
    for model in (section("Net", lr=0.5, classes=2), None):
        made = build(params, model=model)
        assert (type(made), made.extra, made.lr) == (Other, 3, 0.5 if model else 0.2)
    assert "Other needs 'extra'" in refused({"model.class_path": Choice(f"{HERE}.Net", f"{HERE}.Other")})


@pytest.mark.parametrize(
    ("limits", "given", "words"),
    [
        (
            {"model.optimizer.momentun": (0.1, 0.2)},
            {"model": section("Net", optimizer={"class_path": SGD})},
            ["'model.optimizer.momentun'", SGD, "lr, momentum, ", "Did you mean model.optimizer.momentum?"],
        ),
        ({"model.depth": (1, 2)}, {}, ["'model.depth'", "Net takes: lr, classes"]),
        ({"model.blocks.2.factor": (1, 2)}, {"model": section("Net", blocks=[SCALE])}, ["model.blocks is a list of 1"]),
        (
            {"model.named.b.factor": (1, 2)},
            {"model": section("Net", named={"a": SCALE})},
            ["named.b is no section"],
        ),
        (
            {"model.optimizer.class_path": Choice(SGD, "torch.optim.Adamm")},
            {},
            ["optimizer.class_path", "'Adamm'"],
        ),
        ({"model.classes": Choice(1, "two")}, {}, ["model.classes: expected int, got two"]),
        ({}, {"model": section("Net", classes="three")}, ["model.classes: expected int, got three"]),
        ({}, {"model": section("Net", clases=3)}, ["model has the argument 'clases', which Net does not take"]),
        (
            {},
            {"model": section("Net", blocks=[SCALE, section("Scale", factor="big")])},
            ["model.blocks.1.factor: expected float, got big"],
        ),
        (
            {},
            {"model": section("Net", blocks=[section("Scale", facter=3)])},
            ["model.blocks.0 has the argument 'facter'", "Did you mean model.blocks.0.factor?"],
        ),
        ({}, {"model": section("Net", blocks=[section("Nope")])}, ["model.blocks.0", "no 'Nope'"]),
        (
            {},
            {"model": section("Net", blocks=[section("Broken")])},
            # Which of the two is named, the section or the one around it, depends on the version of jsonargparse.
            ["model", "cannot be made", "RuntimeError: no factor 1.0", f"{HERE}.py, line ", ": raise RuntimeError("],
        ),
        (
            {},
            {"data": section("Data", transform=section("Broken"))},
            ["data", "cannot be made", "RuntimeError: no factor 1.0"],
        ),
        (
            {},
            {"trainer": {**TRAINER, "gradient_clip_val": "much"}},
            ["trainer.gradient_clip_val: expected one of", "got much"],
        ),
        (
            {},
            {"trainer": {**TRAINER, "gradient_clip": 1}},
            ["trainer has the argument 'gradient_clip'", "mean trainer.gradient_clip_v"],
        ),
        ({}, {"trainer": {**TRAINER, "max_epochs": 0}}, ["max_epochs is 0: it must be at least 1"]),
        (
            {},
            {"trainer": {**TRAINER, "callbacks": [{"class_path": "EarlyStopping", "init_args": {"patience": 3}}]}},
            ["trainer.callbacks", "monitor", "required"],
        ),
        (
            {},
            {"trainer": {**TRAINER, "callbacks": {"class_path": "LearningRateMonitor", "init_args": {"logging": 3}}}},
            ["trainer.callbacks has the argument 'logging'", "mean trainer.callbacks.logging_interval?"],
        ),
        (
            {},
            {"trainer": {**TRAINER, "callbacks": [{"class_path": "ModelCheckpoint", "init_args": {"save_top_k": -3}}]}},
            ["trainer.callbacks.0 cannot be made: ModelCheckpoint: MisconfigurationException: Invalid value"],
        ),
        ({}, {"trainer": {**TRAINER, "accelerator": "abacus"}}, ["trainer cannot be made: ", "accelerator='abacus'"]),
        ({}, {"trainer": {**TRAINER, "strategy": "dpp"}}, ["trainer cannot be made: ", "strategy='dpp'"]),
        (
            {},
            {"trainer": {**TRAINER, "limit_val_batches": 1.5}},
            ["trainer cannot be made: ", "value 1.5 for limit_val"],
        ),
        (
            {"trainer.max_epochs": (1, 2)},
            {"trainer": {"logger": False, "check_val_every_n_epoch": 3}},
            ["check_val_every_n_epoch to 3, but max_epochs is"],
        ),
        ({}, {"early_stopping": {"mode": "upward"}}, ["early_stopping cannot be made: ", "got upward"]),
        ({"model.init_args.lr": (0.1, 0.2)}, {}, ["'model.init_args.lr' is searched twice"]),
        ({}, {"early_stopping": {"patience": "long"}}, ["early_stopping.patience: expected int, got long"]),
        ({}, {"trainer_class": "lightning.pytorch.Nope"}, ["trainer_class", "no 'Nope'"]),
        ({}, {"data": None}, ["no section data, and Net has no train_dataloader"]),
        ({"data.batch_size": (2, 4)}, {"data": None, "model": section("Feeds")}, ["there is no section data"]),
        ({"optimizer.lr": (0.1, 0.2)}, {}, ["there is no section optimizer"]),
        ({"optimizer.lrr": (0.1, 0.2)}, {"optimizer": SGD}, ["'optimizer.lrr'", "Did you mean optimizer.lr?"]),
        ({}, {"optimizer": {"class_path": SGD, "init_args": {"lr": "fast"}}}, ["optimizer.lr: expected"]),
        ({}, {"lr_scheduler": "torch.optim.lr_scheduler.ConstantLR"}, ["no section optimizer that it is for"]),
        ({}, {"optimizer": "torch.nn.Identity"}, ["optimizer is made as a Identity"]),
        ({}, {"trainer": {"logger": False}}, ["max_epochs is absent"]),
        (
            {},
            {"link_arguments": {"data.nope": "model.classes"}},
            ["Data has neither an attribute nor an arg"],
        ),
        ({}, {"link_arguments": {"data.classes": "model.clases"}}, ["'model.clases'", "Did you mean model.classes?"]),
        ({}, {"link_arguments": {"dta.classes": "model.classes"}}, ["the source 'dta.classes'", "data.num_classes"]),
        ({}, {"link_arguments": {"data.size": "model.lr", "model.lr": "data.batch_size"}}, ["one of the two"]),
    ],
)
def test_a_mistake_is_found_before_the_search_and_named_with_its_place(
    limits: Any, given: Any, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused({"model.lr": (0.1, 0.2), **limits}, **given)
    for word in words:
        assert word in message
    assert not os.listdir()


class Odd(Net):
    def __init__(self, lr: float = 0.1, weights: Any = np.ones(2)) -> None:  # noqa: B008
        super().__init__(lr)
        self.weights = weights


class Renames(Net):
    def __init__(self, kind: str = "a") -> None:
        super().__init__()
        try:
            {"b": 1}[kind]
        except KeyError:
            raise ValueError("there is only b") from None


def test_a_default_that_cannot_be_compared_is_the_constructors() -> None:
    made = build({"model.lr": 0.3}, model=section("Odd"))
    assert (made.lr, made.weights.tolist()) == (0.3, [1, 1])


def test_the_last_word_of_a_constructor_counts() -> None:
    holder = section("Net", anything=None, blocks=[section("Renames")])
    assert "model cannot be made: Net: ValueError: there is only b" in refused({"model.lr": (0.1, 0.2)}, model=holder)


def test_what_some_parameters_make_impossible_is_no_mistake_and_what_all_do_is() -> None:
    check({"model.classes": (1, 9)}, model=section("HalfBroken"))
    assert "too many" in refused({"model.classes": (3, 9)}, model=section("HalfBroken"))


def test_nothing_is_left_behind_by_a_check_with_loggers_and_callbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loggers = [{"class_path": f"lightning.pytorch.loggers.{name}"} for name in ("CSVLogger", "TensorBoardLogger")]
    callbacks = [{"class_path": "ModelCheckpoint", "init_args": {"dirpath": "here"}}]
    state = torch.get_rng_state()
    check({"trainer.callbacks.0.save_top_k": (1, 2)}, trainer={**TRAINER, "logger": loggers, "callbacks": callbacks})
    assert not os.listdir()
    assert torch.equal(torch.get_rng_state(), state)


def test_an_optimizer_and_a_scheduler_of_their_own_take_the_place_of_the_modules() -> None:
    limits = {"optimizer.init_args.lr": (0.1, 0.5), "lr_scheduler.gamma": (0.5, 0.9)}
    steps = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1}}
    check(limits, optimizer="SGD", lr_scheduler=steps)
    net = build({"optimizer.init_args.lr": 0.5, "lr_scheduler.gamma": 0.9}, optimizer="SGD", lr_scheduler=steps)
    assert is_overridden("configure_optimizers", net)
    (optimizer,), (scheduler,) = net.configure_optimizers()
    assert (type(optimizer).__name__, optimizer.defaults["lr"], scheduler.gamma) == ("SGD", 0.5, 0.9)
    assert optimizer.param_groups[0]["params"] == list(net.parameters())
    check({"optimizer.class_path": Choice(SGD, ADAM), "optimizer.lr": (0.1, 0.2)})
    assert type(build({"optimizer.class_path": ADAM}).configure_optimizers()).__name__ == "Adam"


@pytest.mark.parametrize("path", ["lightning.pytorch.cli", "torch.optim.lr_scheduler"])
def test_a_scheduler_that_watches_a_metric_watches_the_monitored_one_unless_it_says_another(path: str) -> None:
    own = {"init_args": {"monitor": "other"}} if "cli" in path else {}
    net = build({}, optimizer=ADAM, lr_scheduler={"class_path": f"{path}.ReduceLROnPlateau", **own})
    assert net.configure_optimizers()["lr_scheduler"]["monitor"] == ("other" if own else "val_loss")


def test_whether_there_is_a_scheduler_may_be_searched() -> None:
    limits = {"lr_scheduler.class_path": Choice(None, "torch.optim.lr_scheduler.ConstantLR")}
    check(limits, optimizer=SGD)
    assert isinstance(build({"lr_scheduler.class_path": None}, optimizer=SGD).configure_optimizers(), torch.optim.SGD)


@pytest.mark.parametrize(
    ("links", "params", "expected"),
    [
        ({"data.classes": "model.classes"}, {}, {"classes": 7}),
        ({"data.found": "model.init_args.classes"}, {}, {"classes": 5}),
        (
            {"data.batch_size": ["model.classes", "model.shape.width"]},
            {"data.batch_size": 2},
            {"classes": 2, "shape": Shape(2, 9)},
        ),
        ({"data.batch_size": "model.classes"}, {}, {"classes": 16}),
        ({"trainer.max_epochs": "model.classes"}, {}, {"classes": 1}),
        ({"data.setup": "model.anything"}, {}, {}),
    ],
)
def test_an_argument_is_taken_from_another_part(links: Any, params: Any, expected: dict[str, Any]) -> None:
    check({"model.lr": (0.1, 0.2), **{name: (1, 4) for name in params}}, link_arguments=links)
    made = build(params, link_arguments=links)
    assert {name: getattr(made, name) for name in expected} == expected


def test_links_go_to_optimizers_and_from_the_model_to_the_data() -> None:
    cosine = {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR"}
    links = {"trainer.max_epochs": "lr_scheduler.T_max", "model.lr": "optimizer.lr"}
    given = {"optimizer": SGD, "lr_scheduler": cosine, "link_arguments": links, "trainer": {"logger": False}}
    check({"trainer.max_epochs": (2, 4), "model.lr": (0.1, 0.5)}, **given)
    (optimizer,), (scheduler,) = build({"trainer.max_epochs": 4, "model.lr": 0.5}, **given).configure_optimizers()
    assert (optimizer.defaults["lr"], scheduler.T_max) == (0.5, 4)
    blueprint = objective(link_arguments={"model.classes": "data.batch_size"})._blueprint
    _, data = blueprint.build(blueprint.share_out({"model.classes": 3}), lambda key, make: make())
    assert data.size == 3


def test_how_long_a_training_lasts_may_be_searched_or_said_otherwise() -> None:
    check({"trainer.max_epochs": (1, 3)}, trainer={"logger": False})
    check({"trainer.init_args.max_epochs": (1, 3)}, trainer=None)
    for length in ({"max_steps": 3}, {"max_time": "00:00:01:00"}, {"max_epochs": -1}):
        check({"model.lr": (0.1, 0.2)}, trainer={"logger": False, "max_epochs": None, **length})
    with pytest.raises(ValueError, match="max_epochs is absent"):
        objective(trainer={"logger": False, "max_steps": -1}).check(["model.lr"])


def test_names_alone_are_checked_without_examples() -> None:
    trained = objective(model=section("Net", blocks=[SCALE]))
    trained.check(["model.blocks.0.factor", "model.optimizer.class_path", "model.optimizer.momentum", "lr"])
    trained.check(["model.class_path", "model.whatever", "whatever"])
    with pytest.raises(ValueError, match="factor"):
        trained.check(["model.blocks.0.facter"])
