// Finished prompts of a batch job, kept beside its output until that is complete.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "cli/journal_records.hpp"

namespace optpipe::cli {

// What add() has taken survives the end of the process, however that comes; it survives the end of the node,
// power loss included, once it is kSyncSeconds old (the time of fdatasync comes on top). Locked: one run at a
// time.
class Journal {
 public:
  static constexpr double kSyncSeconds = 1;

  static std::string path_for(const std::string& output) { return output + ".journal"; }

  // Opens the journal of the run that `run` describes: a flat JSON object of all that its tokens depend on.
  // With `resume` goes on where an earlier run ended; without, begins anew. Throws UsageError where the
  // journal belongs to another run (naming what differs) or holds finished prompts that beginning anew would
  // lose, InputError where it cannot be written.
  // An earlier run that is just ending is waited for, `patience_s` seconds long.
  Journal(std::string path, const nlohmann::json& run, bool resume, double patience_s = 10);
  ~Journal();  // one that holds no finished prompt is removed
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<JournalEntry>& earlier() const { return earlier_; }  // of earlier runs
  std::size_t size() const { return size_; }                             // finished prompts in it

  void add(const JournalEntry& entry);  // throws SystemError, also for what failed since the last call
  void sync();                          // returns when the disk has it; throws SystemError
  void remove();                        // its prompts are safe elsewhere

 private:
  void open(double patience_s);
  void take_over(JournalContent content, const nlohmann::json& run);
  void begin_anew(const nlohmann::json& run);
  void write(const std::string& line);
  void sync_from_time_to_time();
  [[noreturn]] void fail(const char* call, int error) const;

  std::string path_;
  int descriptor_ = -1;
  std::vector<JournalEntry> earlier_;
  std::size_t size_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool dirty_ = false, removed_ = false, ends_ = false;
  int sync_error_ = 0;  // errno
  std::thread syncer_;
};

}  // namespace optpipe::cli
