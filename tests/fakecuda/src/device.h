/* What streams, events, captures and graphs are made of; for device.c and cudart.c. */
#pragma once
#include "fake.h"

#include <pthread.h>
#include <sys/types.h>

#define MAX_QUEUE 4096

struct capture {
    struct CUstream_st *origin;
    pthread_t thread;
    enum cudaStreamCaptureMode mode;
    unsigned long long id;
    bool active, broken;
    struct graph *graph;
};

struct graph { /* instantiated or not: its nodes run one after the other */
    int64_t ns;
    size_t nodes;
};

struct CUstream_st {
    int device, priority;
    unsigned flags;
    int64_t idle;             /* when its last work ends */
    int64_t ends[MAX_QUEUE];  /* of what is in its launch queue */
    unsigned head, queued;
    struct capture *capture;
    int64_t captured_ns;
    size_t captured;          /* how many nodes it has put into the capture */
    bool unjoined;            /* it has some that the origin does not wait for yet */
    struct CUstream_st *next;
};

struct CUevent_st {
    int device;
    unsigned flags;
    bool recorded;
    int64_t at;
    struct capture *capture;  /* in which it was last recorded, */
    struct CUstream_st *stream; /* on this stream, behind so many of its nodes */
    size_t captured;
    int64_t captured_ns;
};

struct device {
    bool ready;
    size_t used;
    cudaError_t fault, broken; /* to come at fault_at; come, for good */
    int64_t fault_at;
    struct CUstream_st null, *streams;
};

extern pthread_mutex_t fake_lock;
extern struct device fake_devices[MAX_GPUS];
#define LOCK pthread_mutex_lock(&fake_lock)
#define UNLOCK pthread_mutex_unlock(&fake_lock)

cudaError_t fake_give(cudaError_t error);  /* kept for cudaGetLastError */
cudaError_t fake_last(bool forget);
cudaError_t fake_select(int device);
cudaError_t fake_ready(struct device **device); /* the current one, with its context */
cudaError_t fake_state(struct device *device);  /* an error that no call gets past */
cudaError_t fake_fail(const char *call);        /* what the script says of this call */
struct CUstream_st *fake_stream(cudaStream_t stream);
int64_t fake_idle(const struct CUstream_st *stream); /* with those it waits for implicitly */
int64_t fake_all_idle(const struct device *device);
cudaError_t fake_uncapturable(void);       /* for a call that breaks captures; under LOCK */
cudaError_t fake_enqueue(struct CUstream_st *stream, int64_t ns, const char *name, int64_t host_ns);
cudaError_t fake_begin_capture(cudaStream_t stream, enum cudaStreamCaptureMode mode, struct graph *into);
cudaError_t fake_end_capture(cudaStream_t stream, struct graph **graph);
enum cudaStreamCaptureMode fake_exchange_mode(enum cudaStreamCaptureMode mode);

/* The first lines of every call: `device` is the current one. */
#define READY \
    struct device *device; \
    do { \
        cudaError_t broken_ = fake_ready(&device); \
        if (broken_) return fake_give(broken_); \
    } while (0)
