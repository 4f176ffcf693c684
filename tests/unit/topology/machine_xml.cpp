#include "unit/topology/machine_xml.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace optpipe::test {
namespace {

// hwloc's way: words of 32 bits, the highest first.
std::string hex(const IndexSet& set) {
  std::vector<std::uint32_t> words(1);
  for (const int index : set) {
    const auto word = static_cast<std::size_t>(index) / 32;
    if (word >= words.size()) words.resize(word + 1);
    words[word] |= 1u << (index % 32);
  }
  std::string text;
  for (auto word = words.rbegin(); word != words.rend(); ++word)
    text += fmt::format("{}0x{:08x}", text.empty() ? "" : ",", *word);
  return text;
}

class Writer {
 public:
  explicit Writer(const MachineShape& shape) : shape_(shape) {}

  std::string write() {
    const int nodes = shape_.packages * shape_.nodes_per_package;
    IndexSet cpus, all_nodes;
    for (int node = 0; node < nodes; ++node) {
      cpus |= cpus_of(node);
      all_nodes |= IndexSet{node};
    }
    text_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<topology version=\"2.0\">\n";
    open("Machine", 0, cpus, all_nodes,
         fmt::format("allowed_cpuset=\"{}\" allowed_nodeset=\"{}\"", hex(cpus - shape_.disallowed),
                     hex(all_nodes)));
    for (int package = 0; package < shape_.packages; ++package) write_package(package);
    write_gpus(nodes);
    close();
    return text_ + "</topology>\n";
  }

 private:
  IndexSet cpus_of_core(int core) const {
    IndexSet cpus;
    const int cores = shape_.packages * shape_.nodes_per_package * shape_.cores_per_node;
    for (int thread = 0; thread < shape_.threads_per_core; ++thread) cpus |= IndexSet{thread * cores + core};
    return cpus;
  }
  IndexSet cpus_of(int node) const {
    IndexSet cpus;
    for (int core = 0; core < shape_.cores_per_node; ++core)
      cpus |= cpus_of_core(node * shape_.cores_per_node + core);
    return cpus;
  }

  void write_package(int package) {
    const int first = package * shape_.nodes_per_package;
    IndexSet cpus, nodes;
    for (int node = first; node < first + shape_.nodes_per_package; ++node) {
      cpus |= cpus_of(node);
      nodes |= IndexSet{node};
    }
    open("Package", package, cpus, nodes);
    for (int node = first; node < first + shape_.nodes_per_package; ++node) {
      const bool grouped = shape_.nodes_per_package > 1;
      if (grouped) open("Group", node, cpus_of(node), {node}, "kind=\"0\" subkind=\"0\"");
      write_node(node);
      if (grouped) close();
    }
    close();
  }

  void write_node(int node) {
    open("NUMANode", node, cpus_of(node), {node}, "local_memory=\"67108864000\"");
    close();
    for (int i = 0; i < shape_.cores_per_node; ++i) {
      const int core = node * shape_.cores_per_node + i;
      open("Core", core, cpus_of_core(core), {node});
      for (const int cpu : cpus_of_core(core)) {
        open("PU", cpu, {cpu}, {node});
        close();
      }
      close();
    }
    write_gpus(node);
  }

  void write_gpus(int node) {
    if (node >= static_cast<int>(shape_.gpus.size())) return;
    for (const auto& bus : shape_.gpus[static_cast<std::size_t>(node)]) {
      const std::string number = bus.substr(5, 2);
      text_ += fmt::format(
          "<object type=\"Bridge\" gp_index=\"{}\" bridge_type=\"0-1\" depth=\"0\" "
          "bridge_pci=\"0000:[{}-{}]\">\n",
          ++objects_, number, number);
      text_ += fmt::format(
          "<object type=\"PCIDev\" gp_index=\"{}\" pci_busid=\"{}\" "
          "pci_type=\"0302 [10de:1db6] [10de:1214] a1\" pci_link_speed=\"15.75\"/>\n</object>\n",
          ++objects_, bus);
    }
  }

  void open(const std::string& type, int index, const IndexSet& cpus, const IndexSet& nodes,
            const std::string& more = "") {
    text_ += fmt::format(
        "<object type=\"{}\" os_index=\"{}\" cpuset=\"{}\" complete_cpuset=\"{}\" nodeset=\"{}\" "
        "complete_nodeset=\"{}\" {} gp_index=\"{}\">\n",
        type, index, hex(cpus), hex(cpus), hex(nodes), hex(nodes), more, ++objects_);
  }
  void close() { text_ += "</object>\n"; }

  const MachineShape& shape_;
  std::string text_;
  int objects_ = 0;
};

}  // namespace

std::string machine_xml(const MachineShape& shape) { return Writer(shape).write(); }

Topology make_machine(const MachineShape& shape) {
  char name[] = "/tmp/optpipe-topology-XXXXXX";
  const int descriptor = mkstemp(name);
  if (descriptor < 0) throw std::runtime_error("no temporary file");
  close(descriptor);
  std::ofstream(name) << machine_xml(shape);
  Topology topology = Topology::from_xml(name);
  unlink(name);
  return topology;
}

MachineShape lab_machine() {
  return {2, 1, 12, 2, {{"0000:02:00.0", "0000:03:00.0"}, {"0000:82:00.0", "0000:83:00.0"}}};
}

MachineShape eight_gpus() {
  return {2,
          2,
          16,
          1,
          {{"0000:07:00.0", "0000:0b:00.0"},
           {"0000:48:00.0", "0000:4c:00.0"},
           {"0000:88:00.0", "0000:8b:00.0"},
           {"0000:c8:00.0", "0000:cb:00.0"}}};
}

}  // namespace optpipe::test
