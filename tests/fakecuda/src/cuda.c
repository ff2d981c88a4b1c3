/* A libcuda: what torch, torch.compile and Triton ask of a driver. */
#include "fake.h"

#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef cuDeviceTotalMem
#undef cuDevicePrimaryCtxRelease

typedef CUresult R;
static char contexts[MAX_GPUS];

R cuInit(unsigned flags) { return fake_visible() && !flags ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }
R cuDriverGetVersion(int *v) { return (R)cudaDriverGetVersion(v); }
R cuDeviceGetCount(int *n) {
    *n = fake_visible();
    return CUDA_SUCCESS;
}
R cuDeviceGet(CUdevice *device, int n) {
    *device = n;
    return n < fake_visible() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
R cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice device) { return (R)cudaDeviceGetAttribute(v, (enum cudaDeviceAttr)a, device); }
R cuDeviceGetName(char *text, int n, CUdevice device) {
    (void)device;
    snprintf(text, (size_t)n, "%s", fake_word("name", "NVIDIA Fake H100"));
    return CUDA_SUCCESS;
}
R cuDeviceTotalMem_v2(size_t *n, CUdevice device) {
    (void)device;
    *n = fake_total();
    return CUDA_SUCCESS;
}

R cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    (void)device;
    if (flags) *flags = 0;
    *active = 1;
    return CUDA_SUCCESS;
}
R cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = (CUcontext)&contexts[device];
    return CUDA_SUCCESS;
}
R cuDevicePrimaryCtxRelease_v2(CUdevice device) { return device < fake_visible() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; }
R cuCtxGetCurrent(CUcontext *context) { return cuDevicePrimaryCtxRetain(context, fake_current()); }
R cuCtxSetCurrent(CUcontext context) { return context ? (R)cudaSetDevice((int)((char *)context - contexts)) : CUDA_SUCCESS; }
R cuCtxGetDevice(CUdevice *device) { return (R)cudaGetDevice(device); }
R cuGetErrorString(R error, const char **text) {
    *text = cudaGetErrorString((cudaError_t)error);
    return CUDA_SUCCESS;
}
R cuGetErrorName(R error, const char **text) {
    *text = cudaGetErrorName((cudaError_t)error);
    return CUDA_SUCCESS;
}

/* Code is not looked at: a function is its name. */
R cuModuleLoad(CUmodule *module, const char *path) {
    *module = (CUmodule)strdup(path);
    return CUDA_SUCCESS;
}
R cuModuleLoadData(CUmodule *module, const void *image) {
    (void)image;
    return cuModuleLoad(module, "code");
}
R cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, CUjit_option *options, void **values) {
    (void)image, (void)n, (void)options, (void)values;
    return cuModuleLoad(module, "code");
}
R cuModuleUnload(CUmodule module) {
    free(module);
    return CUDA_SUCCESS;
}
R cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    (void)module;
    *function = (CUfunction)strdup(name);
    return CUDA_SUCCESS;
}
R cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction function) {
    (void)function;
    *v = a == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : a == CU_FUNC_ATTRIBUTE_NUM_REGS ? 32 : 0;
    return CUDA_SUCCESS;
}
R cuFuncSetAttribute(CUfunction function, CUfunction_attribute a, int v) {
    (void)function, (void)a, (void)v;
    return CUDA_SUCCESS;
}
R cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) {
    (void)function, (void)config;
    return CUDA_SUCCESS;
}
R cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, CUfunction function, int block, size_t shared) {
    (void)function, (void)block, (void)shared;
    *n = 2;
    return CUDA_SUCCESS;
}
static R launch(CUstream s, CUfunction function) { return (R)fake_launch((cudaStream_t)s, fake_cost("kernel", 20000), (const char *)function); }
R cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s, void **arguments, void **extra) { return launch(s, f); }
R cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **arguments, void **extra) { return launch(config->hStream, f); }
R cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s, void **arguments) { return launch(s, f); }

R cuPointerGetAttribute(void *data, CUpointer_attribute a, CUdeviceptr p) {
    if (a != CU_POINTER_ATTRIBUTE_DEVICE_POINTER) return CUDA_ERROR_NOT_SUPPORTED;
    *(CUdeviceptr *)data = p;
    return CUDA_SUCCESS;
}
R cuStreamSynchronize(CUstream s) { return (R)cudaStreamSynchronize((cudaStream_t)s); }
R cuStreamIsCapturing(CUstream s, CUstreamCaptureStatus *status) { return (R)cudaStreamIsCapturing((cudaStream_t)s, (enum cudaStreamCaptureStatus *)status); }
R cuLogsRegisterCallback(CUlogsCallback callback, void *data, CUlogsCallbackHandle *handle) {
    (void)callback, (void)data; /* there is nothing to log */
    if (handle) *handle = NULL;
    return CUDA_SUCCESS;
}
R cuLogsUnregisterCallback(CUlogsCallbackHandle handle) {
    (void)handle;
    return CUDA_SUCCESS;
}
