"""`splitkit train --architecture`."""

from typing import TYPE_CHECKING

from splitkit.cli.console import print_json, stderr

if TYPE_CHECKING:
    from splitkit.project import Project


def train_architecture(project: "Project", index: int | None, as_json: bool) -> None:
    """Train one point of the run's front alone, and say what it is worth."""
    from splitkit.project import Run
    from splitkit.project.steps import begun_classes, check_search, load_data, pick_point, standalone_step
    from splitkit.search import load_result
    from splitkit.training.evaluation import score_subnetwork

    dataset = load_data(project, project.load_space(), stderr.print, begun_classes(project))
    result = load_result(Run.of(project).pareto)
    check_search(project, result)
    point = pick_point(result, index)
    number = result.points.index(point)
    with stderr.status("training") as status:
        network = standalone_step(project, point.architecture, number, dataset, status.update)
    score = score_subnetwork(network, dataset.test).score
    path = Run.of(project).standalone(number)
    stderr.print(f"point {number} by itself: {score.accuracy:.2%} of the test set are right")
    stderr.print(f"wrote {path}", markup=False)
    if as_json:
        print_json({"schema_version": 1, "point": number, "test_accuracy": score.accuracy, "checkpoint": str(path)})
