// `bm25`: how well a title answers a query, by the rarity of the words that they share.
#include <algorithm>

#include "../vocabulary.h"
#include "../word_numbers.h"
#include "operations.h"

namespace fg {
namespace {

struct Bm25Scratch final : Operation::Scratch {
  WordNumbers words;
  Slab<std::uint32_t> query, title;    // numbers of the operands' words
  Slab<double> weights;                // by word
  Slab<std::uint32_t> counted, times;  // by word: 1 + the title that was counted last and holds it; how often it does
};

class Bm25 final : public Operation {
 public:
  explicit Bm25(const Parameters& parameters)
      : weights_(parameters.numbers("weights")),
        unknown_(parameters.number("unknown")),
        k1_(parameters.number("k1")),
        b_(parameters.number("b")),
        avg_length_(parameters.number("avg_length")),
        words_(parameters.texts("words"), count_up(weights_.size())) {}

  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("bm25 needs a query and a title");
  }

  std::unique_ptr<Scratch> scratch() const override { return std::make_unique<Bm25Scratch>(); }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch* memory, Cells& out) const override {
    auto& scratch = static_cast<Bm25Scratch&>(*memory);
    for (std::uint16_t k = 0; k < 2; ++k) to_text(*in[k].cells, k);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    scratch.words.clear(in[0].cells->values() + in[1].cells->values());
    scratch.words.number_all(*in[0].cells, scratch.query);
    weigh(scratch);  // the query's words have the lowest numbers
    scratch.words.number_all(*in[1].cells, scratch.title);
    scratch.counted.resize(scratch.words.size());
    scratch.times.resize(scratch.words.size());
    std::fill_n(scratch.counted.data(), scratch.words.size(), 0U);
    std::uint32_t last = 0;
    out.form = Form::number;
    for (std::size_t e = 0; e < elements; ++e) {
      const bool good = spoiled.empty() || spoiled[e] == 0;
      if (good && !in[0].missing(e) && !in[1].missing(e)) {
        const std::uint32_t stamp = in[1].element(e) + 1;
        if (stamp != last) count(in[1], e, stamp, scratch);
        last = stamp;
        out.numbers.push(score(in, e, stamp, scratch));
      }
      close_element(out);
    }
  }

 private:
  static std::vector<std::int64_t> count_up(std::size_t n) {
    std::vector<std::int64_t> numbers(n);
    for (std::size_t i = 0; i < n; ++i) numbers[i] = static_cast<std::int64_t>(i);
    return numbers;
  }

  void weigh(Bm25Scratch& scratch) const {
    scratch.weights.resize(scratch.words.size());
    for (std::uint32_t i = 0; i < scratch.words.size(); ++i) {
      const std::int64_t known = words_.find(scratch.words.word(i), -1);
      scratch.weights[i] = known < 0 ? unknown_ : weights_[static_cast<std::size_t>(known)];
    }
  }

  static void count(const Operand& title, std::size_t e, std::uint32_t stamp, Bm25Scratch& scratch) {
    for (std::uint32_t i = title.begin(e); i < title.end(e); ++i) {
      const std::uint32_t word = scratch.title[i];
      if (scratch.counted[word] != stamp) scratch.times[word] = 0;
      scratch.counted[word] = stamp;
      ++scratch.times[word];
    }
  }

  double score(const std::vector<Operand>& in, std::size_t e, std::uint32_t stamp, const Bm25Scratch& scratch) const {
    const double length = in[1].end(e) - in[1].begin(e);
    const double damping = k1_ * (1.0 - b_ + b_ * length / avg_length_);
    double sum = 0;
    for (std::uint32_t i = in[0].begin(e); i < in[0].end(e); ++i) {
      const std::uint32_t word = scratch.query[i];
      if (scratch.counted[word] != stamp) continue;
      const double times = scratch.times[word];
      sum += scratch.weights[word] * times * (k1_ + 1.0) / (times + damping);
    }
    return sum;
  }

  std::vector<double> weights_;
  double unknown_, k1_, b_, avg_length_;
  Vocabulary words_;
};

}  // namespace

std::unique_ptr<Operation> make_bm25(const Parameters& parameters) { return std::make_unique<Bm25>(parameters); }

}  // namespace fg
