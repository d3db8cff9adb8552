// A loop over threads that live as long as the loop: no pool to outlive a fork, no state between calls.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fg {

// Calls work(i, thread) once for every i < count, on up to `threads` threads, the caller's being one of them.
// The first exception is thrown again here, after all threads have ended.
template <class Work>
void parallel(int threads, std::size_t count, const Work& work) {
  const std::size_t helpers =
      std::min<std::size_t>(threads > 1 ? static_cast<std::size_t>(threads) - 1 : 0, count > 0 ? count - 1 : 0);
  if (helpers == 0) {
    for (std::size_t i = 0; i < count; ++i) work(i, std::size_t{0});
    return;
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto loop = [&](std::size_t thread) {
    try {
      for (std::size_t i; (i = next.fetch_add(1)) < count;) work(i, thread);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> started;
  started.reserve(helpers);
  for (std::size_t t = 1; t <= helpers; ++t) {
    try {
      started.emplace_back(loop, t);
    } catch (const std::system_error&) {
      break;  // no more threads to be had: the ones there are do the work
    }
  }
  loop(0);
  for (std::thread& thread : started) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fg
