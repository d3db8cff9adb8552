// One function per operation, each in the file of its name.
#pragma once

#include "../operation.h"

namespace fg {

std::unique_ptr<Operation> make_bm25(const Parameters& parameters);
std::unique_ptr<Operation> make_combine(const Parameters& parameters);
std::unique_ptr<Operation> make_dot(const Parameters& parameters);
std::unique_ptr<Operation> make_edit_distance(const Parameters& parameters);
std::unique_ptr<Operation> make_expr(const Parameters& parameters);
std::unique_ptr<Operation> make_foreign(const Parameters& parameters);
std::unique_ptr<Operation> make_lookup(const Parameters& parameters);
std::unique_ptr<Operation> make_mask(const Parameters& parameters);
std::unique_ptr<Operation> make_match(const Parameters& parameters);
std::unique_ptr<Operation> make_overlap(const Parameters& parameters);
std::unique_ptr<Operation> make_product(const Parameters& parameters);
std::unique_ptr<Operation> make_slice(const Parameters& parameters);

}  // namespace fg
