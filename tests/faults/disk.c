/* A disk that remembers what was made durable, and fails when told: preloaded into the real daemon.
 *
 * Every write, truncation, sync and removal of the files named in TOLLWAY_DISK_FILES (paths, ':' between them) is
 * appended to TOLLWAY_DISK_TRACE before or after it is done, as the case demands: a sync is in the trace only once it
 * has succeeded. After a power cut the test makes of the trace what the platter held: all up to the last sync of each
 * file, and of the rest whatever it likes. The file named in TOLLWAY_DISK_FAULT holds one word that is read at each
 * call: "none", "eio" (writes and syncs fail), "eio_sync", "full" (writes fail for want of space), "short" (every
 * write is done by halves), "slow" (a sync takes 300 ms).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536, FILES_MAX = 8, PATH_LENGTH_MAX = 1024, WORD_MAX = 16, SLOW_NANOSECONDS = 300000000 };
enum { WRITE = 'W', TRUNCATE = 'T', SYNC = 'S', REMOVE = 'R' };

struct record { /* followed by length octets where something was written */
    uint8_t kind, file;
    uint8_t reserved[6];
    uint64_t offset, length;
};

static char paths[FILES_MAX][PATH_LENGTH_MAX];
static int file_count, trace = -1, fault = -1;
static uint8_t file_of[DESCRIPTORS]; /* 1 + the number of the file, 0 for every other descriptor */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *names = getenv("TOLLWAY_DISK_FILES");
    const char *trace_name = getenv("TOLLWAY_DISK_TRACE"), *fault_name = getenv("TOLLWAY_DISK_FAULT");
    if (!names || !trace_name || !fault_name) return;
    while (*names && file_count < FILES_MAX) {
        size_t length = strcspn(names, ":");
        if (length < PATH_LENGTH_MAX) memcpy(paths[file_count++], names, length);
        names += length + (names[length] == ':');
    }
    trace = (int)syscall(SYS_openat, AT_FDCWD, trace_name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    fault = (int)syscall(SYS_openat, AT_FDCWD, fault_name, O_RDONLY | O_CLOEXEC);
}

static int number_of(const char *path) {
    for (int number = 0; number < file_count; number++)
        if (!strcmp(paths[number], path)) return number;
    return -1;
}

static int is_tracked(int descriptor) { return descriptor >= 0 && descriptor < DESCRIPTORS && file_of[descriptor]; }

static int told(const char *word) {
    char found[WORD_MAX] = {0};
    if (fault < 0 || syscall(SYS_pread64, fault, found, WORD_MAX - 1, 0L) <= 0) return 0;
    found[strcspn(found, " \n")] = 0;
    return !strcmp(found, word);
}

static void note(uint8_t kind, int file, uint64_t offset, const void *data, uint64_t length) {
    struct record record = {kind, (uint8_t)file, {0}, offset, length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, data ? length : 0}};
    ssize_t size = (ssize_t)(parts[0].iov_len + parts[1].iov_len);
    pthread_mutex_lock(&lock);
    if (syscall(SYS_writev, trace, parts, 2) != size) abort(); /* a trace with a hole proves nothing */
    pthread_mutex_unlock(&lock);
}

static int opened(const char *path, int descriptor) {
    int number = number_of(path);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) file_of[descriptor] = (uint8_t)(number + 1);
    return descriptor;
}

static int open_as(const char *path, int flags, mode_t mode) {
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (descriptor >= 0 && number_of(path) >= 0 && (flags & O_TRUNC))
        note(TRUNCATE, number_of(path), 0, NULL, 0);
    return opened(path, descriptor);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_as(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_as(path, flags, mode);
}

int close(int descriptor) {
    if (is_tracked(descriptor)) file_of[descriptor] = 0;
    return (int)syscall(SYS_close, descriptor);
}

/* Returns how much of a write may be done, or -1 with errno. */
static ssize_t allowed(size_t length) {
    if (told("eio")) {
        errno = EIO;
        return -1;
    }
    if (told("full")) {
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)(told("short") && length > 1 ? length / 2 : length);
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) {
    if (!is_tracked(descriptor)) return syscall(SYS_pwrite64, descriptor, data, length, offset);
    ssize_t size = allowed(length);
    if (size < 0) return -1;
    ssize_t done = syscall(SYS_pwrite64, descriptor, data, (size_t)size, offset);
    if (done > 0) note(WRITE, file_of[descriptor] - 1, (uint64_t)offset, data, (uint64_t)done);
    return done;
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    return pwrite64(descriptor, data, length, offset);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    if (!is_tracked(descriptor)) return syscall(SYS_write, descriptor, data, length);
    ssize_t size = allowed(length);
    if (size < 0) return -1;
    ssize_t done = syscall(SYS_write, descriptor, data, (size_t)size);
    if (done > 0) { /* where it was appended to: no other descriptor writes to such a file */
        off64_t ends = syscall(SYS_lseek, descriptor, 0L, SEEK_CUR);
        note(WRITE, file_of[descriptor] - 1, (uint64_t)(ends - done), data, (uint64_t)done);
    }
    return done;
}

int ftruncate64(int descriptor, off64_t length) {
    int done = (int)syscall(SYS_ftruncate, descriptor, length);
    if (!done && is_tracked(descriptor)) note(TRUNCATE, file_of[descriptor] - 1, (uint64_t)length, NULL, 0);
    return done;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

static int synced(int descriptor, long call) {
    if (!is_tracked(descriptor)) return (int)syscall(call, descriptor);
    if (told("eio") || told("eio_sync")) {
        errno = EIO;
        return -1;
    }
    if (told("slow")) nanosleep(&(struct timespec){0, SLOW_NANOSECONDS}, NULL);
    /* The real disk is not asked: the trace is the disk here. */
    note(SYNC, file_of[descriptor] - 1, 0, NULL, 0);
    return 0;
}

int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }

int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }

int unlink(const char *path) {
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    int number = done ? -1 : number_of(path);
    if (number >= 0) note(REMOVE, number, 0, NULL, 0);
    return done;
}
