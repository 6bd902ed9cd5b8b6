/* Included before every C++ file of llama.cpp (CMAKE_ARGS in the Makefile).

   GCC's _tile_loadconfig tells the compiler that it reads 8 bytes of the 64; the other stores are then dropped as dead,
   the tile configuration is what the stack held before, and llama.cpp's AMX kernels crash (ggml-org/llama.cpp#26954).
   With the whole configuration named they run, and read prompts about twice as fast. */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const char(*)[64])(config)))
#endif
