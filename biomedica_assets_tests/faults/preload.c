/* Strikes at the N-th change that a process and its children make to files below a folder.
 *
 *   FAULT_ROOT     folder; calls on other files pass, and so do those on its dagster_home/ and locks/
 *   FAULT_COUNTER  file of 8 bytes: the calls counted so far, shared by all processes
 *   FAULT_AT       number of the call that is struck, from 1; 0 only counts
 *   FAULT_KIND     kill: SIGKILL to the process group; full: this and every later call that needs space fails with
 *                  ENOSPC; eio: this call fails with EIO; wait: the thread of this call waits until somebody has
 *                  opened the pipe FAULT_GATE for writing and closed it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long *counter;
static long at;
static char kind;
static const char *root;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void start(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *file = getenv("FAULT_COUNTER"), *number = getenv("FAULT_AT"), *what = getenv("FAULT_KIND");
    root = getenv("FAULT_ROOT");
    if (!file || !number || !what || !root) return;
    at = atol(number);
    kind = what[0];
    int descriptor = real_open(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *page = mmap(NULL, sizeof(atomic_long), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (page != MAP_FAILED) counter = page;
    close(descriptor);
}

static void wait_at_gate(void) {
    char byte;
    int gate = real_open(getenv("FAULT_GATE"), O_RDONLY | O_CLOEXEC);
    while (gate >= 0 && read(gate, &byte, 1) > 0) continue;
    if (gate >= 0) close(gate);
}

/* Whether the call has to fail; errno is set. needs_space: the call takes room on the disk. */
static int struck(const char *path, int needs_space) {
    if (!counter || strncmp(path, root, strlen(root)) || strstr(path, "/dagster_home/") || strstr(path, "/locks/"))
        return 0;
    long now = atomic_fetch_add(counter, 1) + 1;
    if (!at || now < at) return 0;
    if (kind == 'k' && now == at) kill(0, SIGKILL);
    if (kind == 'w' && now == at) wait_at_gate();
    if (kind == 'f' && needs_space) return errno = ENOSPC, 1;
    if (kind == 'e' && now == at) return errno = EIO, 1;
    return 0;
}

static int struck_at(int descriptor, int needs_space) {
    char link[64], path[PATH_MAX];
    if (!counter) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return struck(path, needs_space);
}

static int open_any(const char *path, int flags, va_list more) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    if ((flags & O_CREAT) && struck(path, 1)) return -1;
    return real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int found = open_any(path, flags, more);
    va_end(more);
    return found;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int found = open_any(path, flags | O_LARGEFILE, more);
    va_end(more);
    return found;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    return struck_at(descriptor, 1) ? -1 : real_write(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return struck_at(descriptor, 1) ? -1 : real_pwrite(descriptor, data, size, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    return struck_at(descriptor, 1) ? -1 : real_pwrite(descriptor, data, size, offset);
}

int fsync(int descriptor) { return struck_at(descriptor, 0) ? -1 : real_fsync(descriptor); }

int rename(const char *from, const char *to) { return struck(to, 0) ? -1 : real_rename(from, to); }

int unlink(const char *path) { return struck(path, 0) ? -1 : real_unlink(path); }
