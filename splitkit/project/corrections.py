"""What a run's measured candidates taught the predictor."""

from splitkit.errors import ConfigError, reason
from splitkit.latency.corrections import Corrections
from splitkit.project.run import Run
from splitkit.reading import parse_json
from splitkit.search import SearchResult


def load_corrections(run: Run, result: SearchResult) -> Corrections:
    """The corrections that a search ended with; none of one without feedback.

    Raises:
        ConfigError: their file is missing or damaged.
    """
    if not result.feedback:
        return Corrections()
    file = run.corrections
    try:
        return Corrections.from_json(parse_json(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {reason(error)}", "run `splitkit search` again") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file}: not corrections: {error}", "run `splitkit search` again") from error
