// Where results go: a file, or standard output.
#pragma once

#include <string>
#include <string_view>

namespace optpipe::cli {

class OutputFile {
 public:
  // Opens `path`, or takes standard output where it is empty. What the file holds stays until begin(), so
  // that a run which is refused destroys nothing. `flag` is for messages. Throws InputError where the file
  // cannot be written to.
  OutputFile(std::string flag, std::string path);
  ~OutputFile();  // a file that was created here and never begun is removed again
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  bool is_standard_output() const { return path_.empty(); }
  bool is_same_file(const std::string& path) const;

  void begin();                       // empties the file
  void write(std::string_view text);  // all of it, at once. Throws SystemError
  void finish();                      // nothing more comes. Throws SystemError where data did not arrive

 private:
  [[noreturn]] void fail() const;  // with errno

  std::string flag_, path_;
  int descriptor_ = -1;
  bool created_ = false;
};

}  // namespace optpipe::cli
