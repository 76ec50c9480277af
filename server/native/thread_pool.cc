#include "thread_pool.h"

#include <algorithm>

#include "pause.h"

namespace onebit {
namespace {

constexpr int kSpins = 2000;  // tens of µs: the gap between two layers
constexpr int kYields = 4;    // then others run; with more, a busy machine keeps the core for long

}  // namespace

ThreadPool& ThreadPool::Shared() {
  // Never destroyed: joining threads during process exit would race with Node's own teardown.
  static ThreadPool* pool = new ThreadPool();
  return *pool;
}

ThreadPool::ThreadPool() { Start(static_cast<int>(std::thread::hardware_concurrency())); }

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Start(int n) {
  threads_ = std::max(1, n);
  stop_.store(false);
  // No region runs now: a worker that starts late still sees the first one as new.
  const unsigned seen = generation_.load();
  for (int i = 1; i < threads_; i++) workers_.emplace_back([this, seen] { Work(seen); });
}

void ThreadPool::Stop() {
  stop_.store(true);
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::SetThreads(int n) {
  if (n < 1) n = static_cast<int>(std::thread::hardware_concurrency());
  std::lock_guard<std::mutex> region(run_mutex_);
  if (n == threads_) return;
  Stop();
  Start(n);
}

void ThreadPool::Announce() {
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    // Taking the lock orders this wake-up after the check of any worker about to sleep.
    { std::lock_guard<std::mutex> lock(sleep_mutex_); }
    wake_.notify_all();
  }
}

void ThreadPool::Run(Task task, void* context) {
  std::lock_guard<std::mutex> region(run_mutex_);
  if (threads_ == 1) {
    task(context);
    return;
  }
  task_ = task;
  context_ = context;
  guests_.store(0, std::memory_order_release);
  Announce();
  task(context);
  // Close the door: who is inside finishes, nobody else enters.
  int inside = guests_.fetch_add(kClosed, std::memory_order_acq_rel);
  for (int i = 0; inside > 0; i++) {
    if (i < kSpins) Pause();
    else Yield();
    inside = guests_.load(std::memory_order_acquire) - kClosed;
  }
}

void ThreadPool::Work(unsigned seen) {
  for (;;) {
    int i = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (i < kSpins) {
        Pause();
      } else if (i < kSpins + kYields) {
        Yield();
      } else {
        std::unique_lock<std::mutex> lock(sleep_mutex_);
        sleeping_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
        sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      }
      i++;
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    int inside = guests_.load(std::memory_order_acquire);
    while (inside >= 0 && !guests_.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel)) {
    }
    if (inside < 0) continue;
    // Whichever region is open now: an older one that this thread was late for is closed.
    task_(context_);
    guests_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace onebit
