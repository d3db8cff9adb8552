// Python's view of the search for steps, and of the codes that it compares.
#include <algorithm>

#include "bound_tables.h"
#include "search.h"

namespace embedding {
namespace {

// parts: (ids, offsets | None, key_offsets | None); what they point into is kept by the caller.
Elements elements(const py::tuple& parts, std::int64_t num_rows, const std::string& name) {
  if (parts.size() != 3) throw py::value_error(name + ": three parts are needed");
  Elements result;
  const auto ids = array_of<std::int64_t>(parts[0], name, 1);
  result.ids = contiguous(ids, name);
  result.num_ids = ids.shape(0);
  std::int64_t size = result.num_ids;
  if (!parts[2].is_none()) {
    const auto keys = array_of<std::int64_t>(parts[2], name + ": key_offsets", 1);
    if (keys.shape(0) < 1) throw py::value_error(name + ": key_offsets are empty");
    result.key_offsets = contiguous(keys, name + ": key_offsets");
    size = keys.shape(0) - 1;
  }
  if (!parts[1].is_none()) {
    const auto offsets = array_of<std::int64_t>(parts[1], name + ": offsets", 1);
    if (offsets.shape(0) != num_rows + 1) throw py::value_error(name + ": offsets must be one more than rows");
    result.offsets = contiguous(offsets, name + ": offsets");
  }
  if (!sound(result, num_rows, size))
    throw py::value_error(name + ": offsets must ascend from 0 to the number of elements");
  return result;
}

// The places of the kept steps, and their offsets (rows + 1).
py::tuple run(Tables& tables, const Search& search, const py::tuple& steps, const py::object& candidates,
              std::int64_t num_rows, const std::string& name) {
  if (search.top < 1 || num_rows < 0) throw py::value_error(name + ": 'top' and rows must be positive");
  const Elements from = elements(steps, num_rows, name);
  Elements with;
  if (search.kind != Search::newest) with = elements(py::cast<py::tuple>(candidates), num_rows, name + "'s candidate");
  py::array_t<std::int64_t> offsets(num_rows + 1);
  std::int64_t* end = offsets.mutable_data();
  std::vector<std::int64_t> starts(static_cast<std::size_t>(num_rows) + 1, 0);
  for (std::int64_t row = 0; row < num_rows; ++row)
    starts[static_cast<std::size_t>(row) + 1] =
        starts[static_cast<std::size_t>(row)] + std::min(from.begin(row + 1) - from.begin(row), search.top);
  py::array_t<std::int64_t> found(starts.back());
  std::int64_t* place = found.mutable_data();
  {
    py::gil_scoped_release release;
    std::vector<std::int64_t> counts(static_cast<std::size_t>(num_rows));
    embedding::search(search, from, with, num_rows, starts.data(), place, counts.data(), tables.pool);
    end[0] = 0;
    for (std::size_t row = 0; row < counts.size(); ++row) {
      const std::int64_t* kept = place + starts[row];
      if (end[row] != starts[row]) std::copy(kept, kept + counts[row], place + end[row]);
      end[row + 1] = end[row] + counts[row];
    }
  }
  return py::make_tuple(found[py::slice(0, end[num_rows], 1)], offsets);
}

const Table& table_at(const Tables& tables, std::size_t table) {
  if (table >= tables.tables.size()) throw py::value_error("no such table");
  if (tables.tables[table].compressed) throw py::value_error("rows of a compressed table are not compared");
  return tables.tables[table];
}

void encode_table(const Table& table, const Coding& coding, Pool& pool) {
  if (table.storage == Storage::fp32) encode_all(table.weights, table.dim, table.rows, coding, pool);
  else encode_packed(table.storage, table.packed, table.dim, table.rows, coding, pool);
}

}  // namespace

std::size_t Tables::add_codes(std::size_t index, const py::object& object) {
  Table& table = const_cast<Table&>(table_at(*this, index));
  const auto matrix = array_of<float>(object, "directions", 2);
  const float* data = contiguous(matrix, "directions");
  if (matrix.shape(0) != table.dim || matrix.shape(1) != kBits)
    throw py::value_error("directions must be (dim of the table, 64)");
  auto codes = std::make_unique<Codes>();
  codes->table = index;
  codes->directions.assign(data, data + matrix.size());
  codes->codes.resize(static_cast<std::size_t>(table.rows));
  const Coding coding{codes->directions.data(), codes->codes.data()};
  encode_table(table, coding, pool);
  table.codings.push_back(coding);
  codes_.push_back(std::move(codes));
  return codes_.size() - 1;
}

void Tables::refresh_codes() {
  for (const Table& table : tables)
    for (const Coding& coding : table.codings) encode_table(table, coding, pool);
}

void bind_search(py::class_<Tables, std::shared_ptr<Tables>>& tables) {
  tables.def("add_codes", &Tables::add_codes, py::arg("table"), py::arg("directions"))
      .def("refresh_codes",
           [](Tables& self) {
             py::gil_scoped_release release;
             std::lock_guard<std::mutex> lock(self.updating);
             self.refresh_codes();
           })
      .def("codes",
           [](const Tables& self, std::size_t index) {
             const auto [codes, table] = self.codes(index);
             return py::array_t<std::uint64_t>(self.tables[table].rows, codes);  // a copy
           })
      .def(
          "newest",
          [](Tables& self, const std::string& name, const py::tuple& steps, std::int64_t rows, std::int64_t top) {
            return run(self, Search{Search::newest, top}, steps, py::none(), rows, name);
          },
          py::arg("name"), py::arg("steps"), py::arg("rows"), py::arg("top"))
      .def(
          "equal",
          [](Tables& self, const std::string& name, const py::tuple& steps, std::int64_t rows, std::int64_t top,
             const py::tuple& candidates) {
            return run(self, Search{Search::equal, top}, steps, candidates, rows, name);
          },
          py::arg("name"), py::arg("steps"), py::arg("rows"), py::arg("top"), py::arg("candidates"))
      .def(
          "nearest",
          [](Tables& self, const std::string& name, const py::tuple& steps, std::int64_t rows, std::int64_t top,
             const py::tuple& candidates, std::size_t codes, int bits) {
            if (bits < 1 || bits > kBits) throw py::value_error(name + ": 'bits' must be 1 to 64");
            const auto [code, table] = self.codes(codes);
            const Search search{Search::codes,          top, code, ~std::uint64_t{0} >> (kBits - bits), nullptr, 0,
                                self.tables[table].rows};
            return run(self, search, steps, candidates, rows, name);
          },
          py::arg("name"), py::arg("steps"), py::arg("rows"), py::arg("top"), py::arg("candidates"), py::arg("codes"),
          py::arg("bits"))
      .def(
          "largest",
          [](Tables& self, const std::string& name, const py::tuple& steps, std::int64_t rows, std::int64_t top,
             const py::tuple& candidates, std::size_t table) {
            const Table& of = table_at(self, table);
            const Search search{Search::inner, top, nullptr, 0, of.weights, of.dim, of.rows, of.storage, of.packed};
            return run(self, search, steps, candidates, rows, name);
          },
          py::arg("name"), py::arg("steps"), py::arg("rows"), py::arg("top"), py::arg("candidates"), py::arg("table"));
}

}  // namespace embedding
