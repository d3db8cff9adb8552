#include "expression.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace {

using Numbers = std::vector<double>;

fg::Parameters program(std::int64_t inputs, const Numbers& constants, const std::string& code, std::int64_t result) {
  fg::Parameters made;
  made.set("inputs", inputs);
  made.set("constants", constants);
  made.set("code", code);
  made.set("result", result);
  return made;
}

struct Made {
  Numbers values;
  std::vector<std::uint32_t> ends;
  std::size_t unequal;
};

// Each variable's elements as lists of values.
Made run(const fg::Expression& expression, const std::vector<std::vector<Numbers>>& variables) {
  std::vector<Numbers> values;
  std::vector<std::vector<std::uint32_t>> ends;
  for (const auto& elements : variables) {
    values.emplace_back();
    ends.emplace_back();
    for (const Numbers& element : elements) {
      values.back().insert(values.back().end(), element.begin(), element.end());
      ends.back().push_back(static_cast<std::uint32_t>(values.back().size()));
    }
  }
  std::vector<fg::ExpressionInput> inputs;
  for (std::size_t i = 0; i < values.size(); ++i) inputs.push_back({values[i].data(), ends[i].data(), nullptr});
  fg::ExpressionScratch scratch;
  fg::Slab<double> out;
  fg::Slab<std::uint32_t> out_ends;
  std::vector<fg::UnequalVectors> unequal;
  expression.run(inputs.data(), variables[0].size(), scratch, out, out_ends, unequal);
  return {Numbers(out.data(), out.data() + out.size()),
          {out_ends.data(), out_ends.data() + out_ends.size()},
          unequal.size()};
}

double once(const char* operation, const Numbers& operands) {
  std::string code = operation;
  for (std::size_t o = 0; o < operands.size(); ++o) code += " " + std::to_string(o);
  const auto count = static_cast<std::int64_t>(operands.size());
  const fg::Expression expression(program(count, {}, code, count));
  std::vector<fg::ExpressionInput> inputs;
  for (const double& operand : operands) inputs.push_back({&operand, nullptr, nullptr});
  fg::ExpressionScratch scratch;
  double out;
  expression.run_single(inputs.data(), 1, scratch, &out);
  return out;
}

}  // namespace

TEST(operations_of_expressions_by_hand) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  CHECK_EQUAL(once("subtract", {7, 9}), -2.0);
  CHECK_EQUAL(once("mod", {-7, 3}), -1.0);
  CHECK_EQUAL(once("power", {2, 10}), 1024.0);
  CHECK_EQUAL(once("bit_and", {12, 10}), 8.0);
  CHECK_EQUAL(once("bit_or", {12.9, 3}), 15.0);
  CHECK(std::isnan(once("bit_or", {1e30, 3})));
  CHECK(std::isnan(once("bit_and", {9223372036854775808.0, 3})));
  CHECK_EQUAL(once("bit_and", {-9223372036854775808.0, -1}), -9223372036854775808.0);
  CHECK_EQUAL(once("not", {0}), 1.0);
  CHECK_EQUAL(once("unequal", {nan, nan}), 1.0);
  CHECK_EQUAL(once("round", {-2.5}), -3.0);
  CHECK_EQUAL(once("rint", {2.5}), 2.0);
  CHECK_EQUAL(once("roundp", {1234.5678, 2}), 1234.57);
  CHECK_EQUAL(once("roundp", {1234.5678, -2}), 1200.0);
  CHECK_EQUAL(once("roundp", {1e300, 300}), 1e300);
  CHECK(std::isnan(once("roundp", {1, nan})));
  CHECK_EQUAL(once("roundp", {5, inf}), 5.0);
  CHECK_EQUAL(once("sign", {-0.5}), -1.0);
  CHECK_EQUAL(once("sigmoid", {0}), 0.5);
  CHECK_EQUAL(once("select", {0, 3, 4}), 4.0);
  CHECK_EQUAL(once("haversine", {10, 20, 10, 20}), 0.0);
  CHECK(std::fabs(once("haversine", {0, 0, 180, 0}) - 6371.0 * std::acos(-1.0)) < 1e-9);
}

TEST(vectors_are_reduced_and_aligned) {
  const fg::Expression dot(program(2, {}, "dot 0 1", 2));
  const Made products = run(dot, {{{1, 2, 3}, {4, 5}, {2}}, {{1, 1, 1}, {1}, {3}}});
  CHECK_EQUAL(products.values, Numbers{6, 6});
  CHECK_EQUAL(products.ends, std::vector<std::uint32_t>{1, 1, 2});
  CHECK_EQUAL(products.unequal, std::size_t{1});
  const fg::Expression sum(program(2, {10}, "multiply 0 2\nadd 3 1", 4));
  const Made sums = run(sum, {{{1, 2}, {3}, {}}, {{5}, {1, 2, 3}, {1}}});
  CHECK_EQUAL(sums.values, Numbers{15, 25, 31, 32, 33});
  CHECK_EQUAL(sums.ends, std::vector<std::uint32_t>{2, 5, 5});
}

TEST(what_is_no_finite_number_is_left_out) {
  const fg::Expression divide(program(2, {}, "divide 0 1", 2));
  const Made made = run(divide, {{{1}, {1}, {0}, {1e300}}, {{2}, {0}, {0}, {1e-5}}});
  CHECK_EQUAL(made.values, Numbers{0.5});
  CHECK_EQUAL(made.ends, std::vector<std::uint32_t>{1, 1, 1, 1});
}

TEST(what_fill_missing_stands_for) {
  fg::Parameters filled = program(2, {}, "add 0 1", 2);
  filled.set("fill_missing", 100.0);
  const Made made = run(fg::Expression(filled), {{{1, 2, 3}, {}}, {{1, 1}, {2}}});
  CHECK_EQUAL(made.values, Numbers{2, 3, 103, 102});
}

TEST(many_elements_are_computed_in_pieces) {
  const fg::Expression square(program(1, {}, "multiply 0 0", 1));
  std::vector<Numbers> elements;
  Numbers expected;
  for (int i = 0; i < 2000; ++i) {
    elements.push_back(i == 700 ? Numbers{1, 2} : Numbers{static_cast<double>(i)});
    for (const double value : elements.back()) expected.push_back(value * value);
  }
  CHECK_EQUAL(run(square, {elements}).values, expected);
}

TEST(programs_that_are_none) {
  CHECK_THROWS(fg::Expression(program(1, {}, "add 0", 1)), "lacks an operand");
  CHECK_THROWS(fg::Expression(program(1, {}, "add 0 1", 1)), "not computed yet");
  CHECK_THROWS(fg::Expression(program(1, {}, "add 0 0 0", 1)), "too many operands");
  CHECK_THROWS(fg::Expression(program(1, {}, "plus 0 0", 1)), "no operation 'plus'");
  CHECK_THROWS(fg::Expression(program(1, {}, "", 1)), "no value");
  CHECK_THROWS(fg::Expression(program(-1, {}, "", 0)), "too long");
  CHECK_THROWS(fg::Expression(program(1, {}, "add 0 -1", 1)), "an operand");
}
