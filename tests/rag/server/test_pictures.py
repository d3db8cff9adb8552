"""Pages as pictures, with places marked."""

import io

import numpy as np
import pytest

from easyrec.errors import DataError
from rag.server.pictures import Pictures, marked, png

INK = (215, 90, 0)


@pytest.fixture
def file(tmp_path):
    pytest.importorskip("pypdfium2", reason="needs the extra 'rag'")
    canvas = pytest.importorskip("reportlab.pdfgen.canvas").Canvas(str(tmp_path / "a.pdf"), pagesize=(200, 400))
    canvas.setFillColorRGB(0, 0, 1)
    canvas.rect(0, 300, 200, 100, stroke=0, fill=1)  # the upper quarter is blue
    canvas.save()
    return tmp_path / "a.pdf"


def read(content):
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(content))
    return np.asarray(image.convert("RGB"))


def test_a_page_is_drawn_with_its_places_marked(file):
    pictures = Pictures()
    plain, with_box = (read(pictures.page(file, 1, 400, boxes)) for boxes in ([], [(0.25, 0.5, 0.75, 0.75)]))
    assert plain.shape == (400, 200, 3)
    assert tuple(plain[50, 100]) == (0, 0, 255)
    assert tuple(plain[250, 100]) == (255, 255, 255)
    changed = np.argwhere((plain != with_box).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert np.allclose((left / 200, top / 400, right / 200, bottom / 400), (0.25, 0.5, 0.75, 0.75), atol=0.03)
    assert tuple(with_box[top, 100]) == INK
    with pytest.raises(DataError, match="there is no page 2; there are 1"):
        pictures.page(file, 2, 400, [])


def test_a_file_that_is_none_ends_its_own_process_alone(tmp_path):
    pytest.importorskip("pypdfium2", reason="needs the extra 'rag'")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(DataError, match=r"^the file: is damaged") as told:
        Pictures().page(tmp_path / "a.pdf", 1, 400, [])
    assert str(tmp_path) not in str(told.value)


@pytest.mark.parametrize("box", [(-1, -1, 2, 2), (0.5, 0.5, 0.5, 0.5), (0.9, 0.9, 0.1, 0.1), (1, 1, 1, 1)])
def test_no_box_is_drawn_outside_of_the_page(box):
    picture = np.full((40, 30, 3), 200, np.uint8)
    assert marked(picture, [box]).shape == picture.shape
    assert (read(png(picture)) == 200).all()
