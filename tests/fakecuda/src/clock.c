/* The host's clock and everything of libc that tells or waits by it.
 *
 * It is real until this process first uses a GPU. Then, unless the script wants the real one, time
 * is what CUDA calls take by the script, and nothing else takes any: every figure is the same on
 * any machine under any load. The first thread that used the GPU owns the
 * clock: only its calls advance it. A sleeping thread whose deadline they reach is woken while the
 * owner waits for the GPU, and the owner continues once that thread sleeps again. So a thread that
 * polls the GPU every 50 ms does so exactly as often as the scripted time says. */
#define _GNU_SOURCE
#include "fake.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define QUIET_READS 1000    /* of the clock, without anything that takes time in between */
#define QUIET_NS 5000000    /* what each further one takes, so that loops until a time end */
#define TURN_NS 20000       /* of real time between two looks of the thread that lets time pass */
#define SLEEP_NS 200000     /* and of one that sleeps */
#define PATIENCE_NS (2 * NS_PER_S)    /* of real time, with a thread that was woken */
#define REALTIME_NS 100000000000000000LL /* above it a time is one since 1970 */

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

struct sleeper {
    int64_t deadline;
    bool due;
    struct sleeper *next;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sleeper *sleepers;
static int stirred;         /* woken threads that do not sleep again yet, and new ones of Python */
static __thread bool stirring;
static pthread_key_t leaves;
static volatile bool on;
static int64_t now, began, since_1970;
static pthread_t owner;
static __thread int quiet_reads;

static int64_t ns_of(const struct timespec *t) { return t->tv_sec * NS_PER_S + t->tv_nsec; }

static struct timespec timespec_of(int64_t ns) {
    return (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
}

static int64_t real_clock(clockid_t id) {
    struct timespec t;
    REAL(clock_gettime);
    real(id, &t);
    return ns_of(&t);
}

int64_t fake_real_now(void) { return real_clock(CLOCK_MONOTONIC); }
bool fake_virtual(void) { return on; }
int64_t fake_now(void) { return on ? __atomic_load_n(&now, __ATOMIC_SEQ_CST) : fake_real_now(); }
static bool owns(void) { return pthread_equal(owner, pthread_self()); }

double fake_seconds(void) {
    if (!began) began = fake_now();
    return (double)(fake_now() - began) / NS_PER_S;
}

static void settle(void *was) {
    (void)was;
    pthread_mutex_lock(&lock);
    if (stirred > 0) stirred--;
    pthread_mutex_unlock(&lock);
}

void fake_clock_begin(void) {
    if (on || strcmp(fake_word("clock", "virtual"), "virtual")) return;
    pthread_key_create(&leaves, settle);
    now = fake_real_now();
    began = now;
    since_1970 = real_clock(CLOCK_REALTIME) - now;
    owner = pthread_self();
    on = true;
}

static void nap(long ns) { syscall(SYS_nanosleep, &(struct timespec){0, ns}, NULL); }

static void advance(int64_t when) {
    int64_t seen = now;
    while (seen < when && !__atomic_compare_exchange_n(&now, &seen, when, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

/* Whether this thread keeps all other threads of Python from running, whatever they wait for. */
static bool holds_python(void) {
    static int (*holds)(void);
    static bool asked;
    if (!asked) holds = (int (*)(void))dlsym(RTLD_DEFAULT, "PyGILState_Check");
    asked = true;
    return holds && holds();
}

/* Wait in real time for the threads that were woken; one that never sleeps again is given up. */
static void let_them_settle(void) {
    int64_t until = fake_real_now() + PATIENCE_NS;
    if (!owns() || holds_python()) return;
    while (__atomic_load_n(&stirred, __ATOMIC_SEQ_CST) > 0) {
        if (fake_real_now() > until) {
            fake_trace("gave up waiting for %d threads", stirred);
            __atomic_store_n(&stirred, 0, __ATOMIC_SEQ_CST);
        }
        nap(TURN_NS);
    }
}

void fake_spend(int64_t ns) {
    quiet_reads = 0;
    if (ns <= 0) return;
    if (on) {
        let_them_settle();
        __atomic_add_fetch(&now, ns, __ATOMIC_SEQ_CST);
        return;
    }
    for (int64_t until = fake_real_now() + ns; fake_real_now() < until;)
        ;
}

void fake_wait_until(int64_t when) {
    quiet_reads = 0;
    if (when == INT64_MAX)
        for (;;) pause(); /* it hangs */
    if (!on) {
        for (int64_t left; (left = when - fake_real_now()) > 0;)
            if (left > 200000) syscall(SYS_nanosleep, &(struct timespec){(left - 100000) / NS_PER_S, (left - 100000) % NS_PER_S}, NULL);
        return;
    }
    if (holds_python()) { /* threads that are due by then are woken at the next wait */
        advance(when);
        return;
    }
    for (;;) {
        let_them_settle();
        pthread_mutex_lock(&lock);
        struct sleeper *first = NULL;
        for (struct sleeper *s = sleepers; s; s = s->next)
            if (!s->due && s->deadline <= when && (!first || s->deadline < first->deadline)) first = s;
        if (first) {
            advance(first->deadline);
            first->due = true;
            stirred++;
        } else {
            advance(when);
        }
        pthread_mutex_unlock(&lock);
        if (!first) return;
    }
}

/* Sleep as a thread that lets no time pass: until `deadline`, or until the semaphore is free. */
static int sleep_until(int64_t deadline, sem_t *semaphore) {
    struct sleeper me = {deadline, false, NULL};
    int64_t at_last = fake_real_now() + (deadline - fake_now()) + NS_PER_S;
    pthread_mutex_lock(&lock);
    me.next = sleepers;
    sleepers = &me;
    if (stirring && stirred > 0) stirred--;
    stirring = false;
    pthread_setspecific(leaves, NULL);
    pthread_mutex_unlock(&lock);
    int result = 0;
    for (;;) {
        if (semaphore && !sem_trywait(semaphore)) break;
        pthread_mutex_lock(&lock);
        if (!me.due && fake_real_now() > at_last) { /* nobody lets time pass */
            advance(deadline);
            me.due = true;
            stirred++;
        }
        pthread_mutex_unlock(&lock);
        if (me.due) {
            result = ETIMEDOUT;
            break;
        }
        nap(SLEEP_NS);
    }
    pthread_mutex_lock(&lock);
    for (struct sleeper **at = &sleepers; *at; at = &(*at)->next)
        if (*at == &me) {
            *at = me.next;
            break;
        }
    pthread_mutex_unlock(&lock);
    if (me.due) {
        stirring = true;
        pthread_setspecific(leaves, &stirring);
    }
    return result;
}

/* The owner waits for another thread or process: what that takes passes for real. */
static int wait_as_owner(int64_t deadline, sem_t *semaphore) {
    int64_t seen = fake_real_now();
    for (;;) {
        if (!sem_trywait(semaphore)) return 0;
        if (fake_now() >= deadline) return ETIMEDOUT;
        nap(SLEEP_NS);
        int64_t real_now = fake_real_now();
        int64_t next = fake_now() + real_now - seen;
        seen = real_now;
        fake_wait_until(next < deadline ? next : deadline);
    }
}

static int64_t virtual_of(const struct timespec *t) {
    int64_t ns = ns_of(t);
    return ns > REALTIME_NS ? ns - since_1970 : ns;
}

int sem_clockwait(sem_t *semaphore, clockid_t id, const struct timespec *t) {
    REAL(sem_clockwait);
    if (!on) return real(semaphore, id, t);
    int64_t deadline = virtual_of(t);
    int error = owns() ? wait_as_owner(deadline, semaphore) : sleep_until(deadline, semaphore);
    errno = error ? error : errno;
    return error ? -1 : 0;
}

/* A thread that was started tells so by this, and runs on. */
int sem_wait(sem_t *semaphore) {
    REAL(sem_wait);
    int result = real(semaphore);
    if (on && owns()) let_them_settle();
    return result;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *t) {
    REAL(sem_timedwait);
    return on ? sem_clockwait(semaphore, CLOCK_REALTIME, t) : real(semaphore, t);
}

/* Python's lock of its interpreter, and C++: these wait for others, not for a time. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *t) {
    REAL(pthread_cond_timedwait);
    if (!on) return real(condition, mutex, t);
    int64_t left = virtual_of(t) - fake_now();
    clockid_t id = ns_of(t) > REALTIME_NS ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    struct timespec until = timespec_of(real_clock(id) + (left > 0 ? left : 0));
    return real(condition, mutex, &until);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t id, const struct timespec *t) {
    REAL(pthread_cond_clockwait);
    if (!on) return real(condition, mutex, id, t);
    int64_t left = virtual_of(t) - fake_now();
    struct timespec until = timespec_of(real_clock(id) + (left > 0 ? left : 0));
    return real(condition, mutex, id, &until);
}

int clock_gettime(clockid_t id, struct timespec *t) {
    REAL(clock_gettime);
    bool since = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
    bool steady = id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_RAW || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME;
    if (!on || (!since && !steady)) return real(id, t);
    if (++quiet_reads > QUIET_READS) __atomic_add_fetch(&now, QUIET_NS, __ATOMIC_SEQ_CST);
    *t = timespec_of(fake_now() + (since ? since_1970 : 0));
    return 0;
}

int gettimeofday(struct timeval *t, void *zone) {
    (void)zone;
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    *t = (struct timeval){found.tv_sec, found.tv_nsec / 1000};
    return 0;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *t, struct timespec *rest) {
    REAL(clock_nanosleep);
    if (!on) return real(id, flags, t, rest);
    int64_t deadline = flags & TIMER_ABSTIME ? virtual_of(t) : fake_now() + ns_of(t);
    if (owns()) fake_wait_until(deadline);
    else sleep_until(deadline, NULL);
    return 0;
}

int nanosleep(const struct timespec *t, struct timespec *rest) {
    REAL(nanosleep);
    return on ? clock_nanosleep(CLOCK_MONOTONIC, 0, t, rest) : real(t, rest);
}

int usleep(useconds_t us) {
    struct timespec t = timespec_of(us * 1000LL);
    return nanosleep(&t, NULL);
}

/* A wait for another process that has timed out has taken its time. */
static int passed(int found, int64_t ns) {
    if (on && !found && ns > 0 && owns()) fake_wait_until(fake_now() + ns);
    return found;
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms) {
    REAL(poll);
    return passed(real(fds, n, timeout_ms), timeout_ms * 1000000LL);
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms) {
    REAL(epoll_wait);
    return passed(real(fd, events, n, timeout_ms), timeout_ms * 1000000LL);
}

int select(int n, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout) {
    REAL(select);
    int64_t ns = timeout ? timeout->tv_sec * NS_PER_S + timeout->tv_usec * 1000LL : 0;
    return passed(real(n, reads, writes, others, timeout), ns);
}

/* A thread of Python counts as woken until it first sleeps. */
struct start {
    void *(*run)(void *);
    void *argument;
};

static void *started(void *given) {
    struct start start = *(struct start *)given;
    free(given);
    stirring = true;
    pthread_setspecific(leaves, &stirring);
    return start.run(start.argument);
}

static bool of_python(void *routine) {
    Dl_info found;
    if (!dladdr(routine, &found) || !found.dli_fname) return false;
    const char *name = strrchr(found.dli_fname, '/');
    name = name ? name + 1 : found.dli_fname;
    return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    REAL(pthread_create);
    if (!on || !of_python((void *)run)) return real(thread, attributes, run, argument);
    struct start *start = malloc(sizeof *start);
    *start = (struct start){run, argument};
    pthread_mutex_lock(&lock);
    stirred++;
    pthread_mutex_unlock(&lock);
    int error = real(thread, attributes, started, start);
    if (error) {
        settle(NULL);
        free(start);
    }
    return error;
}

/* What the kernel counts of waits for a CPU: by the script, as real waits are not of this clock. */
static int file_with(const char *text, size_t size) {
    int fd = memfd_create("fakecuda", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET)) return -1;
    return fd;
}

static int contention_file(const char *path) {
    char text[128];
    size_t length = strlen(path);
    if (length < 10 || strncmp(path, "/proc/", 6) || strcmp(path + length - 10, "/schedstat")) return -1;
    int size = snprintf(text, sizeof text, "%lld %lld 1\n", (long long)(fake_seconds() * NS_PER_S),
                        (long long)(fake_integral("cpu_wait", -1) * NS_PER_S));
    return file_with(text, size);
}

/* These count for the whole machine: as they were when first read. */
static int frozen_file(const char *path) {
    static const char *NAMES[] = {"/proc/stat", "/proc/pressure/cpu"};
    static char texts[3][65536];
    static ssize_t sizes[3];
    size_t length = strlen(path);
    int which = !strcmp(path, NAMES[0])                                     ? 0
                : !strcmp(path, NAMES[1])                                   ? 1
                : length > 9 && !strcmp(path + length - 9, "/cpu.stat")     ? 2
                                                                            : -1;
    if (which < 0) return -1;
    pthread_mutex_lock(&lock);
    if (!sizes[which]) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd < 0 ? 0 : read(fd, texts[which], sizeof texts[which]);
        if (fd >= 0) close(fd);
        sizes[which] = size > 0 ? size : 0;
    }
    pthread_mutex_unlock(&lock);
    return sizes[which] ? file_with(texts[which], sizes[which]) : -1;
}

static int instead(const char *path) {
    if (!on || !path) return -1;
    int fd = contention_file(path);
    return fd >= 0 ? fd : frozen_file(path);
}

#define OPENS(name, before, ...) \
    int name(before const char *path, int flags, ...) { \
        REAL(name); \
        int fd = instead(path); \
        if (fd >= 0) return fd; \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return real(__VA_ARGS__ path, flags, mode); \
    }
#define COMMA ,
#undef open
#undef open64
#undef openat
#undef openat64
OPENS(open, , )
OPENS(open64, , )
OPENS(openat, int folder COMMA, folder COMMA)
OPENS(openat64, int folder COMMA, folder COMMA)

/* Triton and torch look for /dev/nvidia0 in the listing before they ask a driver. */
struct dirent64 *readdir64(DIR *folder) {
    static __thread DIR *told;
    static __thread struct dirent64 device;
    REAL(readdir64);
    struct dirent64 *found = real(folder);
    struct stat here, dev;
    bool again = told == folder;
    told = NULL;
    if (found || again || fstat(dirfd(folder), &here) || stat("/dev", &dev)) return found;
    if (here.st_ino != dev.st_ino || here.st_dev != dev.st_dev) return NULL;
    device.d_ino = 1;
    device.d_type = DT_CHR;
    strcpy(device.d_name, "nvidia0");
    told = folder;
    return &device;
}
