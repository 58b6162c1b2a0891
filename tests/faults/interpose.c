/* Counts a process's calls below one folder, and lets one of them fail, lie, or be its last.
 *
 * Loaded with LD_PRELOAD; does nothing until `faults_arm` is called. A call counts if its kind is
 * in the mask and one of its paths begins with the prefix, and none of the skipped words is in it.
 * What was done is written to the trace: a line a call, and one that begins with "struck".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { OPEN, CREATE, READ, WRITE, FSYNC, CLOSE, UNLINK, RENAME, LINK, MKDIR, CHMOD, UTIME,
            TRUNCATE, STAT, LIST, LOCK, SYNC, RANGE };
static const char *const words[] = { "open", "create", "read", "write", "fsync", "close", "unlink",
    "rename", "link", "mkdir", "chmod", "utime", "truncate", "stat", "list", "lock", "sync", "range" };
enum how { COUNT, KILL_BEFORE, KILL_AFTER, KILL_HALFWAY, FAIL_ONCE, FAIL_ON, LIE, SHORT, HOOK, FAIL_EVERY };

#define MOST 65536
static char below[PATH_MAX], skipped[PATH_MAX], hook[PATH_MAX];
static unsigned char watched[MOST];
static unsigned long mask;
static long at;
static int how = -1, number, trace = -1, no_renameat2;
static atomic_long calls;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void note(const char *form, ...) {
    char line[PATH_MAX + 64];
    va_list rest;
    va_start(rest, form);
    int size = vsnprintf(line, sizeof line, form, rest);
    va_end(rest);
    REAL(ssize_t, "write", int, const void *, size_t);
    if (trace >= 0 && size > 0) real(trace, line, (size_t)size < sizeof line ? size : sizeof line);
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

static int is_skipped(const char *path) {
    for (const char *word = skipped; *word; word += strlen(word) + 1)
        if (strstr(path, word)) return 1;
    return 0;
}

static int matches(const char *path) {
    return how >= 0 && path && !strncmp(path, below, strlen(below)) && !is_skipped(path);
}

static const char *full(int folder, const char *path, char *room) {
    if (how < 0 || !path || path[0] == '/' || folder == AT_FDCWD) return path;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, room, PATH_MAX - 1);
    if (size < 0) return path;
    snprintf(room + size, PATH_MAX - size, "/%s", path);
    return room;
}

static const char *of(int descriptor, char *room) {
    char link[64];
    if (how < 0 || descriptor < 0 || descriptor >= MOST || !watched[descriptor]) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, room, PATH_MAX - 1);
    room[size < 0 ? 0 : size] = 0;
    return room;
}

/* Let a shell do something just before the call; its path is in $STRUCK. */
static void run_hook(const char *path) {
    pid_t child = fork();
    if (!child) {
        how = -1;
        unsetenv("LD_PRELOAD");
        setenv("STRUCK", path, 1);
        execl("/bin/sh", "sh", "-c", hook, NULL);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
    note("hook %d\n", status);
}

/* Say what is to be done with a call: -1 nothing, or one of `how`. */
static int strike(enum kind kind, const char *path) {
    int kept = errno, todo = -1;
    if (!matches(path) || !(mask & 1UL << kind)) return -1;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (how == COUNT) note("%ld %s %s\n", n, words[kind], path);
    else if (n == at || (how == FAIL_ON && n >= at) || (how == FAIL_EVERY && n % at == 0)) {
        if (n == at || how == FAIL_EVERY) note("struck %ld %s %s\n", n, words[kind], path);
        if (how == KILL_BEFORE) die();
        if (how == HOOK) { run_hook(path); errno = kept; return -1; }
        todo = how == FAIL_EVERY ? FAIL_ONCE : how;
    }
    errno = kept;
    return todo;
}

#define GUARD(kind, path, failed, call) ({ \
    __typeof__(call) result; \
    int todo = strike(kind, path); \
    if (todo == FAIL_ONCE || todo == FAIL_ON) { errno = number; result = failed; } \
    else { \
        result = call; \
        if (todo == KILL_AFTER || todo == KILL_HALFWAY) die(); \
        if (todo == LIE) { errno = number; result = failed; } \
    } \
    result; })

void faults_arm(const char *folder, const char *skip, size_t skip_size, unsigned long kinds,
                int what, long when, int error, int trace_to, int without_renameat2,
                const char *command) {
    snprintf(below, sizeof below, "%s", folder);
    memcpy(skipped, skip, skip_size);
    snprintf(hook, sizeof hook, "%s", command);
    mask = kinds, at = when, number = error, trace = trace_to, no_renameat2 = without_renameat2;
    calls = 0;
    how = what;
}

static int keep(int descriptor, const char *path) {
    if (descriptor >= 0 && descriptor < MOST) watched[descriptor] = matches(path);
    return descriptor;
}

#define OPENER(name) \
int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
    REAL(int, #name, const char *, int, ...); \
    return keep(GUARD(flags & O_CREAT ? CREATE : OPEN, path, -1, real(path, flags, mode)), path); \
}
OPENER(open)
OPENER(open64)

#define OPENER_AT(name) \
int name(int folder, const char *path, int flags, ...) { \
    char room[PATH_MAX]; const char *whole = full(folder, path, room); \
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
    REAL(int, #name, int, const char *, int, ...); \
    return keep(GUARD(flags & O_CREAT ? CREATE : OPEN, whole, -1, real(folder, path, flags, mode)), whole); \
}
OPENER_AT(openat)
OPENER_AT(openat64)

int inotify_init(void) {
    REAL(int, "inotify_init", void);
    return keep(real(), "anon_inode:inotify");
}

ssize_t read(int fd, void *to, size_t size) {
    char room[PATH_MAX];
    REAL(ssize_t, "read", int, void *, size_t);
    return GUARD(READ, of(fd, room), -1, real(fd, to, size));
}
ssize_t pread64(int fd, void *to, size_t size, off64_t from) {
    char room[PATH_MAX];
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    return GUARD(READ, of(fd, room), -1, real(fd, to, size, from));
}

#define WRITER(path, call) ({ \
    ssize_t result; \
    int todo = strike(WRITE, path); \
    if (todo == FAIL_ONCE || todo == FAIL_ON) { errno = number; result = -1; } \
    else { \
        if (todo == KILL_HALFWAY || todo == SHORT) size = size > 1 ? size / 2 : size; \
        result = call; \
        if (todo == KILL_AFTER || todo == KILL_HALFWAY) die(); \
        if (todo == LIE) { errno = number; result = -1; } \
    } \
    result; })

ssize_t write(int fd, const void *from, size_t size) {
    char room[PATH_MAX];
    REAL(ssize_t, "write", int, const void *, size_t);
    return WRITER(of(fd, room), real(fd, from, size));
}
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t where) {
    char room[PATH_MAX];
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return WRITER(of(fd, room), real(fd, from, size, where));
}

int fsync(int fd) {
    char room[PATH_MAX];
    REAL(int, "fsync", int);
    return GUARD(FSYNC, of(fd, room), -1, real(fd));
}
int fdatasync(int fd) {
    char room[PATH_MAX];
    REAL(int, "fdatasync", int);
    return GUARD(FSYNC, of(fd, room), -1, real(fd));
}
int syncfs(int fd) {
    char room[PATH_MAX];
    REAL(int, "syncfs", int);
    return GUARD(SYNC, of(fd, room), -1, real(fd));
}
int sync_file_range(int fd, off64_t from, off64_t size, unsigned flags) {
    char room[PATH_MAX];
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned);
    return GUARD(RANGE, of(fd, room), -1, real(fd, from, size, flags));
}
int close(int fd) { /* Linux lets go of the descriptor whatever it answers */
    char room[PATH_MAX];
    REAL(int, "close", int);
    const char *path = of(fd, room);
    int todo = path ? strike(CLOSE, path) : -1;
    if (fd >= 0 && fd < MOST) watched[fd] = 0;
    int result = real(fd);
    if (todo == KILL_AFTER) die();
    if (todo == FAIL_ONCE || todo == FAIL_ON || todo == LIE) { errno = number; return -1; }
    return result;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return GUARD(UNLINK, path, -1, real(path));
}
int unlinkat(int folder, const char *path, int flags) {
    char room[PATH_MAX];
    REAL(int, "unlinkat", int, const char *, int);
    return GUARD(UNLINK, full(folder, path, room), -1, real(folder, path, flags));
}
int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    return GUARD(UNLINK, path, -1, real(path));
}

static const char *either(const char *one, const char *other) { return matches(one) ? one : other; }

int rename(const char *old, const char *new) {
    REAL(int, "rename", const char *, const char *);
    return GUARD(RENAME, either(new, old), -1, real(old, new));
}
int renameat(int from, const char *old, int to, const char *new) {
    char one[PATH_MAX], other[PATH_MAX];
    REAL(int, "renameat", int, const char *, int, const char *);
    return GUARD(RENAME, either(full(to, new, one), full(from, old, other)), -1, real(from, old, to, new));
}
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char one[PATH_MAX], other[PATH_MAX];
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    if (how >= 0 && no_renameat2) { errno = EINVAL; return -1; }
    return GUARD(RENAME, either(full(to, new, one), full(from, old, other)), -1, real(from, old, to, new, flags));
}
int link(const char *old, const char *new) {
    REAL(int, "link", const char *, const char *);
    return GUARD(LINK, either(new, old), -1, real(old, new));
}
int linkat(int from, const char *old, int to, const char *new, int flags) {
    char one[PATH_MAX], other[PATH_MAX];
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return GUARD(LINK, either(full(to, new, one), full(from, old, other)), -1, real(from, old, to, new, flags));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    return GUARD(MKDIR, path, -1, real(path, mode));
}
int mkdirat(int folder, const char *path, mode_t mode) {
    char room[PATH_MAX];
    REAL(int, "mkdirat", int, const char *, mode_t);
    return GUARD(MKDIR, full(folder, path, room), -1, real(folder, path, mode));
}
int chmod(const char *path, mode_t mode) {
    REAL(int, "chmod", const char *, mode_t);
    return GUARD(CHMOD, path, -1, real(path, mode));
}
int fchmod(int fd, mode_t mode) {
    char room[PATH_MAX];
    REAL(int, "fchmod", int, mode_t);
    return GUARD(CHMOD, of(fd, room), -1, real(fd, mode));
}
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    char room[PATH_MAX];
    REAL(int, "fchmodat", int, const char *, mode_t, int);
    return GUARD(CHMOD, full(folder, path, room), -1, real(folder, path, mode, flags));
}
int futimens(int fd, const struct timespec times[2]) {
    char room[PATH_MAX];
    REAL(int, "futimens", int, const struct timespec *);
    return GUARD(UTIME, of(fd, room), -1, real(fd, times));
}
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    char room[PATH_MAX];
    REAL(int, "utimensat", int, const char *, const struct timespec *, int);
    return GUARD(UTIME, full(folder, path, room), -1, real(folder, path, times, flags));
}
int ftruncate64(int fd, off64_t size) {
    char room[PATH_MAX];
    REAL(int, "ftruncate64", int, off64_t);
    return GUARD(TRUNCATE, of(fd, room), -1, real(fd, size));
}

int stat64(const char *restrict path, struct stat64 *restrict to) {
    REAL(int, "stat64", const char *, struct stat64 *);
    return GUARD(STAT, path, -1, real(path, to));
}
int lstat64(const char *restrict path, struct stat64 *restrict to) {
    REAL(int, "lstat64", const char *, struct stat64 *);
    return GUARD(STAT, path, -1, real(path, to));
}
int fstat64(int fd, struct stat64 *to) {
    char room[PATH_MAX];
    REAL(int, "fstat64", int, struct stat64 *);
    return GUARD(STAT, of(fd, room), -1, real(fd, to));
}
int fstatat64(int folder, const char *restrict path, struct stat64 *restrict to, int flags) {
    char room[PATH_MAX];
    REAL(int, "fstatat64", int, const char *, struct stat64 *, int);
    return GUARD(STAT, full(folder, path, room), -1, real(folder, path, to, flags));
}
DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    return GUARD(LIST, path, NULL, real(path));
}
DIR *fdopendir(int fd) {
    char room[PATH_MAX];
    REAL(DIR *, "fdopendir", int);
    return GUARD(LIST, of(fd, room), NULL, real(fd));
}
int flock(int fd, int operation) {
    char room[PATH_MAX];
    REAL(int, "flock", int, int);
    return GUARD(LOCK, of(fd, room), -1, real(fd, operation));
}
