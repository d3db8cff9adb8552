// Every operation on numbers worked by hand. An input's elements are written as text: `|` between elements, `,` between
// values; an empty element is missing.
#include "operation.h"

#include <algorithm>
#include <cmath>

#include "check.h"
#include "number_text.h"
#include "reader.h"

namespace {

using fg::Cells;
using fg::Parameters;

struct Input {
  std::string text;
  fg::Reading reading = {};
  std::vector<std::uint32_t> at = {};  // which element stands beside each of the result
};

Cells cells_of(const Input& input) {
  std::vector<std::int32_t> ends = {0};
  std::string bytes;
  for (const char c : input.text + "|") {
    if (c != '|') bytes += c;
    if (c == '|') ends.push_back(static_cast<std::int32_t>(bytes.size()));
  }
  fg::Column column;
  column.type = fg::Type::text32;
  column.length = static_cast<std::int64_t>(ends.size()) - 1;
  column.offsets = ends.data();
  // The texts stay in memory for as long as the tests run.
  static std::vector<std::unique_ptr<std::string>> kept;
  kept.push_back(std::make_unique<std::string>(bytes));
  column.data = kept.back()->data();
  Cells cells;
  fg::Reading reading = input.reading;
  reading.separator = ',';
  fg::read_rows(column, 0, column.length, reading, cells);
  return cells;
}

// The result in the same way, and `!` behind an element with a fault.
std::string computed(const std::string& name, const Parameters& parameters, const std::vector<Input>& inputs) {
  const auto operation = fg::make_operation(name, parameters);
  operation->check(inputs.size());
  std::vector<Cells> cells;
  for (const Input& input : inputs) cells.push_back(cells_of(input));
  std::vector<fg::Operand> operands;
  std::size_t elements = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& at = inputs[i].at;
    operands.push_back({&cells[i], at.empty() ? nullptr : at.data()});
    elements = std::max(elements, at.empty() ? cells[i].elements() : at.size());
  }
  const auto scratch = operation->scratch();
  Cells out;
  operation->run(operands, elements, scratch.get(), out);
  CHECK_EQUAL(out.elements(), elements);
  fg::to_text(out, 0);
  std::string text;
  for (std::size_t e = 0; e < elements; ++e) {
    if (e != 0) text += '|';
    for (std::uint32_t v = out.begin_of(e); v < out.ends[e]; ++v)
      text += (v == out.begin_of(e) ? "" : ",") + std::string(out.texts[v].data, out.texts[v].size);
    for (const fg::Fault& fault : out.faults) text += fg::element_of(out, fault) == e ? "!" : "";
  }
  return text;
}

Parameters with(std::vector<std::pair<std::string, Parameters::Value>> values) {
  Parameters made;
  for (auto& [name, value] : values) made.set(name, std::move(value));
  return made;
}

std::string overlap(const std::string& method, const std::string& query, const std::string& title) {
  return computed("overlap", with({{"method", method}}), {{query}, {title}});
}

fg::Reading pairs() {
  fg::Reading reading;
  reading.pairs = std::make_shared<const fg::Reading>();
  return reading;
}

Parameters lookup(const std::string& combiner, bool all) {
  return with({{"combiner", combiner},
               {"words", false},
               {"all", all},
               {"need_key", false},
               {"value_dim", std::int64_t{1}},
               {"separator", std::string(",")},
               {"value_separator", std::string(";")}});
}

std::string text(const char* value) { return value; }

}  // namespace

TEST(a_cross_joins_all_combinations) {
  CHECK_EQUAL(computed("product", {}, {{"a,b|c||d"}, {"1,2|3|4|"}}), text("a_1,a_2,b_1,b_2|c_3||"));
  CHECK_EQUAL(computed("product", with({{"first_only", true}}), {{"a,b"}, {"1,2"}}), text("a_1"));
  CHECK_EQUAL(computed("product", {}, {{"a,b", {}, {0, 0}}, {"x|y"}}), text("a_x,b_x|a_y,b_y"));
}

TEST(a_lookup_finds_and_combines) {
  const std::vector<Input> inputs = {{"a:1,b:2.5,a:9||c:x,d:4|e:1", pairs()}, {"a,b,z|a|c|d"}};
  CHECK_EQUAL(computed("lookup", lookup("sum", false), inputs), text("3.5||!|"));
  CHECK_EQUAL(computed("lookup", lookup("mean", false), inputs), text("1.75||!|"));
  CHECK_EQUAL(computed("lookup", lookup("max", false), inputs), text("2.5||!|"));
  CHECK_EQUAL(computed("lookup", lookup("count", false), inputs), text("2||1|"));
  CHECK_EQUAL(computed("lookup", lookup("", true), inputs), text("1,2.5||!|"));
}

TEST(words_overlap) {
  CHECK_EQUAL(overlap("query_common_ratio", "a,b,a,c,d|a|", "b,x,d|a,a|a"), text("0.5|1|"));
  CHECK_EQUAL(overlap("title_common_ratio", "a,b|a", "b,x,b,y,z|c"), text("0.25|0"));
  CHECK_EQUAL(overlap("is_equal", "a,b|a,b|a", "a,b|b,a|a,a"), text("1|0|0"));
  CHECK_EQUAL(overlap("is_contain", "a,b|a,b|a,b,c", "x,a,b|a,x,b|a,b"), text("1|0|0"));
  CHECK_EQUAL(overlap("index_of", "a,a,b|b|z", "a,a,a,b|a,b,b|a"), text("1|1|-1"));
  CHECK_EQUAL(overlap("proximity_min_cover", "a,b|a,b|a", "a,x,b,a|a,x|y,a"), text("2|0|1"));
  CHECK_EQUAL(overlap("proximity_min_dist", "a,b,c|a", "a,x,b,x,x,c|a,b"), text("2|3"));
  CHECK_EQUAL(overlap("proximity_max_dist", "a,b,c", "a,x,b,x,x,c"), text("5"));
  CHECK_EQUAL(overlap("proximity_avg_dist", "a,b,c", "a,x,b,x,x,c,c"), text("3.3333333333333335"));
}

TEST(overlaps_of_more_words_than_few_are_the_same) {
  std::string query, title;
  for (int i = 0; i < 40; ++i) query += (i == 0 ? "w" : ",w") + std::to_string(i);
  for (int i = 20; i < 70; ++i) title += (i == 20 ? "w" : ",w") + std::to_string(i);
  CHECK_EQUAL(overlap("query_common_ratio", query, title), text("0.5"));
  CHECK_EQUAL(overlap("title_common_ratio", query, title), text("0.4"));
}

TEST(places_are_sliced) {
  const auto slice = [](std::vector<std::pair<std::string, Parameters::Value>> values) {
    return computed("slice", with(std::move(values)), {{"a,b,c,d|e|"}});
  };
  const std::int64_t one = 1, two = 2, back = -1;
  CHECK_EQUAL(slice({{"step", one}, {"start", one}}), text("b,c,d||"));
  CHECK_EQUAL(slice({{"step", one}, {"end", back}}), text("a,b,c||"));
  CHECK_EQUAL(slice({{"step", two}}), text("a,c|e|"));
  CHECK_EQUAL(slice({{"step", back}}), text("d,c,b,a|e|"));
  CHECK_EQUAL(slice({{"step", std::int64_t{-2147483648}}, {"start", back}}), text("d|e|"));
}

TEST(masked_values_are_kept) {
  CHECK_EQUAL(computed("bool_mask", {}, {{"a,b,c|d|e,f"}, {"1,0,true|x|1"}}), text("a,c|!|!"));
}

TEST(numbers_are_combined) {
  const auto combine = [](const std::string& how) {
    return computed("combine", with({{"combiner", how}, {"whole", false}}), {{"1,5,3||4|x,1"}});
  };
  CHECK_EQUAL(combine("sum"), text("9||4|!"));
  CHECK_EQUAL(combine("mean"), text("3||4|!"));
  CHECK_EQUAL(combine("count"), text("3||1|!"));
  CHECK_EQUAL(combine("gap_min"), text("2||0|!"));
  CHECK_EQUAL(combine("gap_max"), text("4||0|!"));
  const Parameters words = with({{"combiner", std::string("sum")},
                                 {"whole", true},
                                 {"words", std::vector<std::string>{"low", "high"}},
                                 {"numbers", std::vector<double>{0.5, 7}}});
  CHECK_EQUAL(computed("combine", words, {{"low,high,odd|odd"}}), text("7|"));
}

TEST(sparse_vectors_are_multiplied) {
  const auto dot = [](const std::string& a, const std::string& b) {
    return computed("kv_dot_product", {}, {{a, pairs()}, {b, pairs()}});
  };
  CHECK_EQUAL(dot("a:2,b:3", "b:4,c:5,a:0.5"), text("13"));
}

TEST(a_title_answers_a_query) {
  const Parameters bm25 = with({{"words", std::vector<std::string>{"a", "b"}},
                                {"weights", std::vector<double>{2, 1}},
                                {"unknown", 3.0},
                                {"k1", 1.0},
                                {"b", 0.0},
                                {"avg_length", 2.0}});
  // a stands twice: 2 * 2 * 2 / (2 + 1); c once, weighing what unknown words do: 3 * 1 * 2 / (1 + 1).
  CHECK_EQUAL(std::round(std::stod(computed("bm25", bm25, {{"a,c"}, {"a,a,c"}})) * 1e9),
              std::round((8.0 / 3 + 3) * 1e9));
}

TEST(texts_are_edited) {
  const auto distance = [](const std::string& encoding, const std::string& a, const std::string& b) {
    return computed("edit_distance", with({{"encoding", encoding}}), {{a}, {b}});
  };
  CHECK_EQUAL(distance("utf-8", "kitten|中文", "sitting|中"), text("3|1"));
  CHECK_EQUAL(distance("latin", "中文", "中"), text("3"));
}

TEST(operations_that_are_none) {
  CHECK_THROWS(fg::make_operation("odd", {}), "no operation 'odd'");
  CHECK_THROWS(fg::make_operation("overlap", {}), "lacks its parameter 'method'");
  CHECK_THROWS(fg::make_operation("overlap", with({{"method", true}})), "of another type");
}
