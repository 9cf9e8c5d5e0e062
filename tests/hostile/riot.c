/* A library of operators for ONNX Runtime with one operator, Riot: it gives back its two numbers, unless the first says
   to do something that no operator should. Built with -DRIOT=n it does so as soon as it is loaded.

   Facts of onnxruntime_c_api.h: the places of functions in its tables, which never change, and the operator's own. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_DOMAIN = 26, DOMAIN_ADD = 27, ADD_DOMAIN = 28, TENSOR_DATA = 51, INPUT = 90, OUTPUT = 91 };
enum { VERSION = 8, FLOAT = 1 };

static void **api;

static void *idle(void *_) { for (;;) pause(); return _; }
static void *spin(void *_) { for (volatile int n = 0;; n++) {} return _; }

static void riot(int what) {
    pthread_t thread;
    switch (what) {
    case 1: *(volatile int *)0 = 1; break;
    case 2: for (;;) fork();
    case 3: { /* with stacks so small that no bound of memory ends them soon */
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 16384);
        for (;;) pthread_create(&thread, &small, idle, 0);
    }
    case 4: for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    case 5: spin(0); break;
    case 6: /* kill who started us, in every way there is */
        kill(getppid(), SIGKILL);
        syscall(SYS_tkill, getppid(), SIGKILL);
        syscall(SYS_tgkill, getppid(), getppid(), SIGKILL);
        siginfo_t about = {.si_code = SI_QUEUE};
        syscall(SYS_rt_sigqueueinfo, getppid(), SIGKILL, &about);
        syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGKILL, &about);
        int ends[2];
        if (!pipe(ends)) {
            fcntl(ends[0], F_SETOWN, getppid());
            fcntl(ends[0], F_SETSIG, SIGKILL);
            fcntl(ends[0], F_SETFL, O_ASYNC);
            if (write(ends[1], "x", 1)) {}
        }
        setpriority(PRIO_PROCESS, getppid(), 19);
        _exit(6);
    case 7: for (;;) { /* memory that is nobody's data */
        char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) _exit(7);
        memset(at, 1, 1 << 20);
    }
    case 8: { /* and once more */
        int file = syscall(SYS_memfd_create, "x", 0);
        static char page[1 << 20];
        while (write(file, page, sizeof page) > 0) {}
        _exit(8);
    }
    case 9: for (;;) { /* and the like: pages that are written first and read-only then */
        char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) _exit(9);
        memset(at, 1, 1 << 20);
        mprotect(at, 1 << 20, PROT_READ);
    }
    case 10: { /* write where nothing is to be written, and into the memory of who started us */
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/mem", getppid());
        int own = open("/tmp/flowrt-riot", O_WRONLY | O_CREAT, 0600), other = open(path, O_RDWR);
        _exit(own < 0 && other < 0 ? 10 : 0);
    }
    case 11: pthread_create(&thread, 0, spin, 0); break;
    }
}

static void *get(void *context, int which) {
    void *value = 0, *data = 0;
    if (which == INPUT) {
        ((void *(*)(void *, size_t, void **))api[INPUT])(context, 0, &value);
    } else {
        int64_t shape[] = {1, 2};
        ((void *(*)(void *, size_t, const int64_t *, size_t, void **))api[OUTPUT])(context, 0, shape, 2, &value);
    }
    ((void *(*)(void *, void **))api[TENSOR_DATA])(value, &data);
    return data;
}

static void *kernel(const void *op, const void *table, const void *info) { (void)table; (void)info; return (void *)op; }
static const char *name(const void *op) { (void)op; return "Riot"; }
static const char *provider(const void *op) { (void)op; return 0; }
static int type(const void *op, size_t index) { (void)op; (void)index; return FLOAT; }
static size_t one(const void *op) { (void)op; return 1; }
static int required(const void *op, size_t index) { (void)op; (void)index; return 0; }
static void destroy(void *made) { (void)made; }

static void compute(void *made, void *context) {
    (void)made;
    const float *in = get(context, INPUT);
    float *out = get(context, OUTPUT);
    riot((int)in[0]);
    out[0] = in[0];
    out[1] = in[1];
}

static struct {
    uint32_t version;
    void *functions[11];
} operator = {VERSION, {kernel, name, provider, type, one, type, one, compute, destroy, required, required}};

void *RegisterCustomOps(void *options, const void *base) {
    api = ((void **(*)(uint32_t))(*(void *const *)base))(VERSION);
#ifdef RIOT
    riot(RIOT);
#endif
    static void *domain;
    void *failed = 0;
    if (!domain) {
        failed = ((void *(*)(const char *, void **))api[CREATE_DOMAIN])("riot", &domain);
        if (!failed) failed = ((void *(*)(void *, void *))api[DOMAIN_ADD])(domain, &operator);
    }
    return failed ? failed : ((void *(*)(void *, void *))api[ADD_DOMAIN])(options, domain);
}
