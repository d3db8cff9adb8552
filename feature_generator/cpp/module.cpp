#include <pybind11/pybind11.h>

#include "bindings.h"

PYBIND11_MODULE(NATIVE_MODULE, module) {
  fg::bind_hash(module);
  fg::bind_libraries(module);
  fg::bind_plan(module);
  fg::bind_gather(module);
  fg::bind_json(module);
  fg::bind_objects(module);
  fg::bind_expression(module);
  fg::bind_flat(module);
  fg::bind_cache(module);
}
