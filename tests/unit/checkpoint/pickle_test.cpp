// The pickle machine on pickles written by hand, opcode by opcode.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "fixtures.hpp"
#include "model/checkpoint/pickle_machine.hpp"

namespace optpipe::model::pickle {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

bool only_a_b(std::string_view module, std::string_view name) { return module == "a" && name == "b"; }

Pickle parse(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  std::vector<std::byte> bytes(view.begin(), view.end());
  return Pickle(std::move(bytes), "FILE", only_a_b);
}
std::string error_of(const std::string& text) {
  return input_error_of([&] { parse(text); });
}

const std::string kHead = "\x80\x02"s;

TEST(PickleMachine, Scalars) {
  EXPECT_EQ(parse(kHead + "N.").root().kind, Kind::none);
  EXPECT_EQ(parse(kHead + "\x88.").root().integer, 1);
  EXPECT_EQ(parse(kHead + "\x89.").root().kind, Kind::boolean);
  EXPECT_EQ(parse(kHead + "K\xff.").root().integer, 255);
  EXPECT_EQ(parse(kHead + "M\xff\xff.").root().integer, 65535);
  EXPECT_EQ(parse(kHead + "J\xfe\xff\xff\xff.").root().integer, -2);
  EXPECT_EQ(parse(kHead + "\x8a\x00."s).root().integer, 0);
  EXPECT_EQ(parse(kHead + "\x8a\x02\x00\xff."s).root().integer, -256);
  EXPECT_EQ(parse(kHead + "\x8a\x05\x00\x00\x00\x00\x01."s).root().integer, std::int64_t{1} << 32);
  EXPECT_EQ(parse(kHead + "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."s).root().integer, INT64_MAX);
  EXPECT_EQ(parse(kHead + "X\x02\x00\x00\x00hi."s).root().text, "hi");
  EXPECT_EQ(parse(kHead + "\x8c\x02hi."s).root().text, "hi");
  EXPECT_EQ(parse(kHead + "G\x3f\xf0\x00\x00\x00\x00\x00\x00."s).root().kind, Kind::real);
}

TEST(PickleMachine, Containers) {
  const auto tuple = parse(kHead + "K\x01K\x02K\x03\x87.");
  ASSERT_EQ(tuple.root().items.size(), 3U);
  EXPECT_EQ(tuple.root().items[0]->integer, 1);
  EXPECT_EQ(tuple.root().items[2]->integer, 3);
  const auto dict = parse(kHead + "}(K\x01K\x02K\x03K\x04uK\x05K\x06s.");
  ASSERT_EQ(dict.root().items.size(), 6U);
  EXPECT_EQ(dict.root().items[5]->integer, 6);
  EXPECT_EQ(parse(kHead + "]K\x01"
                          "a(K\x02K\x03"
                          "e.")
                .root()
                .items.size(),
            3U);
  EXPECT_EQ(parse(kHead + "(K\x01(K\x02tt.").root().items[1]->items[0]->integer, 2);
}

TEST(PickleMachine, MemoAndSelfReference) {
  const auto shared = parse(kHead +
                            "]q\x07h\x07"
                            "a.");  // a list that holds itself
  ASSERT_EQ(shared.root().items.size(), 1U);
  EXPECT_EQ(shared.root().items[0], &shared.root());
  EXPECT_EQ(parse("\x80\x04K\x09\x94h\x00\x86."s).root().items[1]->integer, 9);
}

TEST(PickleMachine, CallsAreRecordedNotMade) {
  const auto call = parse(kHead + "ca\nb\nK\x01\x85R.");
  EXPECT_EQ(call.root().kind, Kind::call);
  EXPECT_EQ(call.root().items[0]->name, "b");
  EXPECT_EQ(call.root().items[1]->items[0]->integer, 1);
  EXPECT_EQ(parse(kHead + "ccollections\nOrderedDict\n)R}b.").root().kind, Kind::dict);
  EXPECT_EQ(parse("\x80\x04\x8c\x01"
                  "a\x8c\x01"
                  "b\x93.")
                .root()
                .kind,
            Kind::global);
}

TEST(PickleMachine, OtherGlobalsAreRefusedByName) {
  EXPECT_THAT(error_of(kHead + "cposix\nsystem\nX\x02\x00\x00\x00ls\x85R."s),
              AllOf(HasSubstr("posix.system"), HasSubstr("FILE"), HasSubstr("do not trust")));
  EXPECT_THAT(error_of("\x80\x04\x8c\x05posix\x8c\x06system\x93."s), HasSubstr("posix.system"));
  EXPECT_THAT(error_of(kHead + "ca\nb.c\n."), HasSubstr("a.b.c"));
  EXPECT_THAT(error_of(kHead + "c\x1b[2J\nx\n."), HasSubstr("\\x1b[2J.x"));  // no escape reaches the terminal
}

TEST(PickleMachine, OtherOpcodesAreRefused) {
  // Instances, extension codes, protocol 0 and 1, sets, bytes, out-of-band buffers.
  for (const auto* opcode : {"i", "o", "\x81", "\x92", "\x82", "P",    "I", "L",    "V",    "S",   "U",
                             "0", "1", "2",    "p",    "g",    "\x8f", "C", "\x96", "\x97", "\x8b"})
    EXPECT_THAT(error_of(kHead + "NN" + opcode + "NNNNNNNN\n."), HasSubstr("opcode")) << opcode;
}

TEST(PickleMachine, MalformedPicklesAreRefused) {
  for (const auto& text : {""s,
                           "\x80"s,
                           "\x80\x01."s,
                           "\x80\x06."s,
                           "N."s,
                           kHead,
                           kHead + ".",
                           kHead + "N",
                           kHead + "NN.",
                           kHead + "(.",
                           kHead + "N(.",
                           kHead + "N..",
                           kHead + "t.",
                           kHead + "\x85.",
                           kHead + "N(\x85.",
                           kHead + "K",
                           kHead + "X\xff\xff\xff\xffhi.",
                           kHead + "\x8d\xff\xff\xff\xff\xff\xff\xff\xffhi.",
                           kHead + "\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s,
                           kHead + "ca",
                           kHead + "ca\nb",
                           kHead + "h\x00."s,
                           kHead + "q\x00."s,
                           kHead + "}(Nu.",
                           kHead + "}Na.",
                           kHead + "]NNs.",
                           kHead + "NNR.",
                           kHead + "ca\nb\nNR.",
                           kHead + "NNb.",
                           kHead + "NN\x93.",
                           kHead + "ccollections\nOrderedDict\nN\x85R.",
                           kHead + "Q."})
    EXPECT_THAT(error_of(text), HasSubstr("as a pickle")) << testing::PrintToString(text);
}

TEST(PickleMachine, DepthAndSizeAreLimited) {
  EXPECT_THAT(error_of(kHead + std::string(1000, '(') + "."), HasSubstr("nested too deep"));
  EXPECT_THAT(error_of(kHead + "Nq" + std::string(1, '\0') + std::string(3'000'000, 'N')),
              HasSubstr("too tall"));
  std::string tuples = kHead;  // nested by tuples of one, which need no mark
  tuples += "N" + std::string(2'000'000, '\x85') + ".";
  EXPECT_EQ(parse(tuples).root().kind, Kind::tuple);  // deep, but neither built nor freed by recursion
  EXPECT_THAT(error_of(kHead + "N" + std::string(5'000'000, '\x85') + "."), HasSubstr("more than"));
}

}  // namespace
}  // namespace optpipe::model::pickle
