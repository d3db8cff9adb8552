// `slice`: some of the values of an element, picked by their place as Python's slices do.
#include <algorithm>
#include <limits>

#include "operations.h"

namespace fg {
namespace {

class Slice final : public Operation {
 public:
  explicit Slice(const Parameters& parameters) : step_(parameters.integer("step")) {
    if (step_ == 0) throw std::invalid_argument("the step of a slice must not be 0");
    from_start_ = !parameters.has("start");
    to_end_ = !parameters.has("end");
    if (!from_start_) start_ = parameters.integer("start");
    if (!to_end_) end_ = parameters.integer("end");
  }

  void check(std::size_t inputs) const override {
    if (inputs != 1) throw std::invalid_argument("a slice has one input");
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    const Cells& cells = *in[0].cells;
    out.clear_like(cells);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    for (std::size_t e = 0; e < elements; ++e) {
      const std::uint32_t begin = in[0].begin(e);
      const auto n = static_cast<std::int64_t>(in[0].end(e) - begin);
      if (spoiled.empty() || spoiled[e] == 0) {
        const auto [first, last] = range(n);
        for (std::int64_t i = first; step_ > 0 ? i < last : i > last; i += step_) {
          const std::uint32_t v = begin + static_cast<std::uint32_t>(i);
          copy_values(cells, v, v + 1, out);
        }
      }
      close_element(out);
    }
  }

 private:
  // Where a slice of n values begins and ends: negative places count from the end, and both are cut to what is there.
  std::pair<std::int64_t, std::int64_t> range(std::int64_t n) const noexcept {
    const std::int64_t low = step_ > 0 ? 0 : -1, high = step_ > 0 ? n : n - 1;
    const auto place = [&](std::int64_t at) { return std::clamp(at < 0 ? std::max(at + n, low) : at, low, high); };
    return {from_start_ ? (step_ > 0 ? low : high) : place(start_), to_end_ ? (step_ > 0 ? high : low) : place(end_)};
  }

  std::int64_t start_ = 0, end_ = 0, step_;
  bool from_start_ = true, to_end_ = true;
};

}  // namespace

std::unique_ptr<Operation> make_slice(const Parameters& parameters) { return std::make_unique<Slice>(parameters); }

}  // namespace fg
