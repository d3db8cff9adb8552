import math

import pytest

from easyrec.report.svg import LogScale, Scale, Series, bar_chart, line_chart, number, round_step, spark


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7.0, "7"),
        (0.81234, "0.8123"),
        (1234, "1234"),
        (5296.4, "5296"),
        (9999.6, "10000"),
        (35_000, "35 k"),
        (320_000, "320 k"),
        (12_345, "12.3 k"),
        (100_000_000, "100 M"),
        (1e-7, "1e-07"),
        (1_234_567, "1.23 M"),
        (2.5e9, "2.5 G"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_written_as_people_read_them(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("step", "rounded"), [(0.9, 1), (1.0, 1), (1.1, 2), (2.2, 2.5), (3, 5), (6, 10), (0.013, 0.02), (260, 500)]
)
def test_steps_are_round(step, rounded):
    assert round_step(step) == pytest.approx(rounded)


@pytest.mark.parametrize("values", [[0.1, 0.9], [5.0], [], [0.0, 0.0], [1e9, 1e9 + 1], [-3.0, 4.0], [1e-9, 2e-9]])
def test_a_scale_shows_all_its_values_with_ticks_inside(values):
    scale = Scale.over(values, 0.0, 100.0)
    assert all(0 <= scale(v) <= 100 for v in values)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 11
    assert all(-1e-6 <= scale(t) <= 100 + 1e-6 for t in ticks)


@pytest.mark.parametrize("values", [[0.1, 30.0], [5.0], [], [1e-4, 1e5]])
def test_a_scale_of_logs_shows_all_its_values_with_ticks_inside(values):
    scale = LogScale.over(values, 0.0, 100.0)
    assert all(0 < scale(v) < 100 for v in values)
    assert all(0 <= scale(t) <= 100 for t in scale.ticks())
    assert scale(1) - scale(0.1) == pytest.approx(scale(10) - scale(1))


def test_a_chart_of_logs_has_its_points_at_equal_steps():
    root = line_chart([Series("ms", [1, 2, 3], [0.1, 1.0, 10.0], dots=True)], "label", "x", "y", log=True)
    low, middle, high = (float(c.get("cy")) for c in root.findall("circle"))
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    assert {"0.1", "0.2", "0.5", "1", "10"} <= {text.text for text in root.findall("text")}


def test_a_line_passes_through_its_points_and_leaves_out_what_is_no_number():
    root = line_chart([Series("auc", [1, 2, 3], [0.5, math.nan, 0.7], dots=True)], "label", "x", "y")
    (path,) = root.findall("path")
    assert path.get("d").count("L") == 1
    assert len(root.findall("circle")) == 2
    xs = [float(c.get("cx")) for c in root.findall("circle")]
    ys = [float(c.get("cy")) for c in root.findall("circle")]
    assert xs[0] < xs[1]
    assert ys[0] > ys[1]  # pixels count downwards


def test_a_chart_without_points_is_an_empty_frame():
    assert line_chart([], "label", "x", "y").findall("path") == []


def test_bars_are_as_tall_as_their_counts():
    root = bar_chart([1, 2, 0], [0.0, 0.1, 0.2, 0.3], "label", "x", "y")
    heights = [float(r.get("height")) for r in root.findall("rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == 0


@pytest.mark.parametrize("counts", [[], [0, 0], [1], [3, 2, 1]])
def test_a_spark_has_a_bar_for_each_count(counts):
    assert len(spark(counts, "label").findall("rect")) == len(counts)
