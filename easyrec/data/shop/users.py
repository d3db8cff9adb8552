"""The shop's users: what is known of them, and the hidden tastes that drift over the days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from easyrec.data.shop.draws import Draws, Floats, Ints, pick, rounded

NUM_USERS = 20_000
NUM_CITIES = 300
NUM_LEVELS = 8
NUM_TOPICS = 2
AGES = np.array([16, 20, 25, 30, 36, 43, 52, 62], dtype=np.int64)  # lower edges of the age bands
GENDERS = ("female", "male", "unknown")

_AGE_SHARE = np.array([0.10, 0.15, 0.17, 0.16, 0.14, 0.12, 0.09, 0.07])
_GENDER_SHARE = np.array([0.50, 0.44, 0.06])
_ACTIVITY_SPREAD = 0.7
_GENDER_TASTE = np.array([0.8, -0.8, 0.0])  # on the first topic
_AGE_TASTE = np.linspace(-1.0, 1.0, 8)  # on the second topic
_TOPIC_SPREAD = np.array([0.5, 0.6])  # of what users differ in beside their gender and age
_TURN_PER_DAY = np.pi / 180.0  # fastest drift: a third of a turn in 120 days


@dataclass(frozen=True)
class Users:
    """Columns of the users, indexed by user_id.

    Attributes:
        age_band: (n,) index into AGES.
        gender: (n,) index into GENDERS.
        city: (n,) 0..299, Zipf: city 0 is the largest.
        level: (n,) 0..7 membership level.
        activity: (n,) how much the user does, mean near 1.
        leaning: (n, 2) taste that stays.
        early: (n, 2) taste that turns into `late` with the days.
        late: (n, 2)
        turn: (n,) radians per day.
    """

    age_band: Ints
    gender: Ints
    city: Ints
    level: Ints
    activity: Floats
    leaning: Floats
    early: Floats
    late: Floats
    turn: Floats

    def taste(self, user: Ints, day: Floats) -> Floats:
        """Tastes (n, 2) of users (n,) on days (n,)."""
        angle = (self.turn[user] * day)[:, None]
        return self.leaning[user] + self.early[user] * np.cos(angle) + self.late[user] * np.sin(angle)

    def table(self) -> pa.Table:
        """One row per user with the columns that exposures carry."""
        return pa.table(
            {
                "user_id": np.arange(NUM_USERS),
                "age": AGES[self.age_band],
                "gender": pa.array(GENDERS).take(pa.array(self.gender)),
                "city": self.city,
                "level": self.level,
            }
        )


def make_users(seed: int) -> Users:
    """Draws the 20,000 users of a seed."""

    def draws(name: str) -> Draws:
        return Draws("shop", 1, seed, "users", name)

    n = NUM_USERS
    age_band = pick(np.cumsum(_AGE_SHARE), draws("age").uniform(n))
    gender = pick(np.cumsum(_GENDER_SHARE), draws("gender").uniform(n))
    noise = draws("activity").normal(n)
    level = np.clip(np.floor(2.5 + 1.2 * noise + 1.2 * draws("level").normal(n)), 0, NUM_LEVELS - 1)
    leaning = np.zeros((n, NUM_TOPICS))
    leaning[:, 0] = _GENDER_TASTE[gender]
    leaning[:, 1] = _AGE_TASTE[age_band]
    return Users(
        age_band=age_band,
        gender=gender,
        city=pick(np.cumsum(1.0 / np.arange(1, NUM_CITIES + 1)), draws("city").uniform(n)),
        level=level.astype(np.int64),
        activity=rounded(np.exp(_ACTIVITY_SPREAD * noise - 0.5 * _ACTIVITY_SPREAD**2)),
        leaning=leaning,
        early=_TOPIC_SPREAD * draws("early").normal(n, NUM_TOPICS),
        late=_TOPIC_SPREAD * draws("late").normal(n, NUM_TOPICS),
        turn=_TURN_PER_DAY * draws("turn").uniform(n),
    )
