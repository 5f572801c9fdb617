// Sums over processes through libtorch's own c10d: a TCP store to meet at, and Gloo to add.
#define USE_C10D_GLOO
#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstring>
#include <exception>

namespace {

struct Ranks {
  c10::intrusive_ptr<c10d::Backend> backend;
  std::chrono::milliseconds timeout;
};

// A message the caller frees, or null: exceptions do not cross into Rust.
template <typename F>
char* guarded(F&& f) {
  try {
    f();
    return nullptr;
  } catch (const c10::Error& e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("an exception of no known type");
  }
}

} // namespace

extern "C" {

char* rampart_ranks_open(const char* host, uint16_t port, int rank, int world, int serves, const char* prefix,
                         const char* own_address, int64_t timeout_ms, void** out) {
  return guarded([&] {
    const std::chrono::milliseconds timeout(timeout_ms);
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves != 0;
    options.numWorkers = static_cast<std::size_t>(world);
    options.waitWorkers = false;
    options.timeout = timeout;
    auto tcp = c10::make_intrusive<c10d::TCPStore>(std::string(host), options);
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::PrefixStore>(std::string(prefix), tcp);
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(*own_address ? c10d::ProcessGroupGloo::createDeviceForHostname(own_address)
                                         : c10d::ProcessGroupGloo::createDefaultDevice());
    auto ranks = new Ranks{c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world, gloo), timeout};
    *out = ranks;
  });
}

// Adds the contiguous tensor of every rank in place.
char* rampart_ranks_sum(void* ranks, void* tensor) {
  return guarded([&] {
    auto* own = static_cast<Ranks*>(ranks);
    std::vector<at::Tensor> tensors{*static_cast<at::Tensor*>(tensor)};
    own->backend->allreduce(tensors)->wait(own->timeout);
  });
}

void rampart_ranks_close(void* ranks) {
  guarded([&] { delete static_cast<Ranks*>(ranks); });
}

void rampart_ranks_free(char* message) {
  free(message);
}
}
