"""What the shop's data hold: how much can be known, and what it takes to know it."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from easyrec.data.shop import generate

ROWS = 200_000
COLUMNS = ["age", "gender", "city", "level", "cate", "brand", "position", "hour", "weekday", "scene"]
"""What logistic regression sees, beside the logarithm of the price."""


@pytest.fixture(scope="module", params=[3, 17])
def shop(request):
    return generate(ROWS, seed=request.param)


@pytest.fixture(scope="module")
def chance(shop):
    return shop.exposures.p_click.astype(np.float64)


def logit(chance):
    return np.log(chance / (1 - chance))


def auc(score, chance):
    """AUC over labels drawn from the chances, in expectation: each row is a click and a pass, by its chance."""
    labels = np.repeat([1, 0], len(chance))
    return roc_auc_score(labels, np.tile(score, 2), sample_weight=np.concatenate([chance, 1 - chance]))


def by_row_and_column(values, rows, columns):
    """The sum of one number per row and one per column that is nearest to the values."""
    rows, columns = (np.unique(v, return_inverse=True)[1] for v in (rows, columns))
    of_row, of_column = np.zeros(rows.max() + 1), np.zeros(columns.max() + 1)
    for _ in range(5):
        of_row = np.bincount(rows, values - of_column[columns]) / np.bincount(rows)
        of_column = np.bincount(columns, values - of_row[rows]) / np.bincount(columns)
    return of_row[rows] + of_column[columns]


def test_every_seed_is_equally_hard(chance):
    assert 0.815 < auc(chance, chance) < 0.83
    assert 0.075 < chance.mean() < 0.085


def test_a_tenth_of_the_clicks_buy_and_they_are_no_fair_sample(shop, chance):
    log = shop.exposures
    assert 0.09 < (log.p_click * log.p_buy_all).sum() / log.p_click.sum() < 0.11
    assert np.average(log.p_buy_all, weights=chance) > 1.15 * log.p_buy_all.mean()


@pytest.mark.parametrize("cross", ["age_x_cate", "city_x_brand", "hour_x_tag"])
def test_a_cross_is_worth_more_than_its_sides(shop, chance, cross):
    log, users = shop.exposures, shop.population
    user, cate = shop.requests.user[log.request], shop.catalogue.cate[log.item]
    sides = {
        "age_x_cate": (users.age_band[user], cate),
        "city_x_brand": (users.city[user], shop.catalogue.brand[log.item]),
        "hour_x_tag": (shop.requests.hour[log.request], shop.catalogue.moment[log.item]),
    }
    term = shop.terms[cross].astype(np.float64)
    without = logit(chance) - term + by_row_and_column(term, *sides[cross])
    assert auc(chance, chance) - auc(without, chance) > 0.003


def test_histories_are_worth_a_hundredth(shop, chance):
    without = logit(chance) - shop.terms["appetite"] - shop.terms["fatigue"]
    assert auc(chance, chance) - auc(without, chance) > 0.01


def test_fatigue_lowers_and_appetite_raises_what_was_clicked(shop):
    assert shop.terms["appetite"].min() >= 0
    assert shop.terms["fatigue"].max() <= 0
    assert 0.1 < (shop.terms["appetite"] > 0.1).mean() < 0.9


def test_taste_drifts(shop):
    users = np.arange(1_000)
    first, last = (shop.population.taste(users, np.full(1_000, day)) for day in (1.0, 30.0))
    assert 0.1 < np.abs(last - first).mean() < 1.0


def test_logistic_regression_leaves_more_than_a_twentieth(shop, chance):
    parts = {part: shop.table(part, [*COLUMNS, "price", "click"]).to_pandas() for part in ("train", "test")}
    encoder = OneHotEncoder(handle_unknown="ignore").fit(parts["train"][COLUMNS])
    inputs = {}
    for part, rows in parts.items():
        price = np.floor(3 * np.log(rows["price"])).astype(int).to_numpy()[:, None]
        prices = sparse.csr_matrix((price == np.arange(25)).astype(np.float64))
        inputs[part] = sparse.hstack([encoder.transform(rows[COLUMNS]), prices]).tocsr()
    model = LogisticRegression(C=0.3, max_iter=200).fit(inputs["train"], parts["train"]["click"])
    of_test = chance[slice(shop.rows("test").start, None)]
    gap = auc(of_test, of_test) - auc(model.decision_function(inputs["test"]), of_test)
    assert 0.05 < gap < 0.10
