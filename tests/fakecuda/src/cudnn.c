/* A libcudnn: its backend keeps what graphs are made of, and running one takes its time. */
#include "fake.h"

#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef cudnnStatus_t S;
struct cudnnContext {
    cudaStream_t stream;
};

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
size_t cudnnGetCudartVersion(void) { return CUDART_VERSION; }
S cudnnGetProperty(libraryPropertyType type, int *v) {
    *v = type == MAJOR_VERSION ? CUDNN_MAJOR : type == MINOR_VERSION ? CUDNN_MINOR : CUDNN_PATCHLEVEL;
    return CUDNN_STATUS_SUCCESS;
}
const char *cudnnGetErrorString(S s) { return s ? "CUDNN_STATUS_EXECUTION_FAILED" : "CUDNN_STATUS_SUCCESS"; }
void cudnnGetLastErrorString(char *text, size_t n) { snprintf(text, n, "the fake GPU failed"); }
S cudnnCreate(cudnnHandle_t *h) {
    *h = calloc(1, sizeof **h);
    return CUDNN_STATUS_SUCCESS;
}
S cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
    h->stream = s;
    return CUDNN_STATUS_SUCCESS;
}
S cudnnGetStream(cudnnHandle_t h, cudaStream_t *s) {
    *s = h->stream;
    return CUDNN_STATUS_SUCCESS;
}

struct attribute {
    int name, type;
    int64_t count;
    void *values;
    struct attribute *next;
};
struct descriptor {
    int kind;
    struct attribute *attributes;
};

static size_t size_of(int type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR: return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    case CUDNN_TYPE_FRACTION: return 16;
    default: return 4;
    }
}

S cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *d) {
    struct descriptor *made = calloc(1, sizeof *made);
    made->kind = kind;
    *d = made;
    return CUDNN_STATUS_SUCCESS;
}
S cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
    (void)d; /* others may still name it */
    return CUDNN_STATUS_SUCCESS;
}
S cudnnBackendFinalize(cudnnBackendDescriptor_t d) { return d ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM; }
S cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    struct descriptor *of = d;
    struct attribute *made = malloc(sizeof *made);
    size_t bytes = (size_t)count * size_of(type);
    *made = (struct attribute){name, type, count, malloc(bytes + 1), of->attributes};
    memcpy(made->values, values, bytes);
    of->attributes = made;
    return CUDNN_STATUS_SUCCESS;
}
S cudnnBackendGetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values) {
    struct descriptor *of = d;
    int64_t unasked;
    if (!count) count = &unasked;
    *count = 0;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) { /* one engine fits everything */
        *count = 1;
        if (values && room) (*(struct descriptor **)values)->kind = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE || name == CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE || name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX) {
        *count = 1;
        if (values) *(int64_t *)values = 0;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT || name == CUDNN_ATTR_ENGINECFG_ENGINE) {
        *count = 1;
        if (values && name == CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT) *(int64_t *)values = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    for (struct attribute *a = of->attributes; a; a = a->next) {
        if (a->name != (int)name) continue;
        *count = a->count;
        if (values && room) memcpy(values, a->values, (size_t)(a->count < room ? a->count : room) * size_of(a->type));
        break;
    }
    return CUDNN_STATUS_SUCCESS; /* what was not set has no values, such as notes on the numerics */
}
S cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    (void)plan, (void)pack;
    return fake_launch(h->stream, fake_cost("conv", 40000), "cudnn_convolution") ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}

/* ---- the older interface: descriptions are not looked at, work takes its time ---- */
#define KEPT(name, type) \
    S cudnnCreate##name(type *d) { \
        *d = calloc(1, 64); \
        return *d ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED; \
    } \
    S cudnnDestroy##name(type d) { \
        free(d); \
        return CUDNN_STATUS_SUCCESS; \
    }
KEPT(TensorDescriptor, cudnnTensorDescriptor_t)
KEPT(FilterDescriptor, cudnnFilterDescriptor_t)
KEPT(SpatialTransformerDescriptor, cudnnSpatialTransformerDescriptor_t)

S cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, const int sizes[], const int strides[]) { return CUDNN_STATUS_SUCCESS; }
S cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t format, int n, const int sizes[]) { return CUDNN_STATUS_SUCCESS; }
S cudnnSetSpatialTransformerNdDescriptor(cudnnSpatialTransformerDescriptor_t d, cudnnSamplerType_t sampler, cudnnDataType_t type, const int n, const int sizes[]) { return CUDNN_STATUS_SUCCESS; }

static S work(cudnnHandle_t h, const char *name) {
    return fake_launch(h->stream, fake_cost("kernel", 20000), name) ? CUDNN_STATUS_EXECUTION_FAILED : CUDNN_STATUS_SUCCESS;
}
S cudnnSpatialTfSamplerForward(cudnnHandle_t h, cudnnSpatialTransformerDescriptor_t d, const void *alpha, const cudnnTensorDescriptor_t xd, const void *x, const void *grid, const void *beta, cudnnTensorDescriptor_t yd, void *y) { return work(h, "cudnn_grid_sample"); }
S cudnnBatchNormalizationForwardInference(cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta, const cudnnTensorDescriptor_t xd, const void *x, const cudnnTensorDescriptor_t yd, void *y, const cudnnTensorDescriptor_t sd, const void *scale, const void *bias, const void *mean, const void *variance, double epsilon) {
    return work(h, "cudnn_batch_norm");
}
