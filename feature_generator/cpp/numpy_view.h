// Flat buffers handed to numpy without a copy: the array owns the memory from then on.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "slab.h"

namespace fg {

template <class T>
pybind11::array to_numpy(Slab<T>&& slab, std::vector<pybind11::ssize_t> shape) {
  auto* const owner = new Slab<T>(std::move(slab));
  pybind11::capsule keeper(owner, [](void* p) { delete static_cast<Slab<T>*>(p); });
  return pybind11::array_t<T>(std::move(shape), owner->data(), keeper);
}

template <class T>
pybind11::array to_numpy(Slab<T>&& slab) {
  const auto n = static_cast<pybind11::ssize_t>(slab.size());
  return to_numpy(std::move(slab), {n});
}

}  // namespace fg
