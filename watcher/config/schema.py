"""The configuration as frozen models: its keys, their types and their defaults."""

from __future__ import annotations

import enum
import os
import platform
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from platformdirs import user_state_dir
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    StrictBool,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from watcher.checksums import Kind
from watcher.config import combinations, values
from watcher.config.complaints import Key, Problem, Problems, explain
from watcher.platform import system

OUTPUT_VARIABLE = "IBEX_BLUESKY_CORE_OUTPUT"
"""Where the producer of the files is told to write."""


def default_data_roots() -> tuple[str, ...]:
    r"""Return where the producer writes: as it was told, else `C:\Data` on Windows."""
    if told := os.environ.get(OUTPUT_VARIABLE):
        return (told,)
    return () if system.name == "posix" else (r"C:\Data",)


def default_state_dir() -> str:
    """Return the folder for ledger, lock, status and logs: one for all users on Windows."""
    if system.name != "posix" and (shared := os.environ.get("PROGRAMDATA")):
        return os.path.join(shared, "watcher")
    return user_state_dir("watcher", appauthor=False)


Name = Annotated[str, PlainValidator(values.folder_name)]
Folder = Annotated[str, PlainValidator(values.absolute)]
RelativePath = Annotated[str, PlainValidator(values.below)]
Wait = Annotated[float, PlainValidator(values.duration(shortest=0.01))]
Age = Annotated[float, PlainValidator(values.duration(shortest=0.0, longest=3650 * 86400.0))]
Algorithm = Annotated[str, PlainValidator(values.algorithm)]
Listed = BeforeValidator(values.listed)
Section = BeforeValidator(values.section)
StateFolder = Annotated[
    Folder, BeforeValidator(lambda given: default_state_dir() if given is None else given)
]


class AfterArchiving(enum.StrEnum):
    """What becomes of a source once every destination holds its copy."""

    REMOVE = "remove"
    KEEP = "keep"


class LogLevel(enum.StrEnum):
    """The least grave news that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """What a log line looks like."""

    TEXT = "text"
    JSON = "json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DestinationConfig(_Frozen):
    """A place that every finished file must reach."""

    name: Annotated[str, PlainValidator(values.destination_name)]
    path: Annotated[str, PlainValidator(values.template)]
    """A template, as `watcher.destination.Template.parse` reads it."""
    cleaned_by_others: StrictBool = False
    marker: RelativePath | None = None


class ChecksumsConfig(_Frozen):
    """Which checksums are computed, and where they are written."""

    algorithm: Algorithm = "sha256"
    """The one that counts: the first of `algorithms`."""
    algorithms: Annotated[tuple[Algorithm, ...], Listed] = ()
    record: Annotated[Kind, PlainValidator(values.one_of(Kind))] = Kind.MANIFEST

    @model_validator(mode="after")
    def _one_or_many(self) -> ChecksumsConfig:
        given = self.model_fields_set & {"algorithm", "algorithms"}
        if len(given) > 1:
            wanted = "either algorithm or algorithms"
            raise Problems([Problem(("algorithms",), wanted, "both keys")])
        if "algorithms" in given and not self.algorithms:
            raise Problems([Problem(("algorithms",), "at least one name", "an empty list")])
        if len(set(self.algorithms)) < len(self.algorithms):
            raise Problems([Problem(("algorithms",), "each name once", "a name twice")])
        # The two are one setting: whichever was given, both tell it.
        chosen = self.algorithms or (self.algorithm,)
        object.__setattr__(self, "algorithms", chosen)
        object.__setattr__(self, "algorithm", chosen[0])
        return self


class RetryConfig(_Frozen):
    """How an outage is waited out; all in seconds."""

    initial: Wait = 1.0
    maximum: Wait = 30.0
    stalled_after: Wait = 30.0

    @model_validator(mode="after")
    def _grows(self) -> RetryConfig:
        if self.maximum < self.initial:
            given = "maximum" if "maximum" in self.model_fields_set else "initial"
            wanted = f"initial ({self.initial:g}s) to be at most maximum ({self.maximum:g}s)"
            raise Problems([Problem((given,), wanted)])
        return self


class MetricsConfig(_Frozen):
    """Where figures for monitoring go."""

    textfile: Annotated[str, PlainValidator(values.prom_file)] | None = None
    http: Annotated[str, PlainValidator(values.loopback)] | None = None


class LogConfig(_Frozen):
    """What is logged, and where."""

    level: Annotated[LogLevel, PlainValidator(values.one_of(LogLevel))] = LogLevel.INFO
    format: Annotated[LogFormat, PlainValidator(values.one_of(LogFormat))] = LogFormat.TEXT
    file: Folder | None = None
    """None stands for `watcher.log` in the state folder."""
    keep: Annotated[int, PlainValidator(values.whole(0, 3650))] = 30


class Config(_Frozen):
    """The whole configuration; durations are in seconds."""

    instrument: Name = Field(default_factory=platform.node)
    data_roots: Annotated[tuple[Folder, ...], Listed] = Field(default_factory=default_data_roots)
    exclude: Annotated[tuple[RelativePath, ...], Listed] = ("Export only",)
    rescan_interval: Wait = 60.0
    after_archiving: Annotated[AfterArchiving, PlainValidator(values.one_of(AfterArchiving))] = (
        AfterArchiving.REMOVE
    )
    unfinished_after: Age = 86400.0
    destinations: Annotated[tuple[DestinationConfig, ...], Listed]
    cycle: Annotated[str, PlainValidator(values.cycle)] = "latest"
    checksums: Annotated[ChecksumsConfig, Section] = ChecksumsConfig()
    workers: Annotated[int, PlainValidator(values.whole(1, 64))] = 4
    retry: Annotated[RetryConfig, Section] = RetryConfig()
    metrics: Annotated[MetricsConfig, Section] = MetricsConfig()
    state_dir: StateFolder = Field(default_factory=default_state_dir)
    log: Annotated[LogConfig, Section] = LogConfig()
    _file: str = PrivateAttr("")

    @property
    def file(self) -> str:
        """The absolute path of the file that it was read from."""
        return self._file

    def model_post_init(self, context: Any) -> None:  # noqa: ANN401 - pydantic's signature
        """Keep what the reader says beside the keys."""
        self._file = (context or {}).get("file", "")

    @field_validator("data_roots", mode="wrap")
    @classmethod
    def _apart(cls, given: object, check: ValidatorFunctionWrapHandler) -> tuple[str, ...]:
        roots, problems = _checked(given, check)
        refused = {problem.key[:1] for problem in problems}
        good = {i: r for i, r in enumerate(roots) if (i,) not in refused}
        if not roots and not problems:
            wanted = f"the folders to watch, or ${OUTPUT_VARIABLE} to be set"
            problems.append(Problem((), wanted, "none"))
        if problems := [*problems, *combinations.of_roots(good)]:
            raise Problems(problems)
        return roots

    @field_validator("destinations", mode="wrap")
    @classmethod
    def _possible(
        cls, given: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> tuple[DestinationConfig, ...]:
        destinations, problems = _checked(given, check)
        around = combinations.Surroundings(
            info.data.get("instrument", "instrument"),
            info.data.get("data_roots", ()),
            info.data.get("exclude", ()),
        )
        if not destinations and not problems:
            wanted = "at least one destination, with a name and a path"
            problems.append(Problem((), wanted, "none"))
        good = _places(destinations, {problem.key for problem in problems})
        if problems := [*problems, *combinations.of_destinations(good, around)]:
            raise Problems(problems)
        return destinations


def _checked(
    given: object, check: ValidatorFunctionWrapHandler
) -> tuple[tuple[Any, ...], list[Problem]]:
    """Return the list, checked or as it was given, and what is wrong with single entries.

    So what is wrong between the others can be told in the same breath.
    """
    try:
        return check(given), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems = [p for one in errors for p in explain(one, DestinationConfig.model_fields)]
        return tuple(given) if isinstance(given, list | tuple) else (), problems


def _places(destinations: Iterable[Any], refused: Collection[Key]) -> dict[int, tuple[str, str]]:
    """Return name and path of those destinations in which both are right."""
    places = {}
    for i, one in enumerate(destinations):
        if not any(key in refused for key in ((i,), (i, "name"), (i, "path"))):
            fields = one if isinstance(one, dict) else dict(one)
            places[i] = fields["name"], fields["path"]
    return places


SECTIONS: dict[str, type[BaseModel]] = {
    "destinations": DestinationConfig,
    "checksums": ChecksumsConfig,
    "retry": RetryConfig,
    "metrics": MetricsConfig,
    "log": LogConfig,
}
"""The model of each key that has keys of its own."""
