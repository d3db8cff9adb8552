// `expr`: a formula over numbers and vectors of numbers.
#include <algorithm>

#include "../expression.h"
#include "operations.h"

namespace fg {
namespace {

class Formula final : public Operation {
 public:
  explicit Formula(const Parameters& program) : expression_(program) {}

  void check(std::size_t inputs) const override {
    if (inputs != expression_.inputs()) throw std::invalid_argument("a formula needs an input for each variable");
  }

  std::unique_ptr<Operation::Scratch> scratch() const override { return std::make_unique<Scratch>(); }

  void run(const std::vector<Operand>& in, std::size_t elements, Operation::Scratch* space, Cells& out) const override {
    Scratch& scratch = *static_cast<Scratch*>(space);
    scratch.inputs.clear();
    for (std::size_t k = 0; k < in.size(); ++k) {
      Cells& cells = *in[k].cells;
      to_numbers(cells, static_cast<std::uint16_t>(k));
      scratch.inputs.push_back({cells.numbers.data(), cells.single() ? nullptr : cells.ends.data(), in[k].at});
    }
    out.form = Form::number;
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    scratch.unequal.clear();
    expression_.run(scratch.inputs.data(), elements, scratch.expression, out.numbers, out.ends, scratch.unequal);
    if (!spoiled.empty()) empty(spoiled, out);
    const bool carried = !out.faults.empty();
    for (const UnequalVectors& one : scratch.unequal) {
      if (!spoiled.empty() && spoiled[one.element] != 0) continue;
      fail(out, one.element, 0,
           "vectors of " + std::to_string(one.left) + " and " + std::to_string(one.right) + " values meet in " +
               one.operation + "; fill_missing would fill the shorter one");
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  struct Scratch final : Operation::Scratch {
    ExpressionScratch expression;
    std::vector<ExpressionInput> inputs;
    std::vector<UnequalVectors> unequal;
  };

  // Takes the values of elements that a bad value touches away, whatever was computed from what stands in its place.
  static void empty(const Slab<std::uint8_t>& spoiled, Cells& out) {
    std::uint32_t begin = 0, kept = 0;
    for (std::size_t e = 0; e < out.ends.size(); ++e) {
      const std::uint32_t end = out.ends[e];
      if (spoiled[e] == 0) {
        std::copy(out.numbers.data() + begin, out.numbers.data() + end, out.numbers.data() + kept);
        kept += end - begin;
      }
      begin = end;
      out.ends[e] = kept;
    }
    out.numbers.set_size(kept);
  }

  Expression expression_;
};

}  // namespace

std::unique_ptr<Operation> make_expr(const Parameters& parameters) { return std::make_unique<Formula>(parameters); }

}  // namespace fg
