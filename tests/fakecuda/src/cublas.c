/* A libcublas: handles keep their stream; build.py adds products, each of which takes its time. */
#include "fake.h"

#include <cublas_v2.h>
#include <stdlib.h>

struct cublasContext {
    cudaStream_t stream;
    cublasMath_t math;
    cublasPointerMode_t mode;
};
typedef cublasStatus_t S;
typedef cublasHandle_t H;

S cublasCreate_v2(H *h) {
    *h = calloc(1, sizeof **h);
    return CUBLAS_STATUS_SUCCESS;
}
S cublasDestroy_v2(H h) {
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}
S cublasSetStream_v2(H h, cudaStream_t s) {
    h->stream = s;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasSetWorkspace_v2(H h, void *p, size_t n) {
    (void)h, (void)p, (void)n;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasGetMathMode(H h, cublasMath_t *mode) {
    *mode = h->math;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasSetMathMode(H h, cublasMath_t mode) {
    h->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasGetPointerMode_v2(H h, cublasPointerMode_t *mode) {
    *mode = h->mode;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasSetPointerMode_v2(H h, cublasPointerMode_t mode) {
    h->mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

int fake_product(H h, const char *name) {
    return fake_launch(h->stream, fake_cost("gemm", 30000), name) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
