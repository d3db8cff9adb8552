import pytest

from easyrec.config.train import Every
from easyrec.train.rhythm import Rhythm


def beats(rhythm, moments):
    """Moments at which something was due, marking each."""
    found = []
    for step, epochs in moments:
        if rhythm.due(step, epochs):
            rhythm.mark(step, epochs)
            found.append(step)
    return found


def test_steps():
    assert beats(Rhythm(Every(steps=3)), [(s, 0.0) for s in range(10)]) == [3, 6, 9]


def test_whole_epochs():
    moments = [(s, s // 4 + (s % 4) / 4) for s in range(1, 13)]
    assert beats(Rhythm(Every(epochs=1)), moments) == [4, 8, 12]


@pytest.mark.parametrize("parts", [3, 7, 10])
def test_fractions_of_an_epoch_lose_no_beat_to_rounding(parts):
    epochs, moments = 0.0, []
    for step in range(1, 5 * parts + 1):
        epochs += 1 / parts
        moments.append((step, epochs))
    assert len(beats(Rhythm(Every(epochs=1 / parts)), moments)) == 5 * parts


def test_seconds_are_measured_by_the_given_clock():
    now = [100.0]
    rhythm = Rhythm(Every(seconds=10), clock=lambda: now[0])
    assert not rhythm.due(1, 0.1)
    now[0] = 110.0
    assert rhythm.due(2, 0.2)
    rhythm.mark(2, 0.2)
    now[0] = 119.9
    assert not rhythm.due(3, 0.3)


def test_what_is_due_stays_due_until_it_is_marked_also_after_a_restart():
    rhythm = Rhythm(Every(steps=5))
    assert rhythm.due(5, 0.0)
    assert rhythm.due(6, 0.0)
    again = Rhythm(Every(steps=5))
    again.load_state(rhythm.state())
    assert again.due(6, 0.0)
    again.mark(6, 0.0)
    assert not again.due(9, 0.0)
