#include "model/checkpoint/pickle_machine.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "model/checkpoint/pickle_input.hpp"
#include "model/checkpoint/pickle_opcodes.hpp"
#include "model/checkpoint/printable.hpp"

namespace optpipe::model::pickle {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;
constexpr std::size_t kMostValues = 4'000'000;
constexpr std::size_t kDeepestMarks = 100;
constexpr std::size_t kTallestStack = 1'000'000;

class Machine {
 public:
  Machine(Input input, std::deque<Value>& values, MayMention may_mention)
      : input_(input), values_(values), may_mention_(may_mention) {}

  const Value* run() {
    if (input_.number(1) != kProtocol) input_.fail("it does not begin like one of protocol 2 or later");
    if (const auto version = input_.number(1); version < 2 || version > 5)
      input_.fail(fmt::format("its protocol is {}; 2 to 5 are read", version));
    for (auto opcode = input_.number(1); opcode != kStop; opcode = input_.number(1))
      if (!push_scalar(opcode) && !collect(opcode) && !remember(opcode) && !refer(opcode))
        input_.fail(fmt::format("its opcode 0x{:02x} is not among those that a state dict needs", opcode));
    if (stack_.size() != 1 || !marks_.empty() || !input_.at_end()) input_.fail("it ends in the wrong place");
    return stack_.back();
  }

 private:
  // Scalars go to the stack.
  bool push_scalar(unsigned long opcode) {
    switch (opcode) {
      case kNone:
        push(Kind::none);
        return true;
      case kTrue:
        push(Kind::boolean).integer = 1;
        return true;
      case kFalse:
        push(Kind::boolean);
        return true;
      case kInt:
        push(Kind::integer).integer = static_cast<std::int32_t>(input_.number(4));
        return true;
      case kInt1:
        push(Kind::integer).integer = static_cast<std::int64_t>(input_.number(1));
        return true;
      case kInt2:
        push(Kind::integer).integer = static_cast<std::int64_t>(input_.number(2));
        return true;
      case kLong1:
        push(Kind::integer).integer = input_.signed_number(input_.number(1));
        return true;
      case kFloat:
        input_.take(8);
        push(Kind::real);
        return true;  // no tensor depends on one
      case kShortText:
        push(Kind::text).text = input_.take(input_.number(1));
        return true;
      case kText:
        push(Kind::text).text = input_.take(input_.number(4));
        return true;
      case kText8:
        push(Kind::text).text = input_.take(input_.number(8));
        return true;
      default:
        return false;
    }
  }

  // Containers are made of, or extended by, what is on the stack.
  bool collect(unsigned long opcode) {
    switch (opcode) {
      case kMark:
        if (marks_.size() >= kDeepestMarks) input_.fail("it is nested too deep");
        marks_.push_back(stack_.size());
        return true;
      case kEmptyTuple:
        push(Kind::tuple);
        return true;
      case kEmptyList:
        push(Kind::list);
        return true;
      case kEmptyDict:
        push(Kind::dict);
        return true;
      case kTuple:
        push_tuple(pop_to_mark());
        return true;
      case kTuple1:
        push_tuple(pop(1));
        return true;
      case kTuple2:
        push_tuple(pop(2));
        return true;
      case kTuple3:
        push_tuple(pop(3));
        return true;
      case kAppend:
        extend(Kind::list, pop(1));
        return true;
      case kAppends:
        extend(Kind::list, pop_to_mark());
        return true;
      case kSetItem:
        extend(Kind::dict, pop(2));
        return true;
      case kSetItems:
        extend(Kind::dict, pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  bool remember(unsigned long opcode) {
    switch (opcode) {
      case kPut:
        store(input_.number(1));
        return true;
      case kLongPut:
        store(input_.number(4));
        return true;
      case kMemoize:
        store(memo_.size());
        return true;
      case kGet:
        recall(input_.number(1));
        return true;
      case kLongGet:
        recall(input_.number(4));
        return true;
      case kFrame:
        input_.number(8);
        return true;  // a hint for buffering
      default:
        return false;
    }
  }

  // What Python would import, load or call is written down.
  bool refer(unsigned long opcode) {
    switch (opcode) {
      case kGlobal: {
        const auto module = input_.line();
        push_global(module, input_.line());
        return true;
      }
      case kStackGlobal: {
        const auto names = pop(2);
        if (names[0]->kind != Kind::text || names[1]->kind != Kind::text)
          input_.fail("a global is not named by text");
        push_global(names[0]->text, names[1]->text);
        return true;
      }
      case kPersistent: {
        auto id = pop(1);
        push(Kind::persistent).items = std::move(id);
        return true;
      }
      case kReduce:
        push_call(pop(2));
        return true;
      case kBuild: {  // attributes, such as a state dict's _metadata
        pop(1);
        if (top()->kind != Kind::dict) input_.fail("it sets attributes of something that is not a dict");
        return true;
      }
      default:
        return false;
    }
  }

  Value& push(Kind kind) {
    if (values_.size() >= kMostValues) input_.fail(fmt::format("it holds more than {} values", kMostValues));
    auto& value = values_.emplace_back();
    value.kind = kind;
    push(&value);
    return value;
  }
  void push(Value* value) {
    if (stack_.size() >= kTallestStack) input_.fail("its stack is too tall");
    stack_.push_back(value);
  }
  void push_tuple(std::vector<Value*> items) { push(Kind::tuple).items = std::move(items); }

  void push_global(std::string_view module, std::string_view name) {
    if (!is_ordered_dict(module, name) && !may_mention_(module, name))
      input_.fail(
          fmt::format("it refers to {}.{}, which no file of weights needs and optpipe will not run; do not "
                      "trust this file, or save its state dict of plain tensors anew",
                      printable(module), printable(name)));
    auto& global = push(Kind::global);
    global.text = module;
    global.name = name;
  }

  void push_call(std::vector<Value*> call) {
    if (call[0]->kind != Kind::global || call[1]->kind != Kind::tuple)
      input_.fail("it calls something that is no global");
    if (!is_ordered_dict(call[0]->text, call[0]->name)) {
      push(Kind::call).items = std::move(call);
      return;
    }
    if (!call[1]->items.empty()) input_.fail("it makes an OrderedDict of something");
    push(Kind::dict);
  }

  static bool is_ordered_dict(std::string_view module, std::string_view name) {
    return module == "collections" && name == "OrderedDict";
  }

  void extend(Kind kind, const std::vector<Value*>& items) {
    auto* container = top();
    if (container->kind != kind) input_.fail("it adds items to something that cannot hold them");
    if (kind == Kind::dict && items.size() % 2 != 0) input_.fail("a key of a dict has no value");
    container->items.insert(container->items.end(), items.begin(), items.end());
  }

  void store(std::uint64_t key) {
    if (memo_.size() >= kMostValues) input_.fail(fmt::format("it stores more than {} values", kMostValues));
    memo_[key] = top();
  }
  void recall(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) input_.fail("it refers to a value that it has not stored");
    push(found->second);
  }

  std::size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }  // of what may be popped
  Value* top() const {
    if (stack_.size() <= bottom()) input_.fail("its stack runs empty");
    return stack_.back();
  }
  std::vector<Value*> pop(std::size_t count) {
    if (stack_.size() - bottom() < count) input_.fail("its stack runs empty");
    return cut(stack_.size() - count);
  }
  std::vector<Value*> pop_to_mark() {
    if (marks_.empty()) input_.fail("a mark is missing");
    const auto begin = marks_.back();
    marks_.pop_back();
    return cut(begin);
  }
  std::vector<Value*> cut(std::size_t begin) {
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(begin);
    std::vector<Value*> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    return items;
  }

  Input input_;
  std::deque<Value>& values_;  // owns them all
  MayMention may_mention_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint64_t, Value*> memo_;
};

}  // namespace

Pickle::Pickle(std::vector<std::byte> bytes, std::string source, MayMention may_mention)
    : bytes_(std::move(bytes)) {
  Input input(bytes_, std::move(source));
  if (bytes_.size() > kMostBytes) input.fail(fmt::format("{} bytes are not credible", bytes_.size()));
  root_ = Machine(std::move(input), values_, may_mention).run();
}

}  // namespace optpipe::model::pickle
