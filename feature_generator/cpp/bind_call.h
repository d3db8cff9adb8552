// Operations that are Python functions over whole columns.
#pragma once

#include <pybind11/pybind11.h>

#include "operation.h"

namespace fg {

// An operation that calls `function`: for each input a tuple (values, text ends or None, value ends), numpy arrays with
// the values of all elements (`texts`, `numbers`: as text or doubles whatever they are); it returns an object with
// __arrow_c_array__, one entry an element.
std::shared_ptr<const Operation> make_call(pybind11::object function, const Parameters& parameters);

}  // namespace fg
