// How decode attention shares keys out: laws of the plan and of the parts, which the host computes and the device repeats.

#include <catch2/catch.hpp>
#include <smalti/attention/decode_tile.hpp>

namespace smalti {

constexpr arch machines[] = {sm_80, sm_86, sm_90a};
constexpr attention_shape shapes[] = {{64, 2}, {96, 2}, {128, 2}, {192, 2, 128}, {256, 2}};

TEST_CASE("every tuned tile fits its machine") {
  for (arch a : machines)
    for (attention_shape s : shapes) {
      decode_tile const t = decode_tuned{}(s, a);
      INFO(s.head_dim << " on " << a.level << ": " << t.step << ' ' << t.stages << ' ' << t.warps);
      CHECK(fits(t, s, a) == misfit::none);
      CHECK((t.step * t.warps & (t.step * t.warps - 1)) == 0);  // strides are powers of two
    }
  CHECK(fits(decode_tile{8, 1, 4}, {128, 2}, sm_80) == misfit::kv_rows);
  CHECK(fits(decode_tile{32, 1, 3}, {128, 2}, sm_80) == misfit::q_rows);
  CHECK(fits(decode_tile{32, 9, 8}, {128, 2}, sm_80) == misfit::shared_memory);
  CHECK(fits(decode_tile{32, 1, 4}, {100, 2}, sm_80) == misfit::head_dim);
}

TEST_CASE("parts hold every key once, in order, cut at steps") {
  decode_tile const t{32, 2, 4};
  for (int split : {0, 32, 96, 4096})
    for (int items : {0, 1, 8, 100, 132, 133, 512, 20000})
      for (int rows : {1, 4, 16, 17, 32, 64, 65, 512})
        for (int keys : {0, 1, 127, 128, 129, 1000, 8192, 100000}) {
          decode_plan const plan = plan_decode(t, items, rows, 1, keys, split, 132, 3);
          REQUIRE(plan.parts >= 1);
          REQUIRE(plan.together >= 1);
          REQUIRE(plan.together <= 3);
          REQUIRE(plan.stages >= 1);
          REQUIRE(plan.stages <= t.stages);
          REQUIRE(16 * plan.team * plan.blocks >= rows);
          for (key_range const seen : {key_range{0, keys}, key_range{keys / 3, keys}, key_range{keys - 1, keys}, key_range{0, keys / 2}, key_range{5, 5}, key_range{9, -3}}) {
            if (seen.begin < 0) continue;
            decode_parts const parts(plan, seen, t.step);
            REQUIRE(parts.count >= 1);
            REQUIRE(parts.count <= plan.parts);  // the grid was chosen without knowing the lengths
            if (seen.begin >= seen.end) {
              REQUIRE(parts.count == 1);
              continue;
            }
            int at = parts.part(0).begin;
            REQUIRE(at <= seen.begin);
            for (int i = 0; i < parts.count; ++i) {
              key_range const part = parts.part(i);
              REQUIRE(part.begin == at);
              REQUIRE(part.begin % t.step == 0);
              REQUIRE(part.begin < part.end);
              REQUIRE(part.end > seen.begin);
              at = part.end;
            }
            REQUIRE(at == seen.end);
          }
        }
}

TEST_CASE("fixed parts depend on the sequence alone") {
  decode_tile const t{32, 2, 4};
  decode_plan const one = plan_decode(t, 1, 4, 1, 5000, 256, 132, 3), many = plan_decode(t, 999, 4, 1, 70000, 256, 108, 1);
  decode_parts const a(one, {100, 4321}, t.step), b(many, {100, 4321}, t.step);
  REQUIRE(a.count == b.count);
  for (int i = 0; i < a.count; ++i) CHECK((a.part(i).begin == b.part(i).begin && a.part(i).end == b.part(i).end));
}

TEST_CASE("few sequences are cut, many are not, many rows not into many parts") {
  decode_tile const t{32, 2, 4};
  CHECK(plan_decode(t, 8, 4, 1, 8192, 0, 132, 3).parts == 16);
  CHECK(plan_decode(t, 8, 4, 1, 1024, 0, 132, 3).parts == 8);     // 128 keys a part at least
  CHECK(plan_decode(t, 128, 4, 1, 8192, 0, 132, 3).parts == 1);
  CHECK(plan_decode(t, 128, 4, 16, 8192, 0, 132, 3).parts == 3);  // 64 rows: three blocks a processor
  CHECK(plan_decode(t, 8, 4, 16, 8192, 0, 132, 3).parts == 16);
  CHECK(plan_decode(t, 512, 4, 1, 1024, 0, 132, 3).together == 2);
}

}  // namespace smalti
