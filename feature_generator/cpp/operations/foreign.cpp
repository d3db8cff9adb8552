// An operator of a shared library, behind the C interface of easyrec_operator.h.
#include <algorithm>
#include <mutex>

#include "../libraries.h"
#include "operations.h"

namespace fg {
namespace {

static_assert(sizeof(Text) == sizeof(easyrec_text) && alignof(Text) == alignof(easyrec_text) &&
                  offsetof(Text, data) == offsetof(easyrec_text, data) &&
                  offsetof(Text, size) == offsetof(easyrec_text, size),
              "texts are handed over as they are");

// What an operator fills. No exception may pass through its frames: the first problem is kept, and told afterwards.
struct Host {
  Cells& out;
  const Slab<std::uint8_t>& spoiled;
  std::size_t elements, inputs;
  Form result;
  std::string problem;

  bool open() {
    if (out.elements() < elements) return problem.empty();
    if (problem.empty()) problem = "it made more than the " + std::to_string(elements) + " elements asked for";
    return false;
  }
  // Whether a value of this form may be appended.
  bool takes(Form form) {
    if (!open()) return false;
    if (form == result) return spoiled.empty() || spoiled[out.elements()] == 0;
    problem = "it made a value of another form than the result that it states";
    return false;
  }
  void drop() {
    const std::uint32_t begin = out.elements() == 0 ? 0 : out.ends[out.elements() - 1];
    out.texts.set_size(std::min<std::size_t>(begin, out.texts.size()));
    out.integers.set_size(std::min<std::size_t>(begin, out.integers.size()));
    out.numbers.set_size(std::min<std::size_t>(begin, out.numbers.size()));
  }
};

template <class Work>
void guarded(easyrec_output* output, Work&& work) noexcept {
  Host& host = *static_cast<Host*>(output->host);
  try {
    work(host);
  } catch (const std::exception& error) {
    if (host.problem.empty()) host.problem = error.what();
  }
}

void take_text(easyrec_output* output, const char* data, std::size_t size) {
  guarded(output, [&](Host& host) {
    if (!host.takes(Form::text) || size == 0) return;  // an empty text is no value
    char* const room = host.out.arena.room(size);
    std::memcpy(room, data, size);
    host.out.arena.keep(size);
    host.out.texts.push({room, size});
  });
}

void take_integer(easyrec_output* output, std::int64_t value) {
  guarded(output, [&](Host& host) {
    if (host.takes(Form::integer)) host.out.integers.push(value);
  });
}

void take_number(easyrec_output* output, double value) {
  guarded(output, [&](Host& host) {
    if (host.takes(Form::number)) host.out.numbers.push(value);
  });
}

void take_bad(easyrec_output* output, std::uint32_t input, const char* reason) {
  guarded(output, [&](Host& host) {
    if (!host.open()) return;
    if (input >= host.inputs) {
      host.problem = "it complains of input " + std::to_string(input) + ", which it does not have";
      return;
    }
    const std::size_t e = host.out.elements();
    if (!host.spoiled.empty() && host.spoiled[e] != 0) return;  // told already
    fail(host.out, e, input, reason != nullptr ? reason : "the operator refuses it");
  });
}

void take_end(easyrec_output* output) {
  guarded(output, [&](Host& host) {
    if (!host.open()) return;
    const auto e = static_cast<std::uint32_t>(host.out.elements());
    if (!host.out.faults.empty() && !host.out.faults.back().of_value && host.out.faults.back().at == e) host.drop();
    close_element(host.out);
  });
}

class Foreign final : public Operation {
 public:
  explicit Foreign(const Parameters& parameters)
      : instance_(library_operator(parameters.text("operator")), parameters.text("params"),
                  static_cast<std::uint32_t>(parameters.integer("inputs"))) {}

  void check(std::size_t inputs) const override {
    const easyrec_operator& kind = instance_.kind();
    if (inputs < kind.fewest_inputs || inputs > kind.most_inputs)
      throw std::invalid_argument(std::string("operator '") + kind.name + "' does not take that many inputs");
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    const easyrec_operator& kind = instance_.kind();
    std::vector<easyrec_input> inputs;
    for (std::uint16_t k = 0; k < in.size(); ++k) {
      Cells& cells = *in[k].cells;
      if (kind.form == EASYREC_TEXT) to_text(cells, k);
      if (kind.form == EASYREC_INTEGER) to_integers(cells, k);
      if (kind.form == EASYREC_NUMBER) to_numbers(cells, k);
      inputs.push_back({in[k].at, cells.ends.data(),
                        kind.form == EASYREC_TEXT ? reinterpret_cast<const easyrec_text*>(cells.texts.data()) : nullptr,
                        kind.form == EASYREC_INTEGER ? cells.integers.data() : nullptr,
                        kind.form == EASYREC_NUMBER ? cells.numbers.data() : nullptr});
    }
    Slab<std::uint8_t> spoiled;
    Cells carried;  // so that the operator's own faults do not mix with these
    carry_faults(in, elements, carried, spoiled);
    out.form = static_cast<Form>(kind.result);
    Host host{out, spoiled, elements, in.size(), out.form, {}};
    easyrec_output output{&host, take_text, take_integer, take_number, take_bad, take_end};
    char error[512] = "";
    std::int32_t failed = 0;
    {
      std::unique_lock<std::mutex> alone(turn_, std::defer_lock);
      if (kind.reentrant == 0) alone.lock();
      failed = kind.run(instance_.get(), inputs.data(), static_cast<std::uint32_t>(in.size()),
                        static_cast<std::uint32_t>(elements), &output, error, sizeof error);
    }
    error[sizeof error - 1] = 0;
    if (failed != 0) refuse(*error != 0 ? error : "it does not say why");
    if (!host.problem.empty()) refuse(host.problem);
    if (out.elements() != elements)
      refuse("it made " + std::to_string(out.elements()) + " of " + std::to_string(elements) + " elements");
    if (carried.faults.empty()) return;
    for (Fault& fault : carried.faults) out.faults.push_back(std::move(fault));
    std::stable_sort(out.faults.begin(), out.faults.end(), [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw std::invalid_argument(std::string("operator '") + instance_.kind().name + "' failed: " + reason);
  }

  Instance instance_;
  mutable std::mutex turn_;
};

static_assert(static_cast<int>(Form::text) == EASYREC_TEXT && static_cast<int>(Form::integer) == EASYREC_INTEGER &&
              static_cast<int>(Form::number) == EASYREC_NUMBER);

}  // namespace

std::unique_ptr<Operation> make_foreign(const Parameters& parameters) { return std::make_unique<Foreign>(parameters); }

}  // namespace fg
