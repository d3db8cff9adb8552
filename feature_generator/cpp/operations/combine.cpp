// `combine`: several numbers, or words that stand for numbers, as one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../number_text.h"
#include "../vocabulary.h"
#include "operations.h"

namespace fg {
namespace {

enum class How : std::uint8_t { sum, mean, min, max, count, gap_min, gap_max };

How how_of(const std::string& name) {
  static const std::pair<const char*, How> known[] = {
      {"sum", How::sum},     {"mean", How::mean},       {"min", How::min},        {"max", How::max},
      {"count", How::count}, {"gap_min", How::gap_min}, {"gap_max", How::gap_max}};
  for (const auto& [known_name, how] : known) {
    if (name == known_name) return how;
  }
  throw std::invalid_argument("unknown combiner '" + name + "'");
}

class Combine final : public Operation {
 public:
  explicit Combine(const Parameters& parameters)
      : how_(how_of(parameters.text("combiner"))), whole_(parameters.flag("whole")), mapped_(parameters.has("words")) {
    if (!mapped_) return;
    const auto& words = parameters.texts("words");
    std::vector<std::int64_t> places(words.size());
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
    words_ = Vocabulary(words, places);
    numbers_ = parameters.numbers("numbers");
    if (numbers_.size() != words.size()) throw std::invalid_argument("every word has one number");
  }

  void check(std::size_t inputs) const override {
    if (inputs != 1) throw std::invalid_argument("a combination has one input");
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    Cells& cells = *in[0].cells;
    mapped_ ? to_text(cells, 0) : to_numbers(cells, 0);
    out.form = whole_ ? Form::integer : Form::number;
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    std::vector<double> values;
    for (std::size_t e = 0; e < elements; ++e) {
      values.clear();
      for (std::uint32_t v = in[0].begin(e); v < in[0].end(e) && (spoiled.empty() || spoiled[e] == 0); ++v) {
        if (!mapped_) {
          values.push_back(cells.numbers[v]);
        } else if (const std::int64_t at = words_.find(cells.texts[v], -1); at >= 0) {
          values.push_back(numbers_[static_cast<std::size_t>(at)]);
        }
      }
      if (!values.empty()) push(values, e, out);
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  void push(const std::vector<double>& values, std::size_t e, Cells& out) const {
    const double value = combined(values);
    if (!whole_) {
      out.numbers.push(value);
    } else if (std::fabs(value) < 9223372036854775808.0) {
      out.integers.push(static_cast<std::int64_t>(value));  // towards zero
    } else {
      fail(out, e, 0, shown(value) + " has more than 64 bits");
    }
  }

  double combined(const std::vector<double>& values) const {
    const auto n = static_cast<double>(values.size());
    switch (how_) {
      case How::count: return n;
      case How::min: return *std::min_element(values.begin(), values.end());
      case How::max: return *std::max_element(values.begin(), values.end());
      case How::gap_min:
      case How::gap_max: return gap(values);
      default: break;
    }
    double sum = values[0];
    for (std::size_t i = 1; i < values.size(); ++i) sum += values[i];
    return how_ == How::mean ? sum / n : sum;
  }

  // The least or greatest distance of neighbours as they stand; 0 for a single value.
  double gap(const std::vector<double>& values) const {
    double found = values.size() < 2 ? 0 : std::fabs(values[1] - values[0]);
    for (std::size_t i = 2; i < values.size(); ++i) {
      const double distance = std::fabs(values[i] - values[i - 1]);
      found = how_ == How::gap_min ? std::min(found, distance) : std::max(found, distance);
    }
    return found;
  }

  How how_;
  bool whole_, mapped_;
  Vocabulary words_{{}, {}};
  std::vector<double> numbers_;
};

}  // namespace

std::unique_ptr<Operation> make_combine(const Parameters& parameters) { return std::make_unique<Combine>(parameters); }

}  // namespace fg
