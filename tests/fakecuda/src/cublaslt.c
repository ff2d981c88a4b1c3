/* A libcublasLt: descriptions are only kept, a product takes its time. */
#include "fake.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

typedef cublasStatus_t S;
#define KEPT(name, type, ...) \
    S name##Create(type *p, ##__VA_ARGS__) { \
        *p = calloc(1, 256); \
        return *p ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED; \
    } \
    S name##Destroy(type p) { \
        free(p); \
        return CUBLAS_STATUS_SUCCESS; \
    }
KEPT(cublasLtMatmulDesc, cublasLtMatmulDesc_t, cublasComputeType_t c, cudaDataType_t t)
KEPT(cublasLtMatmulPreference, cublasLtMatmulPreference_t)
KEPT(cublasLtMatrixLayout, cublasLtMatrixLayout_t, cudaDataType t, uint64_t rows, uint64_t columns, int64_t ld)

S cublasLtCreate(cublasLtHandle_t *h) {
    *h = calloc(1, 256);
    return *h ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
S cublasLtDestroy(cublasLtHandle_t h) {
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }
S cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t a, const void *p, size_t n) { return CUBLAS_STATUS_SUCCESS; }
S cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t d, cublasLtMatmulPreferenceAttributes_t a, const void *p, size_t n) { return CUBLAS_STATUS_SUCCESS; }
S cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t d, cublasLtMatrixLayoutAttribute_t a, const void *p, size_t n) { return CUBLAS_STATUS_SUCCESS; }

S cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t A, cublasLtMatrixLayout_t B, cublasLtMatrixLayout_t C, cublasLtMatrixLayout_t D, cublasLtMatmulPreference_t p, int asked, cublasLtMatmulHeuristicResult_t found[], int *n) {
    memset(found, 0, sizeof *found);
    found[0].wavesCount = 1;
    *n = asked > 0;
    return CUBLAS_STATUS_SUCCESS;
}
S cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *A, cublasLtMatrixLayout_t Ad, const void *B, cublasLtMatrixLayout_t Bd, const void *beta, const void *C, cublasLtMatrixLayout_t Cd, void *D, cublasLtMatrixLayout_t Dd, const cublasLtMatmulAlgo_t *algo, void *workspace, size_t n, cudaStream_t s) {
    return fake_launch(s, fake_cost("gemm", 30000), "cublasLtMatmul") ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
