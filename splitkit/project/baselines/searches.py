"""Other searches with the run's supernet, scores and limits: at random, and unaware of the split."""

from dataclasses import replace
from functools import partial

from splitkit.project.admission import refusal
from splitkit.project.baselines.cuts import best_plain_cut
from splitkit.project.baselines.setting import LeftOutError, Setting
from splitkit.project.steps.fine_tune import finalist_tuner
from splitkit.project.steps.search import finals_of, trained_evaluator
from splitkit.report.verdict import contenders_of
from splitkit.search import SearchResult
from splitkit.search.baselines import Recipe, Row
from splitkit.search.baselines.draws import draw
from splitkit.search.baselines.unaware import search_unaware
from splitkit.search.config import SYSTEMS
from splitkit.search.run import choose
from splitkit.space.plain_cut import uncut


def random_row(setting: Setting) -> Row:
    """As many scores as the run's search had, spent at random, and chosen from by the same rule.

    Raises:
        LeftOutError: no draw was within the limits.
    """
    project, space, result = setting.project, setting.space, setting.result
    predictor = setting.system_predictor(space)
    counts = {placement: result.evaluated[placement] for placement in SYSTEMS if result.evaluated.get(placement)}
    drawn = draw(space, predictor, result.constraints, counts, project.seed)
    total = sum(len(found) for found in drawn.values())
    setting.say(f"scoring {total} networks drawn at random")
    networks = setting.networks
    found = choose(
        space,
        setting.system,
        predictor,
        trained_evaluator(project, networks.supernet, setting.data),
        drawn,
        result.config,
        constraints=result.constraints,
        finals=finals_of(project, finalist_tuner(project, networks.supernet, setting.data)),
        admissible=partial(refusal, space, setting.system),
        journal=setting.journal,
    )
    placement = _fastest(found)
    if placement is None:
        raise LeftOutError(f"none of {total} draws is within the limits")
    architecture = found.best[placement].architecture
    obtained = f"the best of {total} networks drawn at random, the run's search having scored {sum(counts.values())}"
    return setting.row("random_search", Recipe(architecture), predictor.predict_one(architecture), obtained, total)


def _fastest(found: SearchResult) -> str | None:
    """The system whose chosen network is the fastest of those that are accurate enough."""
    contenders = contenders_of(found)
    able = {name: c for name, c in contenders.items() if c.accurate_enough} or contenders
    return min(able, key=lambda name: able[name].total_us, default=None)


def unaware_row(setting: Setting) -> Row:
    """The most accurate network within a budget of multiply-accumulates, then cut where that is fastest.

    The budget is the limit `total_macs`, or what the found split (without one, the fastest of the run's choices)
    computes over all sensors.

    Raises:
        LeftOutError: nothing is within the budget, or no cut is within the limits.
    """
    result, space = setting.result, setting.space
    points = result.best
    if not points:
        raise LeftOutError("the search found nothing to take a budget of MACs from")
    model = points.get("split") or min(points.values(), key=lambda point: point.total_us)
    budget = result.constraints.total_macs or float(space.views * model.sensor_macs + model.aggregator_macs)
    scores = sum(result.evaluated.values())
    setting.say(f"searching the most accurate network of at most {budget / 1e6:.3g} MMAC")
    best, scored = search_unaware(
        space,
        setting.system,
        setting.system_predictor(space),
        trained_evaluator(setting.project, setting.networks.supernet, setting.data),
        result.config,
        scores,
        budget,
        journal=setting.journal,
        on_progress=lambda state: setting.say(f"unaware of the split: generation {state.generation}"),
    )
    if best is None:
        raise LeftOutError(f"no network of at most {budget / 1e6:.3g} MMAC was found")
    whole = Recipe(uncut(space, best.architecture))
    what = f"the most accurate of {scored} networks of at most {budget / 1e6:.3g} MMAC"
    row = best_plain_cut(setting, "unaware_search", whole, what)
    return replace(row, considered=scored)
