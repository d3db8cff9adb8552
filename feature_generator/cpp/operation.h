// What a feature computes: elements out of the elements of its inputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cells.h"
#include "parameters.h"

namespace fg {

// One input. Element e of the result is computed from element element(e) of it, so that what stands beside many
// elements - a user's map beside the items, a row's value beside the steps of its sequence - is never copied.
struct Operand {
  Cells* cells;
  const std::uint32_t* at;  // null: e itself
  bool beside_all = false;  // one element stands beside all rows of the batch

  std::uint32_t element(std::size_t e) const noexcept { return at != nullptr ? at[e] : static_cast<std::uint32_t>(e); }
  std::uint32_t begin(std::size_t e) const noexcept { return cells->begin_of(element(e)); }
  std::uint32_t end(std::size_t e) const noexcept { return cells->ends[element(e)]; }
  bool missing(std::size_t e) const noexcept { return begin(e) == end(e); }
};

// Immutable and shared between threads; what it needs to remember while it works is in its Scratch, one a thread.
// The result of an element must depend on nothing but the operands' elements: neither on its neighbours nor its place.
class Operation {
 public:
  struct Scratch {
    virtual ~Scratch() = default;
  };
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  // Throws std::invalid_argument where it cannot work on that many inputs.
  virtual void check(std::size_t inputs) const = 0;
  virtual std::unique_ptr<Scratch> scratch() const { return nullptr; }
  // out = `elements` elements, each with any number of values; one without values is missing. The operands may be
  // turned into other forms (to_text ...); text in `out` may point into them. Faults of the operands are the
  // operation's to pass on, with carry_faults.
  virtual void run(const std::vector<Operand>& in, std::size_t elements, Scratch* scratch, Cells& out) const = 0;
};

// The operation `name`, one of those in operations/. Throws std::invalid_argument where there is none.
std::unique_ptr<Operation> make_operation(const std::string& name, const Parameters& parameters);

// Hands the faults of the operands to `out`, told of elements, in their order. `spoiled[e]` is set for every element
// that a broken value touches in any operand; it stays empty where there is none.
void carry_faults(const std::vector<Operand>& in, std::size_t elements, Cells& out, Slab<std::uint8_t>& spoiled);

// A fault of element `e` of the result, found by the operation itself in input `input`; the element must stay empty.
inline void fail(Cells& out, std::size_t e, std::size_t input, std::string reason) {
  out.faults.push_back({static_cast<std::uint32_t>(e), false, static_cast<std::uint16_t>(input), std::move(reason)});
}

}  // namespace fg
