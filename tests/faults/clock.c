/* A machine's clock that the test sets: preloaded into the real daemon.
 *
 * What tells the time of day is moved by the seconds that stand in the file named in TOLLWAY_CLOCK, read at each call
 * so that the clock steps while the daemon runs. Clocks that nobody sets (CLOCK_MONOTONIC) are left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 32 };

static int file = -1;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("TOLLWAY_CLOCK");
    if (name) file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
}

static long moved(void) {
    char text[TEXT_MAX] = {0};
    if (file < 0 || syscall(SYS_pread64, file, text, TEXT_MAX - 1, 0L) <= 0) return 0;
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += moved();
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    int failed = (int)syscall(SYS_gettimeofday, at, zone);
    if (!failed) at->tv_sec += moved();
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
