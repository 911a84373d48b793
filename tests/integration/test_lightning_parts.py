"""What a training is made of, and which parameters each part gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.loggers import CSVLogger

from evo.lightning.loggers import RunPlace, placed_loggers
from evo.lightning.parts import Constructor, FromSection, Part, make_part
from evo.lightning.settings import Arguments
from evo.lightning.sharing import share_out


class Net(L.LightningModule):
    def __init__(self, width: int, lr: float = 1e-3, act: Any = "relu", optimizer: OptimizerCallable | None = None):
        super().__init__()
        self.got = {"width": width, "lr": lr, "act": act}
        self.optimizer = optimizer


class Untyped(L.LightningDataModule):
    def __init__(self, batch_size, lr=0.5):  # type: ignore[no-untyped-def]
        super().__init__()
        self.got = {"batch_size": batch_size, "lr": lr}


class Anything(L.LightningDataModule):
    def __init__(self, **others: Any) -> None:
        super().__init__()
        self.got = others


HERE = "test_lightning_parts"
NET = f"{HERE}.Net"


def shares(params: dict[str, Any], *parts: Part) -> list[dict[str, Any]]:
    return share_out(params, parts, [Arguments("trainer", L.Trainer, {})])


def test_a_name_goes_to_all_who_take_it_and_a_dotted_one_to_its_part() -> None:
    parts = [Constructor("model", Net), Constructor("data", Untyped)]
    found = shares(
        {
            "lr": 1.0,
            "width": 2,
            "data.batch_size": 8,
            "model.init_args.act": "tanh",
            "trainer.gradient_clip_val": 0.5,
        },
        *parts,
    )
    assert found == [
        {"lr": 1.0, "width": 2, "act": "tanh"},
        {"lr": 1.0, "batch_size": 8},
        {"gradient_clip_val": 0.5},
    ]


def test_what_nobody_takes_by_name_goes_to_whoever_takes_any() -> None:
    assert shares({"depth": 3}, Constructor("model", Net), Constructor("data", Anything)) == [{}, {"depth": 3}, {}]
    with pytest.raises(ValueError, match=r"No constructor takes 'depth'\. Net takes: width, lr, act, optimizer\. Unt"):
        shares({"depth": 3}, Constructor("model", Net), Constructor("data", Untyped))


@pytest.mark.parametrize("names", [["model.lr", "model.init_args.lr"], ["lr", "model.lr"], ["data.any", "any"]])
def test_two_names_of_one_argument_are_an_error_where_an_individual_has_both(names: list[str]) -> None:
    parts = Constructor("model", Net), Constructor("data", Anything)
    with pytest.raises(ValueError, match=f"'{names[1]}' is searched twice"):
        shares(dict.fromkeys(names), *parts)
    share_out(dict.fromkeys(names), parts, [], at_once=False)


@pytest.mark.parametrize("model", [Net, NET, {"class_path": NET}, {"class_path": NET, "init_args": {"lr": 0.5}}])
def test_a_dotted_name_that_the_part_does_not_take_is_an_error_that_lists_what_it_takes(model: Any) -> None:
    part = make_part("model", model)
    part.check(["width", "act"])
    with pytest.raises(ValueError, match=r"No constructor takes 'model.depth'\. Net takes: width, lr, act, optimizer"):
        part.check(["width", "depth"])
    with pytest.raises(ValueError, match="Net needs 'width', which the limits do not have"):
        part.check(["lr"])


def test_a_section_is_made_with_its_arguments_and_the_parameters() -> None:
    part = FromSection("model", {"class_path": NET, "init_args": {"lr": 0.5, "act": "tanh"}})
    assert part.make({"width": 3, "act": "relu"}).got == {"width": 3, "lr": 0.5, "act": "relu"}
    assert FromSection("data", f"{HERE}.Untyped").make({"batch_size": 4}).got == {"batch_size": 4, "lr": 0.5}


def test_a_section_within_a_section_is_made_first_and_may_be_searched() -> None:
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}
    part = FromSection("model", {"class_path": NET, "init_args": {"width": 3, "optimizer": adam}})
    part.check(["optimizer.lr"])
    net = part.make({"optimizer.lr": 0.25})
    assert net.optimizer([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.25
    with pytest.raises(ValueError, match=r"model\.act\.slope is searched, but model\.act is no section"):
        part.check(["act.slope"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"class": NET}, "model is {'class': .*}: give an import path, or a mapping of class_path and init_args"),
        ({"class_path": NET, "init_args": [1]}, "give an import path, or a mapping"),
        ("Net", "model 'Net' is neither module.Class nor path/to/file.py:Class"),
        (f"{HERE}.Absent", "model test_lightning_parts.Absent: test_lightning_parts has no 'Absent'"),
        ("no_such_module.Net", "there is no module 'no_such_module'"),
        (f"{HERE}.NET", "is a str and no class"),
        ({"class_path": NET, "init_args": {"depth": 2}}, "model has the argument 'depth', which Net does not take"),
        (3, "model is 3: give a class, a function that makes one, or a class_path section"),
    ],
)
def test_a_section_that_is_none_is_an_error(section: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_part("model", section)


def test_values_are_checked_by_the_type_hints_of_the_constructor() -> None:
    part = FromSection("model", {"class_path": NET, "init_args": {"width": "wide"}})
    with pytest.raises(ValueError, match=r"^model.width: .*int.*wide"):
        part.read({})


def test_a_function_of_params_gets_all_that_nobody_else_names() -> None:
    part = Constructor("model", lambda params: Net(params["width"] * 2))
    data = Constructor("data", Untyped)
    found = shares({"width": 2, "batch_size": 8}, part, data)
    assert part.make(found[0]).got["width"] == 4
    assert found[1] == {"batch_size": 8}


def test_settings_are_copied_made_from_their_sections_and_overwritten_by_parameters() -> None:
    callbacks = [{"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"}]
    given = {"gradient_clip_val": 1.0, "callbacks": callbacks}
    part = Arguments("trainer", L.Trainer, given)
    part.check(["gradient_clip_val"])
    made = part.make({"gradient_clip_val": 0.5})
    assert made["gradient_clip_val"] == 0.5
    assert [type(each) for each in made["callbacks"]] == [LearningRateMonitor]
    assert part.make({})["callbacks"][0] is not made["callbacks"][0]
    assert given == {"gradient_clip_val": 1.0, "callbacks": callbacks}
    with pytest.raises(ValueError, match=r"early_stopping has the argument 'patients'.* mean early_stopping\.patience"):
        Arguments("early_stopping", EarlyStopping, {"patients": 3}).check([])


def test_a_section_in_the_settings_is_checked_before_anything_runs() -> None:
    section = {"class_path": "lightning.pytorch.loggers.CSVLogger"}
    Arguments("trainer", L.Trainer, {"logger": placed_loggers([section], RunPlace("logs"))}).read({})
    with pytest.raises(ValueError, match=r"^trainer\.logger has the argument 'nome', .* mean trainer\.logger\.name"):
        Arguments("trainer", L.Trainer, {"logger": {**section, "init_args": {"nome": "x"}}}).read({})


def test_a_logger_without_a_place_writes_into_the_individuals_folder(tmp_path: Path) -> None:
    section = {"class_path": "lightning.pytorch.loggers.CSVLogger"}
    part = Arguments("trainer", L.Trainer, {})
    logger = part.make_one("logger", {"logger": placed_loggers(section, RunPlace(str(tmp_path)))})
    assert isinstance(logger, CSVLogger)
    assert logger.save_dir == str(tmp_path)
    ready = CSVLogger(tmp_path)
    assert placed_loggers([ready, True], RunPlace(str(tmp_path))) == [ready, True]
