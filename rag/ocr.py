"""Reads pictures: lines of text with their places, and the rules between them, upright however the picture lies.

The models are PP-OCRv6 for Chinese and English, which come with the package rapidocr; nothing is fetched. There is one engine in
a process, which one thread at a time uses.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from easyrec.errors import DataError, MissingExtra
from easyrec.retrieval.keyword.words import IS_DENSE
from rag.pictures import Pixels

Floats: TypeAlias = NDArray[np.float64]

SEEN = 1600
"""Pixels of the longer side of what lines are looked for in."""
READ = 3600
"""Pixels of the longer side of what lines are read in."""
SMALL = 32
"""Pixels: pictures with a shorter side are not looked at."""
SURE = 0.5
"""Of what is read: how sure the model is at least."""
TALL = 1.5
"""Boxes that are so much higher than wide are lines of a picture that lies on its side."""
SKEW = 0.04
"""Degrees from which on a picture is made straight."""
SKEW_SEEN = 1000
"""Pixels of the longer side of what the skew is measured in."""
STRIPS = 4
"""Upright strips of a picture in which the skew is measured."""
MOST_SKEW = 20.0
"""Degrees beyond which lines are no skewed text."""
TRIED = 3
"""Lines that are read both ways to see whether a picture stands on its head."""
BESIDE = 1.0
"""Of the height of a line: how much room its box leaves beside it at most."""
DOT = (0.12, 0.4)
"""Of the height of the box of a line: how wide the round marks of lists are."""
DOTS = 2000
"""Of a picture, that are looked at."""
LONGEST = 60
"""Times its height that a line may be long; a longer one is read in parts."""
BATCH = 6
"""Lines that are read at once."""


@dataclass(slots=True)
class Line:
    """A line of text, or a part of one.

    Attributes:
        text: Its words.
        left: Pixels of the upright picture, as the other edges.
        top: Of its characters with some room, alike for all lines of a size.
        right: Where it ends.
        bottom: Of its characters with some room.
        size: Pixels of its font.
        score: How sure the model is, from 0 to 1.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    score: float


@dataclass
class Scan:
    """What can be read in a picture.

    Attributes:
        width: Of the upright picture.
        height: Of the upright picture.
        lines: From the top to the bottom.
        rules: Left, top, right and bottom of thin lines, level or upright.
        dots: The same of round marks before lines, which lists have.
        back: (2, 3): from places in the upright picture to those in the picture as it was given, in pixels of it.
        given: Width and height of the picture as it was given.
        quarters: How often it was turned by 90 degrees, to the left.
        skew: Degrees that it was turned besides, to the left.
    """

    width: int
    height: int
    lines: list[Line] = field(default_factory=list)
    rules: list[tuple[float, float, float, float]] = field(default_factory=list)
    dots: list[tuple[float, float, float, float]] = field(default_factory=list)
    back: Floats = field(default_factory=lambda: np.eye(2, 3))
    given: tuple[int, int] = (1, 1)
    quarters: int = 0
    skew: float = 0.0

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(line.text for line in self.lines)


_lock = threading.Lock()
_engine: Engine | None = None


def installed() -> bool:
    """Whether the packages of the extra `ocr` are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime", "cv2"))


def engine(threads: int = 1) -> Engine:
    """The engine of this process; the first caller decides about its threads.

    Raises:
        MissingExtra: The packages of the extra `ocr` are not installed.
    """
    global _engine  # noqa: PLW0603 (models are loaded once in a process)
    with _lock:
        if _engine is None:
            _engine = Engine(threads)
        return _engine


class Engine:
    """Finds and reads lines.

    Args:
        threads: That the models use.

    Raises:
        DataError: The package came without its models.
        MissingExtra: It is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        try:
            import cv2  # noqa: PLC0415 (an extra)
            import rapidocr  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtra(error.name or "rapidocr", "ocr") from None
        folder = Path(rapidocr.__file__).parent / "models"
        models = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
        params: dict[str, Any] = {
            "Global.log_level": "error",
            "Global.text_score": SURE,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Rec.rec_batch_num": BATCH,
        }
        for part, name in models.items():
            if not (folder / name).is_file():  # the package would fetch it
                raise DataError(f"{folder}: has no '{name}': install the package rapidocr anew")
            params[f"{part}.model_path"] = str(folder / name)
        self._cv: Any = cv2
        self._models: Any = rapidocr.RapidOCR(params=params)
        self._lock = threading.Lock()
        cv2.setNumThreads(threads)

    def scan(self, pixels: Pixels) -> Scan:
        """What can be read in a picture."""
        height, width = pixels.shape[:2]
        if min(height, width) < SMALL:
            return Scan(width, height, given=(width, height))
        with self._lock:
            return self._scan(pixels)

    # ----------------------------------------------------------------------------------------- one picture

    def _scan(self, pixels: Pixels) -> Scan:
        picture = np.ascontiguousarray(pixels[:, :, ::-1])  # the models were taught blue first
        scale = min(1.0, READ / max(picture.shape[:2]))
        if scale < 1:
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            picture = self._cv.resize(picture, size, interpolation=self._cv.INTER_AREA)
        boxes = self._boxes(picture)
        quarters = 0
        if len(boxes) and _on_its_side(boxes):
            quarters = 1
            picture = np.ascontiguousarray(np.rot90(picture))
            boxes = self._boxes(picture)
        if len(boxes) and self._on_its_head(picture, boxes):
            quarters += 2
            picture = np.ascontiguousarray(picture[::-1, ::-1])
            boxes = np.array([picture.shape[1], picture.shape[0]], np.float64) - boxes[:, [2, 3, 0, 1]]
        skew = self._skew(picture, boxes)
        upright, there = self._straight(picture, skew)
        if len(boxes):
            boxes = boxes @ there[:, :2].T + there[:, 2]
        given = (pixels.shape[1], pixels.shape[0])
        scan = Scan(upright.shape[1], upright.shape[0], given=given, quarters=quarters, skew=skew)
        scan.back = _back(*given, scale, quarters, there)
        edges = [(*box.min(axis=0), *box.max(axis=0)) for box in boxes]
        scan.rules = self._rules(upright, edges)
        self._wipe(upright, scan.rules)
        scan.dots = self._dots(upright, edges)
        scan.lines = self._read(upright, list(_cut(edges, scan.rules)))
        return scan

    def _boxes(self, picture: NDArray[np.uint8]) -> Floats:
        """(lines, 4, 2): corners of lines, from the left one at the top on, clockwise."""
        scale = min(1.0, SEEN / max(picture.shape[:2]))
        seen = picture
        if scale < 1:
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            seen = self._cv.resize(picture, size, interpolation=self._cv.INTER_AREA)
        found = self._models(seen, use_det=True, use_cls=False, use_rec=False)
        boxes = found.boxes
        if boxes is None or not len(boxes):
            return np.empty((0, 4, 2))
        made: Floats = np.asarray(boxes, np.float64) / scale
        return made

    def _on_its_head(self, picture: NDArray[np.uint8], boxes: Floats) -> bool:
        """Whether the longest lines are read better when they are turned."""
        edges = [(*box.min(axis=0), *box.max(axis=0)) for box in boxes]
        longest = sorted(edges, key=lambda e: e[2] - e[0], reverse=True)[:TRIED]
        # A skewed line's own box would hold its neighbours too.
        by_length = sorted(boxes, key=lambda box: -float(np.linalg.norm(box[1] - box[0])))[: len(longest)]
        crops = [self._crop(picture, box) for box in by_length]
        crops = [crop for crop in crops if min(crop.shape[:2]) >= 4]
        if not crops:
            return False
        read = self._recognized([*crops, *(np.ascontiguousarray(crop[::-1, ::-1]) for crop in crops)])
        upright = sum(score * len(text) for text, score in read[: len(crops)])
        turned = sum(score * len(text) for text, score in read[len(crops) :])
        sure, other = (_mean(read[: len(crops)]), _mean(read[len(crops) :]))
        return other > sure + 0.05 or (abs(other - sure) <= 0.05 and turned > 1.3 * upright)

    def _crop(self, picture: NDArray[np.uint8], box: Floats) -> NDArray[np.uint8]:
        """A line by its corners."""
        width = max(1, int(np.linalg.norm(box[1] - box[0])))
        height = max(1, int(np.linalg.norm(box[3] - box[0])))
        goal = np.array([[0, 0], [width, 0], [width, height]], np.float32)
        turn = self._cv.getAffineTransform(box[:3].astype(np.float32), goal)
        made: NDArray[np.uint8] = self._cv.warpAffine(
            picture, turn, (width, height), flags=self._cv.INTER_CUBIC, borderMode=self._cv.BORDER_REPLICATE
        )
        return made

    def _skew(self, picture: NDArray[np.uint8], boxes: Floats) -> float:
        """Degrees that text and rules go down to the right: turned by as many, their ink is in the fewest rows."""
        if not len(boxes):
            return 0.0
        slope = _slope(boxes)
        scale = min(1.0, SKEW_SEEN / max(picture.shape[:2]))
        grey = self._cv.cvtColor(picture, self._cv.COLOR_BGR2GRAY)
        small = self._cv.resize(grey, None, fx=scale, fy=scale, interpolation=self._cv.INTER_AREA)
        dark = self._cv.adaptiveThreshold(small, 255, 0, self._cv.THRESH_BINARY_INV, 25, 10)
        # Lines of two columns that were found as one go another way than the text, so that their slope is one guess of many.
        first = np.r_[np.arange(-8.0, 8.01, 0.5), [] if slope is None else slope]
        rough = float(max(first, key=lambda degrees: self._edges(dark, float(degrees))))
        for step in (0.2, 0.05):
            near = rough + step * np.arange(-4, 5)
            rough = float(max(near, key=lambda degrees: self._edges(dark, float(degrees))))
        return rough if self._edges(dark, rough) > 1.02 * self._edges(dark, 0.0) else 0.0

    def _edges(self, dark: NDArray[np.uint8], degrees: float) -> float:
        """How much rows differ from those beside them when a picture is turned."""
        height, width = dark.shape
        turn = self._cv.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = self._cv.warpAffine(dark, turn, (width, height))
        # Lines of columns beside each other are at different heights: each strip is looked at by itself.
        strips = turned[:, : width - width % STRIPS].reshape(height, STRIPS, -1).sum(axis=2, dtype=np.float64)
        return float((np.diff(strips, axis=0) ** 2).sum())

    def _straight(self, picture: NDArray[np.uint8], skew: float) -> tuple[NDArray[np.uint8], Floats]:
        """A picture whose lines are level, and how places in it come out of those in the one before."""
        if abs(skew) < SKEW:
            return picture, np.eye(2, 3)
        height, width = picture.shape[:2]
        turn = self._cv.getRotationMatrix2D((width / 2, height / 2), skew, 1.0)
        cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
        size = (int(height * sin + width * cos), int(height * cos + width * sin))
        turn[0, 2] += (size[0] - width) / 2
        turn[1, 2] += (size[1] - height) / 2
        paper = [int(value) for value in np.median(picture[:: max(1, height // 64)].reshape(-1, 3), axis=0)]
        made = self._cv.warpAffine(
            picture, turn, size, flags=self._cv.INTER_CUBIC, borderMode=self._cv.BORDER_CONSTANT, borderValue=paper
        )
        return made, np.asarray(turn, np.float64)

    # --------------------------------------------------------------------------------------------- rules

    def _rules(
        self, picture: NDArray[np.uint8], edges: list[tuple[float, float, float, float]]
    ) -> list[tuple[float, float, float, float]]:
        """Thin lines that are longer than characters are."""
        cv = self._cv
        heights = sorted(bottom - top for _, top, _, bottom in edges)
        line = heights[len(heights) // 2] if heights else 24.0
        grey = cv.cvtColor(picture, cv.COLOR_BGR2GRAY)
        dark = cv.adaptiveThreshold(grey, 255, cv.ADAPTIVE_THRESH_MEAN_C, cv.THRESH_BINARY_INV, 31, 12)
        found: list[tuple[float, float, float, float]] = []
        thick = max(3.0, 0.35 * line)
        for upright in (False, True):
            length = max(12, int((1.3 if upright else 2.2) * line))
            shape = (1, length) if upright else (length, 1)
            # What scanning made a little crooked goes on in the row beside it.
            ready = cv.dilate(dark, np.ones((1, 3) if upright else (3, 1), np.uint8))
            only = cv.morphologyEx(ready, cv.MORPH_OPEN, cv.getStructuringElement(cv.MORPH_RECT, shape))
            _, _, stats, _ = cv.connectedComponentsWithStats(only, connectivity=8)
            for left, top, wide, high, _ in stats[1:2000]:
                across, along = (wide, high) if upright else (high, wide)
                if across <= thick + 2 and along >= 4 * across:
                    found.append((float(left), float(top), float(left + wide), float(top + high)))
        return [rule for rule in found if not _in_text(rule, edges)]

    def _dots(
        self, picture: NDArray[np.uint8], edges: list[tuple[float, float, float, float]]
    ) -> list[tuple[float, float, float, float]]:
        """Round marks that stand before lines, in the middle of their height: the models do not always read them."""
        cv = self._cv
        if not edges:
            return []
        heights = sorted(bottom - top for _, top, _, bottom in edges)
        line = heights[len(heights) // 2]
        grey = cv.cvtColor(picture, cv.COLOR_BGR2GRAY)
        dark = cv.adaptiveThreshold(grey, 255, cv.ADAPTIVE_THRESH_MEAN_C, cv.THRESH_BINARY_INV, 31, 25)
        _, _, stats, _ = cv.connectedComponentsWithStats(dark, connectivity=8)
        least, most = DOT[0] * line, DOT[1] * line
        sides = (stats[:, 2:4] >= least) & (stats[:, 2:4] <= most)
        round_ = (np.abs(stats[:, 2] - stats[:, 3]) <= 0.25 * stats[:, 2:4].max(axis=1)) & (
            stats[:, 4] >= 0.6 * stats[:, 2] * stats[:, 3]
        )
        lines = np.asarray(edges)
        found = []
        for left, top, wide, high, _ in stats[sides.all(axis=1) & round_][:DOTS]:
            x, y = left + wide / 2, top + high / 2
            inside = (lines[:, 0] <= x) & (x <= lines[:, 2]) & (lines[:, 1] <= y) & (y <= lines[:, 3])
            tall = lines[:, 3] - lines[:, 1]
            level = np.abs(y - (lines[:, 1] + lines[:, 3]) / 2) <= 0.15 * tall
            beside = (lines[:, 0] > x) & (lines[:, 0] - x <= 2 * tall)
            if not inside.any() and (level & beside).any():
                found.append((float(left), float(top), float(left + wide), float(top + high)))
        return found

    def _wipe(self, picture: NDArray[np.uint8], rules: list[tuple[float, float, float, float]]) -> None:
        """Paint rules over with what stands beside them: they are no characters."""
        height, width = picture.shape[:2]
        for left, top, right, bottom in rules:
            a, b, c, d = int(left), int(top), int(right), int(bottom)
            if c - a >= d - b:
                row = b - 2 if b >= 2 else min(d + 1, height - 1)
                picture[b:d, a:c] = np.median(picture[row, a:c], axis=0)
            else:
                column = a - 2 if a >= 2 else min(c + 1, width - 1)
                picture[b:d, a:c] = picture[b:d, column : column + 1]

    # --------------------------------------------------------------------------------------------- lines

    def _read(self, picture: NDArray[np.uint8], edges: list[tuple[float, float, float, float]]) -> list[Line]:
        """What lines say."""
        height, width = picture.shape[:2]
        rooms: list[tuple[int, int, int, int]] = []
        for left, top, right, bottom in edges:
            room = (max(int(left), 0), max(int(top), 0), min(int(right) + 1, width), min(int(bottom) + 1, height))
            if room[2] - room[0] >= 3 and room[3] - room[1] >= 4:
                rooms += _parts(room)
        crops = [np.ascontiguousarray(picture[b:d, a:c]) for a, b, c, d in rooms]
        found = []
        for room, crop, (text, score) in zip(rooms, crops, self._recognized(crops) if crops else [], strict=True):
            words = " ".join(text.split())
            if words and score >= SURE:
                found.append(self._line(room, crop, words, score))
        sizes = sorted(line.size for line in found)
        return sorted(found, key=lambda line: (line.top, line.left)) if sizes else []

    def _recognized(self, crops: list[NDArray[np.uint8]]) -> list[tuple[str, float]]:
        read = self._models.recognize_txt(crops)
        return [(str(text), float(score)) for text, score in zip(read.txts, read.scores, strict=True)]

    def _line(self, room: tuple[int, int, int, int], crop: NDArray[np.uint8], text: str, score: float) -> Line:
        """A line with the size of its font: how high its ink is depends on which characters it has."""
        left, top, right, _ = room
        dark = self._dark(crop)
        first, last = _inked_rows(dark)
        # What finds lines leaves room around them, beside which narrow columns would have none between them.
        before, behind = _room_beside(dark[int(first) : int(last)])
        left, right = left + before, right - behind
        above, below = _reach(text)
        size = (last - first) / (above + below)
        base = top + last - below * size
        return Line(text, float(left), base - 0.85 * size, float(right), base + 0.25 * size, size, score)

    def _dark(self, crop: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where the ink of a line is."""
        cv = self._cv
        grey = cv.cvtColor(crop, cv.COLOR_BGR2GRAY)
        _, dark = cv.threshold(grey, 0, 255, cv.THRESH_BINARY + cv.THRESH_OTSU)
        if np.count_nonzero(dark) > dark.size / 2:
            dark = cv.bitwise_not(dark)
        return np.asarray(dark > 0)


def _inked_rows(dark: NDArray[np.bool_]) -> tuple[float, float]:
    """Where the ink of a line begins and ends, from its top."""
    rows = np.count_nonzero(dark, axis=1)
    inked = rows > max(1.0, 0.004 * dark.shape[1])
    middle = len(rows) // 2
    if not inked.any():
        return 0.0, float(len(rows))
    # Of the runs of rows with ink the longest is the line; ends of its neighbours may reach in.
    runs = np.flatnonzero(np.diff(np.r_[False, inked, False].astype(np.int8)))
    best = max(zip(runs[::2], runs[1::2], strict=True), key=lambda run: (run[1] - run[0], -abs(middle - sum(run) / 2)))
    first, last = float(best[0]), float(best[1])
    for begin, end in zip(runs[::2], runs[1::2], strict=True):  # dots of i, and of Chinese characters
        gap = max(begin - last, first - end)
        if 0 <= gap <= 0.15 * len(rows) and begin > 0 and end < len(rows):
            first, last = min(first, float(begin)), max(last, float(end))
    return first, last


def _room_beside(dark: NDArray[np.bool_]) -> tuple[int, int]:
    """Pixels without ink at the left end of a line, and at the right one, of which each has as much as a box leaves at most."""
    inked = np.flatnonzero(dark.any(axis=0))
    if not len(inked):
        return 0, 0
    most = int(BESIDE * len(dark))
    return min(int(inked[0]), most), min(dark.shape[1] - 1 - int(inked[-1]), most)


def _reach(text: str) -> tuple[float, float]:
    """How far characters reach above and below their line, as shares of the size of the font, on average over fonts."""
    above, below = 0.0, 0.0
    for character in text:
        if IS_DENSE.match(character):
            above, below = max(above, 0.82), max(below, 0.08)
        elif character in "gjpqy,;()[]{}|/Q_@":
            above = max(above, 0.74 if character in "()[]{}|/Q@j" else 0.53)
            below = max(below, 0.21 if character not in ",;Q" else 0.12)
        elif character.isupper() or character.isdigit() or character in "bdfhklit!?%&#$\"'":
            above = max(above, 0.73)
        elif character.isalpha():
            above = max(above, 0.53)
    return (above, below) if above else (0.6, 0.0)


def _on_its_side(boxes: Floats) -> bool:
    """Whether more of the text is in boxes that are higher than wide."""
    across = np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    down = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    area = across * down
    return float(area[down > TALL * across].sum()) > float(area[across > TALL * down].sum())


def _slope(boxes: Floats) -> float | None:
    """Degrees that lines go down to the right, by the long ones; None: there are none."""
    over = boxes[:, 1] - boxes[:, 0]
    under = boxes[:, 2] - boxes[:, 3]
    long = np.linalg.norm(over, axis=1) > 6 * np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    along = (over + under)[long]
    if not len(along):
        return None
    degrees = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    weights = np.abs(along[:, 0])
    order = np.argsort(degrees)
    middle = int(np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2))
    found = float(degrees[order][min(middle, len(order) - 1)])
    return found if abs(found) <= MOST_SKEW else None


def _back(width: int, height: int, scale: float, quarters: int, there: Floats) -> Floats:
    """From places in the upright picture to those in the one that was given."""
    wide, high = round(width * scale), round(height * scale)
    # np.rot90 turns to the left: what was at (x, y) is at (y, wide - x).
    turns = {
        0: np.array([[1.0, 0, 0], [0, 1, 0]]),
        1: np.array([[0.0, 1, 0], [-1, 0, wide]]),
        2: np.array([[-1.0, 0, wide], [0, -1, high]]),
        3: np.array([[0.0, -1, high], [1, 0, 0]]),
    }
    last = np.array([[0.0, 0, 1]])
    shrink = np.diag([scale, scale, 1.0])
    whole = np.vstack([there, last]) @ np.vstack([turns[quarters % 4], last]) @ shrink
    return np.linalg.inv(whole)[:2]


def _in_text(rule: tuple[float, float, float, float], edges: list[tuple[float, float, float, float]]) -> bool:
    """Whether a rule is a stroke of characters: inside of a line, and not longer than it is high or, if it is level, than half of it."""
    left, top, right, bottom = rule
    for a, b, c, d in edges:
        high = d - b
        if a - 2 <= left and right <= c + 2 and b - 0.1 * high <= top and bottom <= d + 0.1 * high:
            if right - left < bottom - top:
                return True
            if b + 0.2 * high < (top + bottom) / 2 < d - 0.25 * high:
                return True
    return False


def _cut(
    edges: list[tuple[float, float, float, float]], rules: list[tuple[float, float, float, float]]
) -> Iterator[tuple[float, float, float, float]]:
    """Boxes of lines in parts, where they go over an upright rule."""
    upright = sorted((left + right) / 2 for left, top, right, bottom in rules if right - left < bottom - top)
    spans = {(left + right) / 2: (top, bottom) for left, top, right, bottom in rules if right - left < bottom - top}
    for left, top, right, bottom in edges:
        middle, room = (top + bottom) / 2, 0.25 * (bottom - top)
        inside = [x for x in upright if left + room < x < right - room and spans[x][0] <= middle <= spans[x][1]]
        for a, b in pairwise([left, *inside, right]):
            yield (a + 1 if a != left else a), top, (b - 1 if b != right else b), bottom


def _parts(room: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """A line, in parts if it is far too long for the model."""
    left, top, right, bottom = room
    count = -(-(right - left) // (LONGEST * (bottom - top)))
    if count <= 1:
        return [room]
    places = [left + round((right - left) * number / count) for number in range(count + 1)]
    return [(a, top, b, bottom) for a, b in pairwise(places)]


def _mean(read: list[tuple[str, float]]) -> float:
    return sum(score for _, score in read) / max(len(read), 1)
