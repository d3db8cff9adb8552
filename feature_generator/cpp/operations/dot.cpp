// `kv_dot_product`: the dot product of two sparse vectors, each a bag of keys with weights.
#include <algorithm>
#include <cmath>

#include "../key_table.h"
#include "../number_text.h"
#include "operations.h"

namespace fg {
namespace {

// One side of the product that stands beside several elements, and is therefore taken apart once.
struct Known {
  std::uint32_t element = ~0U;
  std::string problem;
  KeyTable keys;
};

struct KnownDocument : Known {
  std::vector<double> sums;  // by key, of the weights of all its pairs
};

struct KnownQuery : Known {
  std::vector<double> weights;               // by pair
  std::vector<std::uint32_t> firsts, nexts;  // the first pair of a key, and the next pair of a pair's key
  std::vector<double> sums;                  // by key: of the weights that the present document gives it
  std::vector<std::uint8_t> met;             // by key: whether the present document has it
  std::vector<std::uint32_t> found;          // keys that it has
  std::vector<std::pair<std::uint32_t, std::uint32_t>> shared;  // pairs with their keys
};

// The weight of pair v; a bare key weighs 1.
double weight(const Cells& cells, std::uint32_t v, std::string& problem) {
  const Cells& weights = *cells.seconds;
  const std::uint32_t at = weights.begin_of(v);
  if (at == weights.ends[v]) return 1;
  double value = 0;
  if (weights.form == Form::text) {
    const Text& text = weights.texts[at];
    if (!parse_number(text.data, text.size, value)) problem = quoted(text) + " is not a number";
    return value;
  }
  if (const std::string* const broken = problem_of(weights, at)) {
    problem = *broken;
    return value;
  }
  value = weights.form == Form::integer ? static_cast<double>(weights.integers[at]) : weights.numbers[at];
  if (!std::isfinite(value)) problem = shown(value) + " is not a finite number";
  return value;
}

class Dot final : public Operation {
 public:
  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("a dot product needs two inputs");
  }

  struct Space final : Scratch {
    KnownQuery query;
    KnownDocument document;
  };
  std::unique_ptr<Scratch> scratch() const override { return std::make_unique<Space>(); }

  // Sums in the order of the query's pairs, whichever side is known: the results are the same to the bit.
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
    Space& space = *static_cast<Space*>(scratch);
    space.query.element = space.document.element = ~0U;
    for (std::size_t e = 0; e < elements; ++e) {
      if ((spoiled.empty() || spoiled[e] == 0) && !in[0].missing(e) && !in[1].missing(e)) {
        const std::uint32_t query = in[0].element(e);
        const bool again = query == space.query.element || (e + 1 < elements && in[0].element(e + 1) == query);
        again ? with_query(in, e, space.query, out) : with_document(in, e, space.document, out);
      }
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  static void with_document(const std::vector<Operand>& in, std::size_t e, KnownDocument& known, Cells& out) {
    const Cells &query = *in[0].cells, &document = *in[1].cells;
    if (known.element != in[1].element(e)) {
      known.element = in[1].element(e);
      known.problem.clear();
      known.sums.clear();
      known.keys.start(in[1].end(e) - in[1].begin(e));
      for (std::uint32_t v = in[1].begin(e); v < in[1].end(e) && known.problem.empty(); ++v) {
        const std::uint32_t key = known.keys.add(document.texts[v]);
        if (key == known.sums.size()) known.sums.push_back(0);
        known.sums[key] += weight(document, v, known.problem);
      }
    }
    if (!known.problem.empty()) return fail(out, e, 1, known.problem);
    std::string problem;
    double total = 0;
    for (std::uint32_t v = in[0].begin(e); v < in[0].end(e); ++v) {
      const double value = weight(query, v, problem);
      if (!problem.empty()) return fail(out, e, 0, std::move(problem));
      const std::uint32_t key = known.keys.find(query.texts[v]);
      if (key != KeyTable::none) total += value * known.sums[key];
    }
    out.numbers.push(total);
  }

  static void take_apart(const Operand& query, std::size_t e, KnownQuery& known) {
    const std::uint32_t begin = query.begin(e), size = query.end(e) - begin;
    known.element = query.element(e);
    known.problem.clear();
    known.weights.clear();
    known.firsts.clear();
    known.nexts.assign(size, KeyTable::none);
    known.keys.start(size);
    for (std::uint32_t i = 0; i < size && known.problem.empty(); ++i)
      known.weights.push_back(weight(*query.cells, begin + i, known.problem));
    for (std::uint32_t i = 0; i < size; ++i) {
      const std::uint32_t key = known.keys.add(query.cells->texts[begin + i]);
      if (key == known.firsts.size()) {
        known.firsts.push_back(i);
      } else {
        known.nexts[i] = known.firsts[key];
        known.firsts[key] = i;
      }
    }
    known.sums.assign(known.keys.size(), 0);
    known.met.assign(known.keys.size(), 0);
  }

  // A long query - a user's - beside many documents: only what a document shares with it is looked at.
  static void with_query(const std::vector<Operand>& in, std::size_t e, KnownQuery& known, Cells& out) {
    if (known.element != in[0].element(e)) take_apart(in[0], e, known);
    if (!known.problem.empty()) return fail(out, e, 0, known.problem);
    std::string problem;
    known.found.clear();
    for (std::uint32_t v = in[1].begin(e); v < in[1].end(e) && problem.empty(); ++v) {
      const double value = weight(*in[1].cells, v, problem);
      const std::uint32_t key = known.keys.find(in[1].cells->texts[v]);
      if (key == KeyTable::none) continue;
      if (known.met[key] == 0) known.found.push_back(key);
      known.met[key] = 1;
      known.sums[key] += value;
    }
    known.shared.clear();
    for (const std::uint32_t key : known.found) {
      for (std::uint32_t i = known.firsts[key]; i != KeyTable::none; i = known.nexts[i])
        known.shared.push_back({i, key});
    }
    std::sort(known.shared.begin(), known.shared.end());
    double total = 0;
    for (const auto& [i, key] : known.shared) total += known.weights[i] * known.sums[key];
    for (const std::uint32_t key : known.found) known.sums[key] = known.met[key] = 0;
    if (!problem.empty()) return fail(out, e, 1, std::move(problem));
    out.numbers.push(total);
  }
};

}  // namespace

std::unique_ptr<Operation> make_dot(const Parameters&) { return std::make_unique<Dot>(); }

}  // namespace fg
