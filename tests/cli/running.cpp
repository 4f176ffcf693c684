#include "cli/running.hpp"

#include <signal.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <thread>

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Process {
  pid_t id = 0;
  std::string words, environment;  // as /proc shows them: each ends with a NUL
};

std::vector<Process> processes() {
  std::vector<Process> all;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream command(entry.path() / "cmdline"), environment(entry.path() / "environ");
    all.push_back({std::stoi(name),
                   {std::istreambuf_iterator<char>(command), {}},
                   {std::istreambuf_iterator<char>(environment), {}}});
  }
  return all;
}

pid_t find(const std::function<bool(const Process&)>& is_wanted) {
  for (const auto& process : processes())
    if (is_wanted(process)) return process.id;
  return 0;
}

}  // namespace

Running::Running(const Words& words, const Launch& launch, std::string mark) : mark_(std::move(mark)) {
  run_ = std::async(std::launch::async, [=, this] {
    auto finished = run_optpipe(words, launch);
    ended_ = Clock::now();
    return finished;
  });
}

void Running::wait_for_prompts(const std::string& output, int prompts) {
  for (int i = 0; i < 12000 && !has_ended() && journaled_prompts(output) < prompts; ++i)
    std::this_thread::sleep_for(5ms);
}

bool Running::has_ended() const { return run_.wait_for(0s) == std::future_status::ready; }

pid_t Running::process(int rank) const {
  // -1: the process of a run of one rank, which no launcher started.
  const std::string wanted = rank < 0 ? "" : "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0';
  return find([&](const Process& process) {
    return process.words.starts_with(program()) && process.words.find(mark_) != std::string::npos &&
           process.environment.find(wanted) != std::string::npos;
  });
}

pid_t Running::launcher() const {
  return find([&](const Process& process) {
    const auto name = process.words.substr(0, process.words.find('\0'));
    return (name.ends_with("mpirun") || name.ends_with("mpiexec")) &&
           process.words.find(mark_) != std::string::npos;
  });
}

void Running::send(pid_t process, int signal) {
  EXPECT_GT(process, 0) << "no such process";
  signalled_ = Clock::now();
  EXPECT_EQ(process > 0 ? kill(process, signal) : -1, 0);
}

Finished Running::wait() { return run_.get(); }

double Running::seconds_since_signal() const {
  return std::chrono::duration<double>(ended_ - signalled_).count();
}

std::vector<pid_t> Running::left_behind() const {
  std::vector<pid_t> left;
  for (const auto& process : processes())
    if (process.words.starts_with(program()) && process.words.find(mark_) != std::string::npos)
      left.push_back(process.id);
  return left;
}

pid_t process_with(const Words& parts) {
  pid_t oldest = 0;
  for (const auto& process : processes()) {
    const auto holds = [&](const std::string& part) { return process.words.find(part) != std::string::npos; };
    if (std::ranges::all_of(parts, holds) && (oldest == 0 || process.id < oldest)) oldest = process.id;
  }
  return oldest;
}

int journaled_prompts(const std::string& output) {
  std::ifstream file(output + ".journal", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return std::max(0, static_cast<int>(std::ranges::count(text, '\n')) - 1);
}

}  // namespace optpipe::test
