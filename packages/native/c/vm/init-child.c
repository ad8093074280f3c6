// pouch-init: what a forked child does to become its program. It runs in the container, may wait on anything there, and tells a failure
// through the report pipe in runc's words: callers make exit codes 126 and 127 of them. It never returns.
#include "init.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_MAX 64
#define DESCRIPTORS_MAX 65536
#define SECCOMP_MODE_FILTER 2
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif
enum { BOUNDING, EFFECTIVE, INHERITABLE, PERMITTED, AMBIENT };

int window_size(int terminal, uint16_t rows, uint16_t columns)
{
  struct winsize size = { .ws_row = rows, .ws_col = columns };
  return ioctl(terminal, TIOCSWINSZ, &size);
}

static _Noreturn void give_up(const struct spawn *spawn)
{
  struct { int32_t code; char text[FAILURE_MAX]; } report = { .code = errno };
  size_t length = strnlen(failure, sizeof failure - 1);
  memcpy(report.text, failure, length);
  (void)!write(spawn->report, &report, sizeof report.code + length); // less than PIPE_BUF: whole or not at all
  _exit(127);
}

static int enter_container(const struct spawn *spawn)
{
  if (spawn->mount_namespace >= 0) {
    if (setns(spawn->mount_namespace, CLONE_NEWNS) < 0) return fail("mount namespace of the container");
    return chdir("/") < 0 ? fail("/") : 0;
  }
  return spawn->first && machine.namespaces ? own_proc() : 0;
}

// The terminal is /dev/console of the container's own process, as runc has it.
static void bind_console(void)
{
  char name[64];
  if (ttyname_r(STDIN_FILENO, name, sizeof name) != 0) return; // the container mounts no devpts
  int fd = open("/dev/console", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd >= 0) close(fd);
  if (mount(name, "/dev/console", NULL, MS_BIND, NULL) < 0) tell("pouch-init: /dev/console: %s", strerror(errno));
}

static int take_stdio(const struct spawn *spawn)
{
  int given[3];
  // Out of the way first: a descriptor may be among 0, 1 and 2 itself.
  for (int i = 0; i < 3; i++) {
    if ((given[i] = fcntl(spawn->stdio[i], F_DUPFD_CLOEXEC, 10)) < 0) return fail("stdio");
  }
  for (int i = 0; i < 3; i++) {
    if (dup2(given[i], i) < 0) return fail("stdio");
    // The user may open /dev/stdout again.
    if (spawn->terminal || i > 0 || spawn->input) (void)!fchown(i, spawn->uid, spawn->terminal ? (gid_t)-1 : spawn->gid);
  }
  if (spawn->terminal) {
    if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) return fail("controlling terminal");
    if (spawn->first) bind_console();
  }
  return 0;
}

static int set_limits(const struct spawn *spawn)
{
  char text[16];
  if (spawn->has_oom) {
    int length = snprintf(text, sizeof text, "%d", spawn->oom);
    if (write_at(machine.proc, "self/oom_score_adj", text, (size_t)length) < 0 && errno != ENOENT) return fail("oom_score_adj %s", text);
  }
  for (size_t i = 0; i < spawn->limit_count; i++) {
    struct rlimit limit = { spawn->limits[i].soft, spawn->limits[i].hard };
    if (setrlimit((int)spawn->limits[i].resource, &limit) < 0) return fail("limit %u", spawn->limits[i].resource);
  }
  umask(spawn->umask == UINT32_MAX ? 022 : spawn->umask & 0777);
  return 0;
}

// As runc, which makes it before the root becomes read-only: here the root is writable for a moment, in this mount namespace.
static int make_cwd(const char *cwd)
{
  if (make_directories(cwd, 0755) == 0) return 0;
  if (errno != EROFS || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) < 0) return -1;
  int done = make_directories(cwd, 0755), code = errno;
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) return fail("read-only root");
  errno = code;
  return done;
}

static int go_to_cwd(const struct spawn *spawn, bool last)
{
  const char *cwd = spawn->cwd != NULL && spawn->cwd[0] != '\0' ? spawn->cwd : "/";
  if (cwd[0] != '/') return refuse(EINVAL, "cwd %s: not an absolute path", cwd);
  struct stat status;
  if (!last && spawn->first && stat(cwd, &status) < 0 && errno == ENOENT && make_cwd(cwd) < 0) return -1;
  if (chdir(cwd) == 0 || (!last && errno == EACCES)) return 0; // where only the user may go: once more as the user
  return fail("chdir to cwd (\"%s\")", cwd);
}

// HOME by the container's passwd where the environment has none, as runc does.
static char *home_of(uint32_t uid)
{
  static char text[65536], result[PATH_MAX + 8];
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  strcpy(result, "HOME=/");
  if (root < 0 || read_at(root, "etc/passwd", text, sizeof text) < 0) return result;
  for (char *line = text, *next; line != NULL && *line != '\0'; line = next) {
    char *field[7] = { 0 };
    next = strchr(line, '\n');
    if (next != NULL) *next++ = '\0';
    size_t count = 0;
    for (char *at = line; at != NULL && count < 7; count++) {
      field[count] = at;
      if ((at = strchr(at, ':')) != NULL) *at++ = '\0';
    }
    if (count < 6 || field[2][0] < '0' || field[2][0] > '9' || strtoul(field[2], NULL, 10) != uid) continue;
    if (field[5][0] == '/' && strlen(field[5]) < PATH_MAX) snprintf(result, sizeof result, "HOME=%s", field[5]);
    break;
  }
  return result;
}

static const char *variable(char *const *environment, const char *name)
{
  size_t length = strlen(name);
  const char *value = NULL;
  for (; *environment != NULL; environment++) {
    if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') value = *environment + length + 1;
  }
  return value;
}

static int set_filter(const struct spawn *spawn)
{
  struct { unsigned short length; const void *filter; } program = { (unsigned short)(spawn->filter_bytes / 8), spawn->filter };
  if (spawn->filter == NULL) return 0;
  if (spawn->filter_bytes / 8 > 4096) return refuse(E2BIG, "seccomp filter of %zu instructions", spawn->filter_bytes / 8);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return 0;
  if ((kernel_features() & VM_FEATURE_SECCOMP) == 0) return refuse(ENOTSUP, "seccomp filter: the guest's kernel has none");
  return fail("seccomp filter");
}

static int set_capabilities(const struct spawn *spawn)
{
  struct { uint32_t version; int pid; } header = { 0x20080522 /* version 3 */, 0 };
  struct { uint32_t effective, permitted, inheritable; } data[2];
  for (int i = 0; i < 2; i++) {
    data[i].effective = (uint32_t)(spawn->caps[EFFECTIVE] >> (32 * i));
    data[i].permitted = (uint32_t)(spawn->caps[PERMITTED] >> (32 * i));
    data[i].inheritable = (uint32_t)(spawn->caps[INHERITABLE] >> (32 * i));
  }
  if (syscall(SYS_capset, &header, data) < 0) {
    // A kernel refuses capabilities that it has no name for: those it has.
    uint64_t known = 0;
    for (int cap = 0; cap < CAPS_MAX && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) known |= 1ull << cap;
    for (int i = 0; i < 2; i++) {
      data[i].effective &= (uint32_t)(known >> (32 * i));
      data[i].permitted &= (uint32_t)(known >> (32 * i));
      data[i].inheritable &= (uint32_t)(known >> (32 * i));
    }
    if (syscall(SYS_capset, &header, data) < 0) return fail("capabilities");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return 0; // before 4.3
  for (int cap = 0; cap < CAPS_MAX; cap++) {
    if ((spawn->caps[AMBIENT] >> cap & 1) != 0) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0); // one that is not permitted is passed over, as in runc
  }
  return 0;
}

static int become_user(const struct spawn *spawn)
{
  for (int cap = 0; spawn->has_caps && cap < CAPS_MAX; cap++) {
    if ((spawn->caps[BOUNDING] >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL) return fail("capability %d", cap);
  }
  if (spawn->has_caps) prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  if (setgroups(spawn->group_count, spawn->groups) < 0) return fail("groups");
  if (syscall(SYS_setresgid, spawn->gid, spawn->gid, spawn->gid) < 0) return fail("gid %u", spawn->gid);
  if (syscall(SYS_setresuid, spawn->uid, spawn->uid, spawn->uid) < 0) return fail("uid %u", spawn->uid);
  prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  return 0;
}

// 0: a program that this user may execute; else errno as Go's lookup has it.
static int executable(const char *path)
{
  struct stat status;
  if (stat(path, &status) < 0) return -1;
  if (S_ISDIR(status.st_mode)) return errno = EISDIR, -1;
  if ((status.st_mode & 0111) == 0) return errno = EACCES, -1;
  return faccessat(AT_FDCWD, path, X_OK, 0);
}

static int find_program(const struct spawn *spawn, char path[PATH_MAX])
{
  const char *name = spawn->arguments[0], *list = variable(spawn->environment, "PATH");
  if (strlen(name) >= PATH_MAX - 1) return refuse(ENAMETOOLONG, "exec: \"%.100s…\": file name too long", name);
  if (strchr(name, '/') != NULL) {
    strcpy(path, name);
    if (executable(path) == 0) return 0;
    return errno == EACCES || errno == EISDIR ? fail("exec: \"%s\"", name) : fail("exec: \"%s\": stat %s", name, name);
  }
  // What is there but not executable is "not found" in Go's and so in runc's words.
  for (const char *at = list == NULL ? "" : list; *at != '\0';) {
    size_t length = strcspn(at, ":");
    if (length > 0 && snprintf(path, PATH_MAX, "%.*s/%s", (int)length, at, name) < PATH_MAX && executable(path) == 0) return 0;
    at += length + (at[length] == ':');
  }
  return refuse(ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

static void reset_signals(void)
{
  struct sigaction action = { .sa_handler = SIG_DFL };
  sigset_t none;
  for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static int prepare(const struct spawn *spawn)
{
  reset_signals();
  setsid();
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); // until it is the program: no other process of the container may look into this one
  join_group();
  if (enter_container(spawn) < 0 || take_stdio(spawn) < 0 || set_limits(spawn) < 0) return -1;
  close_hidden();
  if (go_to_cwd(spawn, false) < 0) return -1;
  // Without no_new_privs a filter needs the privilege that is given up next.
  if (!spawn->no_new_privs && set_filter(spawn) < 0) return -1;
  if (become_user(spawn) < 0 || go_to_cwd(spawn, true) < 0) return -1;
  if (spawn->has_caps && set_capabilities(spawn) < 0) return -1;
  if (spawn->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return errno == EINVAL ? refuse(ENOTSUP, "no_new_privs: the guest's kernel has none") : fail("no_new_privs");
  return spawn->no_new_privs ? set_filter(spawn) : 0;
}

static bool read_whole(int fd, void *into, size_t length)
{
  for (size_t got = 0; got < length;) {
    ssize_t n = read(fd, (char *)into + got, length - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    got += (size_t)n;
  }
  return true;
}

static void close_from(int lowest)
{
  struct rlimit files;
  int most = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < DESCRIPTORS_MAX ? (int)files.rlim_cur : DESCRIPTORS_MAX;
  if (syscall(SYS_close_range, lowest, ~0u, 0) == 0) return; // before 5.9: one by one
  for (int fd = lowest; fd < most; fd++) close(fd);
}

// Init's own descriptors would be kept open for as long as it waits: another process's input would never end.
static int keep_only_order(struct spawn *spawn)
{
  int *const kept[] = { &spawn->report, &spawn->order };
  for (int i = 0; i < 2; i++) {
    if ((*kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, 10)) < 0) return fail("descriptors");
  }
  for (int i = 0; i < 2; i++) {
    if (dup3(*kept[i], STDERR_FILENO + 1 + i, O_CLOEXEC) < 0) return fail("descriptors");
    *kept[i] = STDERR_FILENO + 1 + i;
  }
  close_from(STDERR_FILENO + 3);
  return 0;
}

// Waits for EXECUTE, as whom it will be executed. It ends where nothing comes.
static int await_order(struct spawn *spawn)
{
  static unsigned char payload[VM_MAX_DATA];
  uint32_t ready = 0, length;
  if (keep_only_order(spawn) < 0) return -1;
  prctl(PR_SET_NAME, "pouch-ready", 0, 0, 0);
  if (write(spawn->report, &ready, sizeof ready) != (ssize_t)sizeof ready) _exit(127);
  if (!read_whole(spawn->order, &length, sizeof length) || length > sizeof payload || !read_whole(spawn->order, payload, length)) _exit(127);
  close(spawn->order);
  return spawn_order(spawn, payload, length) < 0 ? -1 : go_to_cwd(spawn, true);
}

// Of ../files/files.h, whose other names are not for here.
void serve_files(bool writing, void (*enter_root)(void));
extern void (*once_written)(void);

// Instead of a program. That the report is closed tells that it has begun.
static _Noreturn void serve_host(const struct spawn *spawn)
{
  close_from(STDERR_FILENO + 1);
  once_written = sync; // a machine may be ended as soon as this is answered, and its memory is not its disk
  serve_files(spawn->writing, NULL);
  _exit(0);
}

_Noreturn void run_child(struct spawn *spawn)
{
  char path[PATH_MAX], *home = NULL;
  failure[0] = '\0';
  if (prepare(spawn) < 0) give_up(spawn);
  if (spawn->awaits) {
    home = home_of(spawn->uid);
    if (await_order(spawn) < 0) give_up(spawn);
  }
  if (spawn->files) serve_host(spawn);
  if (variable(spawn->environment, "HOME") == NULL) { // there is room for one more
    char **end = spawn->environment;
    while (*end != NULL) end++;
    *end = home != NULL ? home : home_of(spawn->uid);
  }
  if (run_hooks(spawn) < 0 || find_program(spawn, path) < 0) give_up(spawn);
  execve(path, spawn->arguments, spawn->environment);
  fail("exec %s", path);
  give_up(spawn);
}
