// A few threads that share numbered units of work.
#pragma once

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace embedding {

// Runs f(unit, worker) for unit 0 .. n-1. Which worker takes a unit is left to chance, so a result must depend
// on the unit alone; worker < size() names scratch memory that nobody else uses meanwhile.
// The caller works too, and waits only for units that a worker has begun: in a forked child, where the workers are
// gone, it does everything by itself.
class Pool {
 public:
  explicit Pool(int threads) : shared_(new Shared) {
    for (int worker = 1; worker < threads; ++worker)
      workers_.emplace_back([shared = shared_.get(), worker] { shared->serve(worker); });
  }

  ~Pool() {
    if (getpid() != owner_) {  // a child has no workers to join, and a lock or a wait of theirs may be in the memory
      for (auto& worker : workers_) worker.detach();
      static_cast<void>(shared_.release());
      return;
    }
    {
      std::lock_guard<std::mutex> lock(shared_->mutex);
      shared_->closing = true;
    }
    shared_->wake.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  template <class F>
  void run(std::int64_t units, F&& f) {
    std::unique_lock<std::mutex> turn(turn_, std::defer_lock);
    if (workers_.empty() || units < 2 || getpid() != owner_ || !turn.try_lock()) {
      for (std::int64_t unit = 0; unit < units; ++unit) f(unit, 0);
      return;
    }
    Job job{[](void* g, std::int64_t unit, int worker) { (*static_cast<F*>(g))(unit, worker); }, &f, units, {0}, {}};
    {
      std::lock_guard<std::mutex> lock(shared_->mutex);
      shared_->job = &job;
      ++shared_->generation;
    }
    shared_->wake.notify_all();
    job.work(0);
    std::unique_lock<std::mutex> lock(shared_->mutex);
    shared_->job = nullptr;
    shared_->idle.wait(lock, [this] { return shared_->active == 0; });
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

  struct Shared {
    std::mutex mutex;
    std::condition_variable wake, idle;
    Job* job = nullptr;
    std::uint64_t generation = 0;
    int active = 0;
    bool closing = false;

    void serve(int worker) {
      std::uint64_t seen = 0;
      std::unique_lock<std::mutex> lock(mutex);
      for (;;) {
        wake.wait(lock, [&] { return closing || (job && generation != seen); });
        if (closing) return;
        seen = generation;
        Job* mine = job;
        ++active;
        lock.unlock();
        mine->work(worker);
        lock.lock();
        if (--active == 0) idle.notify_all();
      }
    }
  };

  std::unique_ptr<Shared> shared_;
  std::vector<std::thread> workers_;
  std::mutex turn_;
  pid_t owner_ = getpid();
};

}  // namespace embedding
