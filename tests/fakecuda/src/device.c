/* Devices, their streams and their captures: what runs when, and what fails. */
#define _GNU_SOURCE
#include "device.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CAPTURES 64
#define FOREVER INT64_MAX

pthread_mutex_t fake_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
struct device fake_devices[MAX_GPUS];
static struct capture captures[MAX_CAPTURES];
static __thread int current;
static __thread cudaError_t last;
static __thread enum cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
static pid_t user; /* the process that first used a GPU: its children can't */

int fake_gpus(void) { return (int)fake_setting("gpus", 1); }
size_t fake_total(void) { return (size_t)fake_setting("memory_mib", 81920) << 20; }
size_t fake_used(int device) { return fake_devices[device].used; }
int fake_current(void) { return current; }

/* CUDA_VISIBLE_DEVICES: numbers or UUIDs, up to the first that is none. */
static int visible[MAX_GPUS], visibles = -1;
static void find_visible(void) {
    const char *wanted = getenv("CUDA_VISIBLE_DEVICES");
    char *copy = strdup(wanted ? wanted : ""), *rest = NULL;
    if (visibles >= 0) return;
    int found = 0, gpus = fake_gpus();
    for (int i = 0; !wanted && i < gpus && i < MAX_GPUS; i++) visible[found++] = i;
    for (char *word = strtok_r(copy, ",", &rest); word && found < MAX_GPUS; word = strtok_r(NULL, ",", &rest)) {
        char *end;
        while (*word == ' ') word++;
        bool uuid = !strncmp(word, "GPU-", 4) && strlen(word) > 6;
        int number = (int)(uuid ? strtol(word + strlen(word) - 2, &end, 16) : strtol(word, &end, 10));
        if (end == word || number < 0 || number >= gpus) break;
        visible[found++] = number;
    }
    free(copy);
    visibles = found;
}

int fake_visible(void) {
    find_visible();
    return visibles;
}

int fake_physical(int device) {
    find_visible();
    return visible[device];
}

cudaError_t fake_give(cudaError_t error) {
    if (error) last = error;
    return error;
}

cudaError_t fake_last(bool forget) {
    cudaError_t broken = fake_devices[current].broken, found = last;
    if (forget) last = cudaSuccess;
    return broken ? broken : found;
}

cudaError_t fake_select(int device) {
    if (device < 0 || device >= fake_visible()) return cudaErrorInvalidDevice;
    current = device;
    return cudaSuccess;
}

cudaError_t fake_state(struct device *device) {
    if (user != getpid()) return cudaErrorInitializationError;
    if (!device->broken && device->fault && fake_now() >= device->fault_at) {
        fake_trace("broken by %d", device->fault);
        device->broken = device->fault;
    }
    return device->broken;
}

cudaError_t fake_ready(struct device **device) {
    *device = &fake_devices[current];
    if (!fake_visible()) return cudaErrorNoDevice;
    LOCK;
    if (!user) {
        user = getpid();
        fake_read_again();
    }
    if (!(*device)->ready) {
        (*device)->ready = true;
        (*device)->null.device = current;
        fake_clock_begin();
        fake_trace("context on device %d", current);
        fake_spend(fake_cost("context", 0));
    }
    UNLOCK;
    return fake_state(*device);
}

/* Each kind of call is counted, over all devices of this process. */
static struct {
    const char *call;
    int64_t count;
} counts[] = {{"launch", 0}, {"malloc", 0}, {"sync", 0}, {"capture", 0}};

static struct fault planned(const char *call) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(counts[i].call, call)) return fake_fault(call, NULL, ++counts[i].count);
    abort();
}

cudaError_t fake_fail(const char *call) {
    struct fault fault = planned(call);
    if (fault.kind == FAULT_DIE) {
        fake_trace("dies at %s", call);
        raise(fault.number ? fault.number : SIGKILL);
    }
    if (fault.kind == FAULT_HANG)
        for (;;) pause();
    return fault.kind == FAULT_ERROR ? (cudaError_t)fault.number : cudaSuccess;
}

struct CUstream_st *fake_stream(cudaStream_t stream) {
    bool null = !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
    return null ? &fake_devices[current].null : stream;
}

static bool blocks(const struct CUstream_st *stream) { return !(stream->flags & cudaStreamNonBlocking); }

int64_t fake_idle(const struct CUstream_st *stream) {
    const struct device *device = &fake_devices[stream->device];
    int64_t when = stream->idle;
    if (stream != &device->null) return blocks(stream) && device->null.idle > when ? device->null.idle : when;
    for (const struct CUstream_st *other = device->streams; other; other = other->next)
        if (blocks(other) && other->idle > when) when = other->idle;
    return when;
}

int64_t fake_all_idle(const struct device *device) {
    int64_t when = device->null.idle;
    for (const struct CUstream_st *stream = device->streams; stream; stream = stream->next)
        if (stream->idle > when) when = stream->idle;
    return when;
}

/* Captures of mode global forbid it to all threads that are not relaxed, thread-local ones to their own. */
cudaError_t fake_uncapturable(void) {
    cudaError_t error = cudaSuccess;
    if (thread_mode == cudaStreamCaptureModeRelaxed) return error;
    for (int i = 0; i < MAX_CAPTURES; i++) {
        struct capture *capture = &captures[i];
        bool own = capture->active && pthread_equal(capture->thread, pthread_self());
        bool all = capture->mode == cudaStreamCaptureModeGlobal && thread_mode == cudaStreamCaptureModeGlobal;
        if (!capture->active || capture->mode == cudaStreamCaptureModeRelaxed || !(own || all)) continue;
        capture->broken = true;
        error = cudaErrorStreamCaptureUnsupported;
    }
    return error;
}

/* Where the launch queue is full, the host waits until its first entry has ended. */
static void make_room(struct CUstream_st *stream) {
    unsigned room = (unsigned)fake_setting("queue", 1024);
    while (stream->queued && stream->ends[stream->head] <= fake_now()) {
        stream->head = (stream->head + 1) % MAX_QUEUE;
        stream->queued--;
    }
    if (stream->queued < room) return;
    int64_t when = stream->ends[stream->head];
    UNLOCK;
    fake_wait_until(when);
    LOCK;
    make_room(stream);
}

/* How long a kernel takes at the clock that the GPU has now. */
static int64_t at_this_clock(int64_t ns, int device) {
    int64_t most = fake_at("max_clock_mhz", fake_physical(device), 1980);
    int64_t clock = fake_at("clock_mhz", fake_physical(device), most);
    return clock == most || clock <= 0 ? ns : ns * most / clock;
}

cudaError_t fake_enqueue(struct CUstream_st *stream, int64_t ns, const char *name, int64_t host_ns) {
    LOCK;
    struct device *device = &fake_devices[stream->device];
    if (stream->capture) {
        bool broken = stream->capture->broken;
        if (!broken) {
            stream->captured_ns += ns;
            stream->captured++;
            stream->unjoined = stream != stream->capture->origin;
            stream->capture->graph->nodes++;
        }
        UNLOCK;
        fake_spend(host_ns);
        return broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    }
    if (stream == &device->null && fake_uncapturable()) {
        UNLOCK;
        return cudaErrorStreamCaptureImplicit;
    }
    make_room(stream);
    fake_spend(host_ns);
    int64_t start = fake_idle(stream), now = fake_now();
    if (start < now) start = now;
    stream->idle = start == FOREVER ? FOREVER : start + at_this_clock(ns, stream->device);
    struct fault fault = planned("launch");
    if (fault.kind == FAULT_DIE) {
        fake_trace("dies");
        raise(fault.number ? fault.number : SIGKILL);
    }
    if (fault.kind == FAULT_HANG) stream->idle = FOREVER;
    if (fault.kind == FAULT_ERROR && !device->fault) {
        device->fault = (cudaError_t)fault.number;
        device->fault_at = stream->idle;
    }
    stream->ends[(stream->head + stream->queued++) % MAX_QUEUE] = stream->idle;
    fake_trace("launch %s on stream %p of device %d for %lld ns", name, (void *)stream, stream->device, (long long)ns);
    UNLOCK;
    return cudaSuccess;
}

cudaError_t fake_launch(cudaStream_t stream, int64_t ns, const char *name) {
    READY;
    return fake_give(fake_enqueue(fake_stream(stream), fake_kernel_cost(name, ns), name, fake_cost("launch", 5000)));
}

cudaError_t fake_begin_capture(cudaStream_t given, enum cudaStreamCaptureMode mode, struct graph *into) {
    static unsigned long long ids;
    READY;
    struct CUstream_st *stream = fake_stream(given);
    if (stream == &device->null) return fake_give(cudaErrorStreamCaptureUnsupported);
    cudaError_t planned_error = fake_fail("capture");
    if (planned_error) return fake_give(planned_error);
    LOCK;
    struct capture *capture = captures;
    while (capture < captures + MAX_CAPTURES && capture->active) capture++;
    if (stream->capture || capture == captures + MAX_CAPTURES) {
        UNLOCK;
        return fake_give(cudaErrorIllegalState);
    }
    *capture = (struct capture){stream, pthread_self(), mode, ++ids, true, false, into ? into : calloc(1, sizeof *into)};
    stream->capture = capture;
    stream->captured_ns = 0;
    UNLOCK;
    return cudaSuccess;
}

cudaError_t fake_end_capture(cudaStream_t given, struct graph **graph) {
    struct CUstream_st *stream = fake_stream(given);
    *graph = NULL;
    LOCK;
    struct capture *capture = stream->capture;
    if (!capture || capture->origin != stream) {
        UNLOCK;
        return fake_give(capture ? cudaErrorStreamCaptureUnmatched : cudaErrorIllegalState);
    }
    cudaError_t error = capture->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    for (int i = 0; i < MAX_GPUS; i++)
        for (struct CUstream_st *other = fake_devices[i].streams; other; other = other->next) {
            if (other->capture != capture) continue;
            if (other->unjoined && !error) error = cudaErrorStreamCaptureUnjoined;
            other->unjoined = false;
            other->capture = NULL;
        }
    capture->active = false;
    capture->graph->ns = stream->captured_ns;
    if (!error) *graph = capture->graph;
    fake_trace("captured %zu nodes, %lld ns: %d", capture->graph->nodes, (long long)stream->captured_ns, error);
    UNLOCK;
    return fake_give(error);
}

enum cudaStreamCaptureMode fake_exchange_mode(enum cudaStreamCaptureMode mode) {
    enum cudaStreamCaptureMode before = thread_mode;
    thread_mode = mode;
    return before;
}
