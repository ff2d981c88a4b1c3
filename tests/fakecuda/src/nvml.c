/* A libnvidia-ml: what the script says of clocks, power, limits and processes at this time.
 *
 * `set mig instance`: the process has an instance of a GPU, known by its own UUID only.
 * `set mig divided`: the GPU has instances, and its UUID does not say which one is used. */
#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OK, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
struct violation { unsigned long long reference_us, ns; };
struct temperature { unsigned version; int sensor, c; };
struct memory { unsigned long long total, left, used; };
typedef struct gpu {
    int number;
} *D;
static struct gpu gpus[MAX_GPUS];

/* What the script says of this function, else `found`. */
static int answer(const char *function, int found) {
    struct fault fault = fake_fault("nvml", function, 0);
    if (fault.kind == FAULT_HANG)
        for (;;) pause();
    return fault.kind == FAULT_ERROR ? fault.number : found;
}
#define ANSWER(found) return answer(__func__, found)

const char *nvmlErrorString(int error) {
    switch (error) {
    case OK: return "The operation was successful";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 12: return "NVML Shared Library Not Found";
    case 15: return "GPU is lost";
    default: return "Unknown Error";
    }
}
int nvmlInit_v2(void) { ANSWER(OK); }
int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return nvmlInit_v2();
}
int nvmlShutdown(void) { ANSWER(OK); }
int nvmlSystemGetDriverVersion(char *text, unsigned n) {
    snprintf(text, n, "%s", fake_word("driver", "580.65.06"));
    ANSWER(OK);
}
int nvmlSystemGetCudaDriverVersion_v2(int *v) {
    *v = CUDART_VERSION;
    ANSWER(OK);
}

/* ---- which ---- */
static void uuid_of(int number, char *text, size_t n) {
    bool instance = !strcmp(fake_word("mig", ""), "instance");
    snprintf(text, n, "%s-face%04x-0000-4000-8000-0000000000%02x", instance ? "MIG" : "GPU", fake_identity(), number);
}
int nvmlDeviceGetCount_v2(unsigned *n) {
    *n = (unsigned)fake_gpus();
    ANSWER(OK);
}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, D *d) {
    if ((int)i >= fake_gpus()) return INVALID_ARGUMENT;
    gpus[i].number = (int)i;
    *d = &gpus[i];
    ANSWER(OK);
}
int nvmlDeviceGetUUID(D d, char *text, unsigned n) {
    uuid_of(d->number, text, n);
    ANSWER(OK);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, D *d) {
    char own[96];
    for (int i = 0; i < fake_gpus(); i++) {
        uuid_of(i, own, sizeof own);
        if (!strcmp(uuid, own)) return answer(__func__, nvmlDeviceGetHandleByIndex_v2((unsigned)i, d));
    }
    ANSWER(NOT_FOUND);
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, D *d) {
    unsigned domain = 0, number = 0;
    if (sscanf(bus, "%x:%x", &domain, &number) != 2 || !number) return INVALID_ARGUMENT;
    return nvmlDeviceGetHandleByIndex_v2(number - 1, d);
}
int nvmlDeviceGetIndex(D d, unsigned *i) {
    *i = (unsigned)d->number;
    ANSWER(OK);
}
int nvmlDeviceGetName(D d, char *text, unsigned n) {
    (void)d;
    snprintf(text, n, "%s", fake_word("name", "NVIDIA Fake H100"));
    ANSWER(OK);
}
int nvmlDeviceGetMigMode(D d, unsigned *mode, unsigned *pending) {
    (void)d;
    *mode = *pending = !strcmp(fake_word("mig", ""), "divided");
    ANSWER(OK);
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(D d, D *whole) {
    *whole = d;
    ANSWER(!strcmp(fake_word("mig", ""), "instance") ? OK : NOT_SUPPORTED);
}
int nvmlDeviceGetCpuAffinity(D d, unsigned n, unsigned long *words) {
    memset(words, 0, n * sizeof *words);
    words[0] = (unsigned long)fake_at("cpus", d->number, 0);
    ANSWER(words[0] ? OK : NOT_SUPPORTED);
}

/* ---- how ---- */
int nvmlDeviceGetClockInfo(D d, int type, unsigned *mhz) {
    (void)type;
    fake_trace("clock of gpu %d", d->number);
    *mhz = (unsigned)fake_at("clock_mhz", d->number, fake_at("max_clock_mhz", d->number, 1980));
    ANSWER(OK);
}
int nvmlDeviceGetMaxClockInfo(D d, int type, unsigned *mhz) {
    (void)type;
    *mhz = (unsigned)fake_at("max_clock_mhz", d->number, 1980);
    ANSWER(OK);
}
int nvmlDeviceGetCurrentClocksEventReasons(D d, unsigned long long *reasons) {
    *reasons = (unsigned long long)fake_at("reasons", d->number, 0);
    ANSWER(OK);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(D d, unsigned long long *reasons) { return nvmlDeviceGetCurrentClocksEventReasons(d, reasons); }

int nvmlDeviceGetViolationStatus(D d, int policy, struct violation *status) {
    static const char *NAMES[] = {"violation_power", "violation_thermal", "violation_sync_boost", "violation_board_limit", NULL, "violation_reliability"};
    const char *name = policy >= 0 && policy < 6 ? NAMES[policy] : NULL;
    status->reference_us = (unsigned long long)(fake_now() / 1000);
    status->ns = name ? (unsigned long long)(fake_integral(name, d->number) * NS_PER_S) : 0;
    ANSWER(name ? OK : INVALID_ARGUMENT);
}
int nvmlDeviceGetTemperature(D d, int sensor, unsigned *c) {
    (void)sensor;
    *c = (unsigned)fake_at("temperature_c", d->number, 45);
    ANSWER(OK);
}
int nvmlDeviceGetTemperatureV(D d, struct temperature *t) {
    t->c = (int)fake_at("temperature_c", d->number, 45);
    ANSWER(OK);
}
int nvmlDeviceGetPowerUsage(D d, unsigned *mw) {
    *mw = (unsigned)fake_at("power_w", d->number, 350) * 1000;
    ANSWER(OK);
}
int nvmlDeviceGetEnforcedPowerLimit(D d, unsigned *mw) {
    *mw = (unsigned)fake_at("power_limit_w", d->number, 700) * 1000;
    ANSWER(OK);
}
int nvmlDeviceGetPerformanceState(D d, int *state) {
    *state = (int)fake_at("p_state", d->number, 0);
    ANSWER(OK);
}
/* Links between GPUs: torch asks for them when it runs out of memory. */
int nvmlDeviceGetNvLinkRemoteDeviceType(D d, unsigned link, int *type) { ANSWER(NOT_SUPPORTED); }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(D d, unsigned link, void *pci) { ANSWER(NOT_SUPPORTED); }
int nvmlDeviceGetGpuFabricInfoV(D d, void *fabric) { ANSWER(NOT_SUPPORTED); }
int nvmlDeviceGetP2PStatus(D d, D other, int index, int *status) { ANSWER(NOT_SUPPORTED); }

/* ---- who ---- */
struct process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};
static int processes(D d, const char *script, bool own, unsigned *n, struct process *into) {
    int64_t pids[32];
    int found = fake_all_at(script, d->number, pids, 31);
    if (own && !fake_setting("container", 0)) pids[found++] = getpid();
    unsigned room = *n;
    *n = (unsigned)found;
    if (room < (unsigned)found || (found && !into)) return INSUFFICIENT_SIZE;
    for (int i = 0; i < found; i++) into[i] = (struct process){(unsigned)pids[i], 1 << 29, ~0u, ~0u};
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(D d, unsigned *n, struct process *into) { ANSWER(processes(d, "compute_pid", true, n, into)); }
int nvmlDeviceGetComputeRunningProcesses_v2(D d, unsigned *n, struct process *into) { return nvmlDeviceGetComputeRunningProcesses_v3(d, n, into); }
int nvmlDeviceGetComputeRunningProcesses(D d, unsigned *n, struct process *into) { return nvmlDeviceGetComputeRunningProcesses_v3(d, n, into); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(D d, unsigned *n, struct process *into) { ANSWER(processes(d, "graphics_pid", false, n, into)); }
int nvmlDeviceGetMemoryInfo(D d, struct memory *m) {
    m->total = fake_total();
    m->used = fake_used(d->number);
    m->left = m->total - m->used;
    ANSWER(OK);
}
