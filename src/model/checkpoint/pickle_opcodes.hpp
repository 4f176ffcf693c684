// The opcodes of Python's pickle protocols 2 to 5 that state dicts of torch are made of.
#pragma once

namespace optpipe::model::pickle {

enum Opcode : unsigned {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kTrue = 0x88,
  kFalse = 0x89,
  kInt = 'J',
  kInt1 = 'K',
  kInt2 = 'M',
  kLong1 = 0x8a,
  kFloat = 'G',
  kText = 'X',
  kShortText = 0x8c,
  kText8 = 0x8d,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kPut = 'q',
  kLongPut = 'r',
  kMemoize = 0x94,
  kGet = 'h',
  kLongGet = 'j',
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kPersistent = 'Q',
  kReduce = 'R',
  kBuild = 'b',
  kProtocol = 0x80,
  kFrame = 0x95,
};

}  // namespace optpipe::model::pickle
