"""Networks made without a split in mind, and then cut: where it is fastest, plainly or through a bottleneck."""

from dataclasses import replace

import numpy as np

from splitkit.project.baselines.setting import LeftOutError, Setting, first_good
from splitkit.search.baselines import Name, Recipe, Row
from splitkit.space import Architecture, SearchSpace, describe
from splitkit.space.encoding import Encoding
from splitkit.space.plain_cut import cut_plainly, plain_cuts

SEVERAL_VIEWS = "its views are joined behind the last block, and no bottleneck is put in ahead of that so far"


def best_plain_cut(setting: Setting, name: Name, whole: Recipe, what: str) -> Row:
    """The fastest plain cut of a network within the limits, both ends among them, that loses no more than is allowed.

    Every block boundary is looked at, with every dtype of the space's link (`Neurosurgeon`, Kang et al., 2017).

    Args:
        whole: the network, not cut.
        what: it is, for people.

    Raises:
        LeftOutError: no cut is within the limits.
    """
    space = setting.networks.space_of(whole)
    recipes = [replace(whole, cut=cut) for cut in plain_cuts(space, whole.architecture)]
    networks = [setting.described(recipe) for recipe in recipes]
    figures = setting.predictor().predict(networks)
    order = [int(i) for i in np.argsort(figures.total_us, kind="stable")]
    within = [i for i in order if not setting.refuses(networks[i], figures[i])]
    if not within:
        raise LeftOutError(f"none of the {len(recipes)} cuts of the network is within the limits")
    floor = setting.scores(whole).score.accuracy - setting.loss
    best, tried, good = first_good(within, lambda i: setting.scores(recipes[i]).score.accuracy, floor)
    cut = recipes[best].cut
    assert cut is not None
    where = {"aggregator": "at its input", "sensor": "behind its scores"}.get(
        recipes[best].placement, f"behind unit {cut.boundary} of {whole.architecture.units}, sent as {cut.dtype}"
    )
    kept = "the fastest" if good and tried == 1 else f"the fastest that loses at most {100 * setting.loss:g} points"
    kept = kept if good else "the most accurate; all lose more than is allowed"
    obtained = f"{what}, cut {where}: {kept} of {len(within)} cuts within the limits"
    return setting.row(name, recipes[best], figures[best], obtained, len(recipes))


def fixed_network(setting: Setting) -> Recipe:
    """The network that nobody searched, its kernels in the table where they can be measured."""
    space, architecture = setting.networks.fixed_space, setting.networks.fixed
    setting.measure(describe(space, architecture))
    if space.views > 1:  # a sensor's kernels are of one view
        setting.measure(cut_plainly(space, architecture, plain_cuts(space, architecture)[-1]))
    return Recipe(architecture, "fixed")


def fixed_cut_row(setting: Setting) -> Row:
    """The fixed network, cut plainly.

    Raises:
        LeftOutError: as `best_plain_cut`.
    """
    what = f"MobileNetV2's blocks in the space's outline, trained {setting.networks.fixed_training}"
    return best_plain_cut(setting, "fixed_cut", fixed_network(setting), what)


def fixed_bottleneck_row(setting: Setting) -> Row:
    """The fixed network with reduce and recover put in at a cut by principal components, and fine-tuned.

    Of each ratio the fastest cut is a candidate; they are fine-tuned in the order of their latency until one loses no
    more than is allowed against the network as it was (in the manner of BottleNet, Eshratifar et al., ISLPED 2019).

    Raises:
        LeftOutError: there are several views, or no such cut is within the limits.
    """
    if setting.space.views > 1:
        raise LeftOutError(SEVERAL_VIEWS)
    whole, space = fixed_network(setting), setting.networks.fixed_space
    options = _bottlenecks(space, whole.architecture)
    figures = setting.system_predictor(space).predict(Encoding(space).encode_all(options))
    fastest: dict[float, int] = {}
    for i in np.argsort(figures.total_us, kind="stable").tolist():
        if options[i].reduce_ratio in fastest or setting.refuses(describe(space, options[i]), figures[i]):
            continue
        fastest[options[i].reduce_ratio] = i
    if not fastest:
        raise LeftOutError(f"none of the {len(options)} bottlenecks is within the limits")
    floor = setting.scores(whole).score.accuracy - setting.loss

    def accuracy(i: int) -> float:
        return setting.scores(Recipe(options[i], "injected")).score.accuracy

    best, tried, good = first_good(list(fastest.values()), accuracy, floor)
    chosen = options[best]
    obtained = (
        f"the fixed network with 1/{1 / chosen.reduce_ratio:g} of the channels sent as {chosen.link_dtype} behind unit "
        f"{chosen.split} of {chosen.units}, fine-tuned; {tried} of {len(fastest)} candidates tried"
        + ("" if good else f", all of which lose more than {100 * setting.loss:g} points")
    )
    return setting.row("fixed_bottleneck", Recipe(chosen, "injected"), figures[best], obtained, len(options))


def _bottlenecks(space: SearchSpace, architecture: Architecture) -> list[Architecture]:
    """Every cut of a network, with every ratio and dtype of the space."""
    found: dict[Architecture, None] = {}
    for boundary in range(1, architecture.units):
        for ratio in space.distinct_ratios(space.width_at(architecture, boundary)):
            for dtype in space.link.dtypes:
                cut = replace(architecture, split=boundary, fuse=boundary, reduce_ratio=ratio, link_dtype=dtype)
                found[space.canonical(cut)] = None
    return list(found)
