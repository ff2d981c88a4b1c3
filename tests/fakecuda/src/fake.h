/* The core of the fake GPUs: what all the libraries on top of it share.
 *
 * Times are nanoseconds. Errors are cudaError_t. What a test plans is read from the script whose
 * path stands in FAKECUDA_SCRIPT; see plan.c for its lines. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S 1000000000LL
#define MAX_GPUS 16

/* plan.c: what the script says */
void fake_read_again(void);
int64_t fake_cost(const char *what, int64_t otherwise);
int64_t fake_kernel_cost(const char *name, int64_t otherwise);
int64_t fake_setting(const char *name, int64_t otherwise);
const char *fake_word(const char *name, const char *otherwise);
int64_t fake_at(const char *name, int gpu, int64_t otherwise); /* its value now */
double fake_integral(const char *name, int gpu);               /* value x seconds until now */
unsigned fake_identity(void);
int fake_all_at(const char *name, int gpu, int64_t *values, int room);

enum fault_kind { NO_FAULT, FAULT_ERROR, FAULT_HANG, FAULT_DIE };
struct fault {
    enum fault_kind kind;
    int number; /* of the error, or of the signal */
};
struct fault fake_fault(const char *call, const char *detail, int64_t count);

void fake_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fake_unwritten(const char *name) __attribute__((noreturn));

/* clock.c: the host's clock, real until a GPU is used, then as the script says */
bool fake_virtual(void);
int64_t fake_now(void);
int64_t fake_real_now(void);
double fake_seconds(void);          /* since this process first asked */
void fake_clock_begin(void);
void fake_spend(int64_t ns);        /* the host works for so long */
void fake_wait_until(int64_t when); /* the host waits, other threads go on */

/* device.c: devices, streams, events, captures */
int fake_gpus(void);                /* on this host */
int fake_visible(void);             /* to this process */
int fake_physical(int device);
int fake_current(void);
size_t fake_total(void);
size_t fake_used(int device);
cudaError_t fake_launch(cudaStream_t stream, int64_t ns, const char *name);
