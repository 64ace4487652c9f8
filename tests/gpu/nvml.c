/* A libnvidia-ml.so.1 without a GPU, as nvidia-ml-py calls it. What it tells is read anew for each
 * call from the file that AGENTCG_FAKE_NVML names, a word and its values a line:
 *
 *   driver VERSION
 *   limits                          this driver knows memory limits (else NOT_SUPPORTED)
 *   fail FUNCTION CODE              of any device, or of the one above
 *   gpu UUID NAME                   begins a device
 *   memory TOTAL RESERVED USED      free is what is left
 *   compute|graphics|mps PID BYTES INSTANCE    BYTES may be "-": not available
 *
 * Limits that are set are appended to FILE.limits (UUID SOFT HARD PATH), where the last one counts:
 * like a driver's they outlive who set them.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, VERSION_MISMATCH = 25,
};
enum { COMPUTE, GRAPHICS, MPS };
enum { GPUS = 8, PROCESSES = 64, FAILS = 16, NAME = 96, PATH = 4096 };
#define NOT_AVAILABLE UINT64_MAX

struct process { unsigned pid; uint64_t used; unsigned instance; int kind; };
struct gpu {
    char uuid[NAME], name[NAME];
    uint64_t total, reserved, used;
    int processes;
    struct process process[PROCESSES];
};
struct state {
    char driver[NAME];
    int limits, gpus, fails;
    struct gpu gpu[GPUS];
    struct { char function[NAME]; int code, gpu; } fail[FAILS];
};

/* As in nvml.h. */
struct memory_v2 { unsigned version; uint64_t total, reserved, free, used; };
struct info { unsigned pid; uint64_t used; unsigned gpu_instance, compute_instance; };
struct set_limits { const char *cgroup; uint64_t soft, hard; };
struct get_limits { const char *cgroup; uint64_t soft, hard, used; };
typedef struct gpu *device; /* opaque to the caller: NULL + index + 1 */

static int opened;
static _Thread_local struct state now;

static void process(struct gpu *gpu, int kind, const char *values) {
    struct process *one = &gpu->process[gpu->processes];
    char used[NAME] = "-";
    if (gpu->processes == PROCESSES || sscanf(values, "%u %95s %u", &one->pid, used, &one->instance) < 2)
        return;
    one->used = strcmp(used, "-") == 0 ? NOT_AVAILABLE : strtoull(used, NULL, 10);
    one->kind = kind;
    gpu->processes++;
}

static void take(const char *word, const char *values) {
    struct gpu *gpu = now.gpus ? &now.gpu[now.gpus - 1] : NULL;
    if (strcmp(word, "driver") == 0)
        snprintf(now.driver, sizeof now.driver, "%s", values);
    else if (strcmp(word, "limits") == 0)
        now.limits = 1;
    else if (strcmp(word, "gpu") == 0 && now.gpus < GPUS)
        sscanf(values, "%95s %95[^\n]", now.gpu[now.gpus].uuid, now.gpu[now.gpus].name), now.gpus++;
    else if (strcmp(word, "fail") == 0 && now.fails < FAILS) {
        sscanf(values, "%95s %d", now.fail[now.fails].function, &now.fail[now.fails].code);
        now.fail[now.fails++].gpu = now.gpus - 1;
    } else if (gpu && strcmp(word, "memory") == 0)
        sscanf(values, "%lu %lu %lu", &gpu->total, &gpu->reserved, &gpu->used);
    else if (gpu && strcmp(word, "compute") == 0)
        process(gpu, COMPUTE, values);
    else if (gpu && strcmp(word, "graphics") == 0)
        process(gpu, GRAPHICS, values);
    else if (gpu && strcmp(word, "mps") == 0)
        process(gpu, MPS, values);
}

static int load(void) {
    const char *path = getenv("AGENTCG_FAKE_NVML");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return DRIVER_NOT_LOADED;
    memset(&now, 0, sizeof now);
    char line[PATH], word[NAME];
    int length;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%95s %n", word, &length) == 1)
            take(word, line + length);
    }
    fclose(file);
    return SUCCESS;
}

static int begin(const char *function, device asked) {
    if (!opened)
        return UNINITIALIZED;
    if (load() != SUCCESS)
        return DRIVER_NOT_LOADED;
    int index = (int)(intptr_t)asked - 1;
    for (int i = 0; i < now.fails; i++)
        if ((now.fail[i].gpu < 0 || now.fail[i].gpu == index) && strcmp(now.fail[i].function, function) == 0)
            return now.fail[i].code;
    return asked && (index < 0 || index >= now.gpus) ? INVALID_ARGUMENT : SUCCESS;
}

static struct gpu *of(device asked) { return &now.gpu[(intptr_t)asked - 1]; }
#define BEGIN(asked) do { int code = begin(__func__, asked); if (code) return code; } while (0)

static int say(const char *text, char *to, unsigned length) {
    return (unsigned)snprintf(to, length, "%s", text) < length ? SUCCESS : INSUFFICIENT_SIZE;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    opened++;
    int code = begin(__func__, NULL);
    if (code)
        opened--;
    return code;
}

int nvmlShutdown(void) {
    return opened ? opened--, SUCCESS : UNINITIALIZED;
}

const char *nvmlErrorString(int code) {
    return code ? "an error of the fake's" : "Success";
}

int nvmlSystemGetDriverVersion(char *to, unsigned length) {
    BEGIN(NULL);
    return say(now.driver, to, length);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    BEGIN(NULL);
    *count = (unsigned)now.gpus;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *found) {
    BEGIN(NULL);
    if (index >= (unsigned)now.gpus)
        return INVALID_ARGUMENT;
    *found = (device)(intptr_t)(index + 1);
    return begin(__func__, *found);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device *found) {
    BEGIN(NULL);
    for (int i = 0; i < now.gpus; i++)
        if (strcmp(now.gpu[i].uuid, uuid) == 0) {
            *found = (device)(intptr_t)(i + 1);
            return begin(__func__, *found);
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(device asked, char *to, unsigned length) {
    BEGIN(asked);
    return say(of(asked)->uuid, to, length);
}

int nvmlDeviceGetName(device asked, char *to, unsigned length) {
    BEGIN(asked);
    return say(of(asked)->name, to, length);
}

int nvmlDeviceGetMemoryInfo_v2(device asked, struct memory_v2 *memory) {
    BEGIN(asked);
    if (memory->version != (sizeof *memory | 2u << 24))
        return VERSION_MISMATCH;
    const struct gpu *gpu = of(asked);
    memory->total = gpu->total;
    memory->reserved = gpu->reserved;
    memory->used = gpu->used;
    memory->free = gpu->total - gpu->reserved - gpu->used;
    return SUCCESS;
}

static int list(const struct gpu *gpu, int kind, unsigned *count, struct info *infos) {
    unsigned room = *count, found = 0;
    for (int i = 0; i < gpu->processes; i++) {
        const struct process *one = &gpu->process[i];
        if (one->kind != kind)
            continue;
        if (infos && found < room)
            infos[found] = (struct info){one->pid, one->used, one->instance, UINT32_MAX};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device asked, unsigned *count, struct info *infos) {
    BEGIN(asked);
    return list(of(asked), COMPUTE, count, infos);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device asked, unsigned *count, struct info *infos) {
    BEGIN(asked);
    return list(of(asked), GRAPHICS, count, infos);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(device asked, unsigned *count, struct info *infos) {
    BEGIN(asked);
    return list(of(asked), MPS, count, infos);
}

static FILE *limits(const char *mode) {
    char path[PATH];
    snprintf(path, sizeof path, "%s.limits", getenv("AGENTCG_FAKE_NVML"));
    return fopen(path, mode);
}

int nvmlDeviceSetMemoryLimits_v1(device asked, const struct set_limits *set) {
    BEGIN(asked);
    if (!now.limits)
        return NOT_SUPPORTED;
    if (set->soft > set->hard)
        return INVALID_ARGUMENT;
    FILE *file = limits("ae");
    if (!file)
        return 999;
    fprintf(file, "%s %lu %lu %s\n", of(asked)->uuid, set->soft, set->hard, set->cgroup);
    return fclose(file) ? 999 : SUCCESS;
}

int nvmlDeviceGetMemoryLimits_v1(device asked, struct get_limits *get) {
    BEGIN(asked);
    if (!now.limits)
        return NOT_SUPPORTED;
    int code = NOT_FOUND;
    char line[2 * PATH], uuid[NAME], path[PATH];
    uint64_t soft, hard;
    FILE *file = limits("re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%95s %lu %lu %4095[^\n]", uuid, &soft, &hard, path) == 4
            && strcmp(uuid, of(asked)->uuid) == 0 && strcmp(path, get->cgroup) == 0) {
            get->soft = soft, get->hard = hard, get->used = 0;
            code = SUCCESS;
        }
    if (file)
        fclose(file);
    return code;
}
