// Plain Python objects - what JSON is parsed into - walked once, into Arrow columns. No Python code runs while they are
// walked, so that borrowed references stay good. Whatever is not exactly a list, tuple, dict, str, int,
// float, bool or None is left to others.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "column_builder.h"
#include "json_rows.h"

namespace fg {
namespace {

namespace py = pybind11;

constexpr int deepest = 8;  // lists inside of lists

void add_value(ColumnBuilder& column, PyObject* value, int depth = 0);

// An object in the place of a map.
void add_map(ColumnBuilder& column, PyObject* object) {
  const ColumnBuilder::Pairs pairs = column.open_map();
  if (pairs.keys == nullptr) return;
  PyObject *key = nullptr, *item = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &item) != 0;) {
    if (!PyUnicode_CheckExact(key)) return column.spoil();
    add_value(*pairs.keys, key, 1);
    add_value(*pairs.items, item, 1);
  }
  column.close_map();
}

void add_value(ColumnBuilder& column, PyObject* value, int depth) {
  if (value == Py_None) return column.add_null();
  if (PyFloat_CheckExact(value)) return column.add_number(PyFloat_AS_DOUBLE(value));
  if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long integer = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow == 0 ? column.add_integer(integer) : column.spoil();
  }
  if (PyUnicode_CheckExact(value)) {
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(value, &size);
    if (text != nullptr) return column.add_text(text, static_cast<std::size_t>(size));
    PyErr_Clear();  // a surrogate
    return column.spoil();
  }
  if (PyBool_Check(value)) return column.add_boolean(value == Py_True);
  if (PyDict_CheckExact(value) && depth == 0) return add_map(column, value);
  if (!PyList_CheckExact(value) || depth == deepest) return column.spoil();
  ColumnBuilder* const items = column.open_list();
  if (items == nullptr) return;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(value) && !items->spoiled(); ++i)
    add_value(*items, PyList_GET_ITEM(value, i), depth + 1);
  column.close_list();
}

// The numbers of keys, by their text. Mappings of one source mostly hold the same key objects in the same order: those
// are found by their address.
class KeyNumbers {
 public:
  static constexpr int unknown = -1, no_text = -2;

  // The number of a key, new where it has none.
  int number(PyObject* key) {
    if (const int found = look_up(key); found >= 0) return found;
    const auto made = static_cast<int>(PyDict_GET_SIZE(numbers_.ptr()));
    if (PyDict_SetItem(numbers_.ptr(), key, py::int_(made).ptr()) != 0) throw py::error_already_set();
    return made;
  }
  // From now on the keys of another mapping are asked for.
  void rewind() noexcept { next_ = 0; }
  // `grows`: a key that has no number gets one.
  int find(PyObject* key, bool grows = false) {
    if (next_ < seen_.size() && seen_[next_].key == key) return seen_[next_++].number;
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (seen_[i].key != key) continue;
      next_ = i + 1;
      return seen_[i].number;
    }
    if (!PyUnicode_CheckExact(key)) return no_text;
    const int found = grows ? number(key) : look_up(key);
    if (seen_.size() < most) {
      seen_.push_back({key, found});
      next_ = seen_.size();
    }
    return found;
  }
  const py::dict& numbers() const noexcept { return numbers_; }

 private:
  struct Seen {
    PyObject* key;
    int number;
  };
  static constexpr std::size_t most = 128;

  int look_up(PyObject* key) const {
    PyObject* const number = PyDict_GetItemWithError(numbers_.ptr(), key);
    if (number != nullptr) return static_cast<int>(PyLong_AsLong(number));
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    return unknown;
  }

  py::dict numbers_;
  std::vector<Seen> seen_;
  std::size_t next_ = 0;
};

// What was read: an Arrow record of the columns that could be typed, for one taker, and the names of the others.
class ReadColumns {
 public:
  ReadColumns(std::vector<ColumnBuilder>&& columns, const std::vector<std::string>& names, std::int64_t rows) {
    std::vector<ColumnBuilder> good;
    std::vector<std::string> good_names;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (columns[c].spoiled()) {
        left.append(names[c]);
        continue;
      }
      columns[c].pad(rows);
      good.push_back(std::move(columns[c]));
      good_names.push_back(names[c]);
    }
    auto* const schema = new ArrowSchema{};
    schema_ = py::capsule(schema, "arrow_schema", [](void* p) { drop(static_cast<ArrowSchema*>(p)); });
    auto* const array = new ArrowArray{};
    array_ = py::capsule(array, "arrow_array", [](void* p) { drop(static_cast<ArrowArray*>(p)); });
    release_record(std::move(good), good_names, rows, *schema, *array);
  }

  py::tuple take(const py::object& /*requested_schema*/) const { return py::make_tuple(schema_, array_); }

  py::list left;

 private:
  template <class T>
  static void drop(T* exported) {
    if (exported->release != nullptr) exported->release(exported);
    delete exported;
  }
  py::object schema_, array_;
};

// The columns that are wanted, and where their values stand: under their own names, or in the objects of a list that
// stands under the part in front of `__`.
class ColumnReader {
 public:
  explicit ColumnReader(const py::sequence& names) {
    for (const py::handle name : names) add_name(name.ptr());
    columns_.resize(names_.size());
  }

  // Rows, each a mapping of values; None where they are left to others.
  py::object rows(PyObject* rows) {
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(rows);
    for (Py_ssize_t row = 0; row < count && plain_; ++row) add_row(PySequence_Fast_GET_ITEM(rows, row), row);
    return finish(count);
  }

  // A mapping of lists, as long as each other; None where they are left to others.
  py::object lists(PyObject* data) {
    Py_ssize_t rows = -1;
    std::vector<bool> given(names_.size(), false);
    PyObject *key = nullptr, *values = nullptr;
    for (Py_ssize_t at = 0; plain_ && PyDict_Next(data, &at, &key, &values) != 0;) {
      const int number = keys_.find(key);
      if (number == KeyNumbers::no_text) plain_ = false;
      if (number < 0) continue;
      const Place place = places_[static_cast<std::size_t>(number)];
      const bool list = PyList_CheckExact(values) != 0;
      if (list && rows >= 0 && rows != PyList_GET_SIZE(values)) plain_ = false;
      if (list) rows = PyList_GET_SIZE(values);
      if (place.column >= 0 && list) {
        given[static_cast<std::size_t>(place.column)] = true;
        ColumnBuilder& column = columns_[static_cast<std::size_t>(place.column)];
        for (Py_ssize_t row = 0; row < rows && !column.spoiled(); ++row)
          add_value(column, PyList_GET_ITEM(values, row));
      }
      if (place.sequence >= 0 && list) pending_.emplace_back(place.sequence, values);
    }
    for (const auto& [place, cells] : pending_) {
      Sequence& sequence = sequences_[static_cast<std::size_t>(place)];
      for (const int column : sequence.columns) {
        if (given[static_cast<std::size_t>(column)]) plain_ = false;
        given[static_cast<std::size_t>(column)] = true;
      }
      for (Py_ssize_t row = 0; row < rows && plain_; ++row) add_steps(sequence, PyList_GET_ITEM(cells, row), row);
    }
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (!given[c]) columns_[c].spoil();
    }
    return finish(rows < 0 ? 0 : rows);
  }

 private:
  // What stands under a key: a column, the objects of a sequence, or both.
  struct Place {
    int column = -1, sequence = -1;
  };
  struct Sequence {
    KeyNumbers fields;
    std::vector<int> columns;           // by the field's number
    std::vector<ColumnBuilder*> items;  // of the list that is open
    std::vector<std::int64_t> begins;   // where it began
  };

  void add_name(PyObject* name) {
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_CheckExact(name) ? PyUnicode_AsUTF8AndSize(name, &size) : nullptr;
    if (text == nullptr) {
      PyErr_Clear();
      plain_ = false;
      return;
    }
    const std::string known(text, static_cast<std::size_t>(size));
    const auto column = static_cast<int>(names_.size());
    names_.push_back(known);
    Place& own = place(name);
    if (own.column >= 0) plain_ = false;  // it is wanted twice
    own.column = column;
    const std::size_t sign = known.find("__");
    if (sign == std::string::npos) return;
    Place& above = place(py::str(known.substr(0, sign)).ptr());
    if (above.sequence < 0) {
      above.sequence = static_cast<int>(sequences_.size());
      sequences_.emplace_back();
    }
    Sequence& sequence = sequences_[static_cast<std::size_t>(above.sequence)];
    sequence.fields.number(py::str(known.substr(sign + 2)).ptr());
    sequence.columns.push_back(column);
  }
  Place& place(PyObject* name) {
    const auto number = static_cast<std::size_t>(keys_.number(name));
    if (number == places_.size()) places_.emplace_back();
    return places_[number];
  }

  void add_row(PyObject* row, Py_ssize_t number) {
    plain_ = PyDict_CheckExact(row) != 0;
    if (!plain_) return;
    keys_.rewind();
    pending_.clear();
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(row, &at, &key, &value) != 0;) {
      const int found = keys_.find(key);
      if (found == KeyNumbers::no_text) plain_ = false;
      if (found < 0) continue;
      const Place place = places_[static_cast<std::size_t>(found)];
      if (place.column >= 0) {
        ColumnBuilder& column = columns_[static_cast<std::size_t>(place.column)];
        column.pad(number);
        add_value(column, value);
      }
      if (place.sequence >= 0) pending_.emplace_back(place.sequence, value);
    }
    for (const auto& [place, steps] : pending_) {
      Sequence& sequence = sequences_[static_cast<std::size_t>(place)];
      for (const int column : sequence.columns) {
        // A column and the objects that hold it: the column is meant.
        if (columns_[static_cast<std::size_t>(column)].size() > number) plain_ = false;
      }
      if (plain_) add_steps(sequence, steps, number);
    }
  }

  // The fields of one row's objects, a list for each column.
  void add_steps(Sequence& sequence, PyObject* steps, Py_ssize_t row) {
    if (steps == Py_None) return;
    if (!PyList_CheckExact(steps)) return spoil(sequence);
    sequence.items.clear();
    sequence.begins.clear();
    for (const int column : sequence.columns) {
      columns_[static_cast<std::size_t>(column)].pad(row);
      sequence.items.push_back(columns_[static_cast<std::size_t>(column)].open_list());
      sequence.begins.push_back(sequence.items.back() == nullptr ? 0 : sequence.items.back()->size());
    }
    const Py_ssize_t count = PyList_GET_SIZE(steps);
    for (Py_ssize_t i = 0; i < count; ++i) {
      PyObject* const step = PyList_GET_ITEM(steps, i);
      if (!PyDict_CheckExact(step)) return spoil(sequence);
      sequence.fields.rewind();
      PyObject *key = nullptr, *value = nullptr;
      for (Py_ssize_t at = 0; PyDict_Next(step, &at, &key, &value) != 0;) {
        const int field = sequence.fields.find(key);
        if (field == KeyNumbers::no_text) return spoil(sequence);
        if (field < 0) continue;
        ColumnBuilder* const items = sequence.items[static_cast<std::size_t>(field)];
        if (items == nullptr) continue;
        items->pad(sequence.begins[static_cast<std::size_t>(field)] + i);
        add_value(*items, value, 1);
      }
    }
    for (std::size_t field = 0; field < sequence.items.size(); ++field) {
      if (sequence.items[field] == nullptr) continue;
      sequence.items[field]->pad(sequence.begins[field] + count);
      columns_[static_cast<std::size_t>(sequence.columns[field])].close_list();
    }
  }
  void spoil(Sequence& sequence) {
    for (const int column : sequence.columns) columns_[static_cast<std::size_t>(column)].spoil();
  }

  py::object finish(std::int64_t rows) {
    if (!plain_) return py::none();
    return py::cast(ReadColumns(std::move(columns_), names_, rows));
  }

  std::vector<std::string> names_;
  std::vector<ColumnBuilder> columns_;
  KeyNumbers keys_;
  std::vector<Place> places_;  // by the key's number
  std::vector<Sequence> sequences_;
  std::vector<std::pair<int, PyObject*>> pending_;  // sequences of the row, which come behind its columns
  bool plain_ = true;
};

bool is_rows(const py::object& rows) { return PyList_CheckExact(rows.ptr()) || PyTuple_CheckExact(rows.ptr()); }

// The columns `names` of a list of mappings; None where something in it is of another kind.
py::object columns_of_rows(const py::object& rows, const py::sequence& names) {
  return is_rows(rows) ? ColumnReader(names).rows(rows.ptr()) : py::none();
}

// The same of a mapping of lists.
py::object columns_of_lists(const py::object& data, const py::sequence& names) {
  return PyDict_CheckExact(data.ptr()) ? ColumnReader(names).lists(data.ptr()) : py::none();
}

// The keys that any of the rows has, in the order in which they come; None where a row is no mapping of texts.
py::object distinct_keys(const py::object& rows) {
  if (!is_rows(rows)) return py::none();
  KeyNumbers keys;
  for (Py_ssize_t r = 0; r < PySequence_Fast_GET_SIZE(rows.ptr()); ++r) {
    PyObject* const row = PySequence_Fast_GET_ITEM(rows.ptr(), r);
    if (!PyDict_CheckExact(row)) return py::none();
    keys.rewind();
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(row, &at, &key, &value) != 0;) {
      if (keys.find(key, true) == KeyNumbers::no_text) return py::none();
    }
  }
  return py::list(keys.numbers());
}

// The list of flat objects under a key of the object that JSON text is: where it begins and ends, and its columns; None
// where a general reader has to read it.
py::object columns_of_json(const py::bytes& body, const std::string& key) {
  const std::string_view text = body;
  std::optional<JsonRows> read = read_json_rows(text, key);
  if (!read) return py::none();
  if (!read->ascii) {  // whoever reads texts as UTF-8 relies on it
    const py::object checked = py::reinterpret_steal<py::object>(
        PyUnicode_DecodeUTF8(text.data() + read->begin, static_cast<Py_ssize_t>(read->end - read->begin), "strict"));
    if (!checked) return PyErr_Clear(), py::none();
  }
  return py::make_tuple(read->begin, read->end, ReadColumns(std::move(read->columns), read->names, read->rows));
}

}  // namespace

void bind_objects(py::module_& module) {
  py::class_<ReadColumns>(module, "ReadColumns")
      .def_readonly("left", &ReadColumns::left)
      .def("__arrow_c_array__", &ReadColumns::take, py::arg("requested_schema") = py::none());
  module.def("read_rows", &columns_of_rows);
  module.def("read_lists", &columns_of_lists);
  module.def("read_json_rows", &columns_of_json);
  module.def("distinct_keys", &distinct_keys);
}

}  // namespace fg
