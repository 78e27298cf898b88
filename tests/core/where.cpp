// Threads of the caller: every item once, exceptions home again, many short jobs.
#include <catch2/catch.hpp>
#include <atomic>
#include <numeric>
#include <smalti/core/where.hpp>

namespace smalti {
namespace {

TEST_CASE("every item is done once, by any number of threads") {
  for (int n : {1, 2, 3, 8}) {
    thread_pool pool{n};
    CHECK(pool.size() == n);
    for (index count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      parallel_for(on_cpu{pool}, count, [&](index i) { ++done[static_cast<std::size_t>(i)]; });
      CHECK(std::accumulate(done.begin(), done.end(), 0, [](int s, auto const& v) { return s + (v == 1); }) == count);
    }
  }
  int sum = 0;
  parallel_for(on_cpu{}, 5, [&](index i) { sum += int(i); });
  CHECK(sum == 10);
}

TEST_CASE("thousands of jobs in a row neither hang nor lose an item") {
  thread_pool pool{3};
  std::atomic<long> total = 0;
  for (int job = 0; job < 20000; ++job) pool.run(5, [&](index i) { total += i; });
  CHECK(total == 20000 * 10);
}

TEST_CASE("a job does not wait for workers that never came") {
  thread_pool pool{64};  // far more threads than cores: most of them arrive late or not at all
  std::atomic<long> total = 0;
  for (int job = 0; job < 500; ++job) pool.run(3, [&](index i) { total += i + 1; });
  CHECK(total == 500 * 6);
}

TEST_CASE("the first exception comes home, the rest of the job is dropped, and the pool goes on") {
  thread_pool pool{2};
  for (int again = 0; again < 100; ++again) {
    CHECK_THROWS_AS(pool.run(50, [](index i) { if (i % 3 == 1) throw std::runtime_error("item"); }), std::runtime_error);
    std::atomic<int> done = 0;
    pool.run(10, [&](index) { ++done; });
    CHECK(done == 10);
  }
}

TEST_CASE("features are asked, levels are ordered") {
  CHECK(avx512 >= avx2);
  CHECK(!(avx2 >= avx512));
  CHECK(!(sm_90a >= avx2));
  CHECK(sm_90a.has(feature::wgmma));
  CHECK(!sm_80.has(feature::wgmma));
  CHECK(host_arch() >= generic_cpu);
}

}  // namespace
}  // namespace smalti
