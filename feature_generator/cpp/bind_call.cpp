#include "bind_call.h"

#include <pybind11/numpy.h>

#include <utility>

#include "arrow_column.h"
#include "numpy_view.h"
#include "reader.h"

namespace fg {
namespace {

namespace py = pybind11;

// Appends the values of an operand's element e.
void append(const Operand& operand, std::size_t e, Cells& out) {
  copy_values(*operand.cells, operand.begin(e), operand.end(e), out);
  close_element(out);
}

// The elements of an operand one after the other, and the texts in one piece.
struct Flat {
  Cells gathered;
  const Cells* cells = nullptr;
  Slab<char> text;
  Slab<std::int64_t> text_ends, ends;

  Flat(const Operand& operand, std::size_t elements, const Slab<std::uint8_t>& spoiled) {
    cells = operand.cells;
    if (operand.at != nullptr || !spoiled.empty()) {
      gathered.clear_like(*operand.cells);
      for (std::size_t e = 0; e < elements; ++e)
        spoiled.empty() || spoiled[e] == 0 ? append(operand, e, gathered) : close_element(gathered);
      cells = &gathered;
    }
    std::int64_t* const to = ends.grow(elements + 1);
    to[0] = 0;
    for (std::size_t e = 0; e < elements; ++e) to[e + 1] = cells->ends[e];
    ends.set_size(elements + 1);
    if (cells->form != Form::text) return;
    text_ends.push(0);
    for (std::size_t i = 0; i < cells->texts.size(); ++i) {
      text.append(cells->texts[i].data, cells->texts[i].size);
      text_ends.push(static_cast<std::int64_t>(text.size()));
    }
  }

  py::tuple pack() {
    const auto n = static_cast<py::ssize_t>(cells->values());
    if (cells->form == Form::text)
      return py::make_tuple(to_numpy(std::move(text)), to_numpy(std::move(text_ends)), to_numpy(std::move(ends)));
    if (cells->form == Form::integer)
      return py::make_tuple(py::array_t<std::int64_t>({n}, cells->integers.data()), py::none(),
                            to_numpy(std::move(ends)));
    return py::make_tuple(py::array_t<double>({n}, cells->numbers.data()), py::none(), to_numpy(std::move(ends)));
  }
};

// Copies what the texts of `cells` point to, which is about to go, into their own arena.
void own_texts(Cells& cells) {
  if (cells.form != Form::text) return;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < cells.texts.size(); ++i) bytes += cells.texts[i].size;
  char* p = cells.arena.room(bytes);
  cells.arena.keep(bytes);
  for (std::size_t i = 0; i < cells.texts.size(); ++i) {
    const std::size_t size = cells.texts[i].size;
    std::memcpy(p, cells.texts[i].data, size);
    cells.texts[i].data = p;
    p += size;
  }
}

class Call final : public Operation {
 public:
  Call(py::object function, bool texts, bool numbers)
      : function_(std::move(function)), texts_(texts), numbers_(numbers) {}
  ~Call() override {
    const py::gil_scoped_acquire locked;
    function_ = py::object();
  }

  void check(std::size_t) const override {}

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    for (std::uint16_t k = 0; k < in.size(); ++k) {
      if (texts_) to_text(*in[k].cells, k);
      if (numbers_) to_numbers(*in[k].cells, k);
    }
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    std::vector<std::unique_ptr<Flat>> flat;
    for (const Operand& operand : in) flat.push_back(std::make_unique<Flat>(operand, elements, spoiled));
    const py::gil_scoped_acquire locked;
    py::list arguments;
    for (auto& one : flat) arguments.append(one->pack());
    const py::object made = function_(arguments, elements);
    const auto capsules = made.attr("__arrow_c_array__")().cast<py::tuple>();
    const auto* const schema = static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema"));
    const auto* const array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array"));
    if (schema == nullptr || array == nullptr) throw py::error_already_set();
    const Column column = view_column(*schema, *array);
    if (column.length != static_cast<std::int64_t>(elements))
      throw std::invalid_argument("an operator returned " + std::to_string(column.length) + " values for " +
                                  std::to_string(elements) + " elements");
    Reading reading;
    reading.split = false;
    if (const char* const problem = unreadable(column, reading); problem != nullptr)
      throw std::invalid_argument(std::string("an operator returned what cannot be read: ") + problem);
    read_rows(column, 0, column.length, reading, out);
    if (!spoiled.empty()) clear_spoiled(spoiled, out);
    own_texts(out);
  }

 private:
  // A spoiled element has no value, whatever the function makes of nothing.
  static void clear_spoiled(const Slab<std::uint8_t>& spoiled, Cells& out) {
    Cells kept;
    kept.clear_like(out);
    const auto moved = [&](std::uint32_t value) {
      const std::uint32_t e = element_of(out, value);
      return kept.begin_of(e) + value - out.begin_of(e);
    };
    for (std::size_t e = 0; e < out.elements(); ++e) {
      if (spoiled[e] == 0) copy_values(out, out.begin_of(e), out.ends[e], kept);
      close_element(kept);
    }
    for (std::size_t i = 0; i < out.broken.size(); ++i) {
      if (spoiled[element_of(out, out.broken[i])] == 0) kept.broken.push(moved(out.broken[i]));
    }
    for (Fault& fault : out.faults) {
      if (fault.of_value && spoiled[element_of(out, fault)] != 0) continue;
      if (fault.of_value) fault.at = moved(fault.at);
      kept.faults.push_back(std::move(fault));
    }
    std::swap(kept, out);
  }

  py::object function_;
  bool texts_, numbers_;
};

}  // namespace

std::shared_ptr<const Operation> make_call(py::object function, const Parameters& parameters) {
  const bool texts = parameters.has("texts") && parameters.flag("texts");
  const bool numbers = parameters.has("numbers") && parameters.flag("numbers");
  return std::make_shared<Call>(std::move(function), texts, numbers);
}

}  // namespace fg
