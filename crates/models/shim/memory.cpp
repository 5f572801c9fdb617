// Hands libtorch's tensors on the processor memory that src/memory.rs keeps, where they are large.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <cstddef>
#include <cstdint>

namespace {

using Take = void* (*)(size_t);
using Give = int (*)(void*);

Take take;
Give give;

void release(void* p) {
  // Runs of pages start at pages; what malloc gave hardly ever does, and is then not found among them.
  if (reinterpret_cast<uintptr_t>(p) % 4096 == 0 && p != nullptr && give(p)) return;
  c10::free_cpu(p);
}

struct Pages final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* p = take(bytes);
    // It throws where there is no memory left, in libtorch's words.
    if (p == nullptr) p = c10::alloc_cpu(bytes);
    return {p, p, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

// From here on tensors on the processor take their memory from `of`, and from malloc where that is null.
extern "C" void rampart_memory_install(Take of, Give back) noexcept {
  take = of;
  give = back;
  // Never destroyed: tensors may outlive everything.
  c10::SetCPUAllocator(new Pages, 1);
}
