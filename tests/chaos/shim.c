/* A disk that can be watched and broken, for the process that is started with it (LD_PRELOAD).
 *
 * Of files under $CHAOS_DIR it writes down, into $CHAOS_TRACE and in the order in which they happen, all that changes a disk:
 *     op (1 byte), length of the name (u16), name, offset (u64), length of the data (u32), data
 *     W write   T truncate (offset: the length)   C create   U unlink   R rename (data: the new name)
 *     S sync (of a file, or of the directory)     F a sync that failed
 * SQLite's -shm is left out: it is memory, and is made anew after a crash.
 *
 * $CHAOS_CONTROL is a file of 16 bytes that is looked at with each call:
 *     [0] 1: syncs fail (EIO)       2: one in four does
 *     [1] 1: the disk is full       2: writes fail (EIO)       3: one in 40 comes short, or fails (ENOSPC)
 *     [2] 1: reads fail (EIO)
 *     [8..16] counts the faults (u64, little endian)
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FDS 4096
static char *names[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir;
static int trace = -1;
static volatile unsigned char *control;
static uint32_t dice = 2463534242;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }
#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))real(name))

__attribute__((constructor)) static void start(void) {
    dir = getenv("CHAOS_DIR");
    const char *t = getenv("CHAOS_TRACE"), *c = getenv("CHAOS_CONTROL");
    if (t) trace = REAL(int, "open", const char *, int, ...)(t, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (c) {
        int fd = REAL(int, "open", const char *, int, ...)(c, O_RDWR | O_CLOEXEC);
        void *p = fd < 0 ? MAP_FAILED : mmap(0, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) control = p;
    }
}

static int ours(const char *path) {
    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static const char *name_of(int fd) { return fd >= 0 && fd < FDS ? names[fd] : NULL; }

static int is_memory(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, "-shm") == 0;
}

static void note(char op, const char *name, uint64_t offset, const void *data, uint32_t length) {
    if (trace < 0 || is_memory(name)) return;
    uint16_t n = strlen(name);
    size_t size = 1 + 2 + n + 8 + 4 + length;
    char *record = malloc(size), *p = record;
    *p++ = op;
    memcpy(p, &n, 2), p += 2;
    memcpy(p, name, n), p += n;
    memcpy(p, &offset, 8), p += 8;
    memcpy(p, &length, 4), p += 4;
    if (length) memcpy(p, data, length);
    if (REAL(ssize_t, "write", int, const void *, size_t)(trace, record, size) != (ssize_t)size) abort();
    free(record);
}

static int broken(int which) { return control ? control[which] : 0; }

/* One in so many (xorshift); a rhythm would meet the same call again and again. */
static int now_and_then(unsigned many) {
    dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5;
    return dice % many == 0;
}

/* What a test itself writes down is no part of the disk that it breaks. */
static int is_spared(const char *name) {
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, "/acks") == 0;
}

static int fault(int error) {
    if (control) ++*(volatile uint64_t *)(control + 8);
    errno = error;
    return -1;
}

static int opened(int fd, const char *path, int flags, int was) {
    if (fd < 0 || fd >= FDS || !ours(path)) return fd;
    free(names[fd]);
    names[fd] = strdup(path);
    if ((flags & O_CREAT) && !was) note('C', path, 0, NULL, 0);
    if ((flags & O_TRUNC) && was) note('T', path, 0, NULL, 0);
    return fd;
}

#define OPEN(symbol)                                                                      \
    int symbol(const char *path, int flags, ...) {                                        \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                     \
        if (!ours(path)) return REAL(int, #symbol, const char *, int, ...)(path, flags, mode); \
        pthread_mutex_lock(&lock);                                                        \
        struct stat s;                                                                    \
        int was = stat(path, &s) == 0;                                                    \
        int fd;                                                                           \
        if (!was && (flags & O_CREAT) && broken(1) == 1) fd = fault(ENOSPC);              \
        else fd = REAL(int, #symbol, const char *, int, ...)(path, flags, mode);          \
        fd = opened(fd, path, flags, was);                                                \
        pthread_mutex_unlock(&lock);                                                      \
        return fd;                                                                        \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FDS) free(names[fd]), names[fd] = NULL;
    pthread_mutex_unlock(&lock);
    return REAL(int, "close", int)(fd);
}

/* How much of a write is let through; -1 where none is. Only what grows a file finds a disk full. */
static ssize_t admitted(int fd, size_t length, off_t offset) {
    struct stat s;
    if (is_spared(names[fd])) return length;
    switch (broken(1)) {
    case 1: return fstat(fd, &s) == 0 && offset + (off_t)length <= s.st_size ? (ssize_t)length : fault(ENOSPC);
    case 2: return fault(EIO);
    case 3:
        if (now_and_then(40)) return length > 1 && dice & (1 << 20) ? (ssize_t)(length / 2) : fault(ENOSPC);
    }
    return length;
}

#define PWRITE(symbol)                                                                                   \
    ssize_t symbol(int fd, const void *data, size_t length, off_t offset) {                              \
        const char *name = name_of(fd);                                                                  \
        if (!name) return REAL(ssize_t, #symbol, int, const void *, size_t, off_t)(fd, data, length, offset); \
        pthread_mutex_lock(&lock);                                                                       \
        ssize_t n = admitted(fd, length, offset);                                                        \
        if (n >= 0) n = REAL(ssize_t, #symbol, int, const void *, size_t, off_t)(fd, data, n, offset);   \
        if (n > 0) note('W', name, offset, data, n);                                                     \
        pthread_mutex_unlock(&lock);                                                                     \
        return n;                                                                                        \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t length) {
    const char *name = name_of(fd);
    if (!name) return REAL(ssize_t, "write", int, const void *, size_t)(fd, data, length);
    pthread_mutex_lock(&lock);
    int flags = fcntl(fd, F_GETFL);
    off_t offset = lseek(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t n = admitted(fd, length, offset);
    if (n >= 0) n = REAL(ssize_t, "write", int, const void *, size_t)(fd, data, n);
    if (n > 0) note('W', name, offset, data, n);
    pthread_mutex_unlock(&lock);
    return n;
}

#define PREAD(symbol)                                                                                     \
    ssize_t symbol(int fd, void *data, size_t length, off_t offset) {                                     \
        if (name_of(fd) && broken(2)) return fault(EIO);                                                  \
        return REAL(ssize_t, #symbol, int, void *, size_t, off_t)(fd, data, length, offset);              \
    }
PREAD(pread)
PREAD(pread64)

#define TRUNCATE(symbol)                                              \
    int symbol(int fd, off_t length) {                                \
        const char *name = name_of(fd);                               \
        pthread_mutex_lock(&lock);                                    \
        int done = REAL(int, #symbol, int, off_t)(fd, length);        \
        if (done == 0 && name) note('T', name, length, NULL, 0);      \
        pthread_mutex_unlock(&lock);                                  \
        return done;                                                  \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(symbol)                                                                     \
    int symbol(int fd) {                                                                 \
        const char *name = name_of(fd);                                                  \
        if (!name) return REAL(int, #symbol, int)(fd);                                   \
        pthread_mutex_lock(&lock);                                                       \
        int fails = broken(0) == 1 || (broken(0) == 2 && now_and_then(4));              \
        /* What a sync is for is simulated; the real one would only cost time. */        \
        note(fails ? 'F' : 'S', name, 0, NULL, 0);                                       \
        int done = fails ? fault(EIO) : 0;                                               \
        pthread_mutex_unlock(&lock);                                                     \
        return done;                                                                     \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int done = REAL(int, "unlink", const char *)(path);
    if (done == 0 && ours(path)) note('U', path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int done = REAL(int, "rename", const char *, const char *)(from, to);
    if (done == 0 && ours(from)) note('R', from, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return done;
}
