#include "reader.h"

#include "arrays.h"
#include "check.h"
#include "plain_file.h"

namespace {

using test::Layout;
using Texts = std::vector<std::string>;

struct Read {
  Texts texts;
  std::vector<std::uint32_t> ends, counts;
  std::vector<float> weights;
  std::size_t faults = 0;
  Texts seconds;
};

// Cells as plain_file.h reads them, read in one layout.
Read read(const std::string& type, const std::string& cells, const fg::Reading& reading, const Layout& layout) {
  const fg::Plain plain = test::parse_plain(cells);
  const test::Array array(type, plain.list(), layout);
  const fg::Column column = array.column();
  CHECK(fg::unreadable(column, reading) == nullptr);
  fg::Cells made;
  fg::Slab<std::uint32_t> counts;
  reading.sequence ? fg::read_sequences(column, 0, column.length, reading, made, counts)
                   : fg::read_rows(column, 0, column.length, reading, made);
  Read out;
  out.faults = made.faults.size();
  out.ends.assign(made.ends.data(), made.ends.data() + made.ends.size());
  out.counts.assign(counts.data(), counts.data() + counts.size());
  out.weights.assign(made.weights.data(), made.weights.data() + made.weights.size());
  fg::to_text(made, 0);
  for (std::size_t i = 0; i < made.texts.size(); ++i) out.texts.emplace_back(made.texts[i].data, made.texts[i].size);
  if (!made.paired) return out;
  fg::Cells& seconds = *made.seconds;
  fg::to_text(seconds, 0);
  for (std::size_t e = 0; e < seconds.elements(); ++e) {
    out.seconds.emplace_back();
    for (std::uint32_t v = seconds.begin_of(e); v < seconds.ends[e]; ++v)
      out.seconds.back() += "<" + std::string(seconds.texts[v].data, seconds.texts[v].size) + ">";
  }
  return out;
}

fg::Reading weighted() {
  fg::Reading reading;
  reading.weighted = true;
  return reading;
}

}  // namespace

TEST(text_is_split_into_values) {
  fg::Reading reading;
  reading.separator = '|';
  for (const Layout& layout : test::layouts()) {
    const Read made = read("string", "[s5:a|b|cns0:s3:||xs1:y]", reading, layout);
    CHECK_EQUAL(made.texts, Texts{"a", "b", "c", "x", "y"});
    CHECK_EQUAL(made.ends, std::vector<std::uint32_t>{3, 3, 3, 4, 5});
  }
}

TEST(text_is_split_into_elements) {
  fg::Reading reading;
  reading.sequence = true;
  reading.separator = '|';
  for (const Layout& layout : test::layouts()) {
    const Read made = read("string", "[s6:a|b;;cns0:s1:;]", reading, layout);
    CHECK_EQUAL(made.texts, Texts{"a", "b", "c"});
    CHECK_EQUAL(made.ends, std::vector<std::uint32_t>{2, 2, 3, 3, 3});
    CHECK_EQUAL(made.counts, std::vector<std::uint32_t>{3, 0, 0, 2});
  }
}

TEST(weights_stand_behind_the_last_colon) {
  for (const Layout& layout : test::layouts()) {
    const Read made = read("string", "[s7:a:b:0.5s1:cs3:d:x]", weighted(), layout);
    CHECK_EQUAL(made.texts, Texts{"a:b", "c", "d"});
    CHECK_EQUAL(made.weights, std::vector<float>{0.5F, 1, 1});
    CHECK_EQUAL(made.faults, std::size_t{1});
  }
}

TEST(weights_of_maps_may_be_of_any_type_and_null) {
  for (const Layout& layout : test::layouts()) {
    const Read booleans = read("map<string,bool>", "[[[s1:af][s1:bn][s1:ct][s1:df]]]", weighted(), layout);
    CHECK_EQUAL(booleans.weights, std::vector<float>{0, 1, 1, 0});
    const Read integers = read("map<string,int8>", "[[[s1:ai5;][s1:bn][s1:ci7;]]n[[s1:di-2;]]]", weighted(), layout);
    CHECK_EQUAL(integers.weights, std::vector<float>{5, 1, 7, -2});
    CHECK_EQUAL(integers.ends, std::vector<std::uint32_t>{3, 3, 4});
    const Read texts = read("map<string,string>", "[[[s1:as3:1.5][s1:bs0:][s1:cs1:x]]]", weighted(), layout);
    CHECK_EQUAL(texts.weights, std::vector<float>{1.5F, 1, 0});
    CHECK_EQUAL(texts.faults, std::size_t{1});
  }
}

TEST(pairs_are_keys_with_what_belongs_to_them) {
  fg::Reading inner;
  inner.separator = ',';
  fg::Reading reading;
  reading.pairs = std::make_shared<const fg::Reading>(inner);
  reading.separator = '|';
  for (const Layout& layout : test::layouts()) {
    const Read made = read("string", "[s12:k:1,2|l|m::xns2:k:]", reading, layout);
    CHECK_EQUAL(made.texts, Texts{"k", "l", "m", "k"});
    CHECK_EQUAL(made.seconds, Texts{"<1><2>", "", "<:x>", ""});
    const Read map = read("map<string,list<string>>", "[[[s1:k[s1:1s1:2]][s1:ln]]]", reading, layout);
    CHECK_EQUAL(map.texts, Texts{"k", "l"});
    CHECK_EQUAL(map.seconds, Texts{"<1><2>", ""});
  }
}

TEST(columns_without_a_byte_are_read) {
  fg::Reading sequence;
  sequence.sequence = true;
  for (const Layout& layout : test::layouts()) {
    CHECK_EQUAL(read("string", "[nns0:]", {}, layout).ends, std::vector<std::uint32_t>{0, 0, 0});
    CHECK_EQUAL(read("string", "[nns0:]", sequence, layout).counts, std::vector<std::uint32_t>{0, 0, 0});
    CHECK_EQUAL(read("string", "[]", {}, layout).ends.size(), std::size_t{0});
    CHECK_EQUAL(read("list<string>", "[n[]]", {}, layout).ends, std::vector<std::uint32_t>{0, 0});
    CHECK_EQUAL(read("list<string>", "[]", sequence, layout).counts.size(), std::size_t{0});
  }
}

TEST(numbers_beyond_63_bits_are_told) {
  const Read made = read("uint64", "[i5;i-1;ni7;]", {}, {});
  CHECK_EQUAL(made.ends, std::vector<std::uint32_t>{1, 2, 2, 3});
  CHECK_EQUAL(made.faults, std::size_t{1});
}

TEST(pairs_inside_of_pairs_may_stay_folded) {
  fg::Reading whole;
  whole.split = false;
  fg::Reading inner;
  inner.separator = ',';
  inner.pairs = std::make_shared<const fg::Reading>();
  inner.folded = std::make_shared<const fg::Reading>(whole);
  fg::Reading reading;
  reading.separator = '|';
  reading.assign = '^';
  reading.pairs = std::make_shared<const fg::Reading>(inner);
  for (const Layout& layout : test::layouts()) {
    const Read made = read("string", "[s11:a^x:1,y:2|b]", reading, layout);
    CHECK_EQUAL(made.texts, Texts{"a", "b"});
    CHECK_EQUAL(made.seconds, Texts{"<x:1,y:2>", ""});
  }
}
