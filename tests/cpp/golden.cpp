// The golden cases, through the native plan alone: in every physical layout of their columns, with a column of one row
// beside all rows or repeated, and many times over on several threads.
#include <algorithm>
#include <cmath>

#include "arrays.h"
#include "check.h"
#include "compile.h"
#include "hash.h"
#include "outputs.h"
#include "plain_file.h"

namespace {

using fg::Plain;
using test::Array;
using test::Layout;
using test::Rows;

const Plain& golden() {
  static const Plain all = test::read_plain(GOLDEN_FILE);
  return all;
}

struct Case {
  std::string id;
  std::vector<std::string> names, types;
  std::vector<Plain::List> cells;  // by column
  std::unique_ptr<fg::Plan> plan;
  const Plain* outputs;
  double tolerance;
  std::int64_t rows = 1;

  explicit Case(const Plain& map)
      : id(map.at("id").text()), outputs(&map.at("outputs")), tolerance(map.at("tolerance").number()) {
    for (const Plain& column : map.at("columns").list()) {
      names.push_back(column.at("name").text());
      types.push_back(column.at("type").text());
      cells.push_back(column.at("cells").list());
      if (cells.back().size() != 1) rows = static_cast<std::int64_t>(cells.back().size());
    }
    plan = fg::compile_plan(names, map.at("units").list());
  }

  // All rows `times` over; `once`: a column of one row stays one.
  void check(const Layout& layout, std::int64_t times, bool once, int threads) const {
    fg::Run run;
    std::vector<Array> arrays;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      Plain::List laid;
      const bool one = cells[c].size() == 1;
      const std::int64_t copies = one ? (once ? 1 : rows * times) : times;
      for (std::int64_t i = 0; i < copies; ++i) laid.insert(laid.end(), cells[c].begin(), cells[c].end());
      arrays.emplace_back(types[c], laid, layout);
      run.columns.push_back(arrays.back().column());
    }
    run.rows = rows * times;
    run.threads = threads;
    const fg::Result result = plan->run(run);
    for (const Plain& expected : outputs->list()) {
      const Plain* const place = expected.find("place");
      const Rows got = test::rows_of(*plan, result, static_cast<std::size_t>(expected.at("feature").integer()),
                                     run.rows, place != nullptr ? place->integer() : -1);
      check_rows(expected, got, times);
    }
  }

 private:
  // The plain numbers of a list, of lists too, `times` over.
  template <class T>
  static std::vector<T> flat(const Plain& list, std::int64_t times) {
    std::vector<T> one;
    for (const Plain& item : list.list()) {
      if (item.is<Plain::List>()) {
        const auto inner = flat<T>(item, 1);
        one.insert(one.end(), inner.begin(), inner.end());
      } else {
        one.push_back(item.is<std::int64_t>() ? static_cast<T>(item.integer()) : static_cast<T>(item.number()));
      }
    }
    std::vector<T> all;
    for (std::int64_t i = 0; i < times; ++i) all.insert(all.end(), one.begin(), one.end());
    return all;
  }

  void near(const std::vector<float>& got, const std::vector<float>& expected) const {
    CHECK_EQUAL(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::fabs(got[i] - expected[i]) > tolerance + tolerance * std::fabs(expected[i])) CHECK_EQUAL(got, expected);
    }
  }

  void check_rows(const Plain& expected, Rows got, std::int64_t times) const {
    const std::string& kind = expected.at("kind").text();
    const Plain& values = expected.at("values");
    if (kind == "dense") return near(got.numbers, flat<float>(values, times));
    CHECK_EQUAL(got.lengths, flat<std::int64_t>(expected.at("lengths"), times));
    if (kind == "dense_sequence") return near(got.numbers, flat<float>(values, times));
    if (kind == "sparse_sequence") CHECK_EQUAL(got.key_lengths, flat<std::int64_t>(expected.at("key_lengths"), times));
    std::vector<std::int64_t> ids = flat<std::int64_t>(values, times);
    const Plain* const weights = expected.find("weights");
    std::vector<float> weighed = weights != nullptr ? flat<float>(*weights, times) : std::vector<float>();
    if (const Plain* const free = expected.find("unordered_within_row"); free != nullptr && free->flag()) {
      sort_rows(got.lengths, ids, weighed);
      sort_rows(got.lengths, got.ids, got.weights);
    }
    CHECK_EQUAL(got.ids, ids);
    if (weights != nullptr) near(got.weights, weighed);
  }

  // Sorts the ids of each row, and their weights with them.
  static void sort_rows(const std::vector<std::int64_t>& lengths, std::vector<std::int64_t>& ids,
                        std::vector<float>& weights) {
    std::size_t at = 0;
    for (const std::int64_t length : lengths) {
      std::vector<std::pair<std::int64_t, float>> row;
      for (std::size_t i = at; i < at + static_cast<std::size_t>(length); ++i)
        row.emplace_back(ids[i], weights.empty() ? 1.0F : weights[i]);
      std::sort(row.begin(), row.end());
      for (const auto& [id, weight] : row) {
        ids[at] = id;
        if (!weights.empty()) weights[at] = weight;
        ++at;
      }
    }
  }
};

// Runs one check of every case; a failure names the case.
template <class Work>
void each(const Work& work) {
  CHECK(!golden().at("cases").list().empty());
  for (const Plain& map : golden().at("cases").list()) {
    try {
      work(Case(map));
    } catch (const std::exception& error) {
      throw test::FailedError("case " + map.at("id").text() + ": " + error.what());
    }
  }
}

}  // namespace

TEST(golden_cases_in_every_layout_of_their_columns) {
  each([](const Case& one) {
    for (const Layout& layout : test::layouts()) one.check(layout, 1, false, 1);
  });
}

TEST(golden_cases_with_columns_of_one_row_beside_all_rows) {
  each([](const Case& one) {
    for (const Layout& layout : test::layouts()) one.check(layout, 3, true, 1);
  });
}

TEST(golden_cases_over_many_blocks_on_three_threads) {
  each([](const Case& one) {
    one.check(test::layouts()[1], 6000 / one.rows, false, 3);
    one.check(test::layouts()[2], 6000 / one.rows, false, 1);
  });
}

TEST(golden_plans_over_no_rows) {
  each([](const Case& one) {
    for (const Layout& layout : test::layouts()) one.check(layout, 0, false, 3);
  });
}

TEST(golden_hashes) {
  for (const Plain& one : golden().at("hashes").list()) {
    const std::string& text = one.at("string").text();
    CHECK_EQUAL(std::to_string(fg::murmur64a(text.data(), text.size())), one.at("murmur64a").text());
    CHECK_EQUAL(std::to_string(fg::fingerprint64(text.data(), text.size())), one.at("farmhash").text());
  }
}
