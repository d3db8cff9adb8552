// Columns of arbitrary bytes, read in every way: the same cells in another physical layout must give the same.
#include <sstream>

#include "arrays.h"
#include "bytes.h"
#include "reader.h"

namespace {

fg::Reading reading_of(fuzz::Bytes& bytes, int depth) {
  static const char signs[] = {'\x1d', ';', ':', ',', '|', '_', ' ', 'a'};
  const auto sign = [&](char usual) { return bytes.flag() ? signs[bytes.below(sizeof signs)] : usual; };
  fg::Reading reading;
  reading.separator = sign(depth == 0 ? '\x1d' : ',');
  reading.delim = sign(';');
  reading.assign = sign(':');
  reading.split = bytes.below(4) != 0;
  reading.assign_last = bytes.flag();
  const std::size_t kind = bytes.below(3);
  reading.weighted = kind == 1 && depth == 0;
  if (kind == 2 && depth < 2) reading.pairs = std::make_shared<const fg::Reading>(reading_of(bytes, depth + 1));
  if (reading.pairs != nullptr && bytes.flag()) {  // as compile.cpp makes it
    auto whole = std::make_shared<fg::Reading>(reading);
    whole->pairs = nullptr;
    whole->split = false;
    reading.folded = std::move(whole);
  }
  return reading;
}

void tell(const fg::Cells& cells, std::ostream& out) {
  out << static_cast<int>(cells.form) << cells.weighted << cells.narrow << cells.paired
      << static_cast<int>(cells.folded);
  for (std::size_t i = 0; i < cells.ends.size(); ++i) out << ' ' << cells.ends[i];
  for (std::size_t i = 0; i < cells.texts.size(); ++i)
    out << '"' << std::string(cells.texts[i].data, cells.texts[i].size);
  for (std::size_t i = 0; i < cells.integers.size(); ++i) out << ' ' << cells.integers[i];
  for (std::size_t i = 0; i < cells.numbers.size(); ++i) out << ' ' << std::hexfloat << cells.numbers[i];
  for (std::size_t i = 0; i < cells.weights.size(); ++i) out << " w" << cells.weights[i];
  for (std::size_t i = 0; i < cells.broken.size(); ++i) out << " !" << cells.broken[i];
  for (const fg::Fault& fault : cells.faults) out << " (" << fault.at << fault.of_value << fault.reason << ')';
  if (cells.paired) tell(*cells.seconds, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const char* const types[] = {"string",
                                      "list<string>",
                                      "list<list<string>>",
                                      "map<string,string>",
                                      "map<string,float>",
                                      "map<int64,double>",
                                      "list<map<string,string>>",
                                      "int64",
                                      "list<float>",
                                      "uint64",
                                      "bool",
                                      "map<string,list<string>>",
                                      "list<map<string,double>>",
                                      "null",
                                      "int8",
                                      "map<string,uint64>"};
  fuzz::Bytes bytes(data, size);
  fg::Reading reading = reading_of(bytes, 0);
  reading.sequence = bytes.flag();
  const std::string type = types[bytes.below(sizeof types / sizeof *types)];
  fg::Plain::List cells;
  while (!bytes.done() && cells.size() < 50) cells.push_back(bytes.cell(type));
  const std::size_t split = cells.empty() ? 0 : bytes.below(cells.size() + 1);
  std::string first;
  bool any = false;
  for (const test::Layout& layout : test::layouts()) {
    const test::Array array(type, cells, layout);
    const fg::Column column = array.column();
    if (fg::unreadable(column, reading) != nullptr) continue;
    for (const std::size_t at : {std::size_t{0}, split}) {  // in one piece, and in two
      fg::Cells read;
      fg::Slab<std::uint32_t> counts;
      std::ostringstream told;
      for (const auto& [from, to] : {std::pair{std::size_t{0}, at}, std::pair{at, cells.size()}}) {
        if (from == to && !(to == cells.size())) continue;
        const auto begin = static_cast<std::int64_t>(from), end = static_cast<std::int64_t>(to);
        (void)fg::weight_of(column, begin, end);
        reading.sequence ? fg::read_sequences(column, begin, end, reading, read, counts)
                         : fg::read_rows(column, begin, end, reading, read);
      }
      fuzz::require(reading.sequence ? counts.size() == cells.size() : read.elements() == cells.size(),
                    "every row is an element or has a count of them");
      tell(read, told);
      for (std::size_t i = 0; i < counts.size(); ++i) told << " #" << counts[i];
      if (!any) first = told.str();
      any = true;
      if (told.str() != first)
        std::fprintf(stderr, "%s of %zu cells\n%s\n%s\n", type.c_str(), cells.size(), first.c_str(),
                     told.str().c_str());
      fuzz::require(told.str() == first, "the layout of a column does not matter");
    }
  }
  return 0;
}
