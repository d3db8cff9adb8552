"""The shop's users: what is known of them, and the hidden tastes that drift over the days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from easyrec.data.shop.catalogue import NUM_TOPICS
from easyrec.data.shop.draws import Draws, Floats, Ints, pick

NUM_USERS = 20_000
NUM_CITIES = 300
NUM_LEVELS = 8
AGES = np.array([16, 20, 25, 30, 36, 43, 52, 62], dtype=np.int64)  # lower edges of the age bands
GENDERS = ("female", "male", "unknown")

_AGE_SHARE = np.array([0.10, 0.15, 0.17, 0.16, 0.14, 0.12, 0.09, 0.07])
_GENDER_SHARE = np.array([0.50, 0.44, 0.06])
_ACTIVITY_SPREAD = 0.7
_DRIFT_DAYS = 10.0
_ANY_TOPIC = 0.25  # weight of clicking outside the favourites, beside about 2.5 for the favourites


@dataclass(frozen=True)
class Users:
    """Columns of the users, indexed by user_id.

    Attributes:
        age_band: (n,) index into AGES.
        gender: (n,) index into GENDERS.
        city: (n,) 0..299, Zipf: city 0 is the largest.
        level: (n,) 0..7 membership level.
        activity: (n,) how much the user does, mean near 1.
        favourite: (n, 4) distinct topics: two that stay, one that fades, one that takes its place.
        strength: (n, 3) in [0.7, 1): of the two that stay and of the third place.
        drift_start: (n,) day on which the third favourite begins to fade into the fourth, over 10 days.
    """

    age_band: Ints
    gender: Ints
    city: Ints
    level: Ints
    activity: Floats
    favourite: Ints
    strength: Floats
    drift_start: Floats

    def tastes(self, user: Ints, day: Floats) -> Floats:
        """Strength of the four favourites on a day: (n, 4) for users (n,) and days (n,)."""
        moved = np.clip((day - self.drift_start[user]) / _DRIFT_DAYS, 0.0, 1.0)
        strength = self.strength[user]
        third = strength[:, 2]
        return np.stack([strength[:, 0], strength[:, 1], third * (1.0 - moved), third * moved], axis=1)

    def affinity(self, user: Ints, day: Floats, topic: Ints) -> Floats:
        """Taste for topics (n, k), in [0, 1): the favourite's strength, 0 for the others."""
        tastes = self.tastes(user, day)
        match = self.favourite[user][:, :, None] == topic[:, None, :]  # (n, 4, k)
        return (tastes[:, :, None] * match).sum(axis=1)

    def draw_topic(self, user: Ints, day: Floats, choice: Floats, any_topic: Floats) -> Ints:
        """Topics in proportion to taste, (n, k) for uniforms (n, k); now and then any topic at all."""
        tastes = self.tastes(user, day)
        running = np.cumsum(np.concatenate([tastes, np.full((len(user), 1), _ANY_TOPIC)], axis=1), axis=1)
        place = (choice[:, :, None] * running[:, None, -1:] >= running[:, None, :]).sum(axis=2)  # 0..4
        favourites = np.take_along_axis(self.favourite[user], np.minimum(place, 3), axis=1)
        return np.where(place < 4, favourites, np.floor(any_topic * NUM_TOPICS).astype(np.int64))

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
    activity = np.round(np.exp(_ACTIVITY_SPREAD * noise - 0.5 * _ACTIVITY_SPREAD**2), 6)
    level = np.clip(np.floor(2.5 + 1.2 * noise + 1.2 * draws("level").normal(n)), 0, NUM_LEVELS - 1)
    return Users(
        age_band=age_band,
        gender=gender,
        city=pick(np.cumsum(1.0 / np.arange(1, NUM_CITIES + 1)), draws("city").uniform(n)),
        level=level.astype(np.int64),
        activity=activity,
        favourite=_favourites(draws("leaning"), draws("favourite"), age_band, gender),
        strength=0.7 + 0.3 * draws("strength").uniform(n, 3),
        drift_start=-25.0 + 70.0 * draws("drift").uniform(n),
    )


def _favourites(leaning: Draws, choice: Draws, age_band: Ints, gender: Ints) -> Ints:
    """Four distinct topics each, drawn without replacement; age band and gender lean to some of them."""
    lean = 0.7 * leaning.normal(len(AGES), len(GENDERS), NUM_TOPICS)[age_band, gender]
    gumbel = -np.log(-np.log(choice.uniform(len(age_band), NUM_TOPICS) + 2.0**-54))
    order: npt.NDArray[np.int64] = np.argsort(-np.round(lean + gumbel, 9), axis=1, kind="stable")
    return order[:, :4]
