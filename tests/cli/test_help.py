import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from splitkit.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from splitkit.cli.main import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'tvm', 'onnx', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_prediction_and_space_import_neither_torch_nor_tvm() -> None:
    program = (
        "import sys\n"
        "import splitkit.space, splitkit.latency.predictor, splitkit.search, splitkit.profiles, splitkit.bundle\n"
        "heavy = {'torch', 'tvm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_and_pages_say_that_a_bundle_is_code_and_has_to_be_trusted() -> None:
    said = " ".join(CliRunner().invoke(main, ["bench", "--help"]).output.split())
    assert "A compiled bundle is code" in said
    assert "use bundles whose origin you trust" in said
    for page in ("README.md", "SECURITY.md", "docs/security.md"):
        assert "compiled bundle is code" in (ROOT / page).read_text(encoding="utf-8"), page
