// `kv_dot_product`: the dot product of two sparse vectors, each a bag of keys with weights.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "../hash.h"
#include "../number_text.h"
#include "operations.h"

namespace fg {
namespace {

struct Hashed {
  std::size_t operator()(const Text& text) const noexcept { return murmur64a(text.data, text.size); }
};
struct Same {
  bool operator()(const Text& a, const Text& b) const noexcept {
    return a.size == b.size && std::memcmp(a.data, b.data, a.size) == 0;
  }
};
using Weights = std::unordered_map<Text, double, Hashed, Same>;

class Dot final : public Operation {
 public:
  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("a dot product needs two inputs");
  }

  struct Space final : Scratch {
    Weights document;
  };
  std::unique_ptr<Scratch> scratch() const override { return std::make_unique<Space>(); }

  // Sums in the order of the query's keys; a key that stands twice in the document has the sum of its weights.
  void run(const std::vector<Operand>& in, std::size_t elements, Scratch* scratch, Cells& out) const override {
    for (std::size_t i = 0; i < 2; ++i) {
      Cells& cells = *in[i].cells;
      if (!cells.paired) throw std::invalid_argument("a dot product reads pairs");
      to_text(cells, static_cast<std::uint16_t>(i));
    }
    out.form = Form::number;
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    Weights& document = static_cast<Space*>(scratch)->document;
    std::uint32_t known = ~0U;
    std::string trouble;  // of the document that is known
    for (std::size_t e = 0; e < elements; ++e) {
      if ((spoiled.empty() || spoiled[e] == 0) && !in[0].missing(e) && !in[1].missing(e)) {
        if (const std::uint32_t element = in[1].element(e); element != known) {
          known = element;
          trouble.clear();
          gather(in[1], e, document, trouble);
        }
        std::string problem;
        const double sum = product(in[0], e, document, problem);
        if (!problem.empty()) {
          fail(out, e, 0, problem);
        } else if (!trouble.empty()) {
          fail(out, e, 1, trouble);
        } else {
          out.numbers.push(sum);
        }
      }
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  // The weight of pair v; a bare key weighs 1.
  static double weight(const Cells& cells, std::uint32_t v, std::string& problem) {
    const Cells& weights = *cells.seconds;
    const std::uint32_t at = weights.begin_of(v);
    if (at == weights.ends[v]) return 1;
    double value = 0;
    if (weights.form == Form::text) {
      const Text& text = weights.texts[at];
      if (!parse_number(text.data, text.size, value)) problem = quoted(text) + " is not a number";
      return value;
    }
    value = weights.form == Form::integer ? static_cast<double>(weights.integers[at]) : weights.numbers[at];
    if (!std::isfinite(value)) problem = shown(value) + " is not a finite number";
    return value;
  }

  static void gather(const Operand& operand, std::size_t e, Weights& weights, std::string& problem) {
    weights.clear();
    for (std::uint32_t v = operand.begin(e); v < operand.end(e) && problem.empty(); ++v)
      weights[operand.cells->texts[v]] += weight(*operand.cells, v, problem);
  }

  static double product(const Operand& query, std::size_t e, const Weights& document, std::string& problem) {
    double sum = 0;
    for (std::uint32_t v = query.begin(e); v < query.end(e) && problem.empty(); ++v) {
      const double value = weight(*query.cells, v, problem);
      const auto found = document.find(query.cells->texts[v]);
      if (found != document.end()) sum += value * found->second;
    }
    return sum;
  }
};

}  // namespace

std::unique_ptr<Operation> make_dot(const Parameters&) { return std::make_unique<Dot>(); }

}  // namespace fg
