// What the bindings share: checks of arrays, and the tables as Python holds them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "update.h"

namespace embedding {

namespace py = pybind11;

// The array behind `object`, whose type must be T already: a silent copy would cut the tie to the caller's memory.
template <class T>
py::array_t<T> array_of(const py::handle& object, const std::string& what, py::ssize_t ndim) {
  if (!py::isinstance<py::array_t<T>>(object)) throw py::type_error(what + " has the wrong type");
  auto array = py::reinterpret_borrow<py::array_t<T>>(object);
  if (array.ndim() != ndim) throw py::value_error(what + " has the wrong number of dimensions");
  return array;
}

template <class T>
const T* contiguous(const py::array_t<T>& array, const std::string& what) {
  if (!(array.flags() & py::array::c_style)) throw py::value_error(what + " must be contiguous");
  return array.data();
}

// Floats from row to row of a matrix whose rows are contiguous.
inline std::int64_t row_stride(const py::array_t<float>& matrix, const std::string& what) {
  if (matrix.shape(1) > 1 && matrix.shape(0) > 0 && matrix.strides(1) != sizeof(float))
    throw py::value_error(what + " must have contiguous rows");
  if (matrix.shape(0) < 2) return matrix.shape(1);
  if (matrix.strides(0) % static_cast<py::ssize_t>(sizeof(float)) || matrix.strides(0) < 0)
    throw py::value_error(what + " has an odd stride");
  return matrix.strides(0) / static_cast<py::ssize_t>(sizeof(float));
}

// The tables of a model, and the threads that work on them.
class __attribute__((visibility("hidden"))) Tables {
 public:
  // weights[t] (rows, dim); a[t], b[t] the optimizer's state or None; trainable[t]. What is not trainable may be stored
  // in fewer bits: float16 (rows, dim), uint16 (rows, dim) for bfloat16, or uint8 (rows, 8 + dim); or compressed, as a
  // tuple (rows, number of ids, kept | None, books | None, project | None) of what compressed.h tells of.
  Tables(const py::list& weights, const py::list& a, const py::list& b, std::vector<bool> trainable, int threads)
      : trainable(std::move(trainable)), pool(threads) {
    for (std::size_t t = 0; t < weights.size(); ++t) {
      const bool learns = this->trainable.at(t) || !state_is_none(a, t) || !state_is_none(b, t);
      if (py::isinstance<py::tuple>(weights[t])) {
        if (learns) throw py::type_error("a table has the wrong type");
        tables.push_back(compressed(py::cast<py::tuple>(weights[t])));
        continue;
      }
      if (!py::isinstance<py::array_t<float>>(weights[t])) {
        tables.push_back(packed(weights[t], learns));
        continue;
      }
      auto matrix = array_of<float>(weights[t], "a table", 2);
      const float* data = contiguous(matrix, "a table");
      if (matrix.shape(1) > std::numeric_limits<int>::max()) throw py::value_error("a table is too wide");
      tables.push_back(
          {const_cast<float*>(data), state(a, t), state(b, t), matrix.shape(0), static_cast<int>(matrix.shape(1))});
      keep_.push_back(matrix);
    }
  }

  std::vector<Table> tables;
  std::vector<bool> trainable;
  Pool pool;
  Updater updater;
  std::mutex updating;

  // Keeps a code of every row of a table, along `directions` (dim, 64); returns its number.
  std::size_t add_codes(std::size_t table, const py::object& directions);

  // Computes all codes anew: weights were changed by someone else.
  void refresh_codes();

  // The memory of the codes numbered `index`, and their table.
  std::pair<const std::uint64_t*, std::size_t> codes(std::size_t index) const {
    return {codes_.at(index)->codes.data(), codes_.at(index)->table};
  }

 private:
  static bool state_is_none(const py::list& states, std::size_t t) { return t >= states.size() || states[t].is_none(); }

  Table packed(const py::handle& object, bool learns) {
    if (learns) throw py::type_error("a table has the wrong type");
    auto matrix = py::reinterpret_borrow<py::array>(object);
    if (!py::isinstance<py::array>(object) || matrix.ndim() != 2) throw py::type_error("a table has the wrong type");
    if (!(matrix.flags() & py::array::c_style)) throw py::value_error("a table must be contiguous");
    Table table{nullptr, nullptr, nullptr, matrix.shape(0), 0};
    std::int64_t dim = matrix.shape(1);
    if (matrix.dtype().kind() == 'f' && matrix.itemsize() == 2) table.storage = Storage::fp16;
    else if (matrix.dtype().kind() == 'u' && matrix.itemsize() == 2) table.storage = Storage::bf16;
    else if (matrix.dtype().kind() == 'u' && matrix.itemsize() == 1 && dim >= kHead)
      table.storage = Storage::int8, dim -= kHead;
    else throw py::type_error("a table has the wrong type");
    if (dim > std::numeric_limits<int>::max()) throw py::value_error("a table is too wide");
    table.dim = static_cast<int>(dim);
    table.packed = static_cast<const std::uint8_t*>(matrix.data());
    keep_.push_back(matrix);
    return table;
  }

  Table compressed(const py::tuple& parts) {
    if (parts.size() != 5) throw py::value_error("a compressed table has five parts");
    auto found = std::make_shared<Compressed>();
    const auto ids = py::cast<std::int64_t>(parts[1]);
    if (ids < 0) throw py::value_error("a table has a negative number of ids");
    if (parts[3].is_none()) {
      if (py::isinstance<py::array_t<float>>(parts[0])) {
        auto matrix = array_of<float>(parts[0], "a table", 2);
        found->rows = reinterpret_cast<const std::uint8_t*>(contiguous(matrix, "a table"));
        found->num_rows = matrix.shape(0);
        found->width = narrow(matrix.shape(1));
        keep_.push_back(matrix);
      } else {
        const Table inner = packed(parts[0], false);
        found->storage = inner.storage, found->rows = inner.packed;
        found->num_rows = inner.rows, found->width = inner.dim;
      }
      found->bytes = row_bytes(found->storage, found->width);
    } else {
      auto codes = array_of<std::uint8_t>(parts[0], "codes", 2);
      auto books = array_of<float>(parts[3], "code books", 3);
      if (books.shape(0) != codes.shape(1) || books.shape(1) != kBook || codes.shape(1) < 1)
        throw py::value_error("code books have the wrong shape");
      found->storage = Storage::codes, found->rows = contiguous(codes, "codes");
      found->num_rows = codes.shape(0), found->bytes = codes.shape(1);
      found->parts = narrow(books.shape(0)), found->width = narrow(books.shape(0) * books.shape(2));
      found->books = contiguous(books, "code books");
      keep_.push_back(codes), keep_.push_back(books);
    }
    int dim = found->width;
    if (!parts[4].is_none()) {
      auto project = array_of<float>(parts[4], "a projection", 2);
      if (project.shape(0) != found->width) throw py::value_error("a projection has the wrong shape");
      found->project = contiguous(project, "a projection"), dim = narrow(project.shape(1));
      keep_.push_back(project);
    }
    if (parts[2].is_none()) {
      if (found->num_rows != ids) throw py::value_error("a table has not one row per id");
    } else {
      auto kept = array_of<std::uint64_t>(parts[2], "a map of ids", 2);
      if (kept.shape(1) != 2 || kept.shape(0) != (ids + 63) / 64 || found->num_rows < 1)
        throw py::value_error("a map of ids has the wrong shape");
      found->kept = contiguous(kept, "a map of ids"), found->shared = found->num_rows - 1;
      keep_.push_back(kept);
    }
    Table table{nullptr, nullptr, nullptr, ids, dim};
    table.compressed = std::move(found);
    return table;
  }

  static int narrow(std::int64_t width) {
    if (width > std::numeric_limits<int>::max()) throw py::value_error("a table is too wide");
    return static_cast<int>(width);
  }

  float* state(const py::list& states, std::size_t t) {
    if (t >= states.size() || states[t].is_none()) return nullptr;
    auto matrix = array_of<float>(states[t], "optimizer state", 2);
    keep_.push_back(matrix);
    contiguous(matrix, "optimizer state");
    return matrix.mutable_data();
  }

  struct Codes {
    std::size_t table;
    std::vector<float> directions;
    std::vector<std::uint64_t> codes;
  };

  std::vector<py::object> keep_;
  std::vector<std::unique_ptr<Codes>> codes_;  // the tables point into them
};

// Adds the maps of keys to rows.
void bind_keys(py::module_& m);

// Adds the tables that are partly in memory.
void bind_tier(py::module_& m);

// Adds what finds the rows that a batch needs.
void bind_wanted(py::module_& m);

// Adds the methods that choose steps of sequences.
void bind_search(py::class_<Tables, std::shared_ptr<Tables>>& tables);

}  // namespace embedding
