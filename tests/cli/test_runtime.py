"""`--runtime`: which edge runtime each side is compiled for."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from splitkit.cli.main import main
from splitkit.cli.options import runtimes
from splitkit.errors import ConfigError
from splitkit.profiles import load_system
from splitkit.project import Project
from splitkit.project.config import load_project
from splitkit.project.runtimes import require_kernels
from tests.bundle.bundles import exported


def chosen(*texts: str) -> dict[str, str]:
    context = click.Context(click.Command("export"))
    return dict(runtimes(context, click.Option(["--runtime"]), texts))


def test_one_name_is_for_both_sides_and_a_later_flag_for_one() -> None:
    assert chosen() == {}
    assert chosen("onnxruntime") == {"sensor": "onnxruntime", "aggregator": "onnxruntime"}
    assert chosen("onnxruntime", "sensor=tvm") == {"sensor": "tvm", "aggregator": "onnxruntime"}


@pytest.mark.parametrize("text", ["tflite", "sensor=tflite", "link=tvm", "sensor="])
def test_what_is_no_runtime_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        chosen(text)


def test_the_project_compiles_with_it_and_the_profile_is_left_alone() -> None:
    project = Project(space="tiny", system="demo", runtimes={"sensor": "onnxruntime"})
    system = project.load_system()
    assert (system.sensor.exporter, system.aggregator.exporter) == ("onnxruntime", "tvm")
    assert load_system("demo").sensor.exporter == "tvm"


def test_the_file_cannot_set_it(tmp_path: Path) -> None:
    file = tmp_path / "splitkit.toml"
    file.write_text('space = "tiny"\nsystem = "demo"\nruntimes = { sensor = "tvm" }\n')
    with pytest.raises(ConfigError, match="runtimes: unknown key"):
        load_project(file)


def test_a_latency_table_of_a_runtime_without_named_kernels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["bench", "--target", "sensor", "--runtime", "onnxruntime", "--space", "tiny", "--system", "demo"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "runtime onnxruntime does not say which kernels a graph becomes" in result.stderr
    assert "export --runtime sensor=onnxruntime" in result.stderr
    assert not (tmp_path / "runs").exists()
    require_kernels(load_system("demo"), ("sensor", "aggregator"))


def test_a_bundle_is_timed_on_another_runtime_without_being_changed() -> None:
    bundle = exported(2, "uint8", 1, "tvm")
    result = CliRunner().invoke(
        main, ["bench", str(bundle.path), "--runtime", "onnxruntime", "--frames", "10", "--json"]
    )
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert measured["top1_agreement"] == 1.0
    assert measured["bundle"] != bundle.id
    assert "total_us" not in measured["predicted"]
