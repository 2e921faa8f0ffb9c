"""`splitkit.toml`: what to search, for which system, on which data. Checked by pydantic; unknown keys are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from splitkit.embedded import EMBEDDED
from splitkit.errors import ConfigError
from splitkit.profiles import System, load_system
from splitkit.project.duration import Duration
from splitkit.project.run import RUN_NAME, Run
from splitkit.reading import read_toml
from splitkit.search.config import Constraints, SearchConfig
from splitkit.sides import Side
from splitkit.space import SearchSpace, load_space

FILE = "splitkit.toml"
NOT_IN_FILES = frozenset({"root", "runtimes"})

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(_Section):
    """`source` is `digits`, `shapes3d`, or a folder: pictures in `train/<class>/` and `val/<class>/`, or `<class>/`;
    or objects that several cameras see in `<class>/train/` and `<class>/test/`.

    Attributes:
        search_images: bounds the slice of `train` that candidates are scored on.
        mirror: training pictures are mirrored at random; never right for text, signs or hands.
        shift: most pixels by which training pictures are moved; an eighth of the side by default.
        full_scale: the value of white in greys deeper than 8 bits; found from the training pictures by default.
        cameras: how they stand around 3D models; a ring by default.
        up: the axis that points up in 3D models; as the format has it, else z, by default.
    """

    source: str = "digits"
    workers: Positive | None = None
    search_images: Positive | None = None
    mirror: bool = False
    shift: Count | None = None
    full_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    cameras: Literal["ring", "dodecahedron"] | None = None
    up: Literal["x", "y", "z"] | None = None

    @model_validator(mode="after")
    def _embedded_is_as_it_is(self) -> Self:
        for name in ("mirror", "shift", "full_scale", "cameras", "up"):
            if self.source in EMBEDDED and getattr(self, name) not in (None, False):
                why = f"{self.source} is varied in a way of its own"
                raise ValueError(f"{name}: for folders of pictures or 3D models: {why}; leave it out")
        return self

    def reading(self) -> dict[str, Any]:
        """How the data set is read, as `load_dataset` takes it."""
        return self.model_dump(exclude={"source"})


class TrainSection(_Section):
    """Overrides of the space's own training schedule; what is left out follows it.

    Attributes:
        budget: how long training may take, "2h": the number of steps is chosen from this machine's speed, `steps` not
            being given.
        fine_tune_budget: the same of fine-tuning, for each network.
        precision: of training's convolutions; `auto` is resolved by `training.precision.pick_precision`.
    """

    steps: Positive | None = None
    budget: Duration | None = None
    batch: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, le=1000)] | None = None
    random_subnetworks: Count | None = None
    sandwich_every: Positive | None = None
    fine_tune_steps: Count | None = None
    fine_tune_budget: Duration | None = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        for steps, budget in (("steps", "budget"), ("fine_tune_steps", "fine_tune_budget")):
            if getattr(self, steps) is not None and getattr(self, budget) is not None:
                raise ValueError(f"{budget}: {steps} says how long already; leave one of them out")
        return self

    def overrides(self) -> dict[str, Any]:
        """The fields of the schedule that are given."""
        schedule = {"steps", "batch", "learning_rate", "random_subnetworks", "sandwich_every"}
        return self.model_dump(exclude_none=True, include=schedule)


class SearchSection(_Section):
    """Budget of the search, per system, of the feedback that follows it, and of the choice among what was found.

    With `predictor`, `oversample` candidates are proposed for each one that is scored, and a model of accuracy chooses.
    Of each system `finalists` networks are fine-tuned for `finalist_steps`, half of them for twice as long again, and
    so on, before one is chosen; left out, the first run is an eighth of the space's own fine-tuning.
    """

    population: Annotated[int, Field(ge=4)] = 48
    generations: Positive = 20
    predictor: bool = False
    oversample: Annotated[int, Field(ge=2)] = 10
    feedback_rounds: Count = 3
    measured_per_round: Positive = 4
    feedback_tolerance: Annotated[float, Field(gt=0)] = 0.05
    finalists: Count = 6
    finalist_steps: Positive | None = None


class ConstraintSection(_Section):
    """Upper limits; the sensor's memory is always one, from its profile."""

    sensor_us: Annotated[float, Field(gt=0)] | None = None
    total_us: Annotated[float, Field(gt=0)] | None = None
    payload_bytes: Annotated[float, Field(gt=0)] | None = None
    sensor_macs: Annotated[float, Field(gt=0)] | None = None
    total_macs: Annotated[float, Field(gt=0)] | None = None


class Project(_Section):
    """Everything a run depends on. Paths are relative to `root`, the directory of `splitkit.toml`."""

    run: Annotated[str, Field(pattern=RUN_NAME)] = "first"
    seed: Count = 0
    space: str
    system: str
    views: Positive | None = None
    missing_views: bool | None = None
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    search: SearchSection = SearchSection()
    constraints: ConstraintSection = ConstraintSection()
    root: Path = Path()
    runtimes: Mapping[Side, str] = Field(default_factory=dict)
    """Exporters to use in place of the profiles', by side: a flag of some commands, never in the file."""

    def load_space(self) -> SearchSpace:
        """The search space, for this project's number of views, or for the system's number of sensors.

        Where there are several, frames may lack some, unless `missing_views` or the space itself says otherwise.

        Raises:
            ConfigError: there is no such space or system, a file is malformed, or the two numbers differ.
        """
        space, sensors = load_space(self._located(self.space)), self._system().sensors
        if sensors is not None and self.views not in (None, sensors):
            raise ConfigError(
                f"views: {self.views}, but system {self.system} has {sensors} sensors",
                f"leave views out, or set it to {sensors}",
            )
        views = sensors or self.views or space.views
        own = space.input.masked or space.views == 1
        masked = views > 1 and (own if self.missing_views is None else self.missing_views)
        changed = space.input.model_copy(update={"views": views, "masked": masked})
        return space.model_copy(update={"input": changed})

    def load_system(self) -> System:
        """The system, its kernels as tuning left them.

        Raises:
            ConfigError: there is no such system, or its file or that of the tuned kernels is malformed.
        """
        from splitkit.tuning.tuned import tuned_system

        return tuned_system(self._system(), Run.of(self).tuning)

    def _system(self) -> System:
        system = load_system(self._located(self.system))
        if system.hubs:
            raise ConfigError(f"system {system.name} has hubs: `splitkit partition` alone uses them", "leave them out")
        return system.with_exporters(self.runtimes)

    @property
    def data_source(self) -> str:
        """`digits`, `shapes3d` or the data set's directory."""
        source = self.data.source
        return source if source in EMBEDDED else str(self.root / Path(source).expanduser())

    def search_config(self) -> SearchConfig:
        """Budget of one evolution."""
        section = self.search
        return SearchConfig(
            population=section.population,
            generations=section.generations,
            oversample=section.oversample if section.predictor else 1,
            seed=self.seed,
        )

    def search_constraints(self, system: System) -> Constraints:
        """This project's limits, and the sensor's memory."""
        return Constraints.for_system(system, **self.constraints.model_dump())

    def _located(self, name_or_path: str) -> str:
        """A preset's name as it is, a file relative to the project."""
        return str(self.root / name_or_path) if name_or_path.endswith(".toml") else name_or_path


def load_project(path: Path | None = None, **overrides: Any) -> Project:
    """Read `splitkit.toml` (or `path`); `overrides` that are not None replace its fields, as flags do.

    Without a file the overrides must say everything that has no default. Paths in the file are relative to it, those in
    overrides to where one stands.

    Raises:
        ConfigError: no such file, not TOML, or a field that is missing, unknown or out of range.
    """
    file = path or Path(FILE)
    body: dict[str, Any] = {}
    source = "the command line"
    if file.exists():
        source = str(file)
        body = read_toml(file)
    elif path is not None:
        raise ConfigError(f"{path}: there is no such file", "splitkit init writes one")
    for name in NOT_IN_FILES & set(body):
        raise ConfigError(f"{source}: {name}: unknown key", f"known: {', '.join(_fields())}")
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in ("space", "system"):
        if name in given and given[name].endswith(".toml"):
            given[name] = _from_here(given[name], file.parent)
    if (data := given.pop("data", None)) is not None:
        given["data"] = {**body.get("data", {}), "source": data if data in EMBEDDED else _from_here(data, file.parent)}
    body |= given
    try:
        return Project.model_validate(body | {"root": file.parent})
    except ValidationError as error:
        raise _explained(error, source, file.exists()) from error


def _from_here(path: str, root: Path) -> str:
    """A path relative to where one stands, for a project in `root`."""
    there = Path(path).expanduser()
    return path if root.resolve() == Path.cwd() else str(there.absolute())


def _explained(error: ValidationError, source: str, exists: bool) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(f"{source}: {where}: unknown key", f"known: {', '.join(_fields(*first['loc'][:-1]))}")
    if first["type"] == "missing":
        hint = f'add {where} = "..."' if exists else f"--{where}, or write a {FILE} with `splitkit init`"
        return ConfigError(f"{source}: {where} is missing", hint)
    return ConfigError(f"{source}: {where}: {first['msg']}")


def _fields(*section: str | int) -> list[str]:
    model: Any = Project
    for name in section:
        model = model.model_fields[str(name)].annotation
    return [name for name in model.model_fields if name not in NOT_IN_FILES]


TEMPLATE = """\
# What splitkit searches, for which system, on which data. Flags override what stands here.

run = "{run}"              # results go to runs/{run}/
seed = 0
space = {space}             # a preset (tiny, cifar, mobile) or a .toml file
system = {system}            # a profile (`splitkit profiles`) or a .toml file
# views = 2               # sensors, one view each; the space's own number by default
# missing_views = false   # several views: the network need not do without some of them, should a sensor fail

[data]
source = {data}         # "digits", "shapes3d" (embedded), or a folder with train/<class>/ and val/<class>/, or
                          # <class>/ alone; for several views <class>/train/ and <class>/test/ with 3D models
                          # (off, obj, stl, ply, glb) or pictures named OBJECT_VIEW.png
# search_images = 1500    # of train, held back to score candidates on; fewer make a search faster and less exact
# mirror = true           # train on mirrored pictures too: more of them, but text, signs and hands are lost
# shift = 4               # most pixels by which training pictures are moved; an eighth of the side by default
# full_scale = 4095       # white in greys deeper than 8 bits; by default what the training pictures fill
# cameras = "ring"        # around 3D models: evenly, 30 degrees above; or "dodecahedron", at its corners
# up = "z"                # what points up in 3D models; by default as their format has it, else z

[train]
# Left out, each follows the space's own schedule.
# steps = 600
# budget = "20m"          # in place of steps: as many as this machine takes in that time
# batch = 128
# learning_rate = 0.006
# sandwich_every = 2      # the largest and smallest networks take part in every second step only
# fine_tune_steps = 150   # of a chosen network, when it is exported
# device = "auto"         # "cpu", "cuda"
# precision = "auto"      # "bfloat16" where that is fast and the space not small, else "float32"

[search]
population = 48           # candidates per generation, for each of: all on sensor, all on aggregator, split
generations = 20
# predictor = true        # propose many candidates, score those that a model of accuracy finds promising
# oversample = 10         # candidates proposed for each one that is scored
feedback_rounds = 3       # rounds of measuring what was found and correcting the predictor
measured_per_round = 4
feedback_tolerance = 0.05 # stop when newly measured candidates agree to this
finalists = 6             # of each system, fine-tuned a little before one is chosen; 0 chooses by shared weights
# finalist_steps = 50     # of the first such run; the better half goes on for twice as long

[constraints]
# The sensor's memory is always a limit, from its profile.
# sensor_us = 2000.0
# payload_bytes = 512.0
# total_us = 5000.0
"""
