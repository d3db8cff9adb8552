#include "parallel.h"

#include <numeric>

#include "blocks.h"
#include "check.h"
#include "slab.h"

TEST(every_piece_of_work_is_done_once) {
  for (const int threads : {0, 1, 3, 40}) {
    std::vector<std::atomic<int>> done(100);
    fg::parallel(threads, done.size(), [&](std::size_t i, std::size_t) { ++done[i]; });
    for (const auto& count : done) CHECK_EQUAL(count.load(), 1);
  }
  fg::parallel(3, 0, [](std::size_t, std::size_t) { throw std::runtime_error("there is nothing to do"); });
}

TEST(an_exception_of_a_thread_comes_out) {
  CHECK_THROWS(fg::parallel(3, 50,
                            [](std::size_t i, std::size_t) {
                              if (i == 20) throw std::invalid_argument("number 20");
                            }),
               "number 20");
}

TEST(large_blocks_are_used_again) {
  std::size_t room = 0, again = 0;
  void* const first = fg::take_block(3 << 20, room);
  CHECK(room >= std::size_t{3} << 20);
  fg::give_block(first, room);
  void* const second = fg::take_block(3 << 20, again);
  CHECK(first == second);
  CHECK_EQUAL(room, again);
  fg::give_block(second, again);
}

TEST(text_stays_where_it_was_put) {
  fg::Arena arena;
  std::vector<std::pair<char*, std::string>> put;
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::string text(i % 90, static_cast<char>('a' + i % 26));
    char* const room = arena.room(text.size() + 10);
    std::memcpy(room, text.data(), text.size());
    arena.keep(text.size());
    put.emplace_back(room, text);
  }
  for (const auto& [at, text] : put) CHECK_EQUAL(std::string(at, text.size()), text);
}
