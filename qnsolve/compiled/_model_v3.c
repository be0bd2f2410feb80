/* The same for processors with AVX2 and FMA. */
#define MODULE _model_v3
#include "_model.c"
