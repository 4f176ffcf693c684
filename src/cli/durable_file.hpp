// Files that must survive a crash at any moment.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace optpipe::cli {

// write() until everything is written; `fail`, which throws, is called with errno set.
void write_all(int descriptor, std::string_view text, const std::function<void()>& fail);

// Makes the names in the folder of `path` durable. A folder that cannot be synchronized (some network file
// systems) is passed over.
void sync_folder_of(const std::string& path);

// A file that appears, or is replaced, whole or not at all. A link is followed; a file that is replaced keeps
// its mode.
class WholeFile {
 public:
  // Opens PATH.tmp. `flag` is for messages. Throws SystemError.
  WholeFile(std::string flag, std::string path);
  ~WholeFile();  // without commit() nothing has happened
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void write(std::string_view text);  // throws SystemError
  void commit();                      // durable when it returns; throws SystemError

 private:
  [[noreturn]] void fail() const;  // with errno

  std::string flag_, path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace optpipe::cli
