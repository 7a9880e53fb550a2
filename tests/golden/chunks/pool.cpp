#include <condition_variable>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

namespace work {

// Runs jobs on a few threads.
class Pool {
 public:
  explicit Pool(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      threads_.emplace_back([this] { loop(); });
    }
  }

  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    ready_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  template <typename F>
  void submit(F&& job) {
    std::lock_guard lock(mutex_);
    jobs_.emplace(std::forward<F>(job));
    ready_.notify_one();
  }

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::queue<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  bool closing_ = false;
};

void Pool::loop() {
  for (;;) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop();
    lock.unlock();
    job();
  }
}

}  // namespace work
