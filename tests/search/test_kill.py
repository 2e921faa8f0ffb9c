"""A search killed without warning goes on from its journal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from splitkit.search import Journal, SearchConfig, search
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

ROOT = Path(__file__).parents[2]
CONFIG = SearchConfig(population=12, generations=5, seed=1)

VICTIM = """
import sys, time
from pathlib import Path
from splitkit.search import Journal, search
from tests.search.test_kill import CONFIG
from tests.search.hardware import TINY, FormulaEvaluator, FormulaPredictor, system

def tell(progress):
    print(progress.generation, flush=True)
    time.sleep(0.2)

paper = system()
predictor, evaluator = FormulaPredictor(TINY, paper), FormulaEvaluator(TINY)
search(TINY, paper, predictor, evaluator, CONFIG, journal=Journal(Path(sys.argv[1])), on_progress=tell)
"""


def test_a_search_killed_by_the_system_resumes_to_the_same_result(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    for _ in range(7):
        assert victim.stdout.readline()
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    victim.stdout.close()

    paper, whole, rest = system(), FormulaEvaluator(TINY), FormulaEvaluator(TINY)
    expected = search(TINY, paper, FormulaPredictor(TINY, paper), whole, CONFIG)
    kept = len(Journal(path).scores)
    assert search(TINY, paper, FormulaPredictor(TINY, paper), rest, CONFIG, journal=Journal(path)) == expected
    assert kept >= 7 * CONFIG.population - 12
    assert len(rest.asked) == len(whole.asked) - kept
