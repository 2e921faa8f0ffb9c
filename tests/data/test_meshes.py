"""3D models: files as they come, cameras, what a camera sees."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import trimesh

from splitkit.data.meshes.cameras import ELEVATION, MOST, rig
from splitkit.data.meshes.model import Model
from splitkit.data.meshes.read import SUFFIXES, NoModelError, read_model
from splitkit.data.meshes.render import AMBIENT, HEADLIGHT, OVERHEAD, SAMPLES, render

TETRAHEDRON = "4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def solid() -> trimesh.Trimesh:
    """A wedge: longest in x, flat in z, without symmetry."""
    mesh = trimesh.creation.box((3.0, 2.0, 1.0))
    mesh.vertices[0] += [0.4, 0.1, 0.2]
    return mesh


@pytest.mark.parametrize(
    "content",
    [
        f"OFF\n{TETRAHEDRON}",
        f"OFF{TETRAHEDRON}",
        f"OFF {TETRAHEDRON}",
        f"# a comment\nOFF\n{TETRAHEDRON}",
        "OFF\r\n" + TETRAHEDRON.replace("\n", "\r\n"),
    ],
    ids=["as it should be", "counts joined to the word", "on its line", "after a comment", "from Windows"],
)
def test_off_files_are_read_as_they_come(content: str, tmp_path: Path) -> None:
    model = read_model(written(tmp_path, "model.OFF", content))
    assert model.vertices.shape == (4, 3)
    assert {tuple(sorted(face)) for face in model.faces.tolist()} == {(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_images(suffix: str, tmp_path: Path) -> None:
    mesh, cameras = solid(), rig("ring", 4)[0]
    mesh.export(tmp_path / f"model{suffix}")
    # trimesh writes what it is given into a .glb, which by its own rules has y up.
    found = read_model(tmp_path / f"model{suffix}", up="z")
    direct = Model(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    difference = render(found, cameras, 32).astype(int) - render(direct, cameras, 32).astype(int)
    assert np.abs(difference).mean() < 0.05  # some formats keep float32, some six digits


@pytest.mark.parametrize(("suffix", "up", "tall"), [(".off", None, 2), (".glb", None, 1), (".off", "x", 0)])
def test_what_points_up_is_z(suffix: str, up: str | None, tall: int, tmp_path: Path) -> None:
    size = [1.0, 1.0, 1.0]
    size[tall] = 5.0
    trimesh.creation.box(size).export(tmp_path / f"pole{suffix}")
    model = read_model(tmp_path / f"pole{suffix}", up=up)  # type: ignore[arg-type]
    assert np.ptp(model.vertices, axis=0) == pytest.approx([1, 1, 5])
    a, b, c = model.vertices[model.faces].transpose(1, 0, 2)
    assert (np.cross(a, b) * c).sum() == pytest.approx(6 * 5)  # turned, not mirrored: faces look outwards as before


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.off", "", "an empty file"),
        ("a.off", "OFF\n4 4 6\n0 0 0\n", "can be read"),
        ("a.off", "PNG nothing of the kind", "can be read"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "a face names a vertex|can be read"),
        ("a.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "holds no triangles|can be read"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "no triangle has an area"),
        ("a.off", "OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n", "no numbers|can be read"),
        ("a.obj", "v 0 0 0\n", "holds no triangles|can be read"),
        ("a.stl", b"\x00" * 84, "holds no triangles|can be read"),
        ("a.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 9\n", "can be read"),
        ("a.glb", b"glTF\x02\x00\x00\x00", "can be read"),
    ],
)
def test_what_is_no_model_is_named_in_one_line(name: str, content: str | bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match=why) as caught:
        read_model(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="cannot be read: No such file"):
        read_model(tmp_path / "gone.off")


def test_an_obj_file_reads_no_other_file(tmp_path: Path) -> None:
    secret = written(tmp_path, "secret.mtl", "newmtl a\nmap_Kd /etc/hostname\n")
    secret.chmod(0)
    text = "mtllib secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n"
    assert len(read_model(written(tmp_path, "a.obj", text)).faces) == 1


def test_degenerate_and_repeated_faces_do_no_harm() -> None:
    mesh = solid()
    faces = np.asarray(mesh.faces)
    odd = np.concatenate([faces, [[0, 0, 0], [1, 1, 2]], faces[:3], faces[:, ::-1]])
    cameras, _ = rig("ring", 2)
    plain, found = (render(Model(np.asarray(mesh.vertices), f), cameras, 24) for f in (faces, odd))
    assert np.array_equal(plain, found)


def test_a_vertex_that_no_face_uses_does_not_shrink_the_model() -> None:
    mesh, cameras = solid(), rig("ring", 1)[0][:1]
    far = np.concatenate([mesh.vertices, [[1e6, 0, 0], [np.nan, 0, 0]]])
    plain = render(Model(np.asarray(mesh.vertices), np.asarray(mesh.faces)), cameras, 24)
    assert np.array_equal(plain, render(Model(far, np.asarray(mesh.faces)), cameras, 24))


@pytest.mark.parametrize("views", [1, 2, 3, 4, 5, 12, 16])
def test_a_ring_is_even_and_looks_down(views: int) -> None:
    cameras, chosen = rig("ring", views)
    used = cameras[chosen]
    assert len(used) == views
    assert used[:, 2] == pytest.approx(np.sin(np.radians(ELEVATION)))
    angles = np.degrees(np.arctan2(used[:, 1], used[:, 0])) % 360
    assert angles == pytest.approx(np.arange(views) * 360 / views)


def test_fewer_views_of_a_ring_are_among_those_of_more() -> None:
    sizes = (1, 2, 3, 4, 6, 12)
    assert len({len(rig("ring", views)[0]) for views in sizes}) == 1


def test_a_dodecahedron_has_its_corners_spread_out_from_the_first_on() -> None:
    cameras, chosen = rig("dodecahedron", MOST)
    assert len(chosen) == MOST == len({tuple(camera) for camera in cameras.round(6).tolist()})
    assert np.linalg.norm(cameras, axis=1) == pytest.approx(1)
    nearest = [sorted(np.linalg.norm(cameras - camera, axis=1))[1:4] for camera in cameras]
    assert np.ptp(nearest) < 1e-6  # three neighbours, equally far
    assert cameras[1] == pytest.approx(-cameras[0])
    assert not np.isclose(np.abs(cameras[:, 2]), 1).any()  # none looks straight down: up is defined


def test_a_sphere_is_a_disc_that_fills_the_image_lit_as_stated() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=5)
    [image] = render(Model(np.asarray(sphere.vertices), np.asarray(sphere.faces)), rig("ring", 1)[0][:1], 64)
    assert (image > 0).sum() == pytest.approx(np.pi * 32**2, rel=0.02)
    assert image[0, 0] == image[63, 63] == 0
    # In the middle the normal is the camera's direction.
    expected = 255 * (AMBIENT + HEADLIGHT + OVERHEAD * (1 + np.sin(np.radians(ELEVATION))) / 2)
    assert image[31:33, 31:33].mean() == pytest.approx(expected, abs=1)


def test_left_is_left_and_up_is_up() -> None:
    # From +x, a thing at +y is on the right, one at +z above; the box itself is in the middle.
    boxes = [trimesh.creation.box((0.2, 0.2, 0.2)).apply_translation(at) for at in ([0, 0.8, 0], [0, 0, 0.8])]
    sides = []
    for box in boxes:
        frame = trimesh.creation.box((0.01, 2, 2))
        frame.vertices = np.concatenate([frame.vertices[:4] * 0 - [0, 1, 1], frame.vertices[4:] * 0 + [0, 1, 1]])
        both = trimesh.util.concatenate([frame, box])
        [image] = render(Model(np.asarray(both.vertices), np.asarray(both.faces)), rig("ring", 1)[0][:1], 40)
        sides.append(np.argwhere(image > 0).mean(0) - 19.5)
    (row, column), (row_up, column_up) = sides
    assert column > 5 > abs(row) - 5
    assert row_up < -5
    assert abs(column_up) < 1


def test_images_are_the_same_every_time_and_mean_over_rays() -> None:
    mesh, cameras = solid(), rig("ring", 12)[0]
    model = Model(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    first = render(model, cameras, 32)
    assert np.array_equal(first, render(model, cameras, 32))
    assert len({image.tobytes() for image in first}) == 12
    fine = render(model, cameras, 32 * SAMPLES).astype(float)
    pooled = fine.reshape(12, 32, SAMPLES, 32, SAMPLES).mean((2, 4))
    assert np.abs(pooled - first).max() < 130  # edges: each of the fine pixels is itself a mean
    assert np.abs(pooled - first).mean() < 3
    for one, other in itertools.pairwise(first[:4]):
        assert not np.array_equal(one, other)
