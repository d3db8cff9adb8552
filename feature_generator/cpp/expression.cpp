#include "expression.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "number_text.h"

namespace fg {
namespace {

// Elements computed at a time: a few arrays of that many doubles stay in the nearest cache.
constexpr std::size_t chunk = 512;

constexpr std::uint32_t folded = 1u << 30, computed = 1u << 31;  // kinds of a value while the program is built
constexpr std::size_t most_values = 1 << 20;

double apply_once(const ExpressionKernel& kernel, const double* const* x) {
  if (kernel.reduce != nullptr) return kernel.reduce(x, 1);
  double out;
  kernel.each(x, 1, &out);
  return out;
}

bool storable(double value) noexcept { return std::fabs(value) <= largest_float; }

}  // namespace

Expression::Expression(const Parameters& program) : constants_(program.numbers("constants")) {
  const std::int64_t inputs = program.integer("inputs");
  if (inputs < 0 || inputs >= static_cast<std::int64_t>(most_values) || constants_.size() >= most_values)
    throw std::invalid_argument("the program is too long");
  inputs_ = static_cast<std::size_t>(inputs);
  filled_ = program.has("fill_missing");
  if (filled_) fill_ = program.number("fill_missing");
  read_code(program.text("code"), program.integer("result"));
  number_values();
  assign_rooms();
}

// What is constant is computed here, by the kernels that would compute it later.
void Expression::read_code(const std::string& code, std::int64_t result) {
  std::vector<std::uint32_t> values;  // by value of the given program
  for (std::size_t i = 0; i < inputs_; ++i) values.push_back(static_cast<std::uint32_t>(i));
  for (std::size_t c = 0; c < constants_.size(); ++c) values.push_back(folded | static_cast<std::uint32_t>(c));
  std::istringstream lines(code);
  for (std::string line; std::getline(lines, line);) {
    if (values.size() >= most_values) throw std::invalid_argument("the program is too long");
    std::istringstream words(line);
    std::string name;
    words >> name;
    const ExpressionKernel* const kernel = find_kernel(name);
    if (kernel == nullptr) throw std::invalid_argument("expressions have no operation '" + name + "'");
    Instruction instruction{kernel, {}, 0};
    double x[most_operands];
    const double* pointers[most_operands];
    bool constant = true;
    for (std::size_t o = 0; o < kernel->operands; ++o) {
      std::size_t operand;
      if (!(words >> operand)) throw std::invalid_argument("'" + name + "' lacks an operand");
      if (operand >= values.size()) throw std::invalid_argument("an operand is not computed yet");
      const std::uint32_t value = instruction.operands[o] = values[operand];
      constant = constant && (value & folded) != 0;
      if (constant) x[o] = constants_[value & ~folded];
      pointers[o] = x + o;
    }
    if (words >> name) throw std::invalid_argument("an operation has too many operands");
    if (constant) {
      values.push_back(folded | static_cast<std::uint32_t>(constants_.size()));
      constants_.push_back(apply_once(*kernel, pointers));
    } else {
      values.push_back(computed | static_cast<std::uint32_t>(code_.size()));
      code_.push_back(instruction);
    }
  }
  if (result < 0 || result >= static_cast<std::int64_t>(values.size()))
    throw std::invalid_argument("the result is no value of the program");
  result_ = values[static_cast<std::size_t>(result)];
}

// Only constants that are still read are kept; then every value has its number.
void Expression::number_values() {
  std::vector<double> kept;
  std::vector<std::uint32_t> place(constants_.size(), computed);
  const auto number_constant = [&](std::uint32_t& value) {
    if ((value & folded) == 0) return;
    std::uint32_t& at = place[value & ~folded];
    if (at == computed) {
      at = static_cast<std::uint32_t>(inputs_ + kept.size());
      kept.push_back(constants_[value & ~folded]);
    }
    value = at;
  };
  for (Instruction& step : code_)
    for (std::size_t o = 0; o < step.kernel->operands; ++o) number_constant(step.operands[o]);
  number_constant(result_);
  constants_ = std::move(kept);
  const auto number_result = [&](std::uint32_t& value) {
    if ((value & computed) != 0) value = (value & ~computed) + static_cast<std::uint32_t>(inputs_ + constants_.size());
  };
  for (Instruction& step : code_)
    for (std::size_t o = 0; o < step.kernel->operands; ++o) number_result(step.operands[o]);
  number_result(result_);
}

// Results that are no longer read leave their room to later ones.
void Expression::assign_rooms() {
  const std::size_t first = inputs_ + constants_.size();
  std::vector<std::size_t> last(first + code_.size(), 0);
  for (std::size_t i = 0; i < code_.size(); ++i)
    for (std::size_t o = 0; o < code_[i].kernel->operands; ++o) last[code_[i].operands[o]] = i;
  last[result_] = code_.size();
  std::vector<std::uint32_t> free;
  for (std::size_t i = 0; i < code_.size(); ++i) {
    if (free.empty()) free.push_back(static_cast<std::uint32_t>(rooms_++));
    code_[i].room = free.back();
    free.pop_back();
    for (std::size_t o = 0; o < code_[i].kernel->operands; ++o) {
      const std::uint32_t value = code_[i].operands[o];
      if (value < first || last[value] != i) continue;
      free.push_back(code_[value - first].room);
      last[value] = code_.size();  // an operand given twice is freed once
    }
    if (last[first + i] == 0 && result_ != first + i) free.push_back(code_[i].room);  // nobody reads it
  }
}

void Expression::prepare(ExpressionScratch& scratch, std::size_t elements) const {
  const std::size_t room = std::min(elements, chunk);
  scratch.views.assign(inputs_ + constants_.size() + code_.size(), View{});
  if (scratch.inputs.size() < inputs_) scratch.inputs.resize(inputs_);
  if (scratch.constants.size() < constants_.size()) scratch.constants.resize(constants_.size());
  if (scratch.results.size() < rooms_) scratch.results.resize(rooms_);
  for (std::size_t c = 0; c < constants_.size(); ++c) {
    Slab<double>& values = scratch.constants[c].values;
    values.resize(room);
    std::fill_n(values.data(), room, constants_[c]);
    scratch.views[inputs_ + c].values = values.data();
  }
}

namespace {

std::uint32_t begin_of(const std::uint32_t* ends, std::size_t element) noexcept {
  return element == 0 ? 0 : ends[element - 1];
}

void mark_missing(Slab<std::uint8_t>& marks, std::size_t n, std::size_t element, bool& missing) {
  if (!missing) {
    marks.resize(n);
    std::fill_n(marks.data(), n, std::uint8_t{0});
    missing = true;
  }
  marks[element] = 1;
}

}  // namespace

// Views of the inputs of elements first .. first + n. True where one of them has several values.
bool Expression::bind(const ExpressionInput* inputs, std::size_t first, std::size_t n, ExpressionScratch& scratch,
                      bool& missing) const {
  bool any_ragged = false;
  missing = false;
  for (std::size_t i = 0; i < inputs_; ++i) {
    const ExpressionInput& input = inputs[i];
    View& view = scratch.views[i];
    view = View{};
    Room& room = scratch.inputs[i];
    const std::uint32_t* const at = input.at == nullptr ? nullptr : input.at + first;
    if (input.ends == nullptr && at == nullptr) {
      view.values = input.values + first;
      continue;
    }
    room.values.resize(n);
    double* const to = room.values.data();
    view.values = to;
    if (input.ends == nullptr) {
      for (std::size_t e = 0; e < n; ++e) to[e] = input.values[at[e]];
      continue;
    }
    std::uint32_t longest = 0, shortest = std::numeric_limits<std::uint32_t>::max();
    for (std::size_t e = 0; e < n; ++e) {
      const std::size_t from = at == nullptr ? first + e : at[e];
      const std::uint32_t length = input.ends[from] - begin_of(input.ends, from);
      longest = std::max(longest, length);
      shortest = std::min(shortest, length);
    }
    if (shortest == 0 && !filled_) {
      for (std::size_t e = 0; e < n; ++e) {
        const std::size_t from = at == nullptr ? first + e : at[e];
        if (input.ends[from] == begin_of(input.ends, from)) mark_missing(scratch.missing, n, e, missing);
      }
    }
    if (longest > 1) {
      any_ragged = true;
      bind_ragged(input, first, n, shortest > 0, room, view);
    } else if (shortest == 1 && at == nullptr) {
      view.values = input.values + begin_of(input.ends, first);
    } else {
      const double absent = filled_ ? fill_ : 0.0;
      for (std::size_t e = 0; e < n; ++e) {
        const std::size_t from = at == nullptr ? first + e : at[e];
        const std::uint32_t begin = begin_of(input.ends, from);
        to[e] = input.ends[from] == begin ? absent : input.values[begin];
      }
    }
  }
  return any_ragged;
}

// Values as they lie there, or copied: one where an element has none.
void Expression::bind_ragged(const ExpressionInput& input, std::size_t first, std::size_t n, bool full, Room& room,
                             View& view) const {
  room.ends.resize(n);
  view.ends = room.ends.data();
  if (full && input.at == nullptr) {
    const std::uint32_t begin = begin_of(input.ends, first);
    for (std::size_t e = 0; e < n; ++e) room.ends[e] = input.ends[first + e] - begin;
    view.values = input.values + begin;
    return;
  }
  room.values.clear();
  for (std::size_t e = 0; e < n; ++e) {
    const std::size_t from = input.at == nullptr ? first + e : input.at[first + e];
    const std::uint32_t begin = begin_of(input.ends, from), length = input.ends[from] - begin;
    if (length == 0) {
      room.values.push(filled_ ? fill_ : 0.0);
    } else {
      room.values.append(input.values + begin, length);
    }
    room.ends[e] = static_cast<std::uint32_t>(room.values.size());
  }
  view.values = room.values.data();
}

void Expression::compute_single(std::size_t n, ExpressionScratch& scratch) const {
  const std::size_t first = inputs_ + constants_.size();
  for (std::size_t i = 0; i < code_.size(); ++i) {
    const Instruction& step = code_[i];
    const double* x[most_operands];
    for (std::size_t o = 0; o < step.kernel->operands; ++o) x[o] = scratch.views[step.operands[o]].values;
    Slab<double>& values = scratch.results[step.room].values;
    values.resize(n);
    double* const out = values.data();
    if (step.kernel->each != nullptr) {
      step.kernel->each(x, n, out);
    } else {
      for (std::size_t e = 0; e < n; ++e) {
        out[e] = step.kernel->reduce(x, 1);
        for (std::size_t o = 0; o < step.kernel->operands; ++o) ++x[o];
      }
    }
    scratch.views[first + i] = View{out, nullptr, nullptr};
  }
}

void Expression::run_single(const ExpressionInput* inputs, std::size_t elements, ExpressionScratch& scratch,
                            double* out) const {
  prepare(scratch, elements);
  for (std::size_t first = 0; first < elements; first += chunk) {
    const std::size_t n = std::min(chunk, elements - first);
    bool missing;
    bind(inputs, first, n, scratch, missing);
    compute_single(n, scratch);
    std::copy_n(scratch.views[result_].values, n, out + first);
  }
}

void Expression::run(const ExpressionInput* inputs, std::size_t elements, ExpressionScratch& scratch,
                     Slab<double>& values, Slab<std::uint32_t>& ends, std::vector<UnequalVectors>& unequal) const {
  prepare(scratch, elements);
  std::uint32_t* end = ends.grow(elements);
  ends.set_size(ends.size() + elements);
  for (std::size_t first = 0; first < elements; first += chunk) {
    const std::size_t n = std::min(chunk, elements - first);
    bool missing;
    if (bind(inputs, first, n, scratch, missing)) {
      compute_ragged(n, scratch);
    } else {
      compute_single(n, scratch);
    }
    const View& result = scratch.views[result_];
    double* const to = values.grow(result.ends == nullptr ? n : result.ends[n - 1]);
    auto size = static_cast<std::uint32_t>(values.size());
    if (!missing && result.ends == nullptr && result.unequal == nullptr) {
      bool all = true;
      for (std::size_t e = 0; e < n; ++e) all &= storable(result.values[e]);
      if (all) {
        std::copy_n(result.values, n, to);
        for (std::size_t e = 0; e < n; ++e) *end++ = ++size;
        values.set_size(size);
        continue;
      }
    }
    double* next = to;
    for (std::size_t e = 0; e < n; ++e) {
      const std::size_t from = result.ends == nullptr ? e : begin_of(result.ends, e);
      const std::size_t length = result.ends == nullptr ? 1 : result.ends[e] - from;
      if (missing && scratch.missing[e] != 0) {
        // Left without values.
      } else if (result.unequal != nullptr && result.unequal[e] != 0) {
        unequal.push_back(scratch.found[result.unequal[e] - 1]);
        unequal.back().element = static_cast<std::uint32_t>(first + e);
      } else if (std::all_of(result.values + from, result.values + from + length, storable)) {
        next = std::copy_n(result.values + from, length, next);
      }
      *end++ = size + static_cast<std::uint32_t>(next - to);
    }
    values.set_size(size + static_cast<std::size_t>(next - to));
  }
}

}  // namespace fg
