from easyrec.train.stopwatch import Stopwatch


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


def test_parts_do_not_overlap():
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.part("all"):
        clock.advance(1)
        with watch.part("inner"):
            clock.advance(10)
            with watch.part("innermost"):
                clock.advance(100)
        with watch.part("inner"):
            clock.advance(1000)
    assert watch.seconds == {"innermost": 100, "inner": 1010, "all": 1}
    assert sum(watch.seconds.values()) == watch.elapsed


def test_waiting_measures_the_time_until_each_item():
    clock = Clock()
    watch = Stopwatch(clock)

    def items():
        for item in range(3):
            clock.advance(10)
            yield item
        clock.advance(5)

    with watch.part("all"):
        for _ in watch.waiting(items(), "waiting"):
            clock.advance(1)
    assert watch.seconds == {"waiting": 35, "all": 3}


def test_an_error_ends_the_part_too():
    clock = Clock()
    watch = Stopwatch(clock)
    try:
        with watch.part("a"):
            clock.advance(2)
            raise KeyError
    except KeyError:
        pass
    assert watch.seconds == {"a": 2}
