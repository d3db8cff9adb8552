#include "program.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
namespace dense {
namespace {

constexpr std::size_t CHUNK = 128;                          // rows at a time
constexpr std::size_t MOST_NUMBERS = std::size_t{1} << 31;  // of a row, or of a constant
constexpr std::size_t LINE = 16;                            // numbers of a cache line

[[noreturn]] void refuse(std::size_t step, const std::string& what) {
  throw std::invalid_argument("step " + std::to_string(step) + ": " + what);
}

// The largest place that is reached, from `at`; throws where it is beyond `width`.
void within(std::size_t step, const Places& places, const std::size_t (&steps)[3], std::size_t at, std::size_t width) {
  std::size_t last = at;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::size_t count = places.sizes[d];
    if (count == 0 || count > MOST_NUMBERS || steps[d] > MOST_NUMBERS || at > MOST_NUMBERS)
      refuse(step, "a size is beyond its bounds");
    last += (count - 1) * steps[d];
    if (last >= width) refuse(step, "it reaches beyond a value");
  }
}

std::size_t product_of(std::size_t step, const Places& places) {
  std::size_t total = 1;
  for (const std::size_t size : places.sizes) {
    if (size == 0 || size > MOST_NUMBERS || total > MOST_NUMBERS / size) refuse(step, "a size is beyond its bounds");
    total *= size;
  }
  return total;
}

std::size_t whole_lines(std::size_t numbers) noexcept { return (numbers + LINE - 1) / LINE * LINE; }

}  // namespace

// What a thread needs while it runs a program; kept for its next one.
struct Program::Memory {
  std::vector<float> numbers;
  std::vector<std::uint8_t> scratch;
  std::vector<Rows> rows;
};

Program::Program(std::vector<Value> values, std::size_t inputs, std::vector<std::vector<float>> constants,
                 std::vector<Step> steps, std::vector<int> outputs)
    : values_(std::move(values)),
      inputs_(inputs),
      constants_(std::move(constants)),
      steps_(std::move(steps)),
      outputs_(std::move(outputs)) {
  const std::size_t given = inputs_ + constants_.size();
  if (given > values_.size()) throw std::invalid_argument("there are fewer values than inputs and constants");
  for (const Value& value : values_)
    if (value.width == 0 || value.width > MOST_NUMBERS) throw std::invalid_argument("a value's width is beyond bounds");
  for (std::size_t i = 0; i < constants_.size(); ++i) {
    const Value& value = values_[inputs_ + i];
    if (!value.once || value.width != constants_[i].size()) throw std::invalid_argument("a constant has another width");
  }
  std::vector<bool> made(values_.size());
  std::fill_n(made.begin(), given, true);
  for (std::size_t number = 0; number < steps_.size(); ++number) {
    const Step& step = steps_[number];
    for (const int value : {step.x, step.y, step.added, step.matrix}) {
      if (value < -1 || value >= static_cast<int>(values_.size())) refuse(number, "there is no such value");
      if (value >= 0 && !made[static_cast<std::size_t>(value)]) refuse(number, "it reads what does not exist yet");
    }
    if (step.x < 0 || step.out < static_cast<int>(given) || step.out >= static_cast<int>(values_.size()))
      refuse(number, "it lacks a value");
    const auto out = static_cast<std::size_t>(step.out);
    if (made[out] && step.kind != Kind::COPY) refuse(number, "it makes what was made already");
    if (values_[out].once)
      for (const int value : {step.x, step.y, step.added})
        if (value >= 0 && !values_[static_cast<std::size_t>(value)].once)
          refuse(number, "a row for all follows from rows of each");
    check(step, number);
    made[out] = true;
  }
  for (const int output : outputs_)
    if (output < 0 || output >= static_cast<int>(values_.size()) || !made[static_cast<std::size_t>(output)])
      throw std::invalid_argument("an output does not exist");
  place();
}

void Program::check(const Step& step, std::size_t number) const {
  const auto width = [this](int value) { return values_[static_cast<std::size_t>(value)].width; };
  const auto reads = [&](int value, std::size_t at, std::size_t count) {  // so many numbers, one behind another
    if (value < 0 || at > width(value) || count > width(value) - at) refuse(number, "it reaches beyond a value");
  };
  const auto fills = [&](std::size_t count) {
    if (count != width(step.out)) refuse(number, "it does not fill its value");
  };
  const auto& [sizes, xs, ys, outs] = step.places;
  const std::size_t all = product_of(number, step.places);
  if (step.kind != Kind::COPY && step.out_at != 0) refuse(number, "it does not fill its value");
  switch (step.kind) {
    case Kind::PRODUCT: {
      const auto [k, n, times] = sizes;
      const auto matrix = static_cast<std::size_t>(step.matrix);
      if (step.matrix < 0 || matrix < inputs_ || matrix >= inputs_ + constants_.size() || width(step.matrix) != k * n)
        refuse(number, "its matrix does not fit");
      reads(step.x, step.x_at, k * times);
      fills(n * times);
      if (step.added >= 0)
        reads(step.added, step.added_at, values_[static_cast<std::size_t>(step.added)].once ? n : n * times);
      break;
    }
    case Kind::UNARY:
      if (step.unary == nullptr) refuse(number, "it has no function");
      reads(step.x, step.x_at, width(step.out));
      break;
    case Kind::BINARY:
      if (step.binary == nullptr || step.y < 0) refuse(number, "it lacks a value");
      fills(all);
      within(number, step.places, xs, step.x_at, width(step.x));
      within(number, step.places, ys, step.y_at, width(step.y));
      break;
    case Kind::REDUCE:
      if (step.reduce == nullptr) refuse(number, "it has no function");
      reads(step.x, step.x_at, all);
      fills(sizes[0] * sizes[2]);
      break;
    case Kind::COPY:
      within(number, step.places, xs, step.x_at, width(step.x));
      within(number, step.places, outs, step.out_at, width(step.out));
      break;
    case Kind::SOFTMAX:
    case Kind::NORM:
      if (step.kind == Kind::NORM && sizes[2] != 1) refuse(number, "sizes do not fit");
      reads(step.x, step.x_at, all);
      fills(all);
      break;
    case Kind::MATMUL:
      reads(step.x, step.x_at, sizes[0] * sizes[1]);
      reads(step.y, step.y_at, sizes[1] * sizes[2]);
      fills(sizes[0] * sizes[2]);
      break;
  }
}

// Packs the matrices, and finds a place for each value that is made, taken anew once nobody needs what was there.
void Program::place() {
  struct Place {
    std::size_t width, at;
  };
  std::vector<std::size_t> last(values_.size(), 0);
  for (std::size_t number = 0; number < steps_.size(); ++number)
    for (const int value : {steps_[number].x, steps_[number].y, steps_[number].added})
      if (value >= 0) last[static_cast<std::size_t>(value)] = number;
  for (const int output : outputs_) last[static_cast<std::size_t>(output)] = steps_.size();
  std::vector<Place> free, taken(values_.size(), {0, 0});  // of width 0: it has none
  const std::size_t given = inputs_ + constants_.size();
  for (std::size_t number = 0; number < steps_.size(); ++number) {
    const Step& step = steps_[number];
    matrix_of_.push_back(step.kind == Kind::PRODUCT ? pack(step) : 0);
    const auto out = static_cast<std::size_t>(step.out);
    const std::size_t width = whole_lines(values_[out].width);
    if (taken[out].width == 0) {
      const auto fits = [width](const Place& place) { return place.width >= width && place.width <= 2 * width; };
      const auto found = values_[out].once ? free.end() : std::find_if(free.begin(), free.end(), fits);
      if (found != free.end()) {
        taken[out] = *found;
        free.erase(found);
      } else {
        std::size_t& size = values_[out].once ? once_size_ : each_size_;
        taken[out] = {width, size};
        size += width;
      }
    }
    for (std::size_t value = given; value < values_.size(); ++value)
      if (!values_[value].once && taken[value].width != 0 && last[value] == number && value != out)
        free.push_back(taken[value]);
  }
  for (const Place& place : taken) at_.push_back(place.at);
}

std::size_t Program::pack(const Step& step) {
  const auto [k, n, times] = step.places.sizes;
  const float* const weights = constants_[static_cast<std::size_t>(step.matrix) - inputs_].data();
  if (!step.rounded) {
    matrices_.emplace_back(weights, k, n);
    return matrices_.size() - 1;
  }
  rounded_.emplace_back(weights, k, n);
  scratch_size_ = std::max(scratch_size_, ROUNDED_ROWS * 4 * rounded_.back().quads);
  return rounded_.size() - 1;
}

// One step over some rows.
void Program::perform(std::size_t number, std::size_t rows, Memory& memory) const {
  const Step& step = steps_[number];
  const auto from = [&memory](int value, std::size_t at) {
    if (value < 0) return Rows{};
    const auto [data, apart] = memory.rows[static_cast<std::size_t>(value)];
    return Rows{data + at, apart};
  };
  const Rows x = from(step.x, step.x_at), y = from(step.y, step.y_at);
  const std::size_t width = values_[static_cast<std::size_t>(step.out)].width;
  const auto& [sizes, xs, ys, outs] = step.places;
  float* const out = const_cast<float*>(memory.rows[static_cast<std::size_t>(step.out)].data);  // a place of ours
  const auto dense = [rows](Rows given, std::size_t count) { return given.step == count || rows == 1; };
  switch (step.kind) {
    case Kind::PRODUCT: {
      const auto [k, n, times] = sizes;
      const Rows added = from(step.added, step.added_at);
      const auto multiplied = [&](Rows some, std::size_t count, Rows start, float* to) {
        if (step.rounded) {
          multiply(some, count, rounded_[matrix_of_[number]], start, step.relu, memory.scratch.data(), to);
        } else {
          multiply(some, count, matrices_[matrix_of_[number]], start, step.relu, to);
        }
      };
      if (times == 1) return multiplied(x, rows, added, out);
      if (dense(x, k * times) && added.step == 0) return multiplied({x.data, k}, rows * times, added, out);
      for (std::size_t row = 0; row < rows; ++row) {
        const Rows start{added.data == nullptr ? nullptr : added.data + row * added.step, added.step == 0 ? 0 : n};
        multiplied({x.data + row * x.step, k}, times, start, out + row * width);
      }
      return;
    }
    case Kind::UNARY: {
      if (dense(x, width)) return step.unary(x.data, rows * width, step.number, out);
      for (std::size_t row = 0; row < rows; ++row)
        step.unary(x.data + row * x.step, width, step.number, out + row * width);
      return;
    }
    case Kind::BINARY: {
      if (!step.relu && dense(x, width) && dense(y, width) && sizes[2] == width && xs[2] == 1 && ys[2] == 1)
        return step.binary(x.data, 1, y.data, 1, rows * width, out);
      for (std::size_t row = 0; row < rows; ++row) {
        float* to = out + row * width;
        for (std::size_t i = 0; i < sizes[0]; ++i)
          for (std::size_t j = 0; j < sizes[1]; ++j, to += sizes[2])
            step.binary(x.data + row * x.step + i * xs[0] + j * xs[1], xs[2],
                        y.data + row * y.step + i * ys[0] + j * ys[1], ys[2], sizes[2], to);
        if (step.relu) relu(out + row * width, width);
      }
      return;
    }
    case Kind::REDUCE: {
      if (dense(x, sizes[0] * sizes[1] * sizes[2]))
        return step.reduce(x.data, rows * sizes[0], sizes[1], sizes[2], out);
      for (std::size_t row = 0; row < rows; ++row)
        step.reduce(x.data + row * x.step, sizes[0], sizes[1], sizes[2], out + row * width);
      return;
    }
    case Kind::COPY:
      for (std::size_t row = 0; row < rows; ++row) {
        const float* const some = x.data + row * x.step;
        float* const to = out + row * width + step.out_at;
        for (std::size_t i = 0; i < sizes[0]; ++i)
          for (std::size_t j = 0; j < sizes[1]; ++j) {
            const float* const one = some + i * xs[0] + j * xs[1];
            float* const other = to + i * outs[0] + j * outs[1];
            if (xs[2] == 1 && outs[2] == 1) std::copy_n(one, sizes[2], other);
            else
              for (std::size_t l = 0; l < sizes[2]; ++l) other[l * outs[2]] = one[l * xs[2]];
          }
      }
      return;
    case Kind::SOFTMAX:
      for (std::size_t row = 0; row < rows; ++row)
        softmax(x.data + row * x.step, sizes[0], sizes[1], sizes[2], out + row * width);
      return;
    case Kind::NORM:
      for (std::size_t row = 0; row < rows; ++row)
        normalize(x.data + row * x.step, sizes[0], sizes[1], step.number, out + row * width);
      return;
    case Kind::MATMUL:
      for (std::size_t row = 0; row < rows; ++row)
        matmul(x.data + row * x.step, y.data + row * y.step, sizes[0], sizes[1], sizes[2], out + row * width);
      return;
  }
}

void Program::run(const Given& given, std::size_t rows, const std::vector<float*>& outputs) const {
  thread_local Memory memory;
  const std::size_t chunk = std::min(CHUNK, std::max<std::size_t>(rows, 1));
  const std::size_t size = once_size_ + each_size_ * chunk + LINE;
  if (memory.numbers.size() < size) memory.numbers.resize(size);
  if (memory.scratch.size() < scratch_size_) memory.scratch.resize(scratch_size_);
  memory.rows.assign(values_.size(), Rows{});
  const auto address = reinterpret_cast<std::uintptr_t>(memory.numbers.data()) / sizeof(float);
  float* const start = memory.numbers.data() + (LINE - address % LINE) % LINE;
  auto& places = memory.rows;
  const std::size_t count = inputs_ + constants_.size();
  for (std::size_t i = 0; i < constants_.size(); ++i) places[inputs_ + i] = {constants_[i].data(), 0};
  for (std::size_t value = count; value < values_.size(); ++value) {
    const auto [once, width] = values_[value];
    places[value] = once ? Rows{start + at_[value], 0} : Rows{start + once_size_ + at_[value] * chunk, width};
  }
  for (std::size_t i = 0; i < inputs_; ++i) places[i] = given[i];
  for (std::size_t number = 0; number < steps_.size(); ++number)
    if (values_[static_cast<std::size_t>(steps_[number].out)].once) perform(number, 1, memory);
  for (std::size_t first = 0; first < rows; first += chunk) {
    const std::size_t some = std::min(chunk, rows - first);
    for (std::size_t i = 0; i < inputs_; ++i)
      if (!values_[i].once) places[i].data = given[i].data + first * given[i].step;
    for (std::size_t number = 0; number < steps_.size(); ++number)
      if (!values_[static_cast<std::size_t>(steps_[number].out)].once) perform(number, some, memory);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const auto value = static_cast<std::size_t>(outputs_[i]);
      const std::size_t width = values_[value].width;
      for (std::size_t row = 0; row < some; ++row)
        std::copy_n(places[value].data + row * places[value].step, width, outputs[i] + (first + row) * width);
    }
  }
}

}  // namespace dense
