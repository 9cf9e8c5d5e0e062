/* Writes down what a process does to the files under $FAULTS_DISK, in the journal $FAULTS_JOURNAL, so that what a power
 * cut would have left of them can be worked out afterwards (disk.py). Every call does what it does without this.
 *
 * A record is a header and its bytes: `a` and `b` are a path and another, or data; see disk.py. Records are appended by
 * one write each, so those of several processes do not mix. A lock keeps the order of the calls and of their records.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536

struct record { uint32_t op, pid; int32_t fd, flags; uint64_t offset; uint32_t size_a, size_b; };
enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK };

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static unsigned char watched[FDS];
static const char *folder;
static size_t folder_size;
static int journal = -1;

#define REAL(name, type, ...) \
    static type (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    folder = getenv("FAULTS_DISK");
    const char *path = getenv("FAULTS_JOURNAL");
    if (!folder || !path) return;
    folder_size = strlen(folder);
    REAL(open64, int, const char *, int, ...);
    journal = real_open64(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(uint32_t op, int fd, int flags, uint64_t offset, const void *a, size_t size_a, const void *b, size_t size_b)
{
    REAL(writev, ssize_t, int, const struct iovec *, int);
    if (journal < 0) return;
    struct record head = {op, (uint32_t)getpid(), fd, flags, offset, (uint32_t)size_a, (uint32_t)size_b};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)a, size_a}, {(void *)b, size_b}};
    int saved = errno;
    if (real_writev(journal, parts, 3) < 0) abort(); /* a journal that is not whole proves nothing */
    errno = saved;
}

/* An absolute path without links in its folder, when it is under the folder that is watched. */
static int inside(int at, const char *path, char out[PATH_MAX])
{
    char name[PATH_MAX], base[PATH_MAX];
    if (!folder || !path) return 0;
    if (path[0] == '/' ) {
        if (snprintf(out, PATH_MAX, "%s", path) >= PATH_MAX) return 0;
    } else {
        if (at == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
        else {
            snprintf(name, sizeof name, "/proc/self/fd/%d", at);
            ssize_t size = readlink(name, base, sizeof base - 1);
            if (size < 0) return 0;
            base[size] = 0;
        }
        if ((size_t)snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return !strncmp(out, folder, folder_size) && (out[folder_size] == '/' || !out[folder_size]);
}

static int opened(int fd, int at, const char *path, int flags)
{
    char whole[PATH_MAX];
    if (fd >= 0 && fd < FDS) {
        watched[fd] = (unsigned char)inside(at, path, whole);
        if (watched[fd]) note(OPEN, fd, flags, 0, whole, strlen(whole), NULL, 0);
    }
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
#define LOCKED(type, call, after) \
    pthread_mutex_lock(&lock); type result = call; after; pthread_mutex_unlock(&lock); return result
#define SEEN(fd) ((fd) >= 0 && (fd) < FDS && watched[fd])

int open(const char *path, int flags, ...)
{
    REAL(open, int, const char *, int, ...);
    MODE(flags)
    LOCKED(int, real_open(path, flags, mode), opened(result, AT_FDCWD, path, flags));
}

int open64(const char *path, int flags, ...)
{
    REAL(open64, int, const char *, int, ...);
    MODE(flags)
    LOCKED(int, real_open64(path, flags, mode), opened(result, AT_FDCWD, path, flags));
}

int openat(int at, const char *path, int flags, ...)
{
    REAL(openat, int, int, const char *, int, ...);
    MODE(flags)
    LOCKED(int, real_openat(at, path, flags, mode), opened(result, at, path, flags));
}

int openat64(int at, const char *path, int flags, ...)
{
    REAL(openat64, int, int, const char *, int, ...);
    MODE(flags)
    LOCKED(int, real_openat64(at, path, flags, mode), opened(result, at, path, flags));
}

int close(int fd)
{
    REAL(close, int, int);
    if (fd == journal) return 0; /* whoever closes all descriptors does not know this one */
    LOCKED(int, real_close(fd), if (SEEN(fd)) { watched[fd] = 0; note(CLOSE, fd, 0, 0, NULL, 0, NULL, 0); });
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write, ssize_t, int, const void *, size_t);
    if (!SEEN(fd)) return real_write(fd, data, size);
    LOCKED(ssize_t, real_write(fd, data, size),
           if (result > 0) note(WRITE, fd, 0, (uint64_t)(lseek64(fd, 0, SEEK_CUR) - result), data, (size_t)result, NULL, 0));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t);
    if (!SEEN(fd)) return real_pwrite64(fd, data, size, offset);
    LOCKED(ssize_t, real_pwrite64(fd, data, size, offset),
           if (result > 0) note(WRITE, fd, 0, (uint64_t)offset, data, (size_t)result, NULL, 0));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev, ssize_t, int, const struct iovec *, int);
    if (!SEEN(fd)) return real_writev(fd, parts, count);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) return sum ? sum : done;
        sum += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return sum;
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64, int, int, off64_t);
    if (!SEEN(fd)) return real_ftruncate64(fd, size);
    LOCKED(int, real_ftruncate64(fd, size), if (!result) note(TRUNCATE, fd, 0, (uint64_t)size, NULL, 0, NULL, 0));
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd)
{
    REAL(fsync, int, int);
    if (!SEEN(fd)) return real_fsync(fd);
    LOCKED(int, real_fsync(fd), if (!result) note(SYNC, fd, 0, 0, NULL, 0, NULL, 0));
}

int fdatasync(int fd)
{
    REAL(fdatasync, int, int);
    if (!SEEN(fd)) return real_fdatasync(fd);
    LOCKED(int, real_fdatasync(fd), if (!result) note(SYNC, fd, 0, 0, NULL, 0, NULL, 0));
}

static void renamed(int from_at, const char *from, int to_at, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    int from_inside = inside(from_at, from, a), to_inside = inside(to_at, to, b);
    if (from_inside && to_inside) note(RENAME, -1, 0, 0, a, strlen(a), b, strlen(b));
    else if (from_inside) note(UNLINK, -1, 0, 0, a, strlen(a), NULL, 0);
}

int rename(const char *from, const char *to)
{
    REAL(rename, int, const char *, const char *);
    LOCKED(int, real_rename(from, to), if (!result) renamed(AT_FDCWD, from, AT_FDCWD, to));
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    REAL(renameat, int, int, const char *, int, const char *);
    LOCKED(int, real_renameat(from_at, from, to_at, to), if (!result) renamed(from_at, from, to_at, to));
}

static void unlinked(int at, const char *path)
{
    char whole[PATH_MAX];
    if (inside(at, path, whole)) note(UNLINK, -1, 0, 0, whole, strlen(whole), NULL, 0);
}

int unlink(const char *path)
{
    REAL(unlink, int, const char *);
    LOCKED(int, real_unlink(path), if (!result) unlinked(AT_FDCWD, path));
}

int unlinkat(int at, const char *path, int flags)
{
    REAL(unlinkat, int, int, const char *, int);
    LOCKED(int, real_unlinkat(at, path, flags), if (!result) unlinked(at, path));
}
