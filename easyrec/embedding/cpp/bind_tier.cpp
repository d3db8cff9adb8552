// Python's view of tables that are partly in memory.
#include <cerrno>
#include <mutex>
#include <system_error>

#include "bound_tables.h"
#include "tier.h"

namespace embedding {
namespace {

class __attribute__((visibility("hidden"))) BoundTier {
 public:
  BoundTier(std::int64_t rows, const py::list& arrays, int file)
      : slots_(arrays.empty() ? 0 : array_of<float>(arrays[0], "a part of a tier", 2).shape(0)),
        tier_(checked(rows), slots_, parts(arrays), file) {}

  // (slots, number of rows that found no room)
  py::tuple take(const py::object& rows, std::uint32_t ticket, std::uint32_t floor, bool changes) {
    const auto array = array_of<std::int64_t>(rows, "rows", 1);
    const std::int64_t* data = contiguous(array, "rows");
    py::array_t<std::int64_t> slots(array.shape(0));
    std::int64_t* out = slots.mutable_data();
    std::int64_t missing = 0;
    guarded([&] { missing = tier_.take(data, array.shape(0), out, ticket, floor, changes); });
    return py::make_tuple(slots, missing);
  }

  void write_back() {
    guarded([&] { tier_.write_back(); });
  }

  void forget() {
    guarded([&] { tier_.forget(); });
  }

  py::dict take_counts() {
    TierCounts counts;
    guarded([&] { std::swap(counts, tier_.counts); });
    py::dict result;
    result["asked"] = counts.asked;
    result["read"] = counts.read;
    result["written"] = counts.written;
    return result;
  }

 private:
  static std::int64_t checked(std::int64_t rows) {
    if (rows < 0) throw py::value_error("a tier has rows");
    return rows;
  }

  std::vector<TierPart> parts(const py::list& arrays) {
    std::vector<TierPart> result;
    for (const auto& item : arrays) {
      auto array = array_of<float>(item, "a part of a tier", 2);
      contiguous(array, "a part of a tier");
      if (array.shape(0) != slots_ || slots_ > std::numeric_limits<std::int32_t>::max())
        throw py::value_error("the parts of a tier have unequal or too many rows");
      if (array.shape(1) > std::numeric_limits<int>::max()) throw py::value_error("a part of a tier is too wide");
      result.push_back({array.mutable_data(), static_cast<int>(array.shape(1))});
      keep_.push_back(array);
    }
    return result;
  }

  // Runs without the interpreter, one at a time; what the system refuses is an OSError.
  template <class F>
  void guarded(F&& call) {
    int refused = 0;
    {
      py::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        call();
      } catch (const std::system_error& error) { refused = error.code().value(); }
    }
    if (!refused) return;
    errno = refused;
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }

  std::vector<py::object> keep_;
  std::int64_t slots_;
  std::mutex mutex_;
  Tier tier_;
};

}  // namespace

void bind_tier(py::module_& m) {
  py::class_<BoundTier>(m, "Tier", py::module_local())
      .def(py::init<std::int64_t, const py::list&, int>(), py::arg("rows"), py::arg("arrays"), py::arg("file"))
      .def("take", &BoundTier::take, py::arg("rows"), py::arg("ticket"), py::arg("floor"), py::arg("changes"))
      .def("write_back", &BoundTier::write_back)
      .def("forget", &BoundTier::forget)
      .def("take_counts", &BoundTier::take_counts);
}

}  // namespace embedding
