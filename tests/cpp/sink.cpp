#include "sink.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace {

using fg::Cells;

using Ids = std::vector<std::int64_t>;

// Elements of numbers.
Cells numbers(const std::vector<std::vector<double>>& elements) {
  Cells cells;
  cells.form = fg::Form::number;
  for (const auto& element : elements) {
    for (const double value : element) cells.numbers.push(value);
    fg::close_element(cells);
  }
  return cells;
}

Cells texts(const std::vector<std::vector<const char*>>& elements) {
  Cells cells;
  for (const auto& element : elements) {
    for (const char* value : element) cells.texts.push({value, std::strlen(value)});
    fg::close_element(cells);
  }
  return cells;
}

struct Made {
  Ids ids, ends;
  std::vector<float> numbers;
  std::size_t faults;
};

template <class Write>
Made made(Cells cells, const Write& write) {
  fg::SinkScratch scratch;
  fg::Output output;
  write(cells, scratch, output);
  Made out;
  out.ids.assign(output.ids.data(), output.ids.data() + output.ids.size());
  out.numbers.assign(output.numbers.data(), output.numbers.data() + output.numbers.size());
  if (!output.single) out.ends.assign(output.value_ends.data(), output.value_ends.data() + output.value_ends.size());
  out.faults = cells.faults.size();
  return out;
}

Made ids(const fg::SinkRule& rule, Cells cells) {
  return made(std::move(cells), [&](Cells& c, fg::SinkScratch& s, fg::Output& o) { write_ids(rule, c, s, o); });
}

Made vectors(const fg::SinkRule& rule, Cells cells) {
  return made(std::move(cells),
              [&](Cells& c, fg::SinkScratch& s, fg::Output& o) { write_vectors(rule, c, s, o, nullptr, 0); });
}

Ids buckets(const std::vector<float>& values, const std::vector<float>& edges) {
  Ids out(values.size());
  fg::bucketize(values.data(), values.size(), edges.data(), edges.size(), out.data());
  return out;
}

}  // namespace

TEST(an_edge_belongs_to_the_bucket_at_its_right) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_EQUAL(buckets({17.9F, 18, 64.9F, 65, -inf, inf, nan}, {18, 65}), Ids{0, 1, 1, 2, 0, 2, 0});
  CHECK_EQUAL(buckets({-1, 0, 1}, {0}), Ids{0, 1, 1});
  CHECK_EQUAL(buckets({1, 2}, {1, 1, 1}), Ids{3, 3});
  CHECK_EQUAL(buckets({}, {1}), Ids{});
}

TEST(many_edges_are_counted_as_few_are) {
  for (const std::size_t count : {15, 16, 17, 18, 31, 32, 33, 100}) {
    std::vector<float> edges, values;
    for (std::size_t i = 0; i < count; ++i) edges.push_back(static_cast<float>(i / 2));  // some are equal
    for (int i = -2; i < 2 * static_cast<int>(count); ++i) values.push_back(static_cast<float>(i) / 2);
    Ids expected;
    for (const float value : values) {
      std::int64_t id = 0;
      for (const float edge : edges) id += edge <= value;
      expected.push_back(id);
    }
    CHECK_EQUAL(buckets(values, edges), expected);
  }
}

TEST(ids_of_a_range_outside_it) {
  fg::SinkRule rule;
  rule.discretizer = fg::Discretizer::range;
  rule.size = 10;
  rule.default_ids = {3, 4};
  const std::vector<std::vector<const char*>> cells = {{"9"}, {"10", "1"}, {"-1"}, {"x"}, {}};
  const Made replaced = ids(rule, texts(cells));
  CHECK_EQUAL(replaced.ids, Ids{9, 3, 4, 1, 3, 4, 3, 4, 3, 4});
  CHECK_EQUAL(replaced.ends, Ids{0, 1, 4, 6, 8, 10});
  CHECK_EQUAL(replaced.faults, std::size_t{1});
  rule.out_of_range = fg::OutOfRange::clip;
  CHECK_EQUAL(ids(rule, texts(cells)).ids, Ids{9, 9, 1, 0, 3, 4, 3, 4});
  rule.out_of_range = fg::OutOfRange::error;
  CHECK_EQUAL(ids(rule, texts(cells)).faults, std::size_t{3});
}

TEST(only_the_first_id_is_kept_where_one_is_asked_for) {
  fg::SinkRule rule;
  rule.discretizer = fg::Discretizer::range;
  rule.size = 10;
  rule.value_dim = 1;
  rule.default_ids = {7};
  const Made out = ids(rule, texts({{"1", "2"}, {}, {"x", "3"}, {"4", "y"}}));
  CHECK_EQUAL(out.ids, Ids{1, 7, 7, 4});
  CHECK_EQUAL(out.faults, std::size_t{1});  // what is not kept need not be good
}

TEST(words_outside_the_vocabulary_get_its_unknown_id) {
  fg::SinkRule rule;
  rule.discretizer = fg::Discretizer::vocabulary;
  rule.vocabulary = std::make_shared<fg::Vocabulary>(std::vector<std::string>{"a", ""}, Ids{5, 6});
  rule.unknown = 1;
  CHECK_EQUAL(ids(rule, texts({{"a"}, {"b"}, {}, {"a", "a"}})).ids, Ids{5, 1, 5, 5});
}

TEST(vectors_of_another_length_take_the_default) {
  fg::SinkRule rule;
  rule.discretizer = fg::Discretizer::none;
  rule.value_dim = 2;
  rule.default_numbers = {8, 9};
  const Made out = vectors(rule, numbers({{1, 2}, {3}, {}, {4, 5, 6}, {1e300, 0}, {std::nan(""), 1}}));
  CHECK_EQUAL(out.numbers, std::vector<float>{1, 2, 8, 9, 8, 9, 8, 9, 8, 9, 8, 9});
  CHECK_EQUAL(out.faults, std::size_t{4});
}

TEST(numbers_are_normalized_before_they_are_put_into_buckets) {
  fg::SinkRule rule;
  rule.discretizer = fg::Discretizer::boundaries;
  rule.value_dim = 1;
  rule.boundaries = {0, 1};
  rule.default_numbers = {-5};
  rule.normalizer.method = fg::Normalizer::Method::affine;
  rule.normalizer.shift = 10;
  rule.normalizer.scale = 2;
  CHECK_EQUAL(vectors(rule, numbers({{10}, {11.9}, {12}, {9.9}, {}})).ids, Ids{1, 1, 2, 0, 0});
  rule.normalizer.method = fg::Normalizer::Method::log10;
  rule.normalizer.threshold = 1e-10;
  rule.normalizer.fallback = -10;
  CHECK_EQUAL(vectors(rule, numbers({{1}, {10}, {0}, {-3}, {0.5}})).ids, Ids{1, 2, 0, 0, 0});
}
