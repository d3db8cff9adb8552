// `lookup`: what a map holds for one or more keys, combined into numbers or kept as words.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../number_text.h"
#include "../pairs.h"
#include "operations.h"

namespace fg {
namespace {

enum class Combiner : std::uint8_t { none, sum, mean, min, max, count };

Combiner combiner_of(const std::string& name) {
  if (name.empty()) return Combiner::none;
  if (name == "sum") return Combiner::sum;
  if (name == "mean") return Combiner::mean;
  if (name == "min") return Combiner::min;
  if (name == "max") return Combiner::max;
  if (name == "count") return Combiner::count;
  throw std::invalid_argument("unknown combiner '" + name + "'");
}

class Lookup final : public Operation {
 public:
  explicit Lookup(const Parameters& parameters)
      : combiner_(combiner_of(parameters.text("combiner"))),
        words_(parameters.flag("words")),
        all_(parameters.flag("all")),
        with_key_(parameters.flag("need_key")),
        dim_(static_cast<std::size_t>(parameters.integer("value_dim"))),
        separator_(parameters.text("separator").at(0)),
        inner_(parameters.text("value_separator").at(0)) {}

  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("a lookup needs a map and a key");
  }

  struct Space final : Scratch {
    Space(char separator, int inner) : finder(separator, ':', inner, true) {}
    PairFinder finder;
    std::vector<double> vector, total;
  };
  std::unique_ptr<Scratch> scratch() const override {
    return std::make_unique<Space>(separator_, dim_ > 1 ? static_cast<unsigned char>(inner_) : PairFinder::whole);
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch* scratch, Cells& out) const override {
    Space& space = *static_cast<Space*>(scratch);
    Cells &map = *in[0].cells, &keys = *in[1].cells;
    to_text(map, 0);
    to_text(keys, 1);
    if (words_ && map.paired) to_text(*map.seconds, 0);
    out.form = words_ ? Form::text : Form::number;
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    std::uint32_t known = ~0U;  // the element of the map that the finder looks into
    for (std::size_t e = 0; e < elements; ++e) {
      if ((spoiled.empty() || spoiled[e] == 0) && !in[0].missing(e)) {
        const std::uint32_t element = in[0].element(e);
        if (element != known) {
          const std::uint32_t next = e + 1 < elements ? in[0].element(e + 1) : ~0U;
          space.finder.look_into(map, element, next == element || in[1].end(e) - in[1].begin(e) > 4);
          known = element;
        }
        words_ ? find_words(in[1], e, map, space, out) : find_numbers(in[1], e, map, space, out);
      }
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  // Every value that was found, as it stands.
  void find_words(const Operand& key, std::size_t e, const Cells& map, Space& space, Cells& out) const {
    const std::size_t before = out.texts.size();
    for (std::uint32_t k = key.begin(e); k < key.end(e); ++k) {
      Second second;
      const Text& name = key.cells->texts[k];
      if (!space.finder.find(name, second)) continue;
      if (!map.paired) {
        push(name, second.text, out);
        continue;
      }
      const Cells& values = *map.seconds;
      for (std::uint32_t v = values.begin_of(second.at); v < values.ends[second.at]; ++v) {
        if (const std::string* const problem = problem_of(values, v)) {
          out.texts.set_size(before);
          return fail(out, e, 0, "a value behind a key: " + *problem);
        }
        push(name, values.texts[v], out);
      }
    }
  }

  void push(const Text& key, const Text& value, Cells& out) const {
    if (!with_key_) return out.texts.push(value);
    char* const room = out.arena.room(key.size + value.size + 1);
    std::memcpy(room, key.data, key.size);
    room[key.size] = '_';
    std::memcpy(room + key.size + 1, value.data, value.size);
    out.arena.keep(key.size + value.size + 1);
    out.texts.push({room, key.size + value.size + 1});
  }

  void find_numbers(const Operand& key, std::size_t e, const Cells& map, Space& space, Cells& out) const {
    std::size_t found = 0;
    const std::size_t before = out.numbers.size();
    for (std::uint32_t k = key.begin(e); k < key.end(e); ++k) {
      Second second;
      if (!space.finder.find(key.cells->texts[k], second)) continue;
      std::string problem;
      if (combiner_ != Combiner::count && !read(second, map, space.vector, problem)) {
        out.numbers.set_size(before);
        return fail(out, e, 0, std::move(problem));
      }
      ++found;
      if (combiner_ == Combiner::none) {
        if (all_ || found == 1) out.numbers.append(space.vector.data(), space.vector.size());
      } else if (combiner_ != Combiner::count) {
        combine(space.vector, space.total, found == 1);
      }
    }
    if (found == 0 || combiner_ == Combiner::none) return;
    if (combiner_ == Combiner::count) return out.numbers.push(static_cast<double>(found));
    for (const double total : space.total)
      out.numbers.push(combiner_ == Combiner::mean ? total / static_cast<double>(found) : total);
  }

  void combine(const std::vector<double>& vector, std::vector<double>& total, bool first) const {
    if (first) {
      total = vector;
      return;
    }
    for (std::size_t i = 0; i < total.size(); ++i) {
      if (combiner_ == Combiner::min) {
        total[i] = std::min(total[i], vector[i]);
      } else if (combiner_ == Combiner::max) {
        total[i] = std::max(total[i], vector[i]);
      } else {
        total[i] += vector[i];
      }
    }
  }

  // The numbers of a value: one, or `value_dim` of them.
  bool read(const Second& second, const Cells& map, std::vector<double>& vector, std::string& problem) const {
    vector.clear();
    if (!map.paired) {
      if (dim_ <= 1) {
        vector.resize(1);
        return parse(second.text, vector[0], problem);
      }
      const char *p = second.text.data, *const end = p + second.text.size;
      while (p < end) {
        const auto* cut = static_cast<const char*>(std::memchr(p, inner_, static_cast<std::size_t>(end - p)));
        const char* const stop = cut != nullptr ? cut : end;
        if (stop != p) {
          vector.push_back(0);
          if (!parse({p, static_cast<std::size_t>(stop - p)}, vector.back(), problem)) return false;
        }
        p = stop + 1;
      }
    } else {
      const Cells& values = *map.seconds;
      for (std::uint32_t v = values.begin_of(second.at); v < values.ends[second.at]; ++v) {
        vector.push_back(0);
        if (!number(values, v, vector.back(), problem)) return false;
      }
    }
    if (vector.size() == dim_) return true;
    problem = "has " + std::to_string(vector.size()) + " values behind a key, but value_dim is " + std::to_string(dim_);
    return false;
  }

  static bool parse(const Text& text, double& value, std::string& problem) {
    if (parse_number(text.data, text.size, value)) return true;
    problem = quoted(text) + " is not a number";
    return false;
  }

  static bool number(const Cells& values, std::uint32_t v, double& value, std::string& problem) {
    if (values.form == Form::text) return parse(values.texts[v], value, problem);
    if (const std::string* const broken = problem_of(values, v)) {
      problem = *broken;
      return false;
    }
    value = values.form == Form::integer ? static_cast<double>(values.integers[v]) : values.numbers[v];
    if (std::isfinite(value)) return true;
    problem = shown(value) + " is not a finite number";
    return false;
  }

  Combiner combiner_;
  bool words_, all_, with_key_;
  std::size_t dim_;
  char separator_, inner_;
};

}  // namespace

std::unique_ptr<Operation> make_lookup(const Parameters& parameters) { return std::make_unique<Lookup>(parameters); }

}  // namespace fg
