// `combo`: the cross of several inputs, all combinations of their values joined by "_", the first input slowest.
#include <algorithm>

#include "operations.h"

namespace fg {
namespace {

char* put(char* out, const Text& text) noexcept {
  std::memcpy(out, text.data, text.size);
  return out + text.size;
}

// Every input has exactly one value an element: one joined text each.
void join_singles(const std::vector<Operand>& in, std::size_t elements, Cells& out) {
  std::size_t bytes = elements * in.size();
  for (const Operand& operand : in) {
    for (std::size_t e = 0; e < elements; ++e) bytes += operand.cells->texts[operand.element(e)].size;
  }
  char* p = out.arena.room(bytes);
  char* const start = p;
  out.texts.resize(elements);
  out.ends.resize(elements);
  for (std::size_t e = 0; e < elements; ++e) {
    char* const begin = p;
    p = put(p, in[0].cells->texts[in[0].element(e)]);
    for (std::size_t k = 1; k < in.size(); ++k) {
      *p++ = '_';
      p = put(p, in[k].cells->texts[in[k].element(e)]);
    }
    out.texts[e] = {begin, static_cast<std::size_t>(p - begin)};
    out.ends[e] = static_cast<std::uint32_t>(e + 1);
  }
  out.arena.keep(static_cast<std::size_t>(p - start));
}

constexpr std::uint64_t most = 65536;  // combinations of an element: a row of long lists must not take all memory

class Product final : public Operation {
 public:
  explicit Product(bool first_only) : first_only_(first_only) {}

  void check(std::size_t inputs) const override {
    if (inputs < 1) throw std::invalid_argument("a cross needs inputs");
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    bool single = true, broken = false;
    for (std::size_t k = 0; k < in.size(); ++k) {
      to_text(*in[k].cells, static_cast<std::uint16_t>(k));
      single = single && in[k].cells->single();
      broken = broken || !in[k].cells->broken.empty() || !in[k].cells->faults.empty();
    }
    if (single && !broken) return join_singles(in, elements, out);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    const std::size_t count = in.size();
    std::vector<std::uint32_t> at(count), begin(count), end(count);
    for (std::size_t e = 0; e < elements; ++e) {
      bool any = spoiled.empty() || spoiled[e] == 0;
      std::uint64_t crossed = first_only_ ? 0 : 1;
      for (std::size_t k = 0; k < count; ++k) {
        begin[k] = at[k] = in[k].begin(e);
        end[k] = in[k].end(e);
        any = any && begin[k] != end[k];
        crossed = std::min<std::uint64_t>(crossed * (end[k] - begin[k]), std::uint64_t{1} << 31);
      }
      if (any && crossed > most) {
        any = false;
        fail(out, e, 0, "crosses more than " + std::to_string(most) + " combinations of values");
      }
      while (any) {
        join(in, at, out);
        if (first_only_) break;
        std::size_t k = count;
        while (k-- > 0) {  // count up, the last input fastest
          if (++at[k] != end[k]) break;
          at[k] = begin[k];
          if (k == 0) any = false;
        }
      }
      out.ends.push(static_cast<std::uint32_t>(out.texts.size()));
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  static void join(const std::vector<Operand>& in, const std::vector<std::uint32_t>& at, Cells& out) {
    std::size_t bytes = in.size();
    for (std::size_t k = 0; k < in.size(); ++k) bytes += in[k].cells->texts[at[k]].size;
    char* const room = out.arena.room(bytes);
    char* p = put(room, in[0].cells->texts[at[0]]);
    for (std::size_t k = 1; k < in.size(); ++k) {
      *p++ = '_';
      p = put(p, in[k].cells->texts[at[k]]);
    }
    out.texts.push({room, static_cast<std::size_t>(p - room)});
    out.arena.keep(static_cast<std::size_t>(p - room));
  }

  bool first_only_;
};

}  // namespace

std::unique_ptr<Operation> make_product(const Parameters& parameters) {
  return std::make_unique<Product>(parameters.has("first_only") && parameters.flag("first_only"));
}

}  // namespace fg
