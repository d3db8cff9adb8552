#include "product.h"

#include <algorithm>

namespace fg {
namespace {

char* put(char* out, const Text& text) noexcept {
  std::memcpy(out, text.data, text.size);
  return out + text.size;
}

// Every input has exactly one value an element: one joined text each.
void join_singles(Cells* const* inputs, std::size_t count, Cells& out) {
  const std::size_t n = inputs[0]->elements();
  std::size_t bytes = n * count;
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t e = 0; e < n; ++e) bytes += inputs[k]->texts[e].size;
  }
  char* p = out.arena.room(bytes);
  char* const start = p;
  out.texts.resize(n);
  out.ends.resize(n);
  for (std::size_t e = 0; e < n; ++e) {
    char* const begin = p;
    p = put(p, inputs[0]->texts[e]);
    for (std::size_t k = 1; k < count; ++k) {
      *p++ = '_';
      p = put(p, inputs[k]->texts[e]);
    }
    out.texts[e] = {begin, static_cast<std::size_t>(p - begin)};
    out.ends[e] = static_cast<std::uint32_t>(e + 1);
  }
  out.arena.keep(static_cast<std::size_t>(p - start));
}

}  // namespace

void product(Cells* const* inputs, std::size_t count, bool first_only, Cells& out) {
  out.clear();
  const std::size_t n = inputs[0]->elements();
  bool single = true, broken = false;
  for (std::size_t k = 0; k < count; ++k) {
    single = single && inputs[k]->single();
    broken = broken || !inputs[k]->broken.empty() || !inputs[k]->faults.empty();
  }
  if (single && !broken) return join_singles(inputs, count, out);

  std::vector<bool> missing(n, false);
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t i = 0; i < inputs[k]->broken.size(); ++i)
      missing[element_of(*inputs[k], inputs[k]->broken[i])] = true;
    for (const Fault& fault : inputs[k]->faults)
      out.faults.push_back({element_of(*inputs[k], fault), false, fault.input, fault.reason});
  }
  std::stable_sort(out.faults.begin(), out.faults.end(), [](const Fault& a, const Fault& b) { return a.at < b.at; });
  std::vector<std::uint32_t> at(count), begin(count), end(count);
  for (std::size_t e = 0; e < n; ++e) {
    bool any = !missing[e];
    for (std::size_t k = 0; k < count; ++k) {
      begin[k] = at[k] = inputs[k]->begin_of(e);
      end[k] = inputs[k]->ends[e];
      any = any && begin[k] != end[k];
    }
    while (any) {
      std::size_t bytes = count;
      for (std::size_t k = 0; k < count; ++k) bytes += inputs[k]->texts[at[k]].size;
      char* const room = out.arena.room(bytes);
      char* p = put(room, inputs[0]->texts[at[0]]);
      for (std::size_t k = 1; k < count; ++k) {
        *p++ = '_';
        p = put(p, inputs[k]->texts[at[k]]);
      }
      out.texts.push({room, static_cast<std::size_t>(p - room)});
      out.arena.keep(static_cast<std::size_t>(p - room));
      if (first_only) break;
      std::size_t k = count;
      while (k-- > 0) {  // count up, the last input fastest
        if (++at[k] != end[k]) break;
        at[k] = begin[k];
        if (k == 0) any = false;
      }
    }
    out.ends.push(static_cast<std::uint32_t>(out.texts.size()));
  }
}

}  // namespace fg
