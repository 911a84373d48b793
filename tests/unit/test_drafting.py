"""What `evo init` suggests, and the file that it writes: pure functions of what constructors take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers import call

from evo.drafting.command import summary_lines
from evo.drafting.sections import draft_study, trial_sections
from evo.drafting.suggestions import RULES, suggest
from evo.drafting.writing import FILL_IN, FirstBatches, flow, study_text
from evo.objective.facts import ArgumentFact, ClassFacts, MakerFact
from evo.objective.training import Training
from evo.rehearsal.monitor import choose_monitor, direction
from evo.space.space import Space
from evo.study.arguments import parse_arguments
from evo.study.files import load_yaml


def fact(name: str, kind: Any, default: Any = None, **others: Any) -> ArgumentFact:
    return ArgumentFact(name=name, kind=kind, hint=kind, default=default, **others)


def log(low: float, high: float, default: float | None = None) -> dict[str, Any]:
    limit = {"type": "float", "low": low, "high": high, "log": True}
    return limit if default is None else {**limit, "default": default}


ACTIVATIONS = ("ReLU", "GELU", "SiLU", "Tanh")
SUGGESTED: list[tuple[ArgumentFact, Any]] = [
    (fact("lr", "float", 0.001), log(1e-05, 0.01, 0.001)),
    (fact("learningRate", "float", needed=True), log(0.0001, 0.1)),
    (fact("lr_gen", "float", 0.2), log(0.002, 1.0, 0.2)),
    (fact("optimizer.lr", "float", 2e-5), log(2e-7, 2e-4, 2e-5)),
    (fact("lr_decay", "float", 0.5), {"type": "float", "low": 0.17, "high": 0.9, "default": 0.5}),
    (fact("weight_decay", "float", 0.0), log(0.0001, 0.1)),
    (fact("dropout", "float", 0.7), {"type": "float", "low": 0.0, "high": 0.7, "default": 0.7}),
    (ArgumentFact(name="dropout", kind="int", default=0), {"type": "float", "low": 0.0, "high": 0.5, "default": 0.0}),
    (fact("hidden_size", "int", 64), {"type": "int", "low": 16, "high": 256, "log": True, "default": 64}),
    (fact("num_layers", "int", 1), {"type": "int", "low": 1, "high": 3, "default": 1}),
    (fact("batchSize", "int", 32), {"type": "choice", "values": [16, 32, 64, 128], "default": 32}),
    (fact("kernel_size", "int", 7), {"type": "choice", "values": [5, 7, 9], "default": 7}),
    (fact("nhead", "int", 1), {"type": "choice", "values": [1, 2], "default": 1}),
    (fact("activation", "str", "relu"), {"type": "choice", "values": ["relu", "gelu", "silu", "tanh"]}),
    (fact("act", "str", "nn.ELU"), {"type": "choice", "values": ["nn.ELU", *(f"nn.{a}" for a in ACTIVATIONS)]}),
    (fact("momentum", "float", 0.9), {"type": "float", "low": 0.5, "high": 0.99, "default": 0.9}),
    (fact("hidden_dims", "other", [8, 8]), {"type": "choice", "values": [[4, 4], [8, 8], [16, 16], [8, 8, 8]]}),
    (fact("warmup_steps", "int", 100), {"type": "int", "low": 0, "high": 200, "default": 100}),
    (fact("norm", "choice", "batch", choices=["batch", "layer"]), {"type": "choice", "values": ["batch", "layer"]}),
    (fact("bidirectional", "bool", True), {"type": "choice", "values": [False, True], "default": True}),
    *(
        (fact(name, kind, default), None)
        for name, kind, default in (
            ("num_classes", "int", 10), ("in_channels", "int", 3), ("seed", "int", 1), ("data_dir", "str", "data"),
            ("eps", "float", 1e-8), ("vocab_size", "int", 100), ("activation", "str", "sine_of_mine"),
            ("gamma", "float", 2.0), ("hidden", "int", None), ("threshold", "float", 0.5), ("activation", "other", 3),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "limit"), SUGGESTED, ids=lambda each: getattr(each, "name", ""))
def test_a_name_a_type_and_a_default_suggest_what_to_search(argument: ArgumentFact, limit: Any) -> None:
    found = suggest(argument)
    assert (found is None) == (limit is None)
    if found is not None:
        assert found.is_sure
        assert found.limit == limit or found.limit == {**limit, "default": argument.default}
        Space({argument.name: found.limit})


NAMES = re.findall(
    r"\w+",
    "lr wd dropout momentum b1 b2 betas smoothing mixup warmup warmup_epochs temperature gamma margin lambda_x "
    "max_grad_norm batch_size accumulate kernel heads depth expansion mlp_ratio hidden activation residual norm",
)
DEFAULTS = [None, 0, 1, 2, 3, 64, 0.0, 1e-9, 0.001, 0.1, 0.5, 0.8, 0.81, 0.999, 0.9995, 1 - 1e-16, 1.0, 5.0, 10.0, -1]
DEFAULTS += [1e308, 5e-324, float("inf"), float("nan"), 10**400, 2**62, True, [1, 2], [8, 8], [], "relu", "nn.ELU", ""]


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda each: str(each)[:9])
def test_whatever_the_default_a_suggestion_is_a_limit_that_holds_it(default: Any) -> None:
    for name in NAMES:
        for kind in ("float", "int", "str", "bool", "other", "module", "choice"):
            choices = ["batch", "layer", "relu"] if kind == "choice" else []
            found = suggest(fact(name, kind, default, choices=choices))
            if found is None:
                continue
            assert isinstance(found.limit, dict)
            values = found.limit.get("values")
            assert len(values) > 1 if values else found.limit["low"] < found.limit["high"]
            is_off = name == "wd" and default == 0  # No log scale has 0.
            assert default is None or is_off or found.limit["default"] == default, found
            assert Space({name: found.limit}).names


def test_factors_near_1_and_rates_above_1_have_limits_around_them() -> None:
    around = {("gamma", 0.9995): (0.9975, 0.99995), ("lr", 10.0): (0.1, 10.0), ("weight_decay", 5.0): (0.05, 5.0)}
    for (name, default), (low, high) in around.items():
        found = suggest(fact(name, "float", default))
        assert found is not None
        assert isinstance(found.limit, dict)
        assert (found.limit["low"], found.limit["high"]) == (low, high)


def test_every_rule_is_for_a_name_in_small_letters() -> None:
    assert all(rule.names == rule.names.lower() for rule in RULES)


def test_a_switch_and_an_unclear_choice_are_shown_but_not_searched() -> None:
    for one in (fact("compiled", "bool", False), fact("stage", "choice", "a", choices=["a", "b"])):
        found = suggest(one)
        assert found is not None
        assert not found.is_sure


MODEL = ClassFacts(
    path="network.Network",
    arguments=[
        fact("root", "str", needed=True),
        fact("lr", "float", 0.001),
        fact("width", "int", needed=True),
        fact("on", "str", "off"),
        fact("config.depth", "int", 2),
        fact("config.inner.name", "str", "yes: no"),
        fact("embed_dim", "int", 64),
        fact("num_heads", "int", 4),
        fact("loss", "module", needed=True),
        fact("debug_mode", "bool", False),
        fact(
            "opt", "optimizer", shown="AdamW", maker=MakerFact(path="torch.optim.AdamW", names=["lr", "weight_decay"])
        ),
        fact("net", "class", shown="Net"),
        fact("dropout", "float", needed=True),
    ],
    has_optimizer=True,
)
DATA = ClassFacts(path="my data/files.py:Data", arguments=[fact("batch_size", "int", 8), fact("noise", "float", 0.1)])


def test_the_file_is_read_as_it_is_and_names_what_has_to_be_filled_in(tmp_path: Path) -> None:
    draft = draft_study(MODEL, DATA)
    monitor = choose_monitor(["val/acc", "val/loss"], [])
    logged = {"validation": ["val/acc", "val/loss"], "training": []}
    text = study_text(draft, FirstBatches(monitor=monitor, logged=logged), "evo init …", "study.yaml")
    (tmp_path / "study.yaml").write_text(text)
    command = parse_arguments([str(tmp_path / "study.yaml")], "evo run")
    assert isinstance(command.what, Training)
    assert (command.what.monitor, command.what.mode) == ("val/loss", "min")
    assert set(draft.needed) == {"model.root", "model.width", "model.loss"}
    for name in ("root", "width", "loss"):
        assert any(FILL_IN in line for line in text.splitlines() if line.startswith(f"    # {name}:"))
    names = ["model.lr", "model.config.depth", "model.embed_dim", "model.num_heads", "model.opt.lr"]
    names += ["model.opt.weight_decay", "model.dropout", "data.batch_size"]
    assert sorted(command.config.limits) == sorted(names)  # type: ignore[arg-type]
    assert command.config.constraints == ["model.embed_dim % model.num_heads == 0"]
    space = Space(command.config.limits, command.config.constraints)  # type: ignore[arg-type]
    assert space.feasibility is not None
    # What is commented out is YAML as well.
    commented = re.sub(r"^(    |  )# ", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "all.yaml").write_text(commented)
    everything = load_yaml("study file", str(tmp_path / "all.yaml"))
    arguments = everything["model"]["init_args"]
    assert arguments["config"] == {"inner": {"name": "yes: no"}}
    assert arguments["on"] == "off"
    assert arguments["opt"] == {"class_path": "torch.optim.AdamW"}
    assert everything["limits"]["model.debug_mode"]["values"] == [False, True]


def test_an_optimizer_is_searched_where_the_module_has_none_or_nothing_else_to_search() -> None:
    plain = ClassFacts(path="n.N", arguments=[fact("lr", "float", 0.1)])
    for facts, optimizer, replaces in (
        (plain, "", False),
        (ClassFacts(path="n.N", arguments=plain.arguments, has_optimizer=False), "torch.optim.AdamW", False),
        (ClassFacts(path="n.N", arguments=[]), "torch.optim.AdamW", True),
    ):
        draft = draft_study(facts, None)
        assert (draft.optimizer, draft.replaces) == (optimizer, replaces)
        assert ("optimizer.lr" in [one.name for one in draft.active]) == bool(optimizer)
    nothing = draft_study(ClassFacts(path="n.N", arguments=[]), None, may_replace=False)
    assert not nothing.active
    assert "# limits:" in study_text(nothing, FirstBatches(), "evo init", "s.yaml")


def test_the_first_training_has_a_value_for_whatever_is_searched_and_has_no_default() -> None:
    draft = draft_study(ClassFacts(path="n.N", arguments=[fact("lr", "float", needed=True)]), DATA)
    assert trial_sections(draft) == {
        "model": {"class_path": "n.N", "init_args": {"lr": 0.003162}},
        "data": {"class_path": DATA.path},
    }


@pytest.mark.parametrize(
    ("validation", "training", "chosen"),
    [
        (["val_acc", "val_loss", "val_f1"], ["train_loss"], ("val_loss", "min")),
        (["val/acc", "val/acc_best", "val/loss"], [], ("val/loss", "min")),
        (["hp_metric", "ValAUROC"], [], ("ValAUROC", "max")),
        (["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"], [], ("val_loss/dataloader_idx_0", "min")),
        (["something"], ["train_loss"], ("something", "min")),
        ([], ["lr", "train_loss_step", "train_loss_epoch", "train_loss"], ("train_loss", "min")),
        ([], ["g_loss", "d_loss"], ("g_loss", "min")),
        ([], [], None),
    ],
)
def test_the_metric_that_a_user_would_take_is_chosen(validation: Any, training: Any, chosen: Any) -> None:
    found = choose_monitor(validation, training)
    assert (None if found is None else (found.name, found.mode)) == chosen


def test_a_name_says_which_way_is_better() -> None:
    small = [
        "val_loss",
        "test/MSE",
        "perplexity",
        "BinaryErrorRate_err",
        "fid",
        "valNLL",
        "top5_error",
        "mean_iou_loss",
    ]
    large = ["acc", "val/Accuracy", "MulticlassF1Score", "auroc", "val_mAP50", "dice", "R2Score", "episode_reward"]
    assert {name: direction(name) for name in small} == dict.fromkeys(small, "min")
    assert {name: direction(name) for name in large} == dict.fromkeys(large, "max")
    assert direction("val_something") is None


def test_a_negation_turns_what_a_name_says_or_leaves_it_a_guess() -> None:
    small = ["val/neg_log_likelihood", "val_negative_log_likelihood", "NegativeLogLikelihood", "neg_elbo", "neg_reward"]
    small += ["nll", "log_loss", "val/1-acc", "one_minus_dice", "NELBO", "negloglikelihood", "neg_log_likelihood_loss"]
    small += ["val/-elbo", "minus_log_likelihood", "inv_psnr", "negELBO", "val/1 - f1", "1-SSIM", "nll_loss"]
    large = ["neg_mse", "neg_mean_squared_error", "neg_log_loss", "neg_cross_entropy", "val/neg_rmse", "inverse_error"]
    large += ["top1-acc", "top_1-acc", "log_likelihood", "minus_nll", "val_negMAE", "neg_neg_elbo"]
    guessed = ["neg_loss", "val/negative_acc", "false_negative_rate", "acc_neg", "negative_samples", "loss_neg"]
    assert {name: direction(name) for name in small} == dict.fromkeys(small, "min")
    assert {name: direction(name) for name in large} == dict.fromkeys(large, "max")
    assert {name: direction(name) for name in guessed} == dict.fromkeys(guessed)
    found = choose_monitor(["val/neg_loss"], [])
    assert found is not None
    assert not found.is_sure


def test_commands_in_the_file_can_be_typed_as_they_are() -> None:
    draft = draft_study(ClassFacts(path="n.N", arguments=[]), None)
    text = study_text(draft, FirstBatches(), "evo init", "my study.yaml")
    assert "#   evo check 'my study.yaml'  " in text
    assert "mpirun -N 2 python -m evo.run 'my study.yaml'  " in text
    assert "with Slurm: srun --mpi=pmix python -m evo.run 'my study.yaml'\n" in text
    assert summary_lines(draft, FirstBatches(), "my study.yaml")[-1] == "  next: evo check 'my study.yaml'"


def test_values_stand_in_one_line_as_yaml_that_gives_them_back(tmp_path: Path) -> None:
    value: dict[str, Any] = {
        "a": ["on", "no", "1e-5", "x: y", None, True, 1e-07, [0.9, 0.999], {}],
        "b.c": "it's",
        "d": [],
    }
    (tmp_path / "one.yaml").write_text(f"it: {flow(value)}\n")
    assert load_yaml("file", str(tmp_path / "one.yaml")) == {"it": value}


def test_a_file_is_never_replaced_unless_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("mine")
    (tmp_path / "folder.yaml").mkdir()
    for words, said in (
        ([], "study.yaml exists: name another file with --out, or replace it with --force"),
        (["--out", "study.txt"], "a study file ends in .yaml"),
        (["--out", "no/such/folder.yaml"], "cannot be written"),
        (["--out", "/proc/new.yaml"], "/proc/new.yaml cannot be written: "),
        (["--out", "folder.yaml", "--force"], "folder.yaml is a folder: name a file in it with --out"),
        (["--out", "folder.yaml"], "folder.yaml is a folder"),
        (["--timeout", "soon", "--out", "new.yaml"], "timeout is 'soon'"),
    ):
        ended = call("init", "network.Network", *words)
        assert ended.status == 2
        assert said in ended.err
    assert call("init").status == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.yaml", "study.yaml"]
    assert (tmp_path / "study.yaml").read_text() == "mine"
