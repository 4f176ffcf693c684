#include "executor/stage/run_shapes.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace optpipe::executor {
namespace {

std::int64_t next_class(std::int64_t rows) { return rows < 8 ? 8 : rows / 8 * 8 + 8; }

TEST(PaddedRows, AreThoseOfTheClassAsFarAsThereArePlaces) {
  EXPECT_EQ(padded_rows(9, 32, next_class), 16);
  EXPECT_EQ(padded_rows(9, 12, next_class), 12);
  EXPECT_EQ(padded_rows(16, 16, next_class), 16);
  EXPECT_EQ(padded_rows(1, 16, next_class), 1);
}

TEST(PaddedRows, AreNeverFewerThanThereAre) { EXPECT_EQ(padded_rows(5, 3, next_class), 5); }

RunShape shape_of(std::int64_t rows) { return {{1, 0, rows}, {2, 0, rows}}; }

using Shapes = RecentShapes<std::unique_ptr<int>>;

TEST(RecentShapes, KnowsAShapeFromItsSecondTimeOn) {
  Shapes shapes;
  EXPECT_EQ(shapes.find(shape_of(16)), nullptr);
  const auto* made = shapes.find(shape_of(16));
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(*made, nullptr) << "nothing has been made for it yet";
}

TEST(RecentShapes, KeepsWhatWasMadeForABatchThatShrinksAndGrows) {
  Shapes shapes;
  shapes.find(shape_of(16));
  *shapes.find(shape_of(16)) = std::make_unique<int>(16);
  shapes.find(shape_of(8));
  *shapes.find(shape_of(8)) = std::make_unique<int>(8);
  EXPECT_EQ(**shapes.find(shape_of(16)), 16);
  EXPECT_EQ(**shapes.find(shape_of(8)), 8);
}

TEST(RecentShapes, TellsShapesApartByEveryNumberOfEveryStep) {
  Shapes shapes;
  shapes.find(shape_of(16));
  RunShape other = shape_of(16);
  other.back().back() = 1;
  EXPECT_EQ(shapes.find(other), nullptr);
  other.pop_back();
  EXPECT_EQ(shapes.find(other), nullptr);
}

TEST(RecentShapes, ForgetsTheOneThatHasNotComeForLongest) {
  Shapes shapes;
  for (std::int64_t rows = 0; rows < static_cast<std::int64_t>(Shapes::kMost); ++rows)
    shapes.find(shape_of(rows));
  EXPECT_NE(shapes.find(shape_of(0)), nullptr);  // 1 is the oldest now
  EXPECT_EQ(shapes.find(shape_of(100)), nullptr);
  EXPECT_NE(shapes.find(shape_of(0)), nullptr);
  EXPECT_EQ(shapes.find(shape_of(1)), nullptr);
}

}  // namespace
}  // namespace optpipe::executor
