// A few threads that share numbered units of work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace embedding {

// Runs f(unit, worker) for unit 0 .. n-1. Which worker takes a unit is left to chance, so a result must depend
// on the unit alone; worker < size() names scratch memory that nobody else uses meanwhile.
// The caller works too, and waits only for units that a worker has begun: after a fork, where the workers are
// gone, it does everything by itself.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { serve(worker); });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  template <class F>
  void run(std::int64_t units, F&& f) {
    std::unique_lock<std::mutex> turn(turn_, std::defer_lock);
    if (workers_.empty() || units < 2 || !turn.try_lock()) {
      for (std::int64_t unit = 0; unit < units; ++unit) f(unit, 0);
      return;
    }
    Job job{[](void* g, std::int64_t unit, int worker) { (*static_cast<F*>(g))(unit, worker); }, &f, units, {0}, {}};
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      ++generation_;
    }
    wake_.notify_all();
    job.work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    idle_.wait(lock, [this] { return active_ == 0; });
    if (job.error) std::rethrow_exception(job.error);
  }

 private:
  struct Job {
    void (*call)(void*, std::int64_t, int);
    void* f;
    std::int64_t units;
    std::atomic<std::int64_t> next;
    std::exception_ptr error;
    std::mutex error_mutex{};

    void work(int worker) noexcept {
      for (std::int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) {
        try {
          call(f, unit, worker);
        } catch (...) {
          std::lock_guard<std::mutex> lock(error_mutex);
          if (!error) error = std::current_exception();
        }
      }
    }
  };

  void serve(int worker) {
    std::uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return closing_ || (job_ && generation_ != seen); });
      if (closing_) return;
      seen = generation_;
      Job* job = job_;
      ++active_;
      lock.unlock();
      job->work(worker);
      lock.lock();
      if (--active_ == 0) idle_.notify_all();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex turn_, mutex_;
  std::condition_variable wake_, idle_;
  Job* job_ = nullptr;
  std::uint64_t generation_ = 0;
  int active_ = 0;
  bool closing_ = false;
};

}  // namespace embedding
