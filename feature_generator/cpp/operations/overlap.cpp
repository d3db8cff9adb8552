// `overlap`: how much the words of a query and of a title have in common.
#include <algorithm>

#include "../hash.h"
#include "../word_numbers.h"
#include "operations.h"

namespace fg {
namespace {

// The words of one element, as numbers.
struct Words {
  const std::uint32_t* first;
  std::size_t count;

  std::uint32_t operator[](std::size_t i) const noexcept { return first[i]; }
};

// An operand's words. Its words are numbered once, however many elements it stands beside.
struct Side {
  const Operand* operand = nullptr;
  Slab<std::uint32_t> numbers;
  Slab<std::uint32_t> marks;  // by word: 1 + the element that was marked last and holds it
  Slab<std::uint32_t> index;  // by word of that element: which of its distinct words it is
  std::uint32_t marked = 0;   // 1 + that element
  std::uint32_t distinct = 0;

  Words words(std::size_t e) const noexcept {
    const std::uint32_t begin = operand->begin(e);
    return {numbers.data() + begin, operand->end(e) - begin};
  }
  void prepare(std::size_t words) {
    marks.resize(words);
    index.resize(words);
    std::fill_n(marks.data(), words, 0U);
    marked = 0;
  }
  // Makes the words beside `e` the set that `holds` asks. True where they were another set before.
  bool mark(std::size_t e) noexcept {
    const std::uint32_t stamp = operand->element(e) + 1;
    if (stamp == marked) return false;
    marked = stamp;
    distinct = 0;
    const Words all = words(e);
    for (std::size_t i = 0; i < all.count; ++i) {
      if (marks[all[i]] == stamp) continue;
      marks[all[i]] = stamp;
      index[all[i]] = distinct++;
    }
    return true;
  }
  bool holds(std::uint32_t word) const noexcept { return marks[word] == marked; }
};

// Few words, compared with each other by their hashes, and by their bytes where those are the same.
constexpr std::uint32_t few = 32;

struct Hashed {
  const Text* words;
  const std::uint64_t* hashes;
  std::uint32_t count;

  bool same(std::uint32_t i, const Hashed& other, std::uint32_t k) const noexcept {
    return hashes[i] == other.hashes[k] && words[i].size == other.words[k].size &&
           std::memcmp(words[i].data, other.words[k].data, words[i].size) == 0;
  }
  // Whether any of the first `most` words of `other` is word i.
  bool in(std::uint32_t i, const Hashed& other, std::uint32_t most) const noexcept {
    bool maybe = false;
    for (std::uint32_t k = 0; k < most; ++k) maybe |= hashes[i] == other.hashes[k];
    if (!maybe) return false;
    for (std::uint32_t k = 0; k < most; ++k) {
      if (same(i, other, k)) return true;
    }
    return false;
  }
};

// The share of the distinct words of `of` that `in` has too.
double ratio(const Hashed& of, const Hashed& in) noexcept {
  std::uint32_t distinct = 0, common = 0;
  for (std::uint32_t i = 0; i < of.count; ++i) {
    if (of.in(i, of, i)) continue;
    ++distinct;
    common += of.in(i, in, in.count);
  }
  return static_cast<double>(common) / static_cast<double>(distinct);
}

struct OverlapScratch final : Operation::Scratch {
  WordNumbers words;
  Side query, title;
  Slab<std::uint64_t> hashes[2];
  Slab<std::uint32_t> border;         // of the query, for the search
  Slab<std::uint32_t> counts;         // by distinct query word: how often the window holds it
  Slab<std::uint32_t> places, terms;  // the title's words that the query has, and which they are
  Slab<std::uint32_t> gap, done;      // by distinct query word
};

using Scratch = OverlapScratch;

// The share of the distinct words of `of` that `in` has too.
double ratio(Side& of, Side& in, std::size_t e) noexcept {
  in.mark(e);
  of.mark(e);
  const Words words = of.words(e);
  std::uint32_t common = 0, next = 0;
  for (std::size_t i = 0; i < words.count; ++i) {
    if (of.index[words[i]] != next) continue;  // not its first appearance
    ++next;
    common += in.holds(words[i]);
  }
  return static_cast<double>(common) / static_cast<double>(of.distinct);
}

bool equal(const Words& query, const Words& title) noexcept {
  return query.count == title.count && std::equal(query.first, query.first + query.count, title.first);
}

// Where the query begins in the title, all its words in a row; -1: nowhere. Knuth, Morris, Pratt.
std::int64_t find(Scratch& scratch, std::size_t e) {
  const Words query = scratch.query.words(e), title = scratch.title.words(e);
  if (query.count > title.count) return -1;
  Slab<std::uint32_t>& border = scratch.border;  // of each prefix: its longest proper prefix that is its suffix too
  if (scratch.query.mark(e)) {
    border.resize(query.count);
    border[0] = 0;
    for (std::uint32_t i = 1, length = 0; i < query.count; ++i) {
      while (length > 0 && query[i] != query[length]) length = border[length - 1];
      border[i] = length += query[i] == query[length];
    }
  }
  for (std::uint32_t i = 0, length = 0; i < title.count; ++i) {
    while (length > 0 && title[i] != query[length]) length = border[length - 1];
    length += title[i] == query[length];
    if (length == query.count) return static_cast<std::int64_t>(i + 1 - length);
  }
  return -1;
}

// Words of the shortest stretch of the title that holds every word of the query; 0: none does.
std::size_t min_cover(Scratch& scratch, std::size_t e) {
  Side& query = scratch.query;
  query.mark(e);
  const Words title = scratch.title.words(e);
  scratch.counts.resize(query.distinct);
  std::fill_n(scratch.counts.data(), query.distinct, 0U);
  std::size_t best = 0, first = 0, held = 0;
  for (std::size_t i = 0; i < title.count; ++i) {
    if (!query.holds(title[i])) continue;
    held += scratch.counts[query.index[title[i]]]++ == 0;
    if (held < query.distinct) continue;
    for (;; ++first) {  // the first word is needed, or goes
      if (!query.holds(title[first])) continue;
      if (scratch.counts[query.index[title[first]]] == 1) break;
      --scratch.counts[query.index[title[first]]];
    }
    if (best == 0 || i + 1 - first < best) best = i + 1 - first;
  }
  return best;
}

struct Distances {
  std::uint32_t least, most;
  double mean;
};

// Over all pairs of distinct query words that the title has: how far apart their nearest appearances are. Where there
// is no pair, one more than the title has words.
Distances distances(Scratch& scratch, std::size_t e) {
  Side& query = scratch.query;
  query.mark(e);
  const Words title = scratch.title.words(e);
  scratch.places.clear();
  scratch.terms.clear();
  for (std::size_t i = 0; i < title.count; ++i) {
    if (!query.holds(title[i])) continue;
    scratch.places.push(static_cast<std::uint32_t>(i));
    scratch.terms.push(query.index[title[i]]);
  }
  const auto none = static_cast<std::uint32_t>(title.count + 1);
  const std::size_t matched = scratch.places.size();
  scratch.done.resize(query.distinct);
  std::fill_n(scratch.done.data(), query.distinct, 0U);
  scratch.gap.resize(query.distinct);
  std::uint64_t sum = 0, pairs = 0;
  Distances result{none, 0, static_cast<double>(none)};
  for (std::size_t a = 0; a < matched; ++a) {
    const std::uint32_t term = scratch.terms[a];
    if (scratch.done[term] != 0) continue;
    scratch.done[term] = 1;
    std::fill_n(scratch.gap.data(), query.distinct, none);  // of every other word to this one
    std::uint32_t here = none;                              // last place of `term`
    for (std::size_t i = 0; i < matched; ++i) {
      const std::uint32_t other = scratch.terms[i], place = scratch.places[i];
      if (other == term) {
        here = place;
        for (std::size_t k = i; k-- > 0 && scratch.terms[k] != term;) {  // back to the place of `term` before
          std::uint32_t& gap = scratch.gap[scratch.terms[k]];
          gap = std::min(gap, place - scratch.places[k]);
        }
      } else if (here != none) {
        scratch.gap[other] = std::min(scratch.gap[other], place - here);
      }
    }
    for (std::size_t k = 0; k < query.distinct; ++k) {
      if (scratch.gap[k] == none || scratch.done[k] != 0) continue;
      result.least = std::min(result.least, scratch.gap[k]);
      result.most = std::max(result.most, scratch.gap[k]);
      sum += scratch.gap[k];
      ++pairs;
    }
  }
  if (pairs == 0) return {none, none, static_cast<double>(none)};
  result.mean = static_cast<double>(sum) / static_cast<double>(pairs);
  return result;
}

using Method = double (*)(Scratch&, std::size_t);

constexpr std::pair<const char*, Method> methods[] = {
    {"query_common_ratio", [](Scratch& s, std::size_t e) { return ratio(s.query, s.title, e); }},
    {"title_common_ratio", [](Scratch& s, std::size_t e) { return ratio(s.title, s.query, e); }},
    {"is_contain", [](Scratch& s, std::size_t e) { return find(s, e) >= 0 ? 1.0 : 0.0; }},
    {"is_equal", [](Scratch& s, std::size_t e) { return equal(s.query.words(e), s.title.words(e)) ? 1.0 : 0.0; }},
    {"index_of", [](Scratch& s, std::size_t e) { return static_cast<double>(find(s, e)); }},
    {"proximity_min_cover", [](Scratch& s, std::size_t e) { return static_cast<double>(min_cover(s, e)); }},
    {"proximity_min_dist", [](Scratch& s, std::size_t e) { return static_cast<double>(distances(s, e).least); }},
    {"proximity_max_dist", [](Scratch& s, std::size_t e) { return static_cast<double>(distances(s, e).most); }},
    {"proximity_avg_dist", [](Scratch& s, std::size_t e) { return distances(s, e).mean; }},
};

class Overlap final : public Operation {
 public:
  explicit Overlap(const std::string& method) {
    for (const auto& [name, function] : methods) {
      if (method == name) method_ = function;
    }
    if (method_ == nullptr) throw std::invalid_argument("there is no method '" + method + "'");
    if (method == "query_common_ratio") share_ = 0;
    if (method == "title_common_ratio") share_ = 1;
  }

  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("an overlap needs a query and a title");
  }

  std::unique_ptr<Operation::Scratch> scratch() const override { return std::make_unique<OverlapScratch>(); }

  void run(const std::vector<Operand>& in, std::size_t elements, Operation::Scratch* memory,
           Cells& out) const override {
    auto& scratch = static_cast<OverlapScratch&>(*memory);
    for (std::uint16_t k = 0; k < 2; ++k) to_text(*in[k].cells, k);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    bool numbered = false;
    for (std::size_t k = 0; k < 2 && share_ >= 0; ++k) hash_all(*in[k].cells, scratch.hashes[k]);
    out.form = Form::number;
    for (std::size_t e = 0; e < elements; ++e) {
      const bool good = spoiled.empty() || spoiled[e] == 0;
      if (good && !in[0].missing(e) && !in[1].missing(e)) {
        if (share_ >= 0 && in[0].end(e) - in[0].begin(e) <= few && in[1].end(e) - in[1].begin(e) <= few) {
          const auto of = static_cast<std::size_t>(share_);
          out.numbers.push(ratio(hashed(in[of], e, scratch.hashes[of]), hashed(in[1 - of], e, scratch.hashes[1 - of])));
        } else {
          if (!numbered) number_words(in, scratch);
          numbered = true;
          out.numbers.push(method_(scratch, e));
        }
      }
      close_element(out);
    }
  }

 private:
  static void hash_all(const Cells& cells, Slab<std::uint64_t>& hashes) {
    hashes.resize(cells.texts.size());
    for (std::size_t i = 0; i < cells.texts.size(); ++i)
      hashes[i] = murmur64a(cells.texts[i].data, cells.texts[i].size);
  }

  static Hashed hashed(const Operand& operand, std::size_t e, const Slab<std::uint64_t>& hashes) noexcept {
    const std::uint32_t begin = operand.begin(e);
    return {operand.cells->texts.data() + begin, hashes.data() + begin, operand.end(e) - begin};
  }

  static void number_words(const std::vector<Operand>& in, OverlapScratch& scratch) {
    scratch.words.clear(in[0].cells->values() + in[1].cells->values());
    Side* const sides[] = {&scratch.query, &scratch.title};
    for (std::size_t k = 0; k < 2; ++k) {
      sides[k]->operand = &in[k];
      scratch.words.number_all(*in[k].cells, sides[k]->numbers);
    }
    for (Side* const side : sides) side->prepare(scratch.words.size());
  }

  Method method_ = nullptr;
  int share_ = -1;  // of a ratio: whose words are counted, 0 the query's and 1 the title's
};

}  // namespace

std::unique_ptr<Operation> make_overlap(const Parameters& parameters) {
  return std::make_unique<Overlap>(parameters.text("method"));
}

}  // namespace fg
