// Programs from Python into expressions.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "expression.h"

namespace fg {

// The expression of what `Program.native` gives. Throws std::invalid_argument where it is no program.
std::shared_ptr<const Expression> read_expression(const pybind11::dict& program);

}  // namespace fg
