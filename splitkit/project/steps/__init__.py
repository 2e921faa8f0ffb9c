"""The steps of the loop on a run: train, measure kernels, search, export. Each resumes where it was stopped."""

from splitkit.project.steps.baselines import baselines_step
from splitkit.project.steps.bench import bench_step, hop_of
from splitkit.project.steps.conditions import check_search
from splitkit.project.steps.data import Say, load_data, name_left_out, silent
from splitkit.project.steps.export import export_step, pick_point
from splitkit.project.steps.fine_tune import finalist_tuner, finish_networks
from splitkit.project.steps.search import evaluator_on, search_step, trained_evaluator
from splitkit.project.steps.standalone import standalone_step
from splitkit.project.steps.train import Init, begun_classes, load_trained, open_run, train_step

__all__ = [
    "Init",
    "Say",
    "baselines_step",
    "begun_classes",
    "bench_step",
    "check_search",
    "evaluator_on",
    "export_step",
    "finalist_tuner",
    "finish_networks",
    "hop_of",
    "load_data",
    "load_trained",
    "name_left_out",
    "open_run",
    "pick_point",
    "search_step",
    "silent",
    "standalone_step",
    "train_step",
    "trained_evaluator",
]
