// Plans out of plain data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plain.h"
#include "plan.h"

namespace fg {

// How an input is read: separators and, of pairs, how what belongs to a key is read.
Reading compile_reading(const Plain& reading);

// The plan over `columns` whose units are `units`; program.py says what they hold. Throws std::invalid_argument where
// they are none.
std::unique_ptr<Plan> compile_plan(std::vector<std::string> columns, const Plain::List& units);

}  // namespace fg
