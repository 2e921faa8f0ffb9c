"""Mistakes are one clear line, and leave no half-written directory."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from splitkit.errors import BundleError, ConfigError, DeviceError, ModelError
from splitkit.exporters import CompileTarget, get_exporter
from splitkit.exporters.baremetal import BareMetalExporter, files, symbols
from splitkit.exporters.baremetal.names import distinct_identifiers, identifier
from splitkit.exporters.memory_report import MemoryReport, check_budget
from tests.compiler.graphs import GRAPHS, Net

HOST = CompileTarget()


def test_it_is_registered() -> None:
    assert isinstance(get_exporter("baremetal"), BareMetalExporter)


def test_an_operator_without_a_lowering_names_its_node(tmp_path: Path) -> None:
    net = Net()
    model = net.model(net.op("Det", net.input("x", 1, 4, 4)))
    with pytest.raises(ModelError, match=r"'det0' \(Det\)"):
        BareMetalExporter().compile(model, HOST, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_an_operator_that_needs_a_runtime_names_its_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not symbols.is_provided("TVMFFIErrorSetRaisedFromCStr")
    assert not symbols.is_provided("__TVMBackendAllocWorkspace")
    net = Net()
    model = net.model(net.op("Sin", net.input("x", 1, 10)))
    monkeypatch.setattr(symbols, "_PROVIDED", re.compile("memcpy"))
    with pytest.raises(ModelError, match=r"layer 'sin0.* calls sinf, which .* operating system"):
        BareMetalExporter().compile(model, HOST, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_several_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"threads: 2.*one thread"):
        BareMetalExporter().compile(GRAPHS["sensor"](), CompileTarget(threads=2), tmp_path / "net")


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, directory = BareMetalExporter(), tmp_path / "net"
    exporter.compile(GRAPHS["sensor"](), HOST, directory)
    before = {file.name: file.read_bytes() for file in directory.iterdir()}

    def fail(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "assembly", fail)
    with pytest.raises(OSError, match="no space"):
        exporter.compile(GRAPHS["residual"](), HOST, directory)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before
    assert list(tmp_path.iterdir()) == [directory]


def test_nothing_is_loaded_into_this_process(tmp_path: Path) -> None:
    artifact = BareMetalExporter().compile(GRAPHS["sensor"](), HOST, tmp_path / "net")
    with pytest.raises(DeviceError, match="qemu-system or linux-cross"):
        BareMetalExporter().load(artifact)


def test_too_little_memory_says_how_much_is_missing_and_which_layers_hold_it(tmp_path: Path) -> None:
    BareMetalExporter().compile(GRAPHS["residual"](), HOST, tmp_path / "net")
    report = MemoryReport.load(tmp_path / "net")
    check_budget(report, None, None)
    check_budget(report, report.flash_bytes, report.ram_bytes)
    with pytest.raises(DeviceError, match=r"net: needs [\d,]+ bytes of flash, 1 more than .* held by conv\d+ [\d,]+"):
        check_budget(report, report.flash_bytes - 1, None)
    with pytest.raises(DeviceError, match=r"bytes of RAM, 1,000 more than .*conv\d+ [\d,]+.*stack"):
        check_budget(report, None, report.ram_bytes - 1000)


def test_the_reports_layers_add_up_to_its_totals(tmp_path: Path) -> None:
    BareMetalExporter().compile(GRAPHS["residual"](), HOST, tmp_path / "net")
    report = MemoryReport.load(tmp_path / "net")
    assert sum(layer.weight_bytes for layer in report.layers) == report.weight_bytes
    assert 0.9 * report.code_bytes <= sum(layer.code_bytes for layer in report.layers) <= report.code_bytes
    assert max(layer.live_bytes for layer in report.layers) <= report.arena_bytes
    assert all(layer.workspace_bytes <= layer.live_bytes for layer in report.layers)


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    BareMetalExporter().compile(GRAPHS["sensor"](), HOST, tmp_path / "net")
    file = tmp_path / "net" / "memory.json"
    file.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(BundleError, match=r"memory\.json: not a memory report"):
        MemoryReport.load(tmp_path / "net")


def test_names_come_from_the_directory_or_from_whoever_exports(tmp_path: Path) -> None:
    model = GRAPHS["sensor"]()
    BareMetalExporter().compile(model, HOST, tmp_path / "7 my-net")
    assert (tmp_path / "7 my-net" / "net_7_my_net.h").exists()
    BareMetalExporter("eye").compile(model, HOST, tmp_path / "left")
    assert "int eye_run(const uint8_t *image" in (tmp_path / "left" / "eye.h").read_text()


def test_identifiers_are_valid_and_distinct() -> None:
    assert identifier("p0.stride.add") == "p0_stride_add"
    assert identifier("double") == "net_double"
    assert distinct_identifiers(["a.b", "a-b", "a_b"]) == ["a_b", "a_b_2", "a_b_3"]


def test_a_tensor_cannot_be_called_like_the_results(tmp_path: Path) -> None:
    """`out` is a parameter of NAME_run already, and C99 has no half floats: bits are passed."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["out"], ["int"], "cast", to=TensorProto.FLOAT16)],
        "g",
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("int", TensorProto.FLOAT16, [1, 3])],
    )
    BareMetalExporter().compile(helper.make_model(graph), HOST, tmp_path / "net")
    text = (tmp_path / "net" / "net.h").read_text()
    assert "int net_run(const float *out_2, net_output_t *out);" in text
    assert "uint16_t net_int[3];" in text


@pytest.mark.toolchain
def test_cmake_builds_the_library(tmp_path: Path, needs: Callable[..., None]) -> None:
    needs("cmake", "cc")
    BareMetalExporter().compile(GRAPHS["sensor"](), HOST, tmp_path / "eye")
    (tmp_path / "main.c").write_text('#include "eye.h"\nint main(void) { return eye_init(); }\n')
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(user C ASM)\nadd_subdirectory(eye)\n"
        "add_executable(user main.c)\ntarget_link_libraries(user PRIVATE eye m)\n"
    )
    for command in (["cmake", "-S", ".", "-B", "build"], ["cmake", "--build", "build"], ["build/user"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
