// What caches need: fingerprints of rows, keys and requests, and a bounded index of them.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>

#include "bindings.h"
#include "clock.h"
#include "fingerprint.h"

namespace fg {
namespace {

namespace py = pybind11;
using EntryNumbers = py::array_t<std::int64_t, py::array::c_style>;
using Words = py::array_t<std::uint64_t, py::array::c_style>;

Words prints_of(std::int64_t n) { return Words({static_cast<py::ssize_t>(n), py::ssize_t{2}}); }
Print* writable(Words& words) { return reinterpret_cast<Print*>(words.mutable_data()); }
const Print* readable(const Words& words) {
  if (words.ndim() != 2 || words.shape(1) != 2) throw std::invalid_argument("fingerprints have the shape (n, 2)");
  return reinterpret_cast<const Print*>(words.data());
}
Print key_of(const py::bytes& key) {
  const std::string_view bytes(key);
  if (bytes.size() != sizeof(Print)) throw std::invalid_argument("the key of fingerprints has 16 bytes");
  Print print;
  std::memcpy(&print, bytes.data(), sizeof print);
  return print;
}

// The Arrow array or batch behind a Python object, alive as long as this is.
struct Given {
  explicit Given(const py::handle& object) : capsules(object.attr("__arrow_c_array__")().cast<py::tuple>()) {
    schema = static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema"));
    array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array"));
    if (schema == nullptr || array == nullptr) throw py::error_already_set();
  }
  py::tuple capsules;
  const ArrowSchema* schema = nullptr;
  const ArrowArray* array = nullptr;
};

// Fingerprints of the rows of a batch: of all its columns, in their order.
Words row_prints(const py::object& batch, const py::bytes& key) {
  const Given given(batch);
  const Column whole = view_column(*given.schema, *given.array);
  if (whole.type != Type::record) throw std::invalid_argument("a batch must be a record of columns");
  Words result = prints_of(whole.length);
  Print* const to = writable(result);
  const Print secret = key_of(key);
  {
    const py::gil_scoped_release unlocked;
    print_rows(whole.children, whole.length, secret, to);
  }
  return result;
}

py::value_error no_key(std::int64_t row) { return py::value_error(std::to_string(row)); }

// The text of one key in a list: text as it is, a whole number in decimals. False where it is none.
bool key_text(PyObject* item, const char** text, Py_ssize_t* size, py::object& keep) {
  if (PyLong_Check(item) && !PyBool_Check(item)) {
    keep = py::reinterpret_steal<py::object>(PyObject_Str(item));
    item = keep.ptr();
  }
  if (item == nullptr) PyErr_Clear();  // more digits than Python writes
  if (item == nullptr || !PyUnicode_Check(item)) return false;
  *text = PyUnicode_AsUTF8AndSize(item, size);
  if (*text == nullptr) PyErr_Clear();  // half a surrogate pair: no UTF-8
  return *text != nullptr && *size != 0;
}

// Fingerprints of keys, a list or an Arrow array of texts or whole numbers. Raises a ValueError with the row of what is
// none.
Words key_prints(const py::object& keys, const py::bytes& key) {
  const Print secret = key_of(key);
  if (PyList_Check(keys.ptr()) || PyTuple_Check(keys.ptr())) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(keys.ptr());
    Words result = prints_of(n);
    Print* const to = writable(result);
    for (Py_ssize_t i = 0; i < n; ++i) {
      const char* text = nullptr;
      Py_ssize_t size = 0;
      py::object keep;
      if (!key_text(PySequence_Fast_GET_ITEM(keys.ptr(), i), &text, &size, keep)) throw no_key(i);
      to[i] = print_key(text, static_cast<std::size_t>(size), secret);
    }
    return result;
  }
  const Given given(keys);
  const Column column = view_column(*given.schema, *given.array);
  Words result = prints_of(column.length);
  Print* const to = writable(result);
  std::int64_t bad;
  {
    const py::gil_scoped_release unlocked;
    bad = print_keys(column, secret, to);
  }
  if (bad >= 0) throw no_key(bad);
  return result;
}

constexpr int most_levels = 64;

// Plain data, as JSON gives it. False where something else is in it.
bool print_plain(Printer& printer, PyObject* value, int depth) {
  const auto mark = [&printer](Mark what) { printer.word(static_cast<std::uint64_t>(what)); };
  if (depth > most_levels) return false;
  if (value == Py_None) return mark(Mark::absent), true;
  if (value == Py_True) return mark(Mark::yes), true;
  if (value == Py_False) return mark(Mark::no), true;
  if (PyUnicode_CheckExact(value)) {
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(value, &size);
    if (text == nullptr) return PyErr_Clear(), false;
    mark(Mark::text);
    return printer.text(text, static_cast<std::size_t>(size)), true;
  }
  if (PyLong_CheckExact(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow != 0) return false;
    mark(Mark::integer);
    return printer.word(static_cast<std::uint64_t>(number)), true;
  }
  if (PyFloat_CheckExact(value)) {
    const double number = PyFloat_AS_DOUBLE(value);
    std::uint64_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    mark(Mark::number);
    return printer.word(bits), true;
  }
  if (PyList_CheckExact(value) || PyTuple_CheckExact(value)) {
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(value);
    mark(Mark::list);
    printer.word(static_cast<std::uint64_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) {
      if (!print_plain(printer, PySequence_Fast_GET_ITEM(value, i), depth + 1)) return false;
    }
    return true;
  }
  if (PyDict_CheckExact(value)) {
    mark(Mark::object);
    printer.word(static_cast<std::uint64_t>(PyDict_GET_SIZE(value)));
    PyObject *name = nullptr, *held = nullptr;
    Py_ssize_t at = 0;
    while (PyDict_Next(value, &at, &name, &held) != 0) {
      if (!PyUnicode_CheckExact(name) || !print_plain(printer, name, depth + 1)) return false;
      if (!print_plain(printer, held, depth + 1)) return false;
    }
    return true;
  }
  return false;
}

// 16 bytes that stand for plain data: None, booleans, texts, numbers, lists and mappings of texts, the order of names
// included. None where anything else is in it.
py::object plain_print(const py::object& value, const py::bytes& key) {
  Printer printer(key_of(key));
  if (!print_plain(printer, value.ptr(), 0)) return py::none();
  const Print print = printer.print();
  return py::bytes(reinterpret_cast<const char*>(&print), sizeof print);
}

EntryNumbers find(Clock& clock, const Words& prints) {
  EntryNumbers result(prints.shape(0));
  clock.find(readable(prints), static_cast<std::size_t>(prints.shape(0)), result.mutable_data());
  return result;
}

void put(Clock& clock, const Words& prints, const EntryNumbers& numbers) {
  const Print* const given = readable(prints);
  if (numbers.ndim() != 1 || numbers.size() != prints.shape(0))
    throw std::invalid_argument("there must be a number for each fingerprint");
  for (py::ssize_t i = 0; i < numbers.size(); ++i) {
    if (numbers.data()[i] < 0) throw std::invalid_argument("numbers must not be negative");
  }
  clock.put(given, numbers.data(), static_cast<std::size_t>(numbers.size()));
}

}  // namespace

void bind_cache(py::module_& module) {
  module.def("row_prints", &row_prints);
  module.def("key_prints", &key_prints);
  module.def("plain_print", &plain_print);
  py::class_<Clock>(module, "Clock")
      .def(py::init<std::size_t>(), py::arg("most") = 0)
      .def("__len__", &Clock::size)
      .def_property_readonly("evicted", &Clock::evicted)
      .def_property_readonly("nbytes", &Clock::bytes)
      .def("find", &find)
      .def("put", &put)
      .def("erase",
           [](Clock& clock, const Words& prints) {
             return clock.erase(readable(prints), static_cast<std::size_t>(prints.shape(0)));
           })
      .def("numbers",
           [](const Clock& clock) {
             const auto numbers = clock.numbers();
             return EntryNumbers(static_cast<py::ssize_t>(numbers.size()), numbers.data());
           })
      .def("renumber", &Clock::renumber);
}

}  // namespace fg
