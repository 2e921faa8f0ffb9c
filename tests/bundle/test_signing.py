"""Who made a bundle, and that this is known before anything of it is believed."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import splitkit.bundle.bundle
from splitkit.bundle import MANIFEST, load_bundle
from splitkit.bundle.export import export_bundle
from splitkit.bundle.recompile import recompile
from splitkit.bundle.signing import SIGNATURE, new_signing_key
from splitkit.cli.main import main
from splitkit.errors import BundleError, ConfigError
from tests.bundle.bundles import exported, fast_system, reseal
from tests.networks import digit_images, space_of, subnetwork, with_link


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key."""
    return new_signing_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    """A signed bundle."""
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 2, "uint8"))
    directory = tmp_path_factory.mktemp("signed") / "bundle"
    return export_bundle(network, fast_system(), digit_images(), directory, sign_key=keys[0]).path


@pytest.fixture
def copy(tmp_path: Path, signed: Path) -> Path:
    """A signed bundle that may be damaged."""
    return Path(shutil.copytree(signed, tmp_path / "bundle"))


def test_a_signed_bundle_is_the_same_bundle(signed: Path, keys: tuple[Path, Path]) -> None:
    assert load_bundle(signed, keys[1]).id == load_bundle(signed).id == exported(2, "uint8").id


def test_openssl_reads_key_and_signature(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    decode = ["openssl", "base64", "-d", "-in", str(signed / SIGNATURE), "-out", str(tmp_path / "raw")]
    subprocess.run(decode, check=True)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
    verify += ["-in", str(signed / MANIFEST), "-sigfile", str(tmp_path / "raw")]
    assert "Verified Successfully" in subprocess.run(verify, check=True, capture_output=True, text=True).stdout


def test_what_another_key_signed_is_refused(copy: Path, tmp_path: Path) -> None:
    _, public = new_signing_key(tmp_path / "others")
    with pytest.raises(BundleError, match=r"manifest\.sig: is not the signature of this bundle"):
        load_bundle(copy, public)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 64, b"A" * 88, b"A" * 2000])
def test_a_damaged_signature_is_refused(copy: Path, keys: tuple[Path, Path], content: bytes) -> None:
    (copy / SIGNATURE).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.sig"):
        load_bundle(copy, keys[1])


def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(copy: Path, keys: tuple[Path, Path]) -> None:
    (copy / SIGNATURE).unlink()
    load_bundle(copy)
    with pytest.raises(BundleError, match=r"is not signed: manifest\.sig is missing"):
        load_bundle(copy, keys[1])


def test_the_signature_is_checked_before_anything_is_read(
    copy: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "sensor" / "model.ort").write_bytes(b"evil")
    reseal(copy)  # consistent: without a key nothing is noticed
    load_bundle(copy)
    for name in ("parse_json", "sha256_inside"):
        monkeypatch.setattr(
            splitkit.bundle.bundle, name, lambda *_: pytest.fail("was read before the signature was checked")
        )
    with pytest.raises(BundleError, match="is not the signature"):
        load_bundle(copy, keys[1])


def test_the_signature_holds_for_every_file(copy: Path, keys: tuple[Path, Path]) -> None:
    (copy / "sensor" / "model.ort").write_bytes(b"evil")
    with pytest.raises(BundleError, match=r"model\.ort"):
        load_bundle(copy, keys[1])


def test_a_recompiled_bundle_is_not_signed(copy: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    made = recompile(load_bundle(copy, keys[1]), {"sensor": "onnxruntime"}, tmp_path / "made")
    assert not (made.path / SIGNATURE).exists()
    assert made.verify_key is None


@pytest.mark.parametrize("program", ["sensor", "aggregator"])
def test_programs_check_the_signature(copy: Path, keys: tuple[Path, Path], program: str) -> None:
    (copy / SIGNATURE).unlink()
    command = [sys.executable, "-m", f"splitkit.runtime.{program}", str(copy), "--verify-key", str(keys[1])]
    command += ["--connect", "127.0.0.1:1"] if program == "sensor" else ["--listen", "127.0.0.1:0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 1
    assert "is not signed" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_bench_runs_what_is_signed_and_nothing_else(copy: Path, keys: tuple[Path, Path]) -> None:
    arguments = ["bench", str(copy), "--frames", "10", "--verify-key", str(keys[1]), "--json"]
    assert '"top1_agreement": 1.0' in CliRunner().invoke(main, arguments, catch_exceptions=False).output
    (copy / SIGNATURE).write_bytes(b"A" * 88)
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 1
    assert "is not the signature" in run.output


def test_keys_are_for_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private, public = new_signing_key(tmp_path / "keys")
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    content = private.read_bytes()
    with pytest.raises(ConfigError, match="a key is never overwritten"):
        new_signing_key(tmp_path / "keys")
    assert private.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_what_is_no_key_is_said_so_before_the_work(tmp_path: Path, content: bytes, signed: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(content)
    space = space_of()
    network = subnetwork(space, with_link(space, space.smallest(), 0, "float32"))
    with pytest.raises(ConfigError, match=r"key\.pem: not an Ed25519 private key"):
        export_bundle(network, fast_system(), digit_images(), tmp_path / "bundle", sign_key=key)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem"]
    with pytest.raises(ConfigError, match=r"key\.pem: not an Ed25519 public key"):
        load_bundle(signed, key)
    with pytest.raises(ConfigError, match=r"nowhere\.pem: cannot be read"):
        load_bundle(signed, tmp_path / "nowhere.pem")


def test_keys_of_another_kind_are_refused(tmp_path: Path, signed: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    other = generate_private_key(SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ec.pem").write_bytes(other.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(ConfigError, match="not an Ed25519 public key"):
        load_bundle(signed, tmp_path / "ec.pem")


def test_the_command_line_finds_mistakes_in_keys_first(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    run = CliRunner().invoke(main, ["bench", "--target", "sensor", "--verify-key", str(keys[1])])
    assert run.exit_code == 2
    assert "--verify-key goes with a bundle" in run.output
    run = CliRunner().invoke(main, ["export", "--split", "x", "-o", str(tmp_path / "b"), "--sign", str(keys[1])])
    assert run.exit_code == 2
    assert "not an Ed25519 private key" in run.output
    assert "code" in CliRunner().invoke(main, ["bench", "--help"]).output
