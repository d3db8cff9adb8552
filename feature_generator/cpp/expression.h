// Expressions over blocks of elements: a list of instructions over arrays of doubles.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expression_kernels.h"
#include "parameters.h"
#include "slab.h"

namespace fg {

// The values of one variable.
struct ExpressionInput {
  const double* values = nullptr;
  const std::uint32_t* ends = nullptr;  // values up to and with each of its elements; null: one value each
  const std::uint32_t* at = nullptr;    // its element that stands beside element e; null: element e
};

// Two vectors that do not fit each other decided the value of an element.
struct UnequalVectors {
  std::uint32_t element;
  std::uint32_t left, right;  // how many values they have
  const char* operation;
};

// Memory that one thread reuses from run to run, of any expression.
class ExpressionScratch {
  friend class Expression;
  // Values of a chunk. Without ends every element has one value; without `unequal` every value could be computed.
  struct View {
    const double* values = nullptr;
    const std::uint32_t* ends = nullptr;
    const std::uint32_t* unequal = nullptr;  // 0, or 1 + index into `found`, by element
  };
  struct Room {
    Slab<double> values;
    Slab<std::uint32_t> ends, unequal;
  };
  std::vector<View> views;  // by value
  std::vector<Room> inputs, constants, results;
  Slab<double> spread[most_operands];
  Slab<std::uint8_t> missing;
  std::vector<UnequalVectors> found;
};

class Expression {
 public:
  // From `inputs`, how many variables there are; `constants`; `code`, a line per instruction: its operation and the
  // values it works on; `result`, the value that the expression has; and where it is given `fill_missing`, which stands
  // for a missing variable and for the places that the shorter one of two vectors lacks. Values are numbered: the
  // variables, the constants, the results of the instructions. Throws std::invalid_argument where this is no program.
  explicit Expression(const Parameters& program);

  std::size_t inputs() const noexcept { return inputs_; }

  // Appends the value of each element to `values`, and to `ends` how many values there are up to and with it. An
  // element is left without values where a variable is missing, where a result is no finite float32 number, and where
  // vectors do not fit: those are appended to `unequal`.
  void run(const ExpressionInput* inputs, std::size_t elements, ExpressionScratch& scratch, Slab<double>& values,
           Slab<std::uint32_t>& ends, std::vector<UnequalVectors>& unequal) const;

  // out[e] = the value of element e, finite or not. Every input has one value an element (no ends).
  void run_single(const ExpressionInput* inputs, std::size_t elements, ExpressionScratch& scratch, double* out) const;

 private:
  struct Instruction {
    const ExpressionKernel* kernel;
    std::uint32_t operands[most_operands];
    std::uint32_t room;  // of the result
  };
  using View = ExpressionScratch::View;
  using Room = ExpressionScratch::Room;
  void read_code(const std::string& code, std::int64_t result);
  void number_values();
  void prepare(ExpressionScratch& scratch, std::size_t elements) const;
  void assign_rooms();
  bool bind(const ExpressionInput* inputs, std::size_t first, std::size_t n, ExpressionScratch& scratch,
            bool& missing) const;
  void bind_ragged(const ExpressionInput& input, std::size_t first, std::size_t n, bool full, Room& room,
                   View& view) const;
  void compute_single(std::size_t n, ExpressionScratch& scratch) const;

  struct Part;
  static Part part(const View& view, std::size_t element) noexcept;
  std::uint32_t places(const ExpressionKernel& kernel, const Part* parts, ExpressionScratch& scratch,
                       std::uint32_t& unequal) const;
  void lay(const Part& part, std::uint32_t length, bool repeat, double* to) const noexcept;
  void compute_ragged(std::size_t n, ExpressionScratch& scratch) const;
  void each(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room, View& view) const;
  void reduce(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room, View& view) const;
  void choose(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room, View& view) const;

  std::size_t inputs_ = 0;
  std::vector<double> constants_;
  std::vector<Instruction> code_;
  std::uint32_t result_ = 0;
  std::size_t rooms_ = 0;
  bool filled_ = false;
  double fill_ = 0;
};

}  // namespace fg
