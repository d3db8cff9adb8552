// `match`: what a map of maps holds for two keys.
#include <algorithm>
#include <cmath>

#include "../number_text.h"
#include "../pairs.h"
#include "operations.h"

namespace fg {
namespace {

class Match final : public Operation {
 public:
  explicit Match(const Parameters& parameters)
      : words_(parameters.flag("words")),
        all_(parameters.flag("all")),
        any_first_(parameters.flag("any_pkey")),
        any_second_(parameters.flag("any_skey")),
        show_first_(parameters.flag("show_pkey")),
        show_second_(parameters.flag("show_skey")),
        prefix_(parameters.text("prefix")) {}

  void check(std::size_t inputs) const override {
    if (inputs != std::size_t{1} + !any_first_ + !any_second_)
      throw std::invalid_argument("a match needs a map and the keys that are no wildcards");
  }

  struct Space final : Scratch {
    PairFinder outer{'|', '^', ','}, inner{',', ':'};
  };
  std::unique_ptr<Scratch> scratch() const override { return std::make_unique<Space>(); }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch* scratch, Cells& out) const override {
    Space& space = *static_cast<Space*>(scratch);
    for (std::size_t i = 0; i < in.size(); ++i) to_text(*in[i].cells, static_cast<std::uint16_t>(i));
    const Cells& map = *in[0].cells;
    if (map.paired) {
      to_text(*map.seconds, 0);
      if (words_ && map.seconds->paired) to_text(*map.seconds->seconds, 0);
    }
    out.form = words_ ? Form::text : Form::number;
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    std::uint32_t known = ~0U;
    for (std::size_t e = 0; e < elements; ++e) {
      if ((spoiled.empty() || spoiled[e] == 0) && !in[0].missing(e)) {
        const std::uint32_t element = in[0].element(e);
        if (element != known) {
          space.outer.look_into(map, element, e + 1 < elements && in[0].element(e + 1) == element);
          known = element;
        }
        one(in, e, map, space, out);
      }
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  // The hits of element e: by first key, then by second.
  void one(const std::vector<Operand>& in, std::size_t e, const Cells& map, Space& space, Cells& out) const {
    const std::size_t before = out.values();
    std::string problem;
    const auto hit = [&](const Text& first, const Text& second, const Cells* values, const Second& found) {
      if (!problem.empty() || (!all_ && out.values() != before)) return;
      if (words_) {
        const std::uint32_t v = values == nullptr ? 0 : values->begin_of(found.at);
        const std::string* const broken = values == nullptr ? nullptr : problem_of(*values, v);
        if (broken != nullptr) problem = "a value behind the keys: " + *broken;
        push(first, second, values == nullptr ? found.text : values->texts[v], out);
      } else {
        double value = 0;
        read(values, found, value, problem);
        out.numbers.push(value);
      }
    };
    const auto within = [&](const Text& first, const Second& rest) {
      const Cells* values = nullptr;  // of maps of maps: what belongs to the second keys
      if (!map.paired) {
        space.inner.look_into(rest.text);
      } else {
        space.inner.look_into(*map.seconds, rest.at, false);
        if (map.seconds->paired) values = map.seconds->seconds.get();
      }
      if (any_second_) {
        space.inner.each([&](const Text& key, const Second& found) {
          if (values == nullptr || key.size != 0) hit(first, key, values, found);  // a number that has no text
        });
        return;
      }
      const Operand& keys = in[any_first_ ? 1 : 2];
      for (std::uint32_t k = keys.begin(e); k < keys.end(e); ++k) {
        Second found;
        if (space.inner.find(keys.cells->texts[k], found)) hit(first, keys.cells->texts[k], values, found);
      }
    };
    if (any_first_) {
      space.outer.each(within);
    } else {
      const Operand& keys = in[1];
      for (std::uint32_t k = keys.begin(e); k < keys.end(e); ++k) {
        Second rest;
        if (space.outer.find(keys.cells->texts[k], rest)) within(keys.cells->texts[k], rest);
      }
    }
    if (problem.empty()) return;
    out.numbers.set_size(words_ ? 0 : before);
    if (words_) out.texts.set_size(before);
    fail(out, e, 0, std::move(problem));
  }

  void push(const Text& first, const Text& second, const Text& value, Cells& out) const {
    if (!show_first_ && !show_second_ && prefix_.empty()) return out.texts.push(value);
    char* const room = out.arena.room(prefix_.size() + first.size + second.size + value.size + 2);
    char* p = room;
    const auto put = [&p](const Text& text) {
      std::memcpy(p, text.data, text.size);
      p += text.size;
    };
    put({prefix_.data(), prefix_.size()});
    if (show_first_) {
      put(first);
      *p++ = '_';
    }
    if (show_second_) {
      put(second);
      *p++ = '_';
    }
    put(value);
    out.arena.keep(static_cast<std::size_t>(p - room));
    out.texts.push({room, static_cast<std::size_t>(p - room)});
  }

  static void read(const Cells* values, const Second& found, double& value, std::string& problem) {
    if (values != nullptr && values->form != Form::text) {
      const std::uint32_t v = values->begin_of(found.at);
      if (const std::string* const broken = problem_of(*values, v)) {
        problem = *broken;
        return;
      }
      value = values->form == Form::integer ? static_cast<double>(values->integers[v]) : values->numbers[v];
      if (!std::isfinite(value)) problem = shown(value) + " is not a finite number";
      return;
    }
    const Text text = values == nullptr ? found.text : values->texts[values->begin_of(found.at)];
    if (!parse_number(text.data, text.size, value)) problem = quoted(text) + " is not a number";
  }

  bool words_, all_, any_first_, any_second_, show_first_, show_second_;
  std::string prefix_;  // of every word
};

}  // namespace

std::unique_ptr<Operation> make_match(const Parameters& parameters) { return std::make_unique<Match>(parameters); }

}  // namespace fg
