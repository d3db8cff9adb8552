#include "sequence.h"

#include "check.h"

namespace {

using Counts = std::vector<std::uint32_t>;

struct Made {
  std::vector<std::int64_t> values;
  Counts ends, kept;
};

// Elements 0, 1, 2 .. of one value each; a negative count of values leaves an element empty.
fg::Cells elements(std::size_t count, std::size_t empty) {
  fg::Cells cells;
  cells.form = fg::Form::integer;
  for (std::size_t e = 0; e < count; ++e) {
    if (e != empty) cells.integers.push(static_cast<std::int64_t>(e));
    fg::close_element(cells);
  }
  return cells;
}

Made shaped(const fg::SequenceRule& rule, const fg::Cells& cells, const Counts& counts, const Counts& lengths) {
  fg::Cells out;
  Made made;
  made.kept.resize(counts.size());
  fg::reshape(rule, cells, counts.data(), lengths.data(), counts.size(), out, made.kept.data());
  made.values.assign(out.integers.data(), out.integers.data() + out.integers.size());
  made.ends.assign(out.ends.data(), out.ends.data() + out.ends.size());
  return made;
}

fg::SequenceRule rule(std::uint32_t most, bool newest_first, bool keep_oldest, bool pad_empty = false) {
  fg::SequenceRule made;
  made.most = most;
  made.newest_first = newest_first;
  made.keep_oldest = keep_oldest;
  made.pad_empty = pad_empty;
  return made;
}

using Values = std::vector<std::int64_t>;
const Counts counts = {3, 0, 2};

}  // namespace

TEST(sequences_are_cut_and_turned) {
  const fg::Cells cells = elements(5, 99);
  CHECK_EQUAL(shaped(rule(2, false, false), cells, counts, counts).values, Values{1, 2, 3, 4});
  CHECK_EQUAL(shaped(rule(2, false, true), cells, counts, counts).values, Values{0, 1, 3, 4});
  CHECK_EQUAL(shaped(rule(2, true, false), cells, counts, counts).values, Values{1, 0, 4, 3});
  CHECK_EQUAL(shaped(rule(2, true, true), cells, counts, counts).values, Values{2, 1, 4, 3});
  CHECK_EQUAL(shaped(rule(0, true, false), cells, counts, counts).values, Values{2, 1, 0, 4, 3});
  CHECK_EQUAL(shaped(rule(2, false, false), cells, counts, counts).kept, Counts{2, 0, 2});
}

TEST(only_the_first_elements_count_where_lengths_say_so) {
  const Made made = shaped(rule(0, false, false), elements(5, 99), counts, {1, 0, 2});
  CHECK_EQUAL(made.values, Values{0, 3, 4});
  CHECK_EQUAL(made.kept, Counts{1, 0, 2});
}

TEST(an_empty_sequence_may_get_one_empty_element) {
  const Made made = shaped(rule(9, false, false, true), elements(5, 1), counts, counts);
  CHECK_EQUAL(made.values, Values{0, 2, 3, 4});
  CHECK_EQUAL(made.ends, Counts{1, 1, 2, 2, 3, 4});
  CHECK_EQUAL(made.kept, Counts{3, 1, 2});
}

TEST(broken_values_and_faults_move_with_their_elements) {
  fg::Cells cells = elements(5, 99);
  fg::reject(cells, 0, 0, "cut");
  fg::reject(cells, 1, 0, "kept");
  cells.faults.push_back({4, false, 0, "element"});
  fg::Cells out;
  Counts kept(3);
  fg::reshape(rule(2, true, true), cells, counts.data(), counts.data(), 3, out, kept.data());
  CHECK_EQUAL(out.broken.size(), std::size_t{1});
  CHECK_EQUAL(out.broken[0], 1U);
  CHECK_EQUAL(out.faults.size(), std::size_t{2});
  CHECK_EQUAL(out.faults[0].reason, std::string("kept"));
  CHECK_EQUAL(out.faults[1].reason, std::string("element"));
  CHECK_EQUAL(fg::element_of(out, out.faults[1]), 2U);
}

TEST(rules_that_change_nothing_are_told) {
  const Counts lengths = {1, 2, 3}, with_empty = {1, 0};
  CHECK(!fg::reshapes(rule(3, false, false, true), lengths.data(), 3));
  CHECK(fg::reshapes(rule(2, false, false), lengths.data(), 3));
  CHECK(fg::reshapes(rule(3, true, false), lengths.data(), 3));
  CHECK(fg::reshapes(rule(3, false, false, true), with_empty.data(), 2));
  CHECK(!fg::reshapes(rule(0, false, false), with_empty.data(), 2));
}
