// Programs of expressions: what is none is refused, and the value of an element does not depend on its neighbours.
#include <cmath>
#include <vector>

#include "bytes.h"
#include "expression.h"

namespace {

const char* const names[] = {"add",        "subtract",   "multiply",   "divide",      "power",       "mod",
                             "negate",     "not",        "or",         "and",         "bit_or",      "bit_and",
                             "less",       "equal",      "min",        "max",         "select",      "isnan",
                             "sin",        "acosh",      "ln",         "exp",         "sqrt",        "sign",
                             "rint",       "round",      "roundp",     "sigmoid",     "haversine",   "len",
                             "l2_norm",    "dot",        "corr",       "euclid_dist", "std_dev",     "pop_variance",
                             "reduce_min", "reduce_max", "reduce_sum", "reduce_mean", "reduce_prod", "squared_norm"};

struct Variable {
  std::vector<double> values;
  std::vector<std::uint32_t> ends, at;
};

struct Made {
  std::vector<std::vector<double>> elements;
  std::vector<std::uint32_t> unequal;
};

double number(fuzz::Bytes& bytes) {
  const std::uint8_t kind = bytes.byte();
  return kind < 200 ? static_cast<double>(kind) / 4 - 20 : bytes.bits<double>();
}

Made run(const fg::Expression& expression, const std::vector<fg::ExpressionInput>& inputs, std::size_t elements,
         fg::ExpressionScratch& scratch) {
  fg::Slab<double> values;
  fg::Slab<std::uint32_t> ends;
  std::vector<fg::UnequalVectors> unequal;
  expression.run(inputs.data(), elements, scratch, values, ends, unequal);
  fuzz::require(ends.size() == elements, "every element has an end");
  Made made;
  for (std::size_t e = 0; e < elements; ++e) {
    const std::size_t begin = e == 0 ? 0 : ends[e - 1];
    made.elements.emplace_back(values.data() + begin, values.data() + ends[e]);
    for (const double value : made.elements.back()) fuzz::require(std::isfinite(value), "a value is finite");
  }
  for (const fg::UnequalVectors& one : unequal) made.unequal.push_back(one.element);
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  const std::size_t inputs = bytes.below(4);
  std::vector<double> constants;
  for (std::size_t i = bytes.below(4); i > 0; --i) constants.push_back(number(bytes));
  std::string code;
  std::size_t values = inputs + constants.size();
  const bool free = bytes.below(16) == 15;
  for (std::size_t i = bytes.below(12); i > 0 && values != 0; --i, ++values) {
    const std::string name = names[bytes.below(sizeof names / sizeof *names)];
    code += name;
    for (std::size_t o = 0; o < fg::find_kernel(name)->operands; ++o) code += " " + std::to_string(bytes.below(values));
    code += "\n";
  }
  if (free) code += bytes.text(60);
  fg::Parameters program;
  program.set("inputs", static_cast<std::int64_t>(inputs));
  program.set("constants", constants);
  program.set("code", code);
  program.set("result", static_cast<std::int64_t>(free ? bytes.byte() : values - 1));
  if (bytes.flag()) program.set("fill_missing", number(bytes));
  std::unique_ptr<fg::Expression> expression;
  try {
    expression = std::make_unique<fg::Expression>(program);
  } catch (const std::invalid_argument&) { return 0; }
  const std::size_t own = 1 + bytes.below(12), elements = bytes.below(8) != 7 ? own : 519;
  std::vector<Variable> variables(inputs);
  for (Variable& variable : variables) {
    const bool single = bytes.flag();
    for (std::size_t e = 0; e < own; ++e) {
      for (std::size_t i = single ? 1 : bytes.below(4); i > 0; --i) variable.values.push_back(number(bytes));
      variable.ends.push_back(static_cast<std::uint32_t>(variable.values.size()));
    }
    for (std::size_t e = 0; e < elements; ++e)
      variable.at.push_back(static_cast<std::uint32_t>(e < own ? e : e * 7 % own));
    if (single) variable.ends.clear();
  }
  const auto beside = [&](std::size_t e) {
    std::vector<fg::ExpressionInput> views;
    for (const Variable& v : variables)
      views.push_back({v.values.data(), v.ends.empty() ? nullptr : v.ends.data(), v.at.data() + e});
    return views;
  };
  fg::ExpressionScratch scratch;
  const Made whole = run(*expression, beside(0), elements, scratch);
  std::vector<std::uint32_t> unequal, expected;
  for (const std::uint32_t e : whole.unequal) {
    if (e < own || e > 505) expected.push_back(e);
  }
  for (std::size_t e = 0; e < elements; ++e) {
    if (e == own && elements > own) e = 506;  // around the end of a piece
    if (e > 518) break;
    const Made one = run(*expression, beside(e), 1, scratch);
    const auto &a = one.elements[0], &b = whole.elements[e];
    fuzz::require(a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), 8 * a.size()) == 0),
                  "an element does not depend on its neighbours");
    if (!one.unequal.empty()) unequal.push_back(static_cast<std::uint32_t>(e));
  }
  fuzz::require(unequal == expected, "vectors that do not fit are told of their elements");
  return 0;
}
