/* A libcudart on the fake core: device memory is the host's, kernels only take their time. */
#define _GNU_SOURCE
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#undef cudaGetDeviceProperties

typedef cudaError_t E;

/* ---- errors ---- */
static const struct {
    int code;
    const char *name, *text;
} ERRORS[] = {
    {0, "cudaSuccess", "no error"},
    {1, "cudaErrorInvalidValue", "invalid argument"},
    {2, "cudaErrorMemoryAllocation", "out of memory"},
    {3, "cudaErrorInitializationError", "initialization error"},
    {35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {46, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {98, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {101, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {209, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
    {214, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {400, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {401, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {600, "cudaErrorNotReady", "device not ready"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {702, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {710, "cudaErrorAssert", "device-side assert triggered"},
    {719, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {801, "cudaErrorNotSupported", "operation not supported"},
    {802, "cudaErrorSystemNotReady", "system not yet initialized"},
    {900, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {901, "cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"},
    {903, "cudaErrorStreamCaptureUnmatched", "capture was not initiated in this stream"},
    {904, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {905, "cudaErrorStreamCaptureIsolation", "dependency created on uncaptured work in another stream"},
    {906, "cudaErrorStreamCaptureImplicit", "operation would make the legacy stream depend on a capturing blocking stream"},
    {907, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capturing stream"},
    {999, "cudaErrorUnknown", "unknown error"},
};

static int row(E error) {
    int found = -1;
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (ERRORS[i].code == (int)error) found = (int)i;
    return found;
}

const char *cudaGetErrorString(E e) { return row(e) < 0 ? "unrecognized error code" : ERRORS[row(e)].text; }
const char *cudaGetErrorName(E e) { return row(e) < 0 ? "unrecognized error code" : ERRORS[row(e)].name; }
E cudaGetLastError(void) { return fake_last(true); }
E cudaPeekAtLastError(void) { return fake_last(false); }

/* ---- devices ---- */
E cudaGetDeviceCount(int *n) {
    *n = fake_visible();
    return fake_give(*n ? cudaSuccess : cudaErrorNoDevice);
}
E cudaSetDevice(int n) { return fake_give(fake_select(n)); }
E cudaGetDevice(int *n) {
    *n = fake_current();
    return cudaSuccess;
}
E cudaDriverGetVersion(int *v) {
    *v = CUDART_VERSION;
    return cudaSuccess;
}
E cudaRuntimeGetVersion(int *v) {
    *v = CUDART_VERSION;
    return cudaSuccess;
}

E cudaGetDeviceProperties(struct cudaDeviceProp *p, int n) {
    if (n < 0 || n >= fake_visible()) return fake_give(cudaErrorInvalidDevice);
    int capability = (int)fake_setting("compute_capability", 90);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", fake_word("name", "NVIDIA Fake H100"));
    memcpy(p->uuid.bytes, "\xfa\xce\x00\x00\x00\x00\x40\x00\x80\x00\x00\x00\x00\x00\x00\x00", 16);
    p->uuid.bytes[2] = (char)(fake_identity() >> 8);
    p->uuid.bytes[3] = (char)fake_identity();
    p->uuid.bytes[15] = (char)fake_physical(n);
    p->major = capability / 10;
    p->minor = capability % 10;
    p->totalGlobalMem = fake_total();
    p->l2CacheSize = (int)fake_setting("l2_mib", 50) << 20;
    p->multiProcessorCount = 132;
    p->pciBusID = 1 + fake_physical(n);
    p->warpSize = 32;
    p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxBlocksPerMultiProcessor = 32;
    p->maxGridSize[0] = 0x7fffffff;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->sharedMemPerBlock = 49152;
    p->sharedMemPerBlockOptin = 232448;
    p->sharedMemPerMultiprocessor = 233472;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->totalConstMem = 65536;
    p->memPitch = 0x7fffffff;
    p->textureAlignment = 512;
    p->texturePitchAlignment = 32;
    p->memoryBusWidth = 5120;
    p->asyncEngineCount = 3;
    p->concurrentKernels = p->canMapHostMemory = p->unifiedAddressing = p->managedMemory = 1;
    p->streamPrioritiesSupported = p->cooperativeLaunch = p->clusterLaunch = 1;
    p->memoryPoolsSupported = p->hostRegisterSupported = 1;
    return cudaSuccess;
}

E cudaDeviceGetAttribute(int *v, enum cudaDeviceAttr attribute, int n) {
    struct cudaDeviceProp p;
    E error = cudaGetDeviceProperties(&p, n);
    if (error) return error;
    switch ((int)attribute) {
    case cudaDevAttrComputeCapabilityMajor: *v = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *v = p.minor; break;
    case cudaDevAttrMultiProcessorCount: *v = p.multiProcessorCount; break;
    case cudaDevAttrWarpSize: *v = p.warpSize; break;
    case cudaDevAttrMaxThreadsPerBlock: *v = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *v = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *v = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = (int)p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *v = (int)p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrMaxRegistersPerBlock: *v = p.regsPerBlock; break;
    case cudaDevAttrMaxGridDimX: *v = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *v = p.maxGridSize[1]; break;
    case cudaDevAttrL2CacheSize: *v = p.l2CacheSize; break;
    case cudaDevAttrGlobalMemoryBusWidth: *v = p.memoryBusWidth; break;
    case cudaDevAttrClockRate: *v = 1980000; break;
    case cudaDevAttrMemoryClockRate: *v = 2619000; break;
    case cudaDevAttrPciBusId: *v = p.pciBusID; break;
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrMemoryPoolsSupported: *v = 1; break;
    default: *v = 0; /* what it does not name this GPU does not have */
    }
    return cudaSuccess;
}

E cudaDeviceGetPCIBusId(char *text, int size, int n) {
    snprintf(text, (size_t)size, "0000:%02X:00.0", 1 + fake_physical(n));
    return cudaSuccess;
}
E cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return cudaSuccess;
}
E cudaDeviceCanAccessPeer(int *can, int a, int b) {
    *can = a != b;
    return cudaSuccess;
}
E cudaDeviceEnablePeerAccess(int n, unsigned flags) { return n < fake_visible() && !flags ? cudaSuccess : cudaErrorInvalidValue; }

/* The end of each call that waits: what was to fail has failed by then. */
static E waited(struct device *device, int64_t when) {
    fake_wait_until(when);
    fake_spend(fake_cost("sync", 3000));
    E error = fake_fail("sync");
    return fake_give(error ? error : fake_state(device));
}

E cudaDeviceSynchronize(void) {
    READY;
    LOCK;
    E error = fake_uncapturable();
    int64_t when = fake_all_idle(device);
    UNLOCK;
    return error ? fake_give(error) : waited(device, when);
}

/* ---- memory ---- */
struct block {
    char *at;
    size_t size;
    int device;
    bool pinned; /* on the host */
    struct block *next;
};
static struct block *blocks;

static struct block *block_of(const void *p) {
    struct block *found = blocks;
    while (found && ((char *)p < found->at || (char *)p >= found->at + found->size)) found = found->next;
    return found;
}

static void *new_block(size_t size, bool pinned) {
    size_t whole = (size + 4095) & ~(size_t)4095;
    char *at = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return NULL;
    struct block *block = malloc(sizeof *block);
    *block = (struct block){at, whole, fake_current(), pinned, blocks};
    blocks = block;
    if (!pinned) fake_devices[block->device].used += whole;
    return at;
}

static bool drop_block(void *p) {
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *block = *at;
        if (block->at != p) continue;
        *at = block->next;
        munmap(block->at, block->size);
        if (!block->pinned) fake_devices[block->device].used -= block->size;
        free(block);
        return true;
    }
    return false;
}

static size_t context_bytes(void) { return (size_t)fake_setting("context_mib", 512) << 20; }

static size_t taken(const struct device *device) {
    size_t others = (size_t)fake_at("others_mib", fake_physical(fake_current()), 0) << 20;
    return device->used + context_bytes() + others;
}

E cudaMalloc(void **p, size_t size) {
    READY;
    *p = NULL;
    if (!size) return cudaSuccess;
    E error = fake_fail("malloc");
    LOCK;
    E capturing = fake_uncapturable();
    if (capturing) error = capturing;
    size_t total = fake_total(), used = taken(device);
    if (!error && (used > total || size > total - used || !(*p = new_block(size, false)))) error = cudaErrorMemoryAllocation;
    UNLOCK;
    fake_spend(fake_cost("malloc", 100000));
    fake_trace("malloc %zu: %d", size, error);
    return fake_give(error);
}

E cudaFree(void *p) {
    READY;
    if (!p) return cudaSuccess;
    LOCK;
    E error = fake_uncapturable();
    int64_t when = fake_all_idle(device);
    if (!error && !block_of(p)) error = cudaErrorInvalidValue;
    UNLOCK;
    if (error) return fake_give(error);
    fake_wait_until(when);
    LOCK;
    drop_block(p);
    UNLOCK;
    return cudaSuccess;
}

E cudaHostAlloc(void **p, size_t size, unsigned flags) {
    READY;
    (void)flags;
    LOCK;
    E error = fake_uncapturable();
    if (!error && !(*p = new_block(size, true))) error = cudaErrorMemoryAllocation;
    UNLOCK;
    return fake_give(error);
}

E cudaMallocHost(void **p, size_t size) { return cudaHostAlloc(p, size, cudaHostAllocDefault); }

E cudaFreeHost(void *p) {
    LOCK;
    bool known = !p || drop_block(p);
    UNLOCK;
    return fake_give(known ? cudaSuccess : cudaErrorInvalidValue);
}

E cudaMemGetInfo(size_t *left, size_t *total) {
    READY;
    size_t used = taken(device);
    *total = fake_total();
    *left = *total > used ? *total - used : 0;
    return cudaSuccess;
}

E cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p) {
    LOCK;
    struct block *block = block_of(p);
    memset(a, 0, sizeof *a);
    a->type = !block ? cudaMemoryTypeUnregistered : block->pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    a->device = block ? block->device : cudaInvalidDeviceId;
    a->devicePointer = block ? (void *)p : NULL;
    a->hostPointer = block && !block->pinned ? NULL : (void *)p;
    UNLOCK;
    return cudaSuccess;
}

/* Bytes are moved at once, in the order of the calls; the time they take is the stream's. */
static E copy(void *to, const void *from, size_t n, cudaStream_t given, bool async) {
    READY;
    struct CUstream_st *stream = fake_stream(given);
    LOCK;
    struct block *a = block_of(to), *b = block_of(from);
    UNLOCK;
    bool to_gpu = a && !a->pinned, from_gpu = b && !b->pinned, pageable = (!a && from_gpu) || (!b && to_gpu);
    double bytes_per_ns = to_gpu && from_gpu ? 2000 : pageable ? 6 : 25;
    if (stream->capture && pageable) {
        stream->capture->broken = true;
        return fake_give(cudaErrorStreamCaptureUnsupported);
    }
    int64_t ns = fake_cost("copy", 2000) + (int64_t)((double)n / bytes_per_ns);
    E error = fake_enqueue(stream, ns, "memcpy", fake_cost("launch", 5000));
    if (error || stream->capture) return fake_give(error);
    if (!async || (pageable && from_gpu)) {
        fake_wait_until(fake_idle(stream));
        if ((error = fake_state(device))) return fake_give(error);
    }
    memmove(to, from, n);
    return cudaSuccess;
}

E cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind kind) {
    (void)kind; /* addresses say it, as with unified addressing */
    return copy(to, from, n, NULL, false);
}
E cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind, cudaStream_t s) {
    (void)kind;
    return copy(to, from, n, s, true);
}
E cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t n, cudaStream_t s) {
    (void)to_device, (void)from_device;
    return copy(to, from, n, s, true);
}
E cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t s) {
    (void)kind;
    READY;
    struct CUstream_st *stream = fake_stream(s);
    E error = fake_enqueue(stream, fake_cost("copy", 2000), "memcpy2d", fake_cost("launch", 5000));
    for (size_t i = 0; i < height && !error && !stream->capture; i++)
        memmove((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
    return fake_give(error);
}
E cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t s) {
    READY;
    struct CUstream_st *stream = fake_stream(s);
    E error = fake_enqueue(stream, fake_cost("fill", 1500) + (int64_t)(n / 2000), "memset", fake_cost("launch", 5000));
    if (!error && !stream->capture) memset(p, value, n);
    return fake_give(error);
}
E cudaMemset(void *p, int value, size_t n) { return cudaMemsetAsync(p, value, n, NULL); }

E cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int n) {
    *pool = (cudaMemPool_t)&fake_devices[n];
    return cudaSuccess;
}

/* ---- streams ---- */
E cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int priority) {
    READY;
    struct CUstream_st *stream = calloc(1, sizeof *stream);
    stream->device = fake_current();
    stream->flags = flags;
    stream->priority = priority;
    LOCK;
    stream->next = device->streams;
    device->streams = stream;
    UNLOCK;
    *s = stream;
    return cudaSuccess;
}
E cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) { return cudaStreamCreateWithPriority(s, flags, 0); }
E cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithPriority(s, cudaStreamDefault, 0); }
E cudaStreamDestroy(cudaStream_t s) {
    (void)s; /* not freed: the work in its queue still runs */
    return cudaSuccess;
}
E cudaStreamGetPriority(cudaStream_t s, int *priority) {
    *priority = fake_stream(s)->priority;
    return cudaSuccess;
}

static E not_capturing(struct capture *capture, E error) {
    LOCK;
    E found = cudaSuccess;
    if (capture && capture->active) {
        capture->broken = true;
        found = error;
    } else {
        found = fake_uncapturable();
    }
    UNLOCK;
    return found;
}

E cudaStreamQuery(cudaStream_t s) {
    READY;
    struct CUstream_st *stream = fake_stream(s);
    E error = not_capturing(stream->capture, cudaErrorStreamCaptureUnsupported);
    if (error) return fake_give(error);
    fake_spend(fake_cost("query", 500));
    return fake_give(fake_idle(stream) <= fake_now() ? fake_state(device) : cudaErrorNotReady);
}
E cudaStreamSynchronize(cudaStream_t s) {
    READY;
    struct CUstream_st *stream = fake_stream(s);
    E error = not_capturing(stream->capture, cudaErrorStreamCaptureUnsupported);
    return error ? fake_give(error) : waited(device, fake_idle(stream));
}

E cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event, unsigned flags) {
    READY;
    (void)flags;
    struct CUstream_st *stream = fake_stream(s);
    E error = cudaSuccess;
    LOCK;
    if (event->capture && event->capture->active) {
        if (stream->capture != event->capture) stream->captured_ns = 0; /* it joins the capture */
        stream->capture = event->capture;
        if (event->captured_ns > stream->captured_ns) stream->captured_ns = event->captured_ns;
        bool carried = event->stream->unjoined && event->captured == event->stream->captured;
        if (carried) event->stream->unjoined = false;
        if (carried && stream != stream->capture->origin) stream->unjoined = true;
    } else if (stream->capture && event->recorded) {
        stream->capture->broken = true;
        error = cudaErrorStreamCaptureIsolation;
    } else if (event->recorded && event->at > stream->idle) {
        stream->idle = event->at;
    }
    UNLOCK;
    return fake_give(error);
}

/* Called back by a thread, as soon as what was queued before has ended. */
struct callback {
    cudaHostFn_t function;
    cudaStreamCallback_t callback;
    void *data;
    cudaStream_t stream;
    int64_t when;
};
static void *call_back(void *given) {
    struct callback c = *(struct callback *)given;
    free(given);
    while (fake_now() < c.when) usleep(50);
    if (c.function) c.function(c.data);
    else c.callback(c.stream, cudaSuccess, c.data);
    return NULL;
}
static E call_later(struct callback c) {
    READY;
    struct CUstream_st *stream = fake_stream(c.stream);
    pthread_t thread;
    if (stream->capture) return fake_give(cudaErrorNotSupported);
    c.when = fake_idle(stream);
    struct callback *copy = malloc(sizeof c);
    *copy = c;
    if (pthread_create(&thread, NULL, call_back, copy)) return fake_give(cudaErrorUnknown);
    pthread_detach(thread);
    return cudaSuccess;
}
E cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void *data) { return call_later((struct callback){f, NULL, data, s, 0}); }
E cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void *data, unsigned flags) {
    (void)flags;
    return call_later((struct callback){NULL, f, data, s, 0});
}

/* ---- events ---- */
E cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) {
    READY;
    struct CUevent_st *event = calloc(1, sizeof *event);
    event->device = fake_current();
    event->flags = flags;
    fake_trace("create event %p", (void *)event);
    *e = event;
    return cudaSuccess;
}
E cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, cudaEventDefault); }
E cudaEventDestroy(cudaEvent_t event) {
    free(event);
    return cudaSuccess;
}

E cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t s, unsigned flags) {
    READY;
    (void)flags;
    struct CUstream_st *stream = fake_stream(s);
    if (event->device != stream->device) return fake_give(cudaErrorInvalidResourceHandle);
    fake_spend(fake_cost("event", 2000));
    LOCK;
    struct capture *capture = stream->capture;
    if (!capture || !capture->broken) {
        int64_t now = fake_now(), idle = fake_idle(stream);
        event->recorded = true;
        event->capture = capture;
        event->stream = stream;
        event->captured = stream->captured;
        event->captured_ns = stream->captured_ns;
        event->at = capture ? 0 : idle > now ? idle : now;
        if (!capture) stream->idle = event->at;
    }
    UNLOCK;
    fake_trace("record event %p on stream %p", (void *)event, (void *)stream);
    return fake_give(capture && capture->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
}
E cudaEventRecord(cudaEvent_t event, cudaStream_t s) { return cudaEventRecordWithFlags(event, s, 0); }

E cudaEventQuery(cudaEvent_t event) {
    READY;
    E error = event->capture ? not_capturing(event->capture, cudaErrorCapturedEvent) : not_capturing(NULL, cudaSuccess);
    if (event->capture || error) return fake_give(error ? error : cudaErrorCapturedEvent);
    fake_spend(fake_cost("query", 500));
    return fake_give(!event->recorded || event->at <= fake_now() ? fake_state(device) : cudaErrorNotReady);
}
E cudaEventSynchronize(cudaEvent_t event) {
    READY;
    E error = not_capturing(event->capture, cudaErrorCapturedEvent);
    if (event->capture || error) return fake_give(error ? error : cudaErrorCapturedEvent);
    return waited(device, event->recorded ? event->at : 0);
}
E cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    READY;
    if ((from->flags | to->flags) & cudaEventDisableTiming) return fake_give(cudaErrorInvalidResourceHandle);
    if (!from->recorded || !to->recorded || from->device != to->device) return fake_give(cudaErrorInvalidResourceHandle);
    if (from->capture || to->capture) return fake_give(cudaErrorCapturedEvent);
    if (from->at > fake_now() || to->at > fake_now()) return fake_give(cudaErrorNotReady);
    *ms = (float)((double)(to->at - from->at) / 1e6);
    return fake_give(fake_state(device));
}

/* ---- kernels ---- */
struct kernel {
    const void *function;
    const char *name;
    bool loaded;
    struct kernel *next;
};
static struct kernel *kernels[65536];

static struct kernel **bucket(const void *function) { return &kernels[((uintptr_t)function >> 4) * 2654435761u >> 16 & 65535]; }
static struct kernel *kernel_of(const void *function) {
    struct kernel *found = *bucket(function);
    while (found && found->function != function) found = found->next;
    return found;
}
static struct kernel *new_kernel(const void *function, const char *name) {
    struct kernel *kernel = malloc(sizeof *kernel);
    if (!function) function = kernel;
    *kernel = (struct kernel){function, name, false, *bucket(function)};
    return *bucket(function) = kernel;
}

void **__cudaRegisterFatBinary(void *binary) {
    static void *handle;
    (void)binary;
    return &handle;
}
void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }
void __cudaUnregisterFatBinary(void **handle) { (void)handle; }
char __cudaInitModule(void **handle) { return handle != NULL; }
void __cudaRegisterVar(void **handle, char *host, char *address, const char *name, int external, size_t size, int constant, int global) {
    (void)handle, (void)host, (void)address, (void)name, (void)external, (void)size, (void)constant, (void)global;
}
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int limit, void *t, void *b, void *bd, void *gd, int *w) {
    (void)handle, (void)device, (void)limit, (void)t, (void)b, (void)bd, (void)gd, (void)w;
    new_kernel(host, name);
}

static __thread struct {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
} pushed[8];
static __thread int depth;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t s) {
    if (depth == 8) return 1;
    pushed[depth].grid = grid;
    pushed[depth].block = block;
    pushed[depth].shared = shared;
    pushed[depth++].stream = s;
    return 0;
}
E __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *s) {
    if (!depth) return fake_give(cudaErrorMissingConfiguration);
    *grid = pushed[--depth].grid;
    *block = pushed[depth].block;
    *shared = pushed[depth].shared;
    *(cudaStream_t *)s = pushed[depth].stream;
    return cudaSuccess;
}

/* torch.cuda._sleep counts cycles of the clock that the GPU has now. */
static int64_t spin_ns(void **arguments) { return (int64_t)(*(int64_t *)arguments[0] / 1.98); }

static E launch(struct kernel *kernel, void **arguments, cudaStream_t s) {
    READY;
    if (!kernel) return fake_give(cudaErrorInvalidDeviceFunction);
    bool spins = strstr(kernel->name, "spin_kernel") != NULL;
    int64_t ns = spins ? spin_ns(arguments) : fake_kernel_cost(kernel->name, fake_cost("kernel", 20000));
    if (!kernel->loaded) fake_spend(fake_cost("cold", 0)); /* it is loaded now */
    kernel->loaded = true;
    return fake_give(fake_enqueue(fake_stream(s), ns, kernel->name, fake_cost("launch", 5000)));
}
E __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
    *kernel = (cudaKernel_t)kernel_of(function);
    return fake_give(*kernel ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}
E __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t s) {
    (void)grid, (void)block, (void)shared;
    return launch((struct kernel *)kernel, arguments, s);
}
E cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t s) {
    (void)grid, (void)block, (void)shared;
    return launch(kernel_of(function), arguments, s);
}
E cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t s) {
    (void)grid, (void)block, (void)shared;
    return launch(kernel_of(function), arguments, s);
}
E cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
    return launch(kernel_of(function), arguments, config->stream);
}
E cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *function) {
    int capability = (int)fake_setting("compute_capability", 90);
    if (!kernel_of(function)) return fake_give(cudaErrorInvalidDeviceFunction);
    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = 1024;
    a->numRegs = 32;
    a->binaryVersion = a->ptxVersion = capability;
    return cudaSuccess;
}
E cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) {
    (void)attribute, (void)value;
    return fake_give(kernel_of(function) ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}
E cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *function, int block, size_t shared, unsigned flags) {
    (void)function, (void)shared, (void)flags;
    *n = block > 0 && block < 2048 ? 2048 / block : 1;
    return cudaSuccess;
}
E cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, const void *function, int block, size_t shared) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(n, function, block, shared, 0);
}
E cudaLibraryLoadData(cudaLibrary_t *library, const void *code, enum cudaJitOption *o, void **ov, unsigned n, enum cudaLibraryOption *lo, void **lv, unsigned m) {
    (void)code, (void)o, (void)ov, (void)n, (void)lo, (void)lv, (void)m;
    *library = malloc(1);
    return cudaSuccess;
}
E cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name) {
    (void)library;
    *kernel = (cudaKernel_t)new_kernel(NULL, strdup(name));
    return cudaSuccess;
}
E cudaLibraryUnload(cudaLibrary_t library) {
    free(library);
    return cudaSuccess;
}
E cudaKernelSetAttributeForDevice(cudaKernel_t kernel, enum cudaFuncAttribute attribute, int value, int n) {
    (void)kernel, (void)attribute, (void)value, (void)n;
    return cudaSuccess;
}

/* ---- graphs ---- */
E cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    *mode = fake_exchange_mode(*mode);
    return cudaSuccess;
}
E cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode) { return fake_begin_capture(s, mode, NULL); }
E cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t graph, const cudaGraphNode_t *nodes, const cudaGraphEdgeData *edges, size_t n, enum cudaStreamCaptureMode mode) {
    (void)nodes, (void)edges;
    return n ? fake_give(cudaErrorNotSupported) : fake_begin_capture(s, mode, (struct graph *)graph);
}
E cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph) {
    struct graph *captured;
    E error = fake_end_capture(s, &captured);
    if (graph) *graph = (cudaGraph_t)captured;
    return error;
}
E cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status) {
    struct capture *capture = fake_stream(s)->capture;
    *status = !capture ? cudaStreamCaptureStatusNone : capture->broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
E cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges, size_t *n) {
    struct capture *capture = fake_stream(s)->capture;
    cudaStreamIsCapturing(s, status);
    if (capture && id) *id = capture->id;
    if (capture && graph) *graph = (cudaGraph_t)capture->graph;
    if (nodes) *nodes = NULL;
    if (edges) *edges = NULL;
    if (n) *n = 0;
    return cudaSuccess;
}
E cudaGraphInstantiateWithFlags(cudaGraphExec_t *into, cudaGraph_t graph, unsigned long long flags) {
    READY;
    (void)flags;
    fake_spend(fake_cost("instantiate", 1000000));
    struct graph *copy = malloc(sizeof *copy);
    *copy = *(struct graph *)graph;
    *into = (cudaGraphExec_t)copy;
    return cudaSuccess;
}
E cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
    READY;
    return fake_give(fake_enqueue(fake_stream(s), ((struct graph *)graph)->ns, "graph", fake_cost("graph_launch", 5000)));
}
E cudaGraphDestroy(cudaGraph_t graph) {
    free(graph);
    return cudaSuccess;
}
E cudaGraphExecDestroy(cudaGraphExec_t graph) {
    free(graph);
    return cudaSuccess;
}
E cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n) {
    if (nodes) return fake_give(cudaErrorNotSupported);
    *n = ((struct graph *)graph)->nodes;
    return cudaSuccess;
}
E cudaUserObjectCreate(cudaUserObject_t *object, void *p, cudaHostFn_t destroy, unsigned n, unsigned flags) {
    (void)p, (void)destroy, (void)n, (void)flags; /* lives as long as the process */
    *object = (cudaUserObject_t)p;
    return cudaSuccess;
}
E cudaUserObjectRelease(cudaUserObject_t object, unsigned n) {
    (void)object, (void)n;
    return cudaSuccess;
}
E cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned n, unsigned flags) {
    (void)graph, (void)object, (void)n, (void)flags;
    return cudaSuccess;
}

/* ---- what a GPU may well not have ---- */
E cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *p) {
    (void)handle, (void)p;
    return fake_give(cudaErrorNotSupported);
}
E cudaIpcGetEventHandle(cudaIpcEventHandle_t *handle, cudaEvent_t event) {
    (void)handle, (void)event;
    return fake_give(cudaErrorNotSupported);
}

/* Functions of the driver: those of the fake one, or none. */
E cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags, enum cudaDriverEntryPointQueryResult *result) {
    (void)version, (void)flags;
    char newer[96];
    snprintf(newer, sizeof newer, "%s_v2", name);
    *function = dlsym(RTLD_DEFAULT, name);
    if (!*function) *function = dlsym(RTLD_DEFAULT, newer);
    if (!*function) fake_trace("no driver function %s", name);
    if (result) *result = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return *function ? cudaSuccess : fake_give(cudaErrorSymbolNotFound);
}
E cudaProfilerStart(void) { return cudaSuccess; }
E cudaProfilerStop(void) { return cudaSuccess; }
E cudaHostRegister(void *p, size_t n, unsigned flags) {
    (void)flags;
    return p && n ? cudaSuccess : fake_give(cudaErrorInvalidValue);
}
E cudaHostUnregister(void *p) { return p ? cudaSuccess : fake_give(cudaErrorInvalidValue); }
E cudaGetSymbolAddress(void **address, const void *symbol) {
    static char room[65536];
    (void)symbol;
    *address = room;
    return cudaSuccess;
}
E cudaMemcpyToSymbol(const void *symbol, const void *from, size_t n, size_t offset, enum cudaMemcpyKind kind) {
    (void)symbol, (void)from, (void)n, (void)offset, (void)kind; /* no kernel reads it */
    return cudaSuccess;
}
E cudaDeviceGetGraphMemAttribute(int n, enum cudaGraphMemAttributeType attribute, void *value) {
    (void)n, (void)attribute;
    *(uint64_t *)value = 0;
    return cudaSuccess;
}
E cudaDeviceSetGraphMemAttribute(int n, enum cudaGraphMemAttributeType attribute, void *value) {
    (void)n, (void)attribute, (void)value;
    return cudaSuccess;
}
