"""The users of a world: what is known of them, and tastes that drift and may shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from easyrec.data.shop.draws import Draws, Floats, Ints, pick, rounded
from easyrec.simulate.config import ShiftConfig, WorldConfig
from easyrec.simulate.items import NUM_TOPICS

AGES = np.array([16, 20, 25, 30, 36, 43, 52, 62], dtype=np.int64)
GENDERS = ("female", "male")
NUM_CITIES, NUM_LEVELS = 50, 5
_TOLD = 0.8  # share of users whose segment follows from age and gender
_OWN = 0.5  # what a user has of one's own beside the segment


@dataclass(frozen=True)
class Users:
    """Columns of the users, indexed by number; user 17 is called "u17".

    Attributes:
        age: (n,) years.
        gender: (n,) index into GENDERS.
        city: (n,)
        level: (n,) 0..4; prices matter less to higher ones.
        activity: (n,) how often the user asks, mean near 1.
        segment: (n,) whose taste it is.
        tastes: (2, segments, 8) before and after the shift.
        early: (2, n, 8) what is one's own, which turns into `late` with the days; before and after the shift.
        late: (2, n, 8)
        turn: (n,) radians per day.
        moved: (n,) how much of a taste the shift replaces: 0 or its strength.
        shift: When, and how.
    """

    age: Ints
    gender: Ints
    city: Ints
    level: Ints
    activity: Floats
    segment: Ints
    tastes: Floats
    early: Floats
    late: Floats
    turn: Floats
    moved: Floats
    shift: ShiftConfig | None

    def __len__(self) -> int:
        return len(self.age)

    def after(self, user: Ints, day: Floats) -> Floats:
        """(n,) how much of the taste is another one's: 0 before the shift."""
        if self.shift is None:
            return np.zeros(len(user))
        moved: Floats = self.moved[user] * (day >= self.shift.day)
        return moved

    def taste(self, user: Ints, day: Floats) -> Floats:
        """(n, 8) tastes of users (n,) on days (n,), with fractions."""
        angle = (self.turn[user] * day)[:, None]
        cos, sin = np.cos(angle), np.sin(angle)
        before, later = (
            self.tastes[era][self.segment[user]] + _OWN * (self.early[era][user] * cos + self.late[era][user] * sin)
            for era in (0, 1)
        )
        moved = self.after(user, day)[:, None]
        taste: Floats = ((1.0 - moved) * before + moved * later) / np.sqrt(1.0 + _OWN**2)
        return taste

    def known(self) -> Ints:
        """(n,) the group of age and gender, below 16."""
        return np.searchsorted(AGES, self.age, side="right") - 1 + len(AGES) * self.gender

    def columns(self, user: Ints) -> list[dict[str, int | str]]:
        """What requests tell of users."""
        rows = zip(*(getattr(self, name)[user].tolist() for name in ("age", "gender", "city", "level")), strict=True)
        return [{"age": a, "gender": GENDERS[g], "city": c, "level": v} for a, g, c, v in rows]

    def table(self) -> pa.Table:
        """One row per user."""
        return pa.table(
            {
                "user_id": names_of(np.arange(len(self))),
                "age": self.age,
                "gender": pa.array(GENDERS).take(pa.array(self.gender)),
                "city": self.city,
                "level": self.level,
            }
        )


def names_of(user: Ints) -> list[str]:
    """What users are called."""
    return [f"u{number}" for number in user.tolist()]


def make_users(config: WorldConfig) -> Users:
    """Draws the users of a world."""

    def draws(name: str) -> Draws:
        return Draws("simulate", 1, config.seed, "users", name)

    n, kinds = config.users, config.segments
    age_band = pick(np.arange(1.0, 9.0), draws("age").uniform(n))
    gender = pick(np.array([0.52, 1.0]), draws("gender").uniform(n))
    hinted = (age_band * 2 + gender) * kinds // (2 * len(AGES))
    other = np.floor(draws("segment").uniform(n) * kinds).astype(np.int64)
    level = np.clip(np.floor(2.5 + 1.2 * draws("level").normal(n)), 0, NUM_LEVELS - 1).astype(np.int64)
    first = draws("tastes").normal(kinds, NUM_TOPICS)
    # After the shift a segment likes what one of the others used to like: that the whole catalogue is worth less would
    # be no change of taste.
    second = np.roll(first, max(kinds // 2, 1), axis=0) if kinds > 1 else -first
    spread = draws("own").normal(4, n, NUM_TOPICS)
    shift = config.shift
    moved: Floats = np.zeros(n)
    if shift is not None:
        moved = np.where(draws("moved").uniform(n) < shift.share, shift.strength, 0.0)
    return Users(
        age=AGES[age_band] + np.floor(draws("years").uniform(n) * 4).astype(np.int64),
        gender=gender,
        city=pick(np.cumsum(1.0 / np.arange(1, NUM_CITIES + 1)), draws("city").uniform(n)),
        level=level,
        activity=rounded(np.exp(0.6 * draws("activity").normal(n) - 0.18)),
        segment=np.where(draws("told").uniform(n) < _TOLD, hinted, other),
        tastes=np.stack([first, second]),
        early=spread[:2],
        late=spread[2:],
        turn=np.deg2rad(config.drift) * draws("turn").uniform(n),
        moved=moved,
        shift=shift,
    )
