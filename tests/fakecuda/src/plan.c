/* The script of a test: one thing a line, blank lines and what follows `#` are left out.
 *
 *   clock virtual | real              the host's clock once a GPU is used (virtual)
 *   set gpus 2                        how many there are (1); also memory_mib, context_mib, queue,
 *   set name NVIDIA H200              compute_capability (90), l2_mib, mig (see nvml.c), driver
 *   cost launch 5                     microseconds of the host for: launch, event, query, sync,
 *                                     malloc, instantiate, context, cold (a kernel's first launch)
 *   cost kernel 20                    microseconds of the GPU for: kernel, conv, gemm, copy, fill
 *   kernel topk 100                   those of each kernel with this in its name
 *   at 0.5 clock_mhz 990              from then on, in seconds since the first use; of all GPUs, or
 *   at 0.5 gpu 1 power_w 350          of one: clock_mhz, max_clock_mhz, power_w, power_limit_w,
 *                                     temperature_c, reasons, p_state, compute_pid, graphics_pid, cpus,
 *                                     others_mib, violation_POLICY, cpu_wait (shares of the time)
 *   fault launch 30 error 214         the 30th call fails; launch, malloc, sync, capture, or nvml
 *   fault launch 30 hang | die        with the function's name: `fault nvml nvmlInit_v2 error 9` */
#define _GNU_SOURCE
#include "fake.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum verb { CLOCK, SET, COST, KERNEL, AT, FAULT };
struct line {
    enum verb verb;
    char name[96], text[96], call[32];
    double value, seconds;
    int gpu, number; /* gpu: -1 for all */
    enum fault_kind kind;
};
static struct line lines[256];
static int count;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static bool was_read;

static void bad(const char *path, int number, const char *line) {
    fprintf(stderr, "fakecuda: %s:%d can't be read: %s\n", path, number, line);
    _exit(97);
}

static bool read_fault(struct line *into, const char *rest) {
    char how[16] = "", which[96] = "";
    if (sscanf(rest, "%31s %95s %15s %d", into->call, which, how, &into->number) < 3) return false;
    into->value = strtod(which, NULL);
    strcpy(into->name, which);
    into->kind = !strcmp(how, "error") ? FAULT_ERROR
                 : !strcmp(how, "hang") ? FAULT_HANG
                 : !strcmp(how, "die")  ? FAULT_DIE
                                        : NO_FAULT;
    return into->kind != NO_FAULT;
}

static bool read_line(struct line *into, const char *line) {
    char verb[16], rest[256];
    if (sscanf(line, "%15s %255[^\n]", verb, rest) != 2) return false;
    into->gpu = -1;
    if (!strcmp(verb, "clock")) {
        into->verb = CLOCK;
        strcpy(into->name, "clock");
        return sscanf(rest, "%95s", into->text) == 1;
    }
    if (!strcmp(verb, "set")) {
        into->verb = SET;
        if (sscanf(rest, "%95s %95[^\n]", into->name, into->text) != 2) return false;
        into->value = strtod(into->text, NULL);
        return true;
    }
    if (!strcmp(verb, "cost") || !strcmp(verb, "kernel")) {
        into->verb = *verb == 'c' ? COST : KERNEL;
        return sscanf(rest, "%95s %lf", into->name, &into->value) == 2;
    }
    if (!strcmp(verb, "at")) {
        into->verb = AT;
        if (sscanf(rest, "%lf gpu %d %95s %95s", &into->seconds, &into->gpu, into->name, into->text) != 4) {
            into->gpu = -1;
            if (sscanf(rest, "%lf %95s %95s", &into->seconds, into->name, into->text) != 3) return false;
        }
        into->value = strtod(into->text, NULL);
        return true;
    }
    into->verb = FAULT;
    return !strcmp(verb, "fault") && read_fault(into, rest);
}

static void read_script(void) {
    const char *path = getenv("FAKECUDA_SCRIPT");
    if (!path || !*path) return;
    FILE *file = fopen(path, "r");
    char line[400];
    if (!file) bad(path, 0, "no such file");
    for (int number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "#\n")] = 0;
        char *start = line;
        while (isspace((unsigned char)*start)) start++;
        if (!*start) continue;
        if (count == sizeof lines / sizeof *lines || !read_line(&lines[count], start)) bad(path, number, start);
        count++;
    }
    fclose(file);
}

static void read_once(void) {
    pthread_mutex_lock(&reading);
    if (!was_read) read_script();
    was_read = true;
    pthread_mutex_unlock(&reading);
}

/* For a process that was given a script of its own before it used a GPU. */
void fake_read_again(void) {
    count = 0;
    was_read = false;
}

/* The last line of this verb and name. */
static const struct line *find(enum verb verb, const char *name) {
    const struct line *found = NULL;
    read_once();
    for (int i = 0; i < count; i++)
        if (lines[i].verb == verb && !strcmp(lines[i].name, name)) found = &lines[i];
    return found;
}

int64_t fake_cost(const char *what, int64_t otherwise) {
    const struct line *line = find(COST, what);
    return line ? (int64_t)(line->value * 1000) : otherwise;
}

int64_t fake_kernel_cost(const char *name, int64_t otherwise) {
    read_once();
    for (int i = 0; i < count; i++)
        if (lines[i].verb == KERNEL && strstr(name, lines[i].name)) return (int64_t)(lines[i].value * 1000);
    return otherwise;
}

int64_t fake_setting(const char *name, int64_t otherwise) {
    const struct line *line = find(SET, name);
    return line ? (int64_t)line->value : otherwise;
}

const char *fake_word(const char *name, const char *otherwise) {
    const struct line *line = find(strcmp(name, "clock") ? SET : CLOCK, name);
    return line ? line->text : otherwise;
}

static bool holds(const struct line *line, const char *name, int gpu) {
    return line->verb == AT && !strcmp(line->name, name) && (line->gpu < 0 || line->gpu == gpu);
}

int64_t fake_at(const char *name, int gpu, int64_t otherwise) {
    read_once();
    double now = fake_seconds();
    for (int i = 0; i < count; i++)
        if (holds(&lines[i], name, gpu) && lines[i].seconds <= now) otherwise = strtoll(lines[i].text, NULL, 0);
    return otherwise;
}

double fake_integral(const char *name, int gpu) {
    read_once();
    double now = fake_seconds(), since = 0, value = 0, sum = 0;
    for (int i = 0; i < count; i++) {
        if (!holds(&lines[i], name, gpu) || lines[i].seconds > now) continue;
        sum += value * (lines[i].seconds - since);
        since = lines[i].seconds;
        value = lines[i].value;
    }
    return sum + value * (now - since);
}

/* Fake GPUs of another script are others: their locks are not shared. */
unsigned fake_identity(void) {
    const char *given = getenv("FAKECUDA_ID");
    return given ? (unsigned)strtoul(given, NULL, 16) & 0xffff : 0;
}

int fake_all_at(const char *name, int gpu, int64_t *values, int room) {
    read_once();
    double now = fake_seconds();
    int found = 0;
    for (int i = 0; i < count && found < room; i++)
        if (holds(&lines[i], name, gpu) && lines[i].seconds <= now) {
            values[found] = (int64_t)lines[i].value;
            found = values[found] ? found + 1 : 0; /* 0: all are gone */
        }
    return found;
}

struct fault fake_fault(const char *call, const char *detail, int64_t nth) {
    read_once();
    for (int i = 0; i < count; i++) {
        const struct line *line = &lines[i];
        if (line->verb != FAULT || strcmp(line->call, call)) continue;
        if (detail ? !strcmp(line->name, detail) : (int64_t)line->value == nth)
            return (struct fault){line->kind, line->number};
    }
    return (struct fault){NO_FAULT, 0};
}

void fake_trace(const char *format, ...) {
    static const char *path;
    static bool asked;
    if (!asked) path = getenv("FAKECUDA_TRACE");
    asked = true;
    if (!path || !*path) return;
    FILE *file = fopen(path, "a");
    va_list arguments;
    if (!file) return;
    va_start(arguments, format);
    fprintf(file, "%d %lld ", getpid(), (long long)fake_now());
    vfprintf(file, format, arguments);
    fputc('\n', file);
    va_end(arguments);
    fclose(file);
}

void fake_unwritten(const char *name) {
    fprintf(stderr, "fakecuda: nobody has written %s yet\n", name);
    fflush(stderr);
    _exit(97);
}
