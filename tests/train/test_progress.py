import logging

import pytest

from easyrec.train.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_hold_loss_speed_and_time_left(caplog):
    now = [0.0]
    progress = Progress(1000, bar=False, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, "easyrec.train"):
        for _ in range(100):
            progress.step(4096)
        now[0] = 4.0
        speed = progress.log(100, 0.1, 0.4321, {"dense": 0.001, "sparse": 0.02})
    assert speed == pytest.approx(102_400)
    assert caplog.messages == [
        "step 100/1,000, epoch 0.10: loss 0.43210, lr dense 0.001, sparse 0.02, 102,400 samples/s, 36 s left"
    ]


def test_metrics_are_shown_beside_the_loss_but_for_slices(caplog, capsys):
    progress = Progress(None, bar=False, clock=lambda: 0.0)
    with caplog.at_level(logging.INFO, "easyrec.train"):
        progress.log(10, 0.1, 0.4, {}, {"auc": 0.75, "auc[scene=home]": 0.5})
    assert ": loss 0.40000, auc 0.75000, lr" in caplog.text
    assert "scene" not in caplog.text
    bar = Progress(10, bar=True)
    bar.step(4)
    bar.log(10, 1.0, 0.25, {}, {"auc": 0.75})
    bar.say("")
    bar.close()
    assert "auc 0.7500" in capsys.readouterr().err


def test_speed_counts_from_the_last_restart():
    now = [0.0]
    progress = Progress(None, bar=False, clock=lambda: now[0])
    progress.step(10)
    now[0] = 100.0  # an evaluation
    progress.restart()
    progress.step(10)
    now[0] = 101.0
    assert progress.log(2, 0.0, 0.5, {}) == pytest.approx(10)


def test_the_bar_shows_loss_and_speed(capsys):
    progress = Progress(10, bar=True)
    for _ in range(10):
        progress.step(4)
    progress.log(10, 1.0, 0.25, {})
    progress.say("valid auc 0.7")
    progress.close()
    shown = capsys.readouterr().err
    assert "loss 0.2500" in shown
    assert "samples/s" in shown
    assert "valid auc 0.7" in shown


def test_no_bar_where_stderr_is_no_terminal(capsys):
    progress = Progress(10)
    progress.step(4)
    progress.close()
    assert capsys.readouterr().err == ""
