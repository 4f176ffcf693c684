#include "optpipe/schedule/text.hpp"

#include <gmock/gmock.h>

#include "optpipe/base/error.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

TEST(Text, ProgramsSurviveTheRoundTrip) {
  for (const auto& program : build_all({.ranks = 2,
                             .token_steps = 3,
                             .micro_batches = 2,
                             .gpu_batches = 2,
                             .layer_weights = kDisk,
                             .kv = kDisk,
                             .hidden = kHost})) {
    const std::string text = to_text(program);
    EXPECT_EQ(to_text(parse_program(text)), text);
  }
}

TEST(Text, OneStepReadsAsALine) {
  const auto program = build_all({.token_steps = 1, .layer_weights = kHost}).front();
  const std::string line = to_text(program, StepId(0));
  EXPECT_EQ(line, "step 0 load_weights t=0 m=0 l=0 part=0 writes=0");
}

TEST(Text, MalformedLinesAreRefusedWithTheirNumber) {
  const auto error_of = [](const char* text) -> std::string {
    try {
      parse_program(text);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of("program rank=0\nnonsense"), testing::HasSubstr("line 2"));
  EXPECT_THAT(error_of("step 0 dance"), testing::HasSubstr("'dance' is no step"));
  EXPECT_THAT(error_of("step 0 embed writes=3"), testing::HasSubstr("no buffer 3"));
  EXPECT_THAT(error_of("buffer 0 kv_slot device 1"), testing::HasSubstr("no buffer"));
  EXPECT_THAT(error_of("buffer 0 kv_slot[0] moon 1"), testing::HasSubstr("no tier"));
  EXPECT_THAT(error_of("step 0 embed after=0"), testing::HasSubstr("does not come earlier"));
  EXPECT_THAT(error_of("step 0 embed t=x"), testing::HasSubstr("'x' is no number"));
}

}  // namespace
}  // namespace optpipe::schedule
