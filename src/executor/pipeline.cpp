#include "optpipe/executor/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace optpipe::executor {
namespace {

struct Outcome {
  ExitStatus status = ExitStatus::done;
  std::string message;
};

Outcome attempt(const std::function<void()>& action) {
  try {
    action();
    return {};
  } catch (const Error& error) {
    return {error.status(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ExitStatus::does_not_fit,
            "out of memory on the host while preparing the run: use smaller batches"};
  } catch (const std::exception& error) {
    return {ExitStatus::failure, error.what()};
  }
}

std::vector<std::byte> encode(const Outcome& outcome) {
  std::vector<std::byte> data(1 + outcome.message.size());
  data[0] = static_cast<std::byte>(outcome.status);
  std::memcpy(data.data() + 1, outcome.message.data(), outcome.message.size());
  return data;
}

Outcome decode(const std::vector<std::byte>& data) {
  return {static_cast<ExitStatus>(data[0]),
          std::string(reinterpret_cast<const char*>(data.data()) + 1, data.size() - 1)};
}

}  // namespace

void agree(comm::Transport& transport, const std::function<void()>& action) {
  Outcome own = attempt(action);
  if (!transport.is_first() && own.status != ExitStatus::done)
    own.message =
        fmt::format("rank {} on {}: {}", transport.rank().value, transport.node().host, own.message);
  const auto all = transport.gather(encode(own), Rank(0));
  Outcome verdict;
  for (std::size_t rank = 0; rank < all.size() && verdict.status == ExitStatus::done; ++rank)
    verdict = decode(all[rank]);
  verdict = decode(transport.broadcast(encode(verdict), Rank(0)));
  if (verdict.status == ExitStatus::done) return;
  if (transport.is_first()) throw Error(verdict.status, verdict.message);
  throw Reported(verdict.status);
}

std::vector<memory::Sequence> share_sequences(comm::Transport& transport,
                                              std::vector<memory::Sequence> sequences) {
  const auto bytes = std::as_bytes(std::span(sequences));
  const auto data = transport.broadcast({bytes.begin(), bytes.end()}, Rank(0));
  sequences.resize(data.size() / sizeof(memory::Sequence));
  if (!data.empty()) std::memcpy(sequences.data(), data.data(), data.size());
  return sequences;
}

RunStatistics run_rounds(Stage& stage, const std::vector<memory::Round>& rounds, TokenSink* sink,
                         const std::function<void(std::size_t round)>& after_round,
                         const std::function<bool()>& goes_on) {
  RunStatistics sum;
  for (std::size_t i = 0; i < rounds.size() && (!goes_on || goes_on()); ++i) {
    const RunStatistics round = stage.run(rounds[i], sink);
    sum.prefill_s += round.prefill_s;
    sum.total_s += round.total_s;
    sum.use += round.use;
    sum.disk_read += round.disk_read;
    sum.disk_written += round.disk_written;
    if (sink != nullptr && after_round) after_round(i);
  }
  return sum;
}

}  // namespace optpipe::executor
