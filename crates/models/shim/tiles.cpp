// Small products through the kernels that libtorch generates for its own attention (oneDNN's brgemm): bf16 on the processor's
// matrix tiles (AMX) or dot products (AVX-512), and f32. What calls them cuts and orders the work; see src/kernels/tiles.rs.
#include <ATen/native/CPUBlas.h>

#include <cstdint>

extern "C" {

// Whether this processor has matrix tiles for bf16 and libtorch uses them.
int rampart_tiles_there() noexcept {
  try {
    return at::native::cpublas::could_pack(at::kBFloat16);
  } catch (...) {
    return 0;
  }
}

// Whether libtorch makes such products of f32: a first one is tried, for it may refuse late.
int rampart_tiles_serve_whole() noexcept {
  try {
    float a[4] = {1, 1, 1, 1}, b[4] = {1, 1, 1, 1}, c[4] = {0, 0, 0, 0};
    at::native::cpublas::brgemm(2, 2, 2, 2, 2, 2, false, a, b, c, false);
    return c[0] == 2.0f && c[3] == 2.0f;
  } catch (...) {
    return 0;
  }
}

// The same of bf16.
int rampart_tiles_serve_pairs() noexcept {
  try {
    const c10::BFloat16 one(1.0f);
    c10::BFloat16 a[4] = {one, one, one, one}, b[4] = {one, one, one, one};
    float c[4] = {0, 0, 0, 0};
    at::native::cpublas::brgemm(2, 2, 2, 2, 2, 2, false, a, b, c, true);
    at::native::cpublas::brgemm_release(true);
    return c[0] == 2.0f && c[3] == 2.0f;
  } catch (...) {
    return 0;
  }
}

// c = a b, or c += a b. `a` is [m, k] with rows `lda` apart; `b` is [k / 2][n][2] with rows of pairs `ldb` apart; `c` is
// [m, n] in f32 with rows `ldc` apart. Zero when it was refused, which leaves `c` undefined.
int rampart_tiles_product(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, int add,
                          const uint16_t* a, const uint16_t* b, float* c) noexcept {
  try {
    at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add != 0, reinterpret_cast<const c10::BFloat16*>(a),
                                reinterpret_cast<const c10::BFloat16*>(b), c, true);
    return 1;
  } catch (...) {
    return 0;
  }
}

// The same of f32, where `b` is [k, n] with rows `ldb` apart.
int rampart_tiles_whole_product(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, int add,
                                const float* a, const float* b, float* c) noexcept {
  try {
    at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add != 0, a, b, c, false);
    return 1;
  } catch (...) {
    return 0;
  }
}

// Gives this thread's tiles back: what runs next on it sets them up its own way.
void rampart_tiles_release() noexcept {
  try {
    at::native::cpublas::brgemm_release(true);
  } catch (...) {
  }
}

}
